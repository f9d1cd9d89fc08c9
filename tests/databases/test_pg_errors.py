"""Messages of libpq and PostgreSQL, and the errors that they become."""

from __future__ import annotations

import psycopg
import pytest

from sspcloud_magics.databases.postgres.session import pg_errors
from sspcloud_magics.errors import DatabaseNotTrusted, DatabaseUnavailable, LoginRefused

HEAD = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("words", "kind", "what"),
    [
        ('FATAL:  password authentication failed for user "bob"', LoginRefused, "refuses the user bob"),
        ('FATAL:  role "bob" is not permitted to log in', LoginRefused, "refuses the user bob"),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "bob"',
            LoginRefused,
            "does not allow the user bob to connect",
        ),
        (
            'FATAL:  permission denied for database "d"',
            LoginRefused,
            "does not allow the user bob to connect",
        ),
        ('FATAL:  database "d" does not exist', LoginRefused, "has no database d"),
        ("FATAL:  sorry, too many clients already", DatabaseUnavailable, "limit is reached"),
        ('FATAL:  too many connections for role "bob"', DatabaseUnavailable, "limit is reached"),
        (
            "FATAL:  remaining connection slots are reserved for roles with SUPERUSER",
            DatabaseUnavailable,
            "limit",
        ),
        ("FATAL:  the database system is starting up", DatabaseUnavailable, "at the moment"),
        ("FATAL:  the database system is shutting down", DatabaseUnavailable, "at the moment"),
        ("SSL error: certificate verify failed", DatabaseNotTrusted, "cannot be trusted"),
        ('server certificate for "a" does not match host name "b"', DatabaseNotTrusted, "cannot be trusted"),
        ("server does not support SSL, but SSL was required", DatabaseNotTrusted, "offers no TLS"),
        (
            'authentication method requirement "scram-sha-256" failed: server requested a cleartext password',
            DatabaseNotTrusted,
            "SCRAM",
        ),
        ("timeout expired", DatabaseUnavailable, "in time"),
        ("Connection refused", DatabaseUnavailable, "failed"),
        ("server closed the connection unexpectedly", DatabaseUnavailable, "failed"),
    ],
)
def test_a_login_that_fails_says_why_and_what_to_do(words, kind, what):
    error = pg_errors.make_login_error(
        psycopg.OperationalError(HEAD + words), place="user-alice/db", user="bob", dbname="d"
    )
    assert type(error) is kind
    assert what in error.what
    assert error.what.startswith("user-alice/db") or "user-alice/db" in error.what
    assert error.why == words.removeprefix("FATAL:  ")
    assert error.hint


@pytest.mark.parametrize(
    ("text", "offset", "first_line", "shown"),
    [
        ("select x", 7, 1, "1 │ select x\n           ^"),
        ("select\n\tx", 8, 3, "4 │     x\n        ^"),
        ("select", 99, 1, "1 │ select\n          ^"),
        ("", 0, 1, "1 │ \n    ^"),
    ],
)
def test_a_place_is_marked_under_its_line(text, offset, first_line, shown):
    assert pg_errors.mark_line(text, offset, first_line=first_line) == shown


def test_cut_connection_is_no_certificate_error():
    """The connection ends this way after the permission to forward is lost; the server is fine."""
    said = pg_errors.make_login_error(
        psycopg.OperationalError("connection failed: SSL error: unexpected eof while reading"),
        place="user-alice/db",
        user="share_bob",
        dbname="defaultdb",
    )
    assert isinstance(said, DatabaseUnavailable)
    assert "still shared" in said.hint
