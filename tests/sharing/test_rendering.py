"""Rendered plans and results: the grant in words, YAML for kubectl, and the line to send."""

from dataclasses import replace
from datetime import timedelta

import pytest
import yaml

from sspcloud_magics.secret import Secret
from sspcloud_magics.sharing import advisories, manifests, rendering
from sspcloud_magics.sharing.apply import ShareResult
from sspcloud_magics.sharing.colleagues import parse_colleague
from tests.sharing.test_manifests import a_share, make_owned

LINE = "%connect_db user-alice/postgresql-cnpg-951239"


def make_result(**more):
    bob = a_share(**more)
    return ShareResult(
        (bob, replace(bob, colleague=parse_colleague("carol"))), ("One thing.", "<b>Another.</b>")
    )


def test_answer_ends_with_the_line_to_send():
    shown = make_result()
    assert repr(shown).endswith(f"    {LINE}")
    assert shown._repr_html_().endswith(f"<code>{LINE}</code></pre></div>")


def test_grant_names_colleagues_access_and_expiry():
    said = make_result(schemas=("public", 'en"quête'), duration=timedelta(hours=36)).granted
    assert said.startswith('bob and carol may read postgresql-cnpg-951239 (schemas public and en"quête) for ')
    assert "for 1 day and 12 hours, until Tuesday 1 December 2026, " in said
    assert "read and write" in make_result(read_write=True).granted


def make_noted(*notes):
    return ShareResult((a_share(),), rendering.sort_notes(notes))


def test_two_notes_are_in_sight_and_others_counted():
    noted = make_noted("First.", "Second.", "Third.", "Fourth.")
    text = repr(noted)
    assert "- First.\n- Second.\n- 2 more notes: print(*_.notes" in text
    assert "Third." not in text
    assert noted.notes[2:] == ("Third.", "Fourth.")
    seen, _rest = noted._repr_html_().split("<details>")
    assert "Second." in seen
    assert "Third." not in seen
    assert "<details>" not in make_noted("First.", "Second.")._repr_html_()


def test_dangers_come_first_with_a_mark():
    noted = make_noted("Usual.", rendering.Risk("Dangerous."))
    assert "- ⚠ Dangerous.\n- Usual." in repr(noted)
    assert "<p>⚠ Dangerous.</p><p>Usual.</p>" in noted._repr_html_()
    assert noted.notes == ("Dangerous.", "Usual.")


def test_names_are_printed_once():
    colleagues = [parse_colleague(f"student{number}") for number in range(30)]
    shares = tuple(replace(a_share(), colleague=each) for each in colleagues)
    text = repr(ShareResult(shares, (advisories.warn_spelling(colleagues),)))
    assert all(text.count(f"{each.name} ") + text.count(f"{each.name},") == 1 for each in colleagues)


def test_renewal_names_only_some_of_the_colleagues():
    assert "bob" not in advisories.describe_renewal(["bob"], 1)
    assert advisories.describe_renewal(["bob"], 2).startswith("bob already had a share, ")
    assert advisories.describe_renewal(["bob", "carol"], 3).startswith("bob and carol already had shares, ")


@pytest.mark.usefixtures("french")
def test_answer_is_french():
    text = repr(make_noted(rendering.Risk("Danger.")))
    assert "Lecture de postgresql-cnpg-951239 (schéma public) pour bob" in text
    assert "Bon à savoir\N{NO-BREAK SPACE}:" in text


def test_what_comes_from_elsewhere_is_escaped():
    assert "<b>Another" not in make_result()._repr_html_()


def test_objects_are_shown_as_yaml_without_anchors():
    share = a_share()
    objects = [manifests.job(share), *map(manifests.mask_manifest, make_owned(share))]
    shown = rendering.as_yaml(objects)
    assert list(yaml.safe_load_all(shown)) == objects
    assert "&id" not in shown
    assert "verbs: [get, list, watch]" in shown


def test_dry_run_is_labelled_and_folds_in_a_notebook():
    shown = rendering.Answer(
        granted="G.", line=LINE, notes=(), objects="kind: Job", statements="CREATE ROLE x;"
    )
    assert shown.as_text().startswith("Nothing was done.")
    assert shown.as_text().endswith(LINE)
    assert shown.as_html().count("<details>") == 2


def test_no_answer_shows_what_a_secret_holds():
    masked = manifests.mask_manifest(manifests.secret(a_share(), Secret("canary-password"), None, None))
    assert "canary" not in rendering.as_yaml([masked])
