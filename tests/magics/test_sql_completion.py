"""Tab completion in SQL, with the names of a real database."""

from __future__ import annotations

from pathlib import Path

import pytest

from sspcloud_magics import session
from tests.magics.conftest import Notebook
from tests.magics.test_kernel import Kernel, kernel  # noqa: F401 - a fixture
from tests.support.database import DATABASE
from tests.testbed import Sandbox


@pytest.fixture
def alice(notebook: Notebook, sandbox: Sandbox) -> Notebook:
    """A notebook of alice's, connected to her database, whose names have been read."""
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    notebook.run(f"%connect_db {DATABASE}")
    _read(notebook)
    return notebook


def _read(notebook: Notebook) -> None:
    notebook.shell._sspcloud_magics.tables.wait(60)


def test_database_names_are_offered_in_cells_and_lines(alice: Notebook) -> None:
    assert alice.complete("%query_db SELECT * FROM indi") == ["%query_db SELECT * FROM individus"]
    assert alice.complete("df = %query_db SELECT i.sal") == []
    cell = "%%query_db --into df\nSELECT *\nFROM communes c\nWHERE c.pop"
    assert alice.complete(cell) == [cell + "ulation"]
    assert "%query_db SELECT * FROM communes WHERE population" in alice.complete(
        "%query_db SELECT * FROM communes WHERE "
    )
    assert alice.complete("%query_db SEL") == ["%query_db SELECT"]
    assert not alice.complete("%query_db SELECT 'indi")


def test_columns_are_offered_in_order_with_types(alice: Notebook) -> None:
    from IPython.core.completer import provisionalcompleter

    cell = "%%query_db\nSELECT c. FROM communes c"
    with provisionalcompleter():
        offered = list(alice.shell.Completer.completions(cell, cell.index("c.") + 2))
    columns = alice.run("%describe_table communes").columns
    assert [each.text for each in offered] == columns["name"].tolist()
    assert [each.type for each in offered][:4] == ["char(5)", "text", "varchar(3)", "integer"]


def test_parameters_are_offered_by_variable_names(alice: Notebook) -> None:
    alice.run("departement = '35'; import re as depot\ndef depose(): pass\ngiven = {'department_of': 1}")
    line = "%query_db SELECT * FROM communes WHERE departement = :dep"
    assert alice.complete(line) == [line + "artement"]
    cell = "%%query_db --params given\nSELECT :depart"
    assert alice.complete(cell) == [cell + "ement", cell[: -len("depart")] + "department_of"]


def test_created_and_dropped_names_are_known_after(alice: Notebook) -> None:
    alice.run("%query_db CREATE TABLE fresh_results (score int)")
    try:
        _read(alice)
        assert alice.complete("%query_db SELECT * FROM fre") == ["%query_db SELECT * FROM fresh_results"]
        assert alice.complete("%describe_table fre") == ["%describe_table fresh_results"]
        alice.run("%query_db ALTER TABLE fresh_results ADD notes text")
        _read(alice)
        select = "%query_db SELECT * FROM fresh_results r WHERE r.n"
        assert alice.complete(select) == [f"{select}otes"]
        alice.run("%query_db CREATE TEMP TABLE freshly_made (a int)")
        _read(alice)
        assert "%query_db TABLE freshly_made" in alice.complete("%query_db TABLE fresh")
    finally:
        alice.run("%query_db DROP TABLE fresh_results")
    _read(alice)
    assert alice.complete("%query_db SELECT * FROM fresh_r") == []


def test_arguments_of_magics_for_tables_are_offered(alice: Notebook) -> None:
    alice.run("frame = %query_db SELECT 1 AS one")
    assert alice.complete("%describe_table comm") == ["%describe_table communes"]
    assert alice.complete("%load_table fra") == ["%load_table frame"]
    assert alice.complete("%load_table frame comm") == ["%load_table frame communes"]
    assert alice.complete("%%query_db --db user-") == [f"%%query_db --db user-alice/{DATABASE}"]


def test_nothing_is_read_before_connecting(notebook: Notebook) -> None:
    assert notebook.complete("%query_db SELECT * FROM communes WHE") == [
        "%query_db SELECT * FROM communes WHERE"
    ]
    assert notebook.shell._sspcloud_magics.tables._thread is None


def test_vanished_database_keeps_its_known_names(alice: Notebook) -> None:
    known = alice.shell._sspcloud_magics.tables
    alice.run("%unforward --all")
    (connection,) = session.open_connections()
    connection.changes += 1
    known.after_cell()
    known.wait(60)
    assert alice.complete("%query_db SELECT * FROM indi") == ["%query_db SELECT * FROM individus"]


def test_a_real_kernel_offers_them_too(kernel: Kernel, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    kernel.run("%load_ext sspcloud_magics")
    kernel.run(f"%connect_db user-alice/{DATABASE}")
    kernel.run("get_ipython()._sspcloud_magics.tables.wait(60)")
    cell = "%%query_db\nSELECT i.\nFROM individus i"
    offered = kernel.complete(cell, cell.index("i.") + 2)
    assert offered["matches"][:2] == ["id", "menage"]
    assert offered["cursor_start"] == offered["cursor_end"] == cell.index("i.") + 2
    kinds = {each["text"]: each["type"] for each in offered["metadata"]["_jupyter_types_experimental"]}
    assert kinds["date_naissance"] == "date"
