"""Hints with the nearest known name, for mistyped arguments of magics."""

from __future__ import annotations

import pytest

import sspcloud_magics as ssp
from sspcloud_magics import errors
from tests.magics.conftest import Notebook
from tests.support.database import DATABASE, DATABASE_PATH
from tests.testbed import Sandbox


@pytest.fixture
def bob(notebook: Notebook, sandbox: Sandbox) -> Notebook:
    """A notebook of bob's; alice shares a database with him."""
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('bob')}")
    return notebook


def _only_hint(error: BaseException) -> str:
    assert isinstance(error, errors.SspcloudError)
    (told,) = error.hint.splitlines()
    return told


def test_shared_database_is_offered_by_its_path(bob: Notebook) -> None:
    bob.run("%databases -n user-alice")
    for typed in (DATABASE, DATABASE[:-1], DATABASE.replace("cnpg", "cnpgg"), f"user-alcie/{DATABASE}"):
        failed = bob.fail(f"%connect_db {typed}")
        assert _only_hint(failed) == f"did you mean {DATABASE_PATH}? %connect_db {DATABASE_PATH}", typed
    assert isinstance(failed, errors.CredentialsNotFound)
    assert DATABASE_PATH in failed.why
    far = bob.fail("%connect_db mariadb")
    assert isinstance(far, errors.DatabaseNotFound)
    assert "did you mean" not in far.hint


def test_own_database_is_offered_by_its_name(notebook: Notebook, sandbox: Sandbox) -> None:
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    typed = DATABASE.replace("951239", "951329")
    assert _only_hint(notebook.fail(f"%connect_db {typed}")) == f"did you mean {DATABASE}?"
    failed = notebook.fail(f"%connect_db {DATABASE} --database defaultbd")
    assert isinstance(failed, errors.LoginRefused)
    assert _only_hint(failed) == "name defaultdb with --database"


def test_empty_list_offers_what_is_near(notebook: Notebook, sandbox: Sandbox) -> None:
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    notebook.run(f"%connect_db {DATABASE}")
    for line, meant in (
        ("%tables comunes", "communes"),
        ("%tables publik.communes", "public.communes"),
        ("%k8s_pods mon-appi", "mon-api-abcdef-12345"),
        ("%k8s_services mon-apo", "mon-api"),
    ):
        assert str(notebook.run(line)).endswith(f"Did you mean {meant}?"), line
    for line in ("%tables xyzzy", "%k8s_pods xyzzy", "%k8s_services xyzzy"):
        assert "Did you mean" not in str(notebook.run(line))
    failed = notebook.fail(f"%share_db {DATABASE} --with bob --schema publik --dry-run")
    assert _only_hint(failed) == "did you mean public?"


def test_lost_connection_is_named(bob: Notebook) -> None:
    assert "has closed" not in str(bob.fail("%query_db SELECT 1"))
    bob.run(f"%connect_db {DATABASE_PATH}")
    near = bob.fail(f"%%query_db --db user-alice/{DATABASE}9\nSELECT 1")
    assert _only_hint(near) == f"did you mean {DATABASE_PATH}?"
    ssp.close()
    failed = bob.fail("%query_db SELECT 1")
    assert isinstance(failed, errors.NotConnected)
    assert failed.what == f"The connection to {DATABASE_PATH} has closed."
    assert _only_hint(failed) == f"%connect_db {DATABASE_PATH}"


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("%%query_db --limt 5\nSELECT 1", "--limit"),
        ("%%query_db --Into df\nSELECT 1", "--into"),
        ("%forward svc/x --adress here", "--address"),
        ("%share_db db --with bob --readwrite", "--read-write"),
        ("%load_table fraem t", "frame"),
        ("%%query_db --params vlaues\nSELECT :a", "values"),
        ("%%query_db --limit {numbre}\nSELECT :a", "number"),
        ("%share_db db --with {studnets}", "students"),
    ],
)
def test_known_word_is_the_one_hint(notebook: Notebook, cell: str, meant: str) -> None:
    notebook.run("frame = values = {'a': 1}; number = 5; students = []")
    failed = notebook.fail(cell)
    assert isinstance(failed, errors.UsageProblem)
    assert _only_hint(failed) == f"did you mean {meant}?"
