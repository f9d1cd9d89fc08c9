"""The options of %%query_db, and the magics for tables, on a real database."""

from __future__ import annotations

import io
import re
import threading
from pathlib import Path

import pandas as pd
import pytest

import sspcloud_magics as ssp
from sspcloud_magics import errors
from sspcloud_magics.magics.arguments import fill_in
from sspcloud_magics.magics.progress import Progress, show_progress
from sspcloud_magics.transient_text import TerminalLine
from tests.magics.conftest import Notebook
from tests.support.database import DATABASE
from tests.testbed import Sandbox


@pytest.fixture
def alice(notebook: Notebook, sandbox: Sandbox) -> Notebook:
    """A notebook of alice's, connected to her database."""
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    notebook.run("%connect_db postgresql-cnpg-951239")
    return notebook


def test_the_options_of_a_cell(alice: Notebook, tmp_path: Path) -> None:
    alice.run("given = {'least': 770}")
    cell = (
        "%%query_db --db postgresql-cnpg-951239 --params given --numeric decimal --timeout 30s --into few\n"
    )
    few = alice.run(cell + "SELECT i, i::numeric / 4 AS m FROM generate_series(1, 771) i WHERE i >= :least")
    assert few["i"].tolist() == [770, 771]
    assert str(few["m"].iloc[0]) == "192.5000000000000000"
    plan = alice.run("%%query_db --explain\nSELECT * FROM communes WHERE code = '35238'")
    assert "communes" in str(plan)
    assert "cost=" in str(plan)
    assert isinstance(
        alice.fail("%%query_db --explain\nSELECT 1; CREATE TABLE never (a int)"), errors.UsageProblem
    )
    assert alice.run("%tables never").empty
    alice.run(f"%%query_db --to {tmp_path / 'rows.csv'}\nSELECT * FROM regions")
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 13
    assert isinstance(
        alice.fail(f"%%query_db --to {tmp_path / 'rows.csv'}\nSELECT 1 AS a"), errors.UsageProblem
    )
    copied = tmp_path / "regions.txt"
    assert "13 rows" in str(alice.run(f"%%query_db --to {copied}\nCOPY regions TO STDOUT"))
    alice.run("%query_db CREATE TEMP TABLE again (LIKE regions)")
    assert "13 rows" in str(alice.run(f"%%query_db --from {copied}\nCOPY again FROM STDIN"))
    assert isinstance(alice.fail(f"%%query_db --from {copied}\nSELECT 1"), errors.UsageProblem)
    assert isinstance(alice.fail("%%query_db --timeout 200ms\nSELECT pg_sleep(60)"), errors.QueryFailed)
    assert isinstance(alice.fail("%%query_db --timeout soon\nSELECT 1"), errors.UsageProblem)
    assert isinstance(alice.fail("%%query_db --params nothing\nSELECT 1"), errors.UsageProblem)
    assert isinstance(alice.fail("%%query_db --db elsewhere\nSELECT 1"), errors.NotConnected)
    assert isinstance(alice.fail("%query_db --explain SELECT 1"), errors.UsageProblem)


def test_dask_reads_on_one_line(alice: Notebook) -> None:
    pytest.importorskip("dask.dataframe")
    frame = alice.run("ddf = %query_db --as dask communes --partition-on code --partitions 3\nddf")
    assert frame.npartitions == 3
    expected = alice.run("%query_db SELECT * FROM communes")
    assert len(frame.compute(scheduler="threads")) == len(expected)
    for line in (
        "%%query_db --as dask\nSELECT * FROM communes",
        "%%query_db --as dask --partition-on code --limit 3\nSELECT * FROM communes",
        "%%query_db --partition-on code\nSELECT * FROM communes",
    ):
        assert isinstance(alice.fail(line), errors.UsageProblem)


