"""Cell magics after comments and an assignment; all other cells stay unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from sspcloud_magics import errors
from sspcloud_magics.databases.chunks import Chunks
from sspcloud_magics.magics.cell_input import cell_magic, transformers
from tests.magics.conftest import Notebook
from tests.magics.test_kernel import Kernel, kernel  # noqa: F401 - a fixture
from tests.support.database import DATABASE, DATABASE_PATH
from tests.testbed import Sandbox

ROOT = Path(__file__).parents[2]

SQL = "SELECT 1 AS a\n"


@pytest.fixture
def alice(notebook: Notebook, sandbox: Sandbox) -> Notebook:
    """A notebook of alice's, connected to her database."""
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    notebook.run(f"%connect_db {DATABASE}")
    return notebook


def _transform() -> Callable[[str], str]:
    manager = TransformerManager()
    manager.cleanup_transforms.extend(transformers(["query_db"]))
    return manager.transform_cell


ASSIGNED = {
    "df = ": "df",
    "df=": "df",
    "df   =   ": "df",
    "\n\n  df = ": "df",
    "# towns\n\n# of 2024: df = %%query_db\ndf = ": "df",
    "#%% towns\ndf = ": "df",
    "df: pd.DataFrame = ": "df",
    "df = other = ": "other",
    "(df) = ": "df",
    "df = \\\n    ": "df",
    "held['df = x'] = ": "held['df = x']",
    "holder.df = ": "holder.df",
    ">>> df = ": "df",
}


def test_assigned_cell_gives_what_the_magic_returns(alice: Notebook) -> None:
    alice.run("import pandas as pd, types")
    for number, (head, place) in enumerate(ASSIGNED.items()):
        alice.run("held = {}; holder = types.SimpleNamespace()")
        assert alice.run(f"{head}%%query_db --limit 5\nSELECT {number} AS a") is None, head
        assert alice.run(f"{place}['a'].tolist()") == [number], head


def test_comments_may_stand_above_a_cell(alice: Notebook) -> None:
    for above in (
        "# towns\n",
        "#%%\n",
        "\n# a\n\n   # b\n\n",
        "# %%query_db\n",
        "  # a\n  ",
        "-- a\n # b\n --c\n",
    ):
        assert alice.run(f"{above}%%query_db --into few\n{SQL}")["a"].tolist() == [1], above
        assert alice.run("few")["a"].tolist() == [1], above


def test_columns_are_unpacked_and_rows_added(alice: Notebook) -> None:
    """Python unpacks the result on the left: a DataFrame yields the names of its columns."""
    alice.run("x, *y = %%query_db\nSELECT 1 AS a, 2 AS b, 3 AS c")
    assert alice.run("[x, y]") == ["a", ["b", "c"]]
    alice.run("df = %query_db SELECT 1 AS a")
    alice.run("df += %%query_db\nSELECT 2 AS a")
    assert alice.run("df['a'].tolist()") == [3]


def test_other_results_are_assigned_too(alice: Notebook, tmp_path: Path) -> None:
    alice.run(f"written = %%query_db --to {tmp_path / 'a.csv'}\n{SQL}")
    assert "1 row" in str(alice.run("written"))
    assert (tmp_path / "a.csv").read_text().split() == ["a", "1"]
    alice.run("done = %%query_db\nCREATE TEMP TABLE few (a int)")
    assert "CREATE TABLE" in str(alice.run("done"))
    alice.run(f"one = %%query_db --into two\n{SQL}")
    assert alice.run("one is two")


def test_chunks_are_read_from_the_assigned_name(alice: Notebook) -> None:
    """A second run of the cell closes the iterator of the first."""
    cell = "parts: object = %%query_db --chunks 2\nSELECT * FROM generate_series(1, 5)"
    alice.run(cell)
    alice.run(cell)
    assert isinstance(alice.run("parts"), Chunks)
    assert alice.run("[len(each) for each in parts]") == [2, 2, 1]
    assert "--chunks needs a variable" in str(alice.fail("a, b = %%query_db --chunks 2\nSELECT 1"))


def test_error_keeps_the_place_in_the_cell(alice: Notebook) -> None:
    failed = alice.fail("# towns\n\ndf = %%query_db\nSELECT\n  agee\nFROM communes")
    assert isinstance(failed, errors.QueryFailed)
    assert "2 │   agee\n      ^" in failed.why
    result = alice._run(f"# towns\n\n\na, b, c = %%query_db\n{SQL}")
    assert isinstance(result.error_in_exec, ValueError)
    assert "line 4" in alice.printed.lower()


def test_cells_below_other_magics_are_assigned(alice: Notebook) -> None:
    alice.run(f"%%time\n# towns\ntimed = %%query_db\n{SQL}")
    alice.run(f"%%capture caught\nquiet = %%query_db\n{SQL}")
    assert alice.run("timed.equals(quiet)")
    assert alice.run(f"%%time\n# towns\n%%query_db\n{SQL}")["a"].tolist() == [1]


