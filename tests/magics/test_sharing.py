"""The magics of sharing in a notebook: the line to send, the hints, and names that need quoting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sspcloud_magics import errors
from tests.magics.conftest import Notebook
from tests.support.database import DATABASE
from tests.support.shares import superuser
from tests.testbed import Sandbox

LINE = f"%connect_db user-alice/{DATABASE}"


@pytest.fixture
def alice(notebook: Notebook, sandbox: Sandbox) -> Iterator[Notebook]:
    """A notebook of Alice's, without shares; afterwards, Bob has the sandbox's initial share again."""
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    notebook.run(f"%unshare {DATABASE} --all")
    yield notebook
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    notebook.run(f"%unshare {DATABASE} --all")
    notebook.run(f"%share_db {DATABASE} --with bob --for 30d")


def test_answers_line_is_all_that_a_colleague_types(alice: Notebook, sandbox: Sandbox) -> None:
    opened = alice.run(f'%share_db {DATABASE} --with bob --for 1d12h --reason "l\'enquête"')
    *_, line = str(opened).splitlines()
    assert line.strip() == LINE
    assert "for 1 day and 12 hours, until " in opened.granted
    assert "bob" in str(alice.run(f"%shares user-alice/{DATABASE}"))
    alice.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('bob')}")
    assert alice.run(line.strip()).user == "share_bob"
    listed = str(alice.run("%connect_db"))
    assert f"user-alice/{DATABASE}" in listed
    assert "read-only" in listed
    alice.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    assert " 1 since " in str(alice.run("%shares -n user-alice"))
    said = str(alice.run(f"%unshare {DATABASE} bob"))
    assert said.startswith(f"{DATABASE} is no longer shared with bob. 1 session ended.")
    assert str(alice.run(f"%unshare {DATABASE} --all")).startswith(f"{DATABASE} was not shared.")


def test_a_dry_run_shows_both_halves_and_makes_nothing(alice: Notebook) -> None:
    shown = str(alice.run(f"%share_db {DATABASE} --with bob,projet-x, --read-write --via network --dry-run"))
    for part in (
        "Nothing was done.",
        "kind: NetworkPolicy",
        'CREATE ROLE "share_projet-x"',
        "name: oidc-x",
        LINE,
    ):
        assert part in shown
    assert alice.run("%shares").empty


@pytest.mark.parametrize("duration", ["3 weeks", "3 semaines", "21j", '"2 weeks and 7 days"'])
def test_durations_have_words_in_both_languages(alice: Notebook, duration: str) -> None:
    plan = alice.run(f"%share_db --for {duration} {DATABASE} --with bob --dry-run")
    assert "for 21 days, until " in plan.granted


LISTS = [
    "['ana', 'ben', 'chloe']",
    "('ana', 'ben', 'chloe')",
    "{'ana', 'ben', 'chloe'}",
    "frozenset(['ana', 'ben', 'chloe'])",
    "pd.Series(['ana', 'ben', 'chloe'])",
    "pd.DataFrame({'account': ['ana', 'ben', 'chloe']})['account'].astype('category')",
    "pd.Index(['ana', 'ben', 'chloe'])",
    "np.array(['ana', 'ben', 'chloe'])",
    "__import__('polars').Series(['ana', 'ben', 'chloe'])",
    "'ana ben chloe'",
    "'ana, ben,chloe'",
    "'ana; ben\\nchloe'",
    "['ana, ben', 'chloe']",
]


def test_list_of_colleagues_is_taken_from_a_variable(alice: Notebook) -> None:
    alice.run("import pandas as pd, numpy as np, sspcloud_magics as ssp")
    for written in LISTS:
        alice.run(f"students = {written}")
        for cell in (
            f"%share_db {DATABASE} --with {{students}} --dry-run",
            f"ssp.preview_share({DATABASE!r}, students)",
        ):
            plan = alice.run(cell)
            assert [each.colleague.name for each in plan.shares] == ["ana", "ben", "chloe"], (written, cell)
    for line in ("--with $students --for 2d", "--for 2d --with ana {students}"):
        plan = alice.run(f"%share_db {DATABASE} {line} --dry-run")
        assert [each.colleague.name for each in plan.shares] == ["ana", "ben", "chloe"], line
    alice.run(
        f"def preview(group):\n    plan = %share_db {DATABASE} --with {{group}} --dry-run\n    return plan"
    )
    assert len(alice.run("preview(['ana', 'ben'])").shares) == 2


@pytest.mark.parametrize(
    "written", ["[]", "''", "['ana', None]", "pd.Series(['ana', float('nan')])", "df", "[df]"]
)
def test_what_is_no_list_of_names_gets_a_sentence(alice: Notebook, written: str) -> None:
    alice.run(
        f"import pandas as pd, sspcloud_magics as ssp\ndf = pd.DataFrame({{'a': ['b']}})\nnames = {written}"
    )
    for cell in (
        f"%share_db {DATABASE} --with {{names}} --dry-run",
        f"ssp.preview_share({DATABASE!r}, names)",
    ):
        assert isinstance(alice.fail(cell), errors.UsageProblem)


@pytest.mark.parametrize(
    "written", ["['bob', '--read-write']", "'bob --read-write'", "['bob', '#', 'carol']"]
)
def test_names_from_a_variable_are_no_options(alice: Notebook, written: str) -> None:
    """A list of colleagues may be a sheet that others have filled in."""
    alice.run(f"names = {written}")
    assert isinstance(alice.fail(f"%share_db {DATABASE} --with {{names}} --dry-run"), errors.UsageProblem)
    assert isinstance(alice.fail(f"%unshare {DATABASE} {{names}}"), errors.UsageProblem)


def test_list_of_colleagues_is_taken_back(alice: Notebook) -> None:
    alice.run("both = ['bob', 'carol']")
    alice.run(f"%share_db {DATABASE} --with {{both}}")
    said = str(alice.run(f"%unshare {DATABASE} {{both}}"))
    assert "bob" in said
    assert "carol" in said
    assert alice.run("%shares").empty


def test_leftovers_are_offered_with_their_removal(alice: Notebook) -> None:
    owner = superuser()
    owner.psycopg.execute("CREATE ROLE share_dave LOGIN")
    owner.psycopg.execute("COMMENT ON ROLE share_dave IS 'made by sspcloud-magics for a share'")
    owner.close()
    assert list(alice.run("%shares")["state"]) == ["ended"]
    assert "1 share has ended" in alice.printed
    assert "→ %unshare --ended   removes the roles" in alice.printed
    said = str(alice.run("%unshare --ended"))
    assert said.startswith(f"The remains of the share of {DATABASE} with dave were removed.")
    assert alice.run("%shares").empty
    assert "PostgreSQL role" not in alice.printed
    assert str(alice.run(f"%unshare --ended {DATABASE[:-1]}")).startswith("There was nothing to remove.")
    assert isinstance(alice.fail("%unshare --ended no-such-database"), errors.DatabaseNotFound)


def test_a_schema_that_needs_quotes_is_named_in_quotes(alice: Notebook) -> None:
    refused = alice.fail(f"%share_db {DATABASE} --with bob --schema 'en\"quête; --'")
    assert isinstance(refused, errors.UsageProblem)
    assert "'en\"quête; --'" in refused.what
    assert refused.hint == "choose from: public"


def test_several_shares_are_revoked_despite_typos(alice: Notebook, sandbox: Sandbox) -> None:
    assert "in lower case: bob" in errors_of(alice.fail(f"%share_db {DATABASE} --with Bob")).hint
    alice.run(f"%share_db {DATABASE} --with bob, carol")
    for line in ("bob", DATABASE):  # the command that was meant is named
        assert f"%unshare {DATABASE} bob" in errors_of(alice.fail(f"%unshare {line}")).hint
    swapped = errors_of(alice.fail(f"%unshare bob {DATABASE}"))
    assert swapped.hint == f"%unshare {DATABASE} bob"
    partly = errors_of(alice.fail(f"%unshare {DATABASE} bob dave"))
    assert partly.what == f"{DATABASE} is not shared with dave."
    assert partly.why == f"{DATABASE} is no longer shared with bob."
    assert partly.hint == f"%unshare {DATABASE} carol"
    alice.run(f"%share_db {DATABASE} --with bob")
    assert len(str(alice.run(f"%unshare {DATABASE} oidc-bob, carol")).splitlines()) == 3
    alice.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('bob')}")
    for line in (f"%share_db user-alice/{DATABASE} --with carol", f"%unshare user-alice/{DATABASE} carol"):
        assert "Only the owner of user-alice" in errors_of(alice.fail(line)).what
    meant = errors_of(alice.fail(f"%connect_db alice/{DATABASE}"))
    assert meant.hint.startswith(f"a person's namespace begins with user-: %connect_db user-alice/{DATABASE}")
    assert "%databases -n user-alice" in errors_of(alice.fail("%connect_db user-alice")).hint
    assert "user-alice" in errors_of(alice.fail("%databases -n alice")).hint
    assert "NAMESPACE/NAME" in errors_of(alice.fail(f'%connect_db "{LINE}"')).hint


def errors_of(error: BaseException) -> errors.SspcloudError:
    assert isinstance(error, errors.SspcloudError)
    return error


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        f"{DATABASE} --with",
        f"{DATABASE} --with bob --for soon",
        f"{DATABASE} --with bob --via pigeon",
    ],
)
def test_what_is_no_order_to_share_is_refused_in_words(alice: Notebook, line: str) -> None:
    assert isinstance(alice.fail(f"%share_db {line}"), errors.UsageProblem)