def test_tables_are_listed_described_and_loaded(alice: Notebook) -> None:
    found = alice.run("%tables communes*")
    assert found["name"].tolist() == ["communes"]
    assert "code" in str(alice.run("%describe_table public.communes"))
    alice.run("import pandas as pd; df = pd.DataFrame({'n': [1, 2]})")
    try:
        assert "2 rows" in str(alice.run("%load_table df public.loaded"))
        assert isinstance(alice.fail("%load_table df public.loaded"), errors.QueryFailed)
        alice.run("%load_table df public.loaded --append")
        assert alice.run("%query_db SELECT sum(n) AS n FROM loaded")["n"].tolist() == [6]
        assert ssp.load_table(pd.DataFrame({"n": [5]}), "public.loaded", "replace") == 1
    finally:
        alice.run("%query_db DROP TABLE IF EXISTS loaded")
    assert isinstance(alice.fail("%load_table nothing public.loaded"), errors.UsageProblem)
    assert isinstance(alice.fail("%describe_table"), errors.UsageProblem)
    assert isinstance(alice.fail("%describe_table nowhere"), errors.QueryFailed)


def test_load_table_sees_local_variables(alice: Notebook) -> None:
    alice.run("import pandas as pd; df = pd.DataFrame({'n': [1]}); hidden = df")
    alice.run(
        "def load(hidden):\n"
        "    polars_frame = __import__('polars').DataFrame({'n': [3]})\n"
        "    %load_table hidden of_locals\n"
        "    %load_table df of_locals --append\n"
        "    %load_table polars_frame of_locals --append\n"
        "    rows = %query_db SELECT array_agg(n ORDER BY n) AS n FROM of_locals\n"
        "    return rows"
    )
    try:
        assert alice.run("load(pd.DataFrame({'n': [2]}))")["n"].tolist() == [[1, 2, 3]]
        alice.run("%%time\nfew = df\n%load_table few of_locals --append")
        for cell in ("%load_table polars_frame of_locals", "series = df['n']\n%load_table series of_locals"):
            assert isinstance(alice.fail(cell), errors.UsageProblem)
    finally:
        alice.run("%query_db DROP TABLE IF EXISTS of_locals")


@pytest.mark.parametrize(
    ("options", "filled"),
    [
        ("--limit {n}", "--limit 3"),
        ("--limit $n --into {name}", "--limit 3 --into few"),
        ("--limit {n + 1}", "--limit 4"),
        ("--to {path.stem}.csv", "--to towns.csv"),
        ("--to '{name}.csv' --db {{a}}", "--to 'few.csv' --db {a}"),
        ("--to '$name.csv' --db $$n", "--to '$name.csv' --db $n"),
        ("{options}", "--limit 5 --numeric decimal"),
        ("--limit {n} # of {all}, a colleague's", "--limit 3 # of {all}, a colleague's"),
        ("--limit {len(name)} --to 'a # {n}'", "--limit 3 --to 'a # 3'"),
        ("--limit 3", "--limit 3"),
        ("", ""),
    ],
)
def test_variables_fill_the_options_of_a_cell(options: str, filled: str) -> None:
    variables = {"n": 3, "name": "few", "path": Path("towns.txt"), "options": "--limit 5 --numeric decimal"}
    assert fill_in(options, variables) == filled


