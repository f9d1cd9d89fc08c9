"""`%queries`, `--save` and `--with`: the statements of a notebook, kept for its next kernels."""

from __future__ import annotations

import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sspcloud_magics import errors
from sspcloud_magics.magics import query_history
from sspcloud_magics.magics.query_history import Query, QueryHistory, holds_secret
from sspcloud_magics.secret import Secret
from tests.magics.conftest import Notebook
from tests.support.database import DATABASE
from tests.testbed import Sandbox

WHERE = f"user-alice/{DATABASE}"


@pytest.fixture
def alice(notebook: Notebook, sandbox: Sandbox) -> Notebook:
    """A notebook of alice's, connected to her database."""
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    notebook.run(f"%connect_db {DATABASE}")
    return notebook


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QueryHistory:
    """A history of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return QueryHistory(tmp_path / "notebook.ipynb")


def query(sql: str, **more: object) -> Query:
    return Query(time=datetime(2026, 11, 30, tzinfo=UTC), database=WHERE, dbname="defaultdb", sql=sql, **more)  # type: ignore[arg-type]


def test_statements_are_listed_with_their_outcome(alice: Notebook) -> None:
    alice.run("least, secret_value = 13, 'not to be kept'")
    alice.run("%query_db SELECT * FROM regions WHERE :least = 13")
    alice.fail("%%query_db --limit 5\nSELECT :secret_value::int")
    alice.run("df = %%query_db --limit {least - 9}\nSELECT * FROM communes")
    listed = alice.run("%queries")
    assert listed["number"].tolist() == [3, 2, 1]
    assert listed["rows"].astype(object).where(listed["rows"].notna(), None).tolist() == [4, None, 13]
    assert listed["error"].tolist() == ["", "InvalidTextRepresentation (22P02)", ""]
    assert set(listed["database"]) == {WHERE}
    assert listed["statement"].iloc[0] == "SELECT * FROM communes"
    assert listed["duration"].between(timedelta(0), timedelta(minutes=1)).all()
    assert (datetime.now(UTC) - listed["time"] < timedelta(minutes=5)).all()
    assert "InvalidTextRepresentation" in listed._repr_html_()
    assert f"{listed['time'].iloc[0].to_pydatetime().astimezone():%Y-%m-%d %H:%M} " in repr(listed)
    assert "+00:00" not in repr(listed)
    path = alice.shell.find_line_magic("queries").__self__.history.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "not to be kept" not in path.read_text()


def test_a_statement_is_run_again_and_copied(alice: Notebook) -> None:
    alice.run("rows = 2")
    alice.run("%%query_db --limit {rows}\nSELECT code\nFROM communes")
    alice.run("rows = 3")
    assert len(alice.run("%queries --run 1")) == 3
    alice.run("%queries --copy 1")
    cell = f"%%query_db --db {WHERE} --limit {{rows}}\nSELECT code\nFROM communes"
    assert alice.shell.rl_next_input == cell
    assert len(alice.run(cell)) == 3
    assert alice.run("%queries")["number"].tolist() == [3, 2, 1]
    alice.run(f"%connect_db {DATABASE} --database postgres")
    assert "%connect_db" in alice.fail("%queries --run 1").hint
    for line in ("%queries --run 12", "%queries --run 1 --copy 2", "%queries --run many", "%queries 1"):
        assert isinstance(alice.fail(line), errors.UsageProblem)


def test_saved_statement_is_read_by_another(alice: Notebook) -> None:
    alice.run("departement, least = '35', 20_000")
    large = alice.run(
        "%%query_db --save Large\nSELECT * FROM communes WHERE population > :least -- many people\n;"
    )
    alice.run("%%query_db --with large --save here\nSELECT * FROM large WHERE departement = :departement")
    towns = alice.run("%%query_db --with here\nSELECT nom FROM here ORDER BY nom")
    expected = large[large["departement"] == "35"]["nom"].sort_values()
    assert 0 < len(expected) < len(large)
    assert towns["nom"].tolist() == expected.tolist()
    both = alice.run(
        "%%query_db --with here large\nSELECT (SELECT count(*) FROM here) AS a, count(*) FROM large"
    )
    assert both.iloc[0].tolist() == [len(expected), len(large)]
    alice.run("%%query_db --save Été\nSELECT 1 AS a")
    assert alice.run("%%query_db --with large,Été\nSELECT a FROM Été, large LIMIT 1")["a"].tolist() == [1]
    assert "cost=" in str(alice.run("%%query_db --with here --explain\nSELECT * FROM here"))
    assert alice.run("%queries")["name"].tolist()[-2:] == ["here", "large"]

    assert isinstance(alice.fail("%%query_db --save large\nSELECT oops"), errors.QueryFailed)
    assert isinstance(alice.fail("%%query_db --save large --with here\nTABLE here"), errors.UsageProblem)
    assert isinstance(alice.fail("%%query_db --save x\nDELETE FROM communes"), errors.UsageProblem)
    assert isinstance(
        alice.fail("%%query_db --save x\nSELECT crypt('a', :least) AS password"), errors.UsageProblem
    )
    alice.shell._sspcloud_magics.tables.wait(60)  # type: ignore[attr-defined]
    assert isinstance(alice.fail("%%query_db --save user\nSELECT 1"), errors.UsageProblem)
    assert isinstance(alice.fail("%query_db --with large SELECT 1"), errors.UsageProblem)
    assert len(alice.run("%%query_db --with large\nTABLE large")) == len(large)


def test_names_and_numbers_are_completed(alice: Notebook) -> None:
    alice.run("%%query_db --save large\nSELECT code AS town_code, population FROM communes")
    alice.run("%%query_db --save larger\nSELECT 1 AS one")
    assert alice.complete("%%query_db --with lar") == [
        "%%query_db --with large",
        "%%query_db --with larger",
    ]
    assert alice.complete("%%query_db --with large lar") == ["%%query_db --with large larger"]
    assert alice.complete("%queries --run ") == ["%queries --run 1", "%queries --run 2"]
    cell = "%%query_db --with large --limit 5\nSELECT town"
    assert alice.complete(cell + "")[:1] != [cell + "_code"]
    cell = "%%query_db --limit 5 --with larger large\nSELECT * FROM large WHERE town"
    assert alice.complete(cell) == [cell + "_code"]
    cell = "%%query_db --with=large\n-- mine\nWITH own AS (SELECT * FROM large) SELECT * FROM own WHERE town"
    assert alice.complete(cell) == [cell + "_code"]


def test_next_kernel_of_the_notebook_finds_them(history: QueryHistory, tmp_path: Path) -> None:
    history.add(query("SELECT 1", name="one", options="--limit 3", rows=1, seconds=0.5, uses=("two",)))
    history.add(query("SELECT oops", error="UndefinedColumn (42703)"))
    later = QueryHistory(tmp_path / "notebook.ipynb")
    assert later.queries() == history.queries()
    assert [each.number for each in later.queries()] == [2, 1]
    assert later.find_saved()["one"].uses == ("two",)
    assert QueryHistory(tmp_path / "other.ipynb").queries() == []


ADD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from sspcloud_magics.magics.query_history import Query, QueryHistory
history = QueryHistory(Path(sys.argv[1]))
for number in range(20):
    assert history.add(Query(time=datetime.now(UTC), database="d", dbname="d", sql=f"SELECT {sys.argv[2]}, {number}")) == ""
"""


