"""An untrusted database server: its login methods, its messages, and invalid values."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trustme

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres import libpq
from sspcloud_magics.databases.postgres.libpq import Login
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import (
    ConnectionLost,
    DatabaseNotTrusted,
    LoginRefused,
    QueryFailed,
    SspcloudError,
)
from sspcloud_magics.secret import Secret
from tests.hostile import postgres
from tests.hostile.postgres import LET_IN, Hostile, report, serve
from tests.support.queries import query

MD5 = struct.pack("!I", 5) + b"salt"
CLEAR = struct.pack("!I", 3)
SASL = struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"
INT4, TEXT, UUID, FLOAT8, JSON, JSONB, NUMERIC, BOOL = 23, 25, 2950, 701, 114, 3802, 1700, 16


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def login_to(port: int, authority: trustme.CA | None) -> Login:
    return Login(
        host=postgres.HOST,
        address="127.0.0.1",
        port=port,
        user="bob",
        password=Secret("canary"),
        dbname="d",
        ca=authority.cert_pem.bytes().decode() if authority else None,
    )


def connection_to(port: int, authority: trustme.CA | None) -> DatabaseConnection:
    database = Database("db", "user-alice", "postgres", "db-rw", 5432)
    return DatabaseConnection(database, login_to(port, authority))


@pytest.fixture
def asking(authority: trustme.CA) -> Callable[[Hostile], object]:
    """Return a connection to such a server, which is verified and lets everyone in."""

    def ask(hostile: Hostile) -> object:
        with open_connection(hostile, authority) as connection:
            return query(connection, "select n from t")

    return ask


@contextmanager
def open_connection(hostile: Hostile, authority: trustme.CA) -> Iterator[DatabaseConnection]:
    with serve(hostile, authority) as port:
        connection = connection_to(port, authority)
        try:
            yield connection
        finally:
            connection.close()


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize(
    "asked",
    [(MD5, LET_IN), (CLEAR, LET_IN), (LET_IN,), (SASL, LET_IN)],
    ids=["md5", "clear", "nothing", "half of SCRAM"],
)
def test_an_unverified_server_has_to_finish_scram(
    authority: trustme.CA, asked: tuple[bytes, ...], tls: bool
) -> None:
    hostile = Hostile(login=asked)
    ca = authority if tls else None
    with serve(hostile, ca) as port, pytest.raises(DatabaseNotTrusted) as refused:
        connection_to(port, None)
    assert "canary" not in str(refused.value)
    assert not any(b"canary" in heard or heard.startswith(b"pmd5") for heard in hostile.heard)


def test_a_verified_server_may_ask_for_less(authority: trustme.CA) -> None:
    hostile = Hostile(login=(CLEAR, LET_IN))
    with serve(hostile, authority) as port:
        session, tls = libpq.log_in(login_to(port, authority))
        session.close()
    assert tls is libpq.Tls.VERIFIED
    assert hostile.heard == [b"pcanary\0"]


def test_password_that_is_said_back_is_hidden(authority: trustme.CA) -> None:
    refusal = report(b"E", S="FATAL", C="28P01", M="password authentication failed: canary is not it")
    with (
        serve(Hostile(login=(CLEAR,), refusal=refusal), authority) as port,
        pytest.raises(LoginRefused) as refused,
    ):
        connection_to(port, authority)
    assert "canary" not in str(refused.value)
    assert "contains the password" in refused.value.why


def test_notices_have_a_limit(asking: Callable[[Hostile], object]) -> None:
    notice = report(b"N", S="NOTICE", C="00000", M="x" * 5000)
    frame = asking(Hostile(rows=[[b"\0\0\0\1"]], before=notice * 5000))
    notes = frame.attrs["notes"]  # type: ignore[attr-defined]
    assert len(notes) == 101
    assert "(1,008 more characters)" in notes[0]
    assert notes[-1] == "4,900 more notices of the server are not shown."


@pytest.mark.parametrize("size", [100_000, 8_000_000])
def test_a_long_error_is_cut(asking: Callable[[Hostile], object], size: int) -> None:
    fault = report(b"E", S="ERROR", C="42000", M="y" * size, D="d" * 50_000, H="h" * 50_000)
    with pytest.raises(SspcloudError, match="more characters") as refused:
        asking(Hostile(error=fault))
    assert isinstance(refused.value, QueryFailed | ConnectionLost)
    assert len(str(refused.value)) < 20_000


@pytest.mark.parametrize(
    ("oid", "values"),
    [
        (INT4, [b"\0\0\1", b"\2\0\0\0\3"]),
        (INT4, [b"\0\0\0\1", b"\0\0\0\1\0\0\0\2"]),
        (INT4, [b"\0\0\0\1", b""]),
        (INT4, [None, b""]),
        (INT4, [None, b"\0\0\1", b"\2\0\0\0\3"]),
        (BOOL, [b"", b"\1\1"]),
        (FLOAT8, [b""]),
        (UUID, [b"abc"]),
        (JSON, [b"1,2", b"[3", b"4]"]),
        (JSON, [b"1", b"]"]),
        (JSONB, [b"\x011,2"]),
        (NUMERIC, [b"\0\1\0\0\0\0\0\0"]),
        (NUMERIC, [b"\0\0\0\0\0\0\0\0\0"]),
        (NUMERIC, [b""]),
        (NUMERIC, [None, b""]),
        (NUMERIC, [b"\0\0"]),
        (TEXT, [b"\xff"]),
    ],
)
@pytest.mark.parametrize("more", [0, 1000])
def test_a_value_of_a_wrong_length_names_its_column(
    asking: Callable[[Hostile], object], oid: int, values: list[bytes | None], more: int
) -> None:
    """The values are alone, or follow a thousand NULLs."""
    rows = [[value] for value in [None] * more + values]
    with pytest.raises(SspcloudError, match="odd_column"):
        asking(Hostile(columns=[("odd_column", oid)], rows=rows))


def test_values_of_right_lengths_come_as_they_are(asking: Callable[[Hostile], object]) -> None:
    columns = [("n", INT4), ("b", BOOL), ("j", JSON)]
    rows: list[list[bytes | None]] = [
        [b"\0\0\0\1", b"\1", b"[1]"],
        [None, None, None],
        [b"\0\0\0\2", b"\2", b"2"],
    ]
    frame = asking(Hostile(columns=columns, rows=rows))
    assert frame["n"].fillna(0).tolist() == [1, 0, 2]  # type: ignore[index]
    assert frame["b"].fillna(False).tolist() == [True, False, True]  # type: ignore[index]
    assert frame["j"].tolist() == [[1], None, 2]  # type: ignore[index]