def test_options_are_filled_in_and_sql_is_not(alice: Notebook, tmp_path: Path) -> None:
    alice.run(f"n, name, stem, db = 2, 'few', {str(tmp_path / 'towns')!r}, {DATABASE!r}")
    cell = "%%query_db --limit {n} --into $name --db {db}\nSELECT '{n} $n' AS a FROM generate_series(1, 5)"
    assert alice.run(cell)["a"].tolist() == ["{n} $n"] * 2
    assert alice.run("few")["a"].tolist() == ["{n} $n"] * 2
    alice.run("written = %%query_db --to {stem}.csv\nSELECT 1 AS a")
    assert (tmp_path / "towns.csv").read_text().split() == ["a", "1"]
    assert alice.run("%query_db SELECT '{n} $n' AS a")["a"].tolist() == ["{n} $n"]
    alice.run("%query_db --begin --db {db}")
    alice.run("%query_db --rollback --db $db")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--limit {rows}", "names 'rows', but there is no such variable"),
        ("--limit $rows", "names 'rows', but there is no such variable"),
        ("--to $name.csv", "AttributeError"),
        ("--to {name", "expected '}'"),
        ("--limit {}", "SyntaxError"),
        ("--limit {1 / 0}", "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_filled_in_gets_a_sentence(notebook: Notebook, options: str, says: str) -> None:
    notebook.run("name = 'few'")
    assert isinstance(notebook.fail(f"%%query_db {options}\nSELECT 1"), errors.UsageProblem)
    assert says in notebook.printed


def test_a_cell_begins_and_ends_a_transaction(alice: Notebook) -> None:
    alice.run("%query_db CREATE TABLE kept (n int)")
    try:
        begun = alice.run("%query_db --begin")
        assert "commit it with %query_db --commit" in str(begun)
        assert isinstance(alice.fail("%query_db --begin"), errors.UsageProblem)
        alice.run("%query_db INSERT INTO kept VALUES (1)")
        alice.run("%query_db SELECT 1 AS one")
        assert "A transaction is open" in alice.printed
        assert "ROLLBACK" in str(alice.run("%query_db --rollback"))
        alice.run("%%query_db --begin\nINSERT INTO kept VALUES (2)")
        assert isinstance(alice.fail("%query_db SELECT oops"), errors.QueryFailed)
        assert "--rollback" in alice.printed
        alice.run("%query_db --rollback")
        alice.run("%%query_db --begin\nINSERT INTO kept VALUES (3)")
        alice.run("%%query_db --commit\nINSERT INTO kept VALUES (4)")
        assert "A transaction is open" not in alice.printed
        alice.run("%%query_db --begin --commit\nINSERT INTO kept VALUES (5);\nINSERT INTO kept VALUES (6)")
        alice.fail("%%query_db --begin --commit\nINSERT INTO kept VALUES (7);\nSELECT oops")
        with ssp.transaction():
            alice.run("%query_db INSERT INTO kept VALUES (8)")
        assert alice.run("%query_db SELECT n FROM kept ORDER BY n")["n"].tolist() == [3, 4, 5, 6, 8]
        for line in ("%query_db --commit", "%query_db --rollback", "%%query_db --commit\nSELECT 1"):
            assert isinstance(alice.fail(line), errors.UsageProblem)
    finally:
        alice.run("%query_db DROP TABLE kept")


def test_a_cell_gives_its_rows_in_chunks(alice: Notebook) -> None:
    cell = "%%query_db --chunks 300 --into chunks --as {}\nSELECT i FROM generate_series(1, 700) i"
    alice.run(cell.format("pandas"))
    assert alice.run("[len(chunk) for chunk in chunks]") == [300, 300, 100]
    alice.run(cell.format("polars"))
    assert alice.run("[chunk.height for chunk in chunks]") == [300, 300, 100]
    endless = "%%query_db --chunks 300 --into chunks\nSELECT a FROM generate_series(1, 9999999) a"
    alice.run(endless)
    assert isinstance(alice.fail("%query_db SELECT 1"), errors.ConnectionBusy)
    alice.run(endless)  # the cell once more: what it left open is given up
    alice.run("chunks.close()")
    assert len(alice.run("%query_db SELECT 1")) == 1
    for wrong in ("--chunks 300", "--chunks 0 --into a", "--chunks 9 --to a.csv --into a"):
        assert isinstance(alice.fail(f"%%query_db {wrong}\nSELECT 1"), errors.UsageProblem)


def test_settings_hold_in_open_and_new_sessions(alice: Notebook, caplog: pytest.LogCaptureFixture) -> None:
    alice.run("%config SSPCloud.time_zone = 'Asia/Tokyo'")
    alice.run("%config SSPCloud.search_path = 'pg_catalog'")
    show = "%query_db SELECT current_setting('timezone') AS z, current_setting('search_path') AS p"
    assert alice.run(show).iloc[0].tolist() == ["Asia/Tokyo", "pg_catalog"]
    alice.run("%connect_db postgresql-cnpg-951239 --database postgres")
    assert alice.run(show).iloc[0].tolist() == ["Asia/Tokyo", "pg_catalog"]
    alice.run("%config SSPCloud.time_zone = 'Asia/Tokio'")
    assert "such as Asia/Tokyo" in caplog.text
    alice.run("%config SSPCloud.memory_share = 1e-9")
    alice.run("%query_db SELECT n FROM generate_series(1, 2000) n")
    assert "--chunks" in alice.printed


def test_a_second_connection_is_asked_by_its_name(alice: Notebook) -> None:
    alice.run("%connect_db postgresql-cnpg-951239 --database postgres")
    assert alice.run("%tables communes --db user-alice/postgresql-cnpg-951239").empty
    failed = alice.fail("%describe_table communes --db elsewhere")
    assert isinstance(failed, errors.NotConnected)
    assert "user-alice/postgresql-cnpg-951239" in failed.why


def test_answer_is_shown_with_dtypes_shape_and_time(alice: Notebook) -> None:
    frame = alice.run("%query_db SELECT i, 'é' || i AS t FROM generate_series(1, 700) i")
    assert type(frame) is pd.DataFrame
    shown = alice.shell.display_formatter.format(frame)[0]
    for said in (alice.printed, shown["text/html"]):
        assert re.search(r"700 rows × 2 columns · fetched in [\d.]+ m?s", said)  # noqa: RUF001 - as pandas writes it
        assert "string" in said
        assert "é700" in said
        assert "é350" not in said
    frame.loc[0, "i"] = 5
    other = alice.shell.display_formatter.format(frame.head(1))[0]
    assert "fetched" not in other["text/html"] + other["text/plain"]
    assert (
        "No rows. Columns: i Int32"
        in alice.shell.display_formatter.format(alice.run("%query_db SELECT 1 AS i WHERE false"))[0][
            "text/plain"
        ]
    )
    alice.run("%unload_ext sspcloud_magics")
    assert "fetched" not in str(alice.shell.display_formatter.format(frame)[0])
    alice.run("%load_ext sspcloud_magics")


def test_plan_is_shown_whole(alice: Notebook) -> None:
    condition = " OR ".join(f"nom = 'a name that is long enough to be cut {n}'" for n in range(70))
    plan = alice.run(f"%query_db EXPLAIN SELECT * FROM communes WHERE {condition}")
    shown = alice.shell.display_formatter.format(plan)[0]
    for said in (alice.printed, shown["text/plain"], shown["text/html"]):
        assert "be cut 69" in said
        assert "Seq Scan on communes" in said
    tree = alice.run("%query_db EXPLAIN (FORMAT JSON) SELECT * FROM communes")
    assert '"Node Type": "Seq Scan"' in alice.shell.display_formatter.format(tree)[0]["text/plain"]


def test_another_display_of_dataframes_goes_first(alice: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = alice.run("%query_db SELECT 1 AS one")
    monkeypatch.setattr(pd.DataFrame, "_repr_html_", lambda _: "<b>interactive</b>")
    assert alice.shell.display_formatter.format(frame)[0]["text/html"] == "<b>interactive</b>"


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_progress_is_silent_when_fast() -> None:
    clock = Wall()
    progress = Progress(clock)
    progress(1000, 0, 0.9)
    clock.seconds = 0.9
    assert not progress.words()


def test_progress_tells_rows_and_their_rate() -> None:
    clock = Wall()
    progress = Progress(clock)
    clock.seconds = 3.0
    assert progress.words() == "running for 3 s, no row yet"
    progress(6_000_000, 3 << 20, 2.0)
    assert progress.words() == "6,000,000 rows · 3 MiB · 2,000,000 rows/s · 3 s"


def test_a_terminals_line_is_wiped_away() -> None:
    stream = io.StringIO()
    line = TerminalLine(stream)
    line.wipe()
    assert not stream.getvalue()
    line.show("1,000 rows")
    line.show("10 rows")
    line.wipe()
    assert stream.getvalue() == "\r1,000 rows\r10 rows   \r       \r"


def test_slow_query_shows_progress_and_ends_its_thread() -> None:
    shows: list[str] = []

    class Place(TerminalLine):
        def show(self, words: str) -> None:
            super().show(words)
            shows.append(words)
            seen.set()

    seen = threading.Event()
    with show_progress(Place(io.StringIO())) as progress:
        progress(5, 0, 0.1)
        assert seen.wait(60)
    assert shows[0].startswith("5 rows")
    assert not [each for each in threading.enumerate() if each.name == "sspcloud-progress"]