@pytest.mark.parametrize(
    "cell",
    [
        "df = 5",
        "x = 7 % 3\n",
        "%%query_db\nSELECT 1",
        "%%query_db?",
        "# a\n%%query_db?",
        "%%query_dbs\nSELECT 1",
        "df = %%query_dbs\nSELECT 1",
        "df = %%time\n1",
        "df = %query_db SELECT '= %%query_db'",
        "print('''\ndf = %%query_db\nSELECT 1''')",
        "text = '''\n%%query_db\nSELECT 1'''",
        "x = 5 # df = %%query_db\n",
        "x = 5\ndf = %%query_db\nSELECT 1",
        "f(%%query_db\nSELECT 1",
        "return %%query_db\nSELECT 1",
        "lambda: %%query_db\nSELECT 1",
        "x = -%%query_db\nSELECT 1",
        "%%writefile cell.py\ndf = %%query_db\nSELECT 1",
        "%%bash\n# a\ndf = %%query_db",
        "# only\n# comments of %%query_db",
        "\0 = %%query_db\n",
        "(" * 5000 + " = %%query_db\n",
        "d['\r\n'] = 1\r\n",
        "",
        "\n\n",
    ],
)
def test_other_cell_stays_as_ipython_reads_it(cell: str) -> None:
    assert _transform()(cell) == TransformerManager().transform_cell(cell)


def test_no_file_or_notebook_of_ours_is_changed() -> None:
    """Cells in strings of tests, and the cells of the tutorials."""
    sources = [path.read_text("utf-8") for path in ROOT.glob("tests/magics/*.py")]
    for path in ROOT.glob("notebooks/**/*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        sources += ["".join(each["source"]) for each in cells if each["cell_type"] == "code"]
    assert len(sources) > 100
    ours = _transform()
    changed = [each for each in sources if ours(each) != TransformerManager().transform_cell(each)]
    assert changed == []


@pytest.mark.parametrize("head", ["", "df = ", "# towns\n", "# towns\ndf: object = "])
def test_cell_is_complete_at_a_blank_line(head: str) -> None:
    """A terminal checks after each line whether the cell is complete."""
    manager = TransformerManager()
    manager.cleanup_transforms.extend(transformers(["query_db"]))
    for typed in ("%%query_db", "%%query_db --limit 1\nSELECT (", "%%query_db\nSELECT 1\nFROM x"):
        assert manager.check_complete(head + typed)[0] == "incomplete", typed
    assert manager.check_complete(f"{head}%%query_db\nSELECT 1\n\n")[0] == "complete"


def test_unloading_gives_the_syntax_back_to_python(notebook: Notebook) -> None:
    cell = f"df = %%query_db\n{SQL}"
    assert isinstance(notebook.fail(cell), errors.NotConnected)
    notebook.run("%reload_ext sspcloud_magics")
    assert len(notebook.shell.input_transformers_cleanup) == 6
    notebook.run("%unload_ext sspcloud_magics")
    assert notebook.shell.transform_cell(cell) == TransformerManager().transform_cell(cell)
    notebook.run("%load_ext sspcloud_magics")
    assert isinstance(notebook.fail(cell), errors.NotConnected)


def test_names_are_offered_in_such_cells_too(alice: Notebook) -> None:
    alice.shell._sspcloud_magics.tables.wait(60)
    for head in ("df = ", "# towns\n", "# towns\n\ndf: object = "):
        cell = f"{head}%%query_db --into df\nSELECT *\nFROM communes c\nWHERE c.pop"
        assert alice.complete(cell) == [cell + "ulation"]
        line = f"{head}%%query_db --expl"
        assert alice.complete(line) == [line + "ain"]


def test_cell_magic_is_taken_apart() -> None:
    cell = cell_magic("\n# a\ndf: int = %%query_db\t--limit 5 \nSELECT\n", ["query_db", "k8s_login"])
    assert cell is not None
    assert (cell.name, cell.line, cell.body, cell.target) == ("query_db", "--limit 5", "SELECT\n", "df")
    assert cell.head == "\n# a\ndf: int = "


def test_plain_terminal_takes_an_assigned_cell(sandbox: Sandbox, tmp_path: Path) -> None:
    """IPython reads a cell line by line there, up to a blank one; its simple prompt needs two."""
    typed = [
        "%load_ext sspcloud_magics",
        f"%connect_db {DATABASE}",
        "# towns",
        "df = %%query_db",
        "SELECT 41 + 1",
        "  AS answer",
        "",
        "",
        "print('read', df['answer'][0])",
        "exit()",
    ]
    environment: dict[str, Any] = {
        "KUBECONFIG": str(sandbox.kubeconfig("alice")),
        "IPYTHONDIR": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=nocolor"],
        input="\n".join(typed) + "\n",
        env=os.environ | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "read 42" in done.stdout, done.stdout + done.stderr


def test_subshell_takes_an_assigned_cell(kernel: Kernel) -> None:  # noqa: F811 - the fixture
    """It runs on a thread of its own, while the main shell is busy."""
    kernel.run("%load_ext sspcloud_magics")
    kernel.run(f"%connect_db {DATABASE_PATH}")
    subshell = kernel.open_subshell()
    waiting = kernel.begin("import threading; go_on = threading.Event(); go_on.wait(120)")
    below = kernel.begin_in_subshell(f"# towns\nbelow = %%query_db\n{SQL}", subshell)
    assert kernel.end(below)[0]["status"] == "ok"
    kernel.begin_in_subshell("go_on.set()", subshell)
    assert kernel.end(waiting)[0]["status"] == "ok"
    assert kernel.run("below['a'].tolist()") == "[1]"
