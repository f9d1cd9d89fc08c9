"""The options of %%query_db, and the magics for tables, on a real database."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

import sspcloud_magics as ssp
from sspcloud_magics import errors
from sspcloud_magics.magics.progress import Progress
from tests.magics.conftest import Notebook
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
    assert isinstance(alice.fail("%%query_db --timeout 200ms\nSELECT pg_sleep(60)"), errors.QueryFailed)
    assert isinstance(alice.fail("%%query_db --timeout soon\nSELECT 1"), errors.UsageProblem)
    assert isinstance(alice.fail("%%query_db --params nothing\nSELECT 1"), errors.UsageProblem)
    assert isinstance(alice.fail("%%query_db --db elsewhere\nSELECT 1"), errors.NotConnected)
    assert isinstance(alice.fail("%query_db --explain SELECT 1"), errors.UsageProblem)


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


def test_progress_is_silent_when_fast_and_wiped_away_when_slow() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress(1000, 0, 0.9)
    progress.wipe()
    assert not stream.getvalue()
    progress(2_000_000, 3 << 20, 2.0)
    progress(2_100_000, 4 << 20, 2.1)
    assert stream.getvalue() == "\r2,000,000 rows · 3 MiB · 1,000,000 rows/s"
    progress.wipe()
    assert stream.getvalue().endswith("\r" + " " * 41 + "\r") or stream.getvalue().endswith("\r")
    assert stream.getvalue().rsplit("\r", 2)[1].strip() == ""