def test_kernels_at_once_lose_nothing(history: QueryHistory, tmp_path: Path) -> None:
    kernels = [
        subprocess.Popen([sys.executable, "-c", ADD, tmp_path / "notebook.ipynb", str(number)])
        for number in range(4)
    ]
    assert [each.wait(60) for each in kernels] == [0] * 4
    listed = history.queries()
    assert [each.number for each in listed] == list(range(80, 0, -1))
    assert {each.sql for each in listed} == {
        f"SELECT {one}, {other}" for one in range(4) for other in range(20)
    }


HUGE = """{"number": 1e99, "time": "2026-11-30T00:00:00+00:00", "database": "", "dbname": "", "sql": "",
    "options": "", "rows": null, "seconds": 0, "error": "", "name": "", "uses": []}"""


@pytest.mark.parametrize(
    "line", [b"\xff", b"[]", b"3", b'{"queries": [{}]}', HUGE.replace("\n", "").encode()]
)
@pytest.mark.parametrize("end", [b"\n", b""], ids=["whole", "unfinished"])
def test_broken_line_costs_no_other_line(history: QueryHistory, line: bytes, end: bytes) -> None:
    history.add(query("SELECT 1", name="one"))
    with history.path.open("ab") as file:
        file.write(line + end)
    assert history.add(query("SELECT 2")) == ""
    for each in (history, QueryHistory(history.path.parents[3] / "notebook.ipynb")):
        assert [(found.number, found.sql) for found in each.queries()] == [(2, "SELECT 2"), (1, "SELECT 1")]


def test_full_history_is_compacted(history: QueryHistory) -> None:
    longest = query_history.MOST + query_history.MOST_SAVED
    other = QueryHistory(history.path.parents[3] / "notebook.ipynb")
    for number in range(2 * longest + 1):
        history.add(query(f"SELECT {number}", name="" if number else "first"))
    assert len(history.path.read_bytes().splitlines()) == query_history.MOST + 1
    assert list(history.find_saved()) == ["first"]
    other.add(query("SELECT 'other'"))
    assert [each.number for each in history.queries()][:2] == [2 * longest + 2, 2 * longest + 1]
    assert history.queries() == other.queries()


