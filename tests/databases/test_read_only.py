"""The reasons for a read-only session, with their hints: the transaction, the session, the login, or the server."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.transfer.bulk_load import load_table
from sspcloud_magics.errors import QueryFailed
from tests.databases.conftest import login_to
from tests.support.postgres_servers import of_debian, start_server
from tests.support.queries import query

DATABASE = Database("db", "user-alice", "postgres", "db-rw", 5432)


def _hints(connection: DatabaseConnection, text: str) -> list[str]:
    with pytest.raises(QueryFailed) as refused:
        query(connection, text)
    return refused.value.hint.splitlines()


@pytest.mark.parametrize(
    "begin", ["BEGIN READ ONLY", "START TRANSACTION READ ONLY", "BEGIN; SET TRANSACTION READ ONLY"]
)
def test_read_only_transaction_is_not_the_owners(connection: DatabaseConnection, begin: str) -> None:
    query(connection, begin)
    first, *others = _hints(connection, "CREATE TABLE never (a int)")
    assert "is READ ONLY" in first
    assert all("owner" not in each for each in others)
    query(connection, "ROLLBACK; BEGIN; CREATE TABLE never (a int); ROLLBACK")


@pytest.mark.parametrize(
    "statement",
    ["SET default_transaction_read_only = on", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"],
)
def test_read_only_session_is_what_was_set(connection: DatabaseConnection, statement: str) -> None:
    query(connection, statement)
    (told,) = _hints(connection, "CREATE TABLE never (a int)")
    assert "%query_db SET default_transaction_read_only = off" in told
    (told, *_unused) = _hints(connection, "BEGIN; CREATE TABLE never (a int)")
    assert "%query_db SET default_transaction_read_only = off" in told
    query(connection, "ROLLBACK")
    query(connection, "SET default_transaction_read_only = off; CREATE TABLE now (a int); DROP TABLE now")


def test_read_only_login_asks_the_owner(connection: DatabaseConnection) -> None:
    """The role has the setting, like the role of a share."""
    query(connection, "ALTER ROLE postgres SET default_transaction_read_only = on")
    try:
        reader = DatabaseConnection(DATABASE, connection._login)
        try:
            (told,) = _hints(reader, "CREATE TABLE never (a int)")
            assert "ask the owner" in told
            with pytest.raises(QueryFailed, match="read-only") as refused:
                load_table(reader, pd.DataFrame({"a": [1]}), "never")
            assert "ask the owner" in refused.value.hint
        finally:
            reader.close()
    finally:
        query(connection, "ALTER ROLE postgres RESET default_transaction_read_only")


@pytest.fixture(scope="module", params=["wheel", "debian"])
def standby(request: pytest.FixtureRequest) -> Iterator[DatabaseConnection]:
    """A connection to a standby server."""
    programs = of_debian() if request.param == "debian" else None
    with start_server(programs, standby=True) as server:
        made = DatabaseConnection(DATABASE, login_to(server))
        yield made
        made.close()


@pytest.mark.parametrize("begin", ["", "BEGIN", "BEGIN READ ONLY"])
def test_standby_is_told_from_a_login(standby: DatabaseConnection, begin: str) -> None:
    if begin:
        query(standby, begin)
    told = _hints(standby, "CREATE TABLE never (a int)")[0]
    assert "read-only standby" in told
    assert "%connect_db user-alice/db" in told
    query(standby, "ROLLBACK")
