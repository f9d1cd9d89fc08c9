"""The file of a notebook's statements holds no bound values and no typed secrets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.magics import query_history
from sspcloud_magics.secret import Secret
from sspcloud_magics.session import session
from tests.canaries.test_canaries import list_leaks
from tests.databases.conftest import login_to
from tests.magics.conftest import Notebook
from tests.support.postgres_servers import start_server

# Statements stay in memory for a while, where the other tests of this process would find their canary.
CANARY = "typedC4naryInACell"
BOUND = (
    "%query_db SELECT :value AS a",
    "%query_db SELECT CAST(:value AS integer)",
    "%query_db CREATE TEMP TABLE kept (a text UNIQUE)",
    "%query_db INSERT INTO kept VALUES (:value), (:value)",
    "%query_db DO $$ BEGIN RAISE NOTICE 'no value'; END $$",
    "%%query_db --save given --params values\nSELECT :other AS a",
    "%%query_db --with given --limit {limit}\nSELECT a || :value AS a FROM given",
    "%queries --run 1",
    "%queries",
)
TYPED = (
    f"%query_db ALTER ROLE postgres PASSWORD '{CANARY}'",
    f"%query_db SELECT 'postgresql://bob:{CANARY}@host/d'",
    f"%query_db SELECT * FROM accounts WHERE api_key = '{CANARY}'",
    f"%query_db SELECT '{CANARY}'",
    f"%%query_db --save secret\nSELECT '{CANARY}' AS a",
    f"%%query_db --db {CANARY}\nSELECT 1",
    f"%%query_db --password {CANARY}\nSELECT 1",
)


@pytest.fixture
def connected(notebook: Notebook, tmp_path: Path) -> Iterator[Notebook]:
    """A notebook that is connected, and knows the canary as a value and as a secret."""
    notebook.shell.user_ns |= {
        "value": CANARY,
        "values": {"other": CANARY},
        "held": Secret(CANARY),
        "limit": 5,
    }
    with start_server() as server:
        made = DatabaseConnection(Database("db", "user-alice", "postgres", "db-rw", 5432), login_to(server))
        session.session.connections = [made]
        yield notebook
        made.close()


@pytest.mark.slow
def test_kept_statements_hold_no_secret(connected: Notebook, tmp_path: Path) -> None:
    for cell in (*BOUND, *TYPED):
        connected._run(cell)
    history = query_history.QueryHistory()
    assert len(history.queries()) == len(BOUND) - 1  # %queries is no statement
    assert CANARY in connected._run("%query_db SELECT :value AS a").result["a"].tolist()
    assert history.path.is_relative_to(tmp_path)
    assert list_leaks(tmp_path, CANARY) == set()


@pytest.mark.slow
def test_a_canary_in_the_statements_would_be_found(
    connected: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_history, "holds_secret", lambda _text: False)
    connected._run(TYPED[3])
    assert list_leaks(tmp_path, CANARY) == {query_history.QueryHistory().path}