def test_unwritable_place_is_told_once(history: QueryHistory, tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert "for this kernel only" in history.add(query("SELECT 1", name="one"))
    assert history.add(query("SELECT 2")) == ""
    assert [each.sql for each in history.queries()] == ["SELECT 2", "SELECT 1"]
    assert list(history.find_saved()) == ["one"]
    (tmp_path / "state").unlink()
    assert history.add(query("SELECT 3")) == ""
    assert [each.sql for each in QueryHistory(tmp_path / "notebook.ipynb").queries()] == [
        "SELECT 3",
        "SELECT 2",
        "SELECT 1",
    ]


def test_setting_keeps_statements_in_memory_alone(alice: Notebook) -> None:
    alice.run("%config SSPCloud.keep_queries = False")
    try:
        alice.run("%%query_db --save one\nSELECT 1 AS n")
        assert alice.run("%%query_db --with one\nTABLE one")["n"].tolist() == [1]
        assert len(alice.run("%queries")) == 2
        history = alice.shell.find_line_magic("queries").__self__.history
        assert not history.path.parent.exists()
    finally:
        alice.run("%config SSPCloud.keep_queries = True")
    alice.run("%%query_db --save one\nSELECT 2 AS n")
    assert [each.number for each in history.queries()] == [3]
    assert alice.run("%%query_db --with one\nTABLE one")["n"].tolist() == [2]


def test_number_of_statements_and_files_is_bounded(
    history: QueryHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, bound in {
        "MOST": 5,
        "MOST_SAVED": 2,
        "LONGEST": 100,
        "_LONGEST_FILE": 60,
        "_MOST_FILES": 3,
    }.items():
        monkeypatch.setattr(query_history, name, bound)
    for number in range(3):
        history.add(query(f"SELECT {number}", name=f"name_{number}"))
    history.add(query("SELECT 'again'", name="name_2"))
    for number in range(9):
        history.add(query(f"SELECT {number}"))
    history.add(query("S" * 101))
    assert [each.sql for each in history.queries() if not each.name] == [
        f"SELECT {number}" for number in range(8, 3, -1)
    ]
    assert list(history.find_saved()) == ["name_2", "name_1"]
    history.add(query("S" * 51))
    assert len(history.queries()) == 2 + 2
    for number in range(5):
        QueryHistory(tmp_path / f"other-{number}.ipynb").add(query("SELECT 1"))
    assert len(list(history.path.parent.glob("*.jsonl"))) == 3


SECRETS = [
    "ALTER ROLE bob PASSWORD 'x'",
    "CREATE USER MAPPING FOR bob SERVER s OPTIONS (\"user\" 'u', password 'x')",
    "SELECT * FROM dblink('host=h password=x', 'SELECT 1')",
    "SELECT * FROM accounts WHERE mot_de_passe = 'x'",
    "SELECT * FROM sessions WHERE token = 'x'",
    "SELECT f(api_key => 'x')",
    "SELECT 'postgresql://bob:x@host/d'",
    "SELECT 'eyJhbGciOiJub25l.eyJzdWIiOiJ4.x'",
    "SELECT 'glpat-" + "x" * 20 + "'",
    "SELECT * FROM read_parquet(key := 'AKIA" + "X" * 16 + "')",
    "SELECT 'hunter22'",
    '{"createUser": "bob", "pwd": "x", "roles": []}',
    "SET app.s3_access_key TO 'x'",
    "CREATE USER bob IDENTIFIED BY 'x'",
    "SELECT dblink('host=h user=u pwd=x')",
    "SELECT crypt('x', salt), aes_encrypt(a, 'x') FROM accounts",
    "SELECT set_config('app.jwt', 'x', false)",
    "SELECT '-----BEGIN PRIVATE KEY-----x'",
]


@pytest.mark.parametrize("sql", SECRETS)
def test_statement_with_a_secret_is_not_kept(history: QueryHistory, sql: str) -> None:
    held = Secret("hunter22")
    assert history.add(query(sql)) == ""
    assert history.queries() == []
    assert not history.path.exists()
    del held


def test_words_about_secrets_alone_are_kept() -> None:
    for sql in (
        "SELECT token, secret FROM words",
        "SELECT ':secret' FROM keys",
        "SELECT tokens FROM t",
        'SELECT token, "Nom" FROM t',
    ):
        assert not holds_secret(sql)


def test_file_holds_texts_that_json_holds(history: QueryHistory) -> None:
    history.add(query("SELECT 'é\U0001f600\n'"))
    assert history.add(query("SELECT '\ud800'")) == ""
    assert [each.sql for each in history.queries()] == ["SELECT 'é\U0001f600\n'"]
