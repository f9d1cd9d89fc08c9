"""Rendered plans and results: the grant in words, YAML for kubectl, and the line to send."""

from dataclasses import replace
from datetime import timedelta

import yaml

from sspcloud_magics.secret import Secret
from sspcloud_magics.sharing import manifests, rendering
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
