"""A connection pooler between this process and the server, and what cannot work through it.

PgBouncer in transaction mode gives each transaction another session with the server. What a session keeps (``SET``, temporary tables,
advisory locks) would be lost to the client that made it, and reach the next one. So settings travel with each transaction, by ``SET LOCAL``,
and a statement that needs a session of its own is refused before it is sent.

The protocol does not tell of a pooler. But a client can cancel queries only by a process number that the pooler knows, so it invents
one, which is not that of the server's process. In session mode a pooler disturbs nothing: a second session tells the modes apart.

Source: PgBouncer's documentation, "SQL feature map for pooling modes"; PostgreSQL's, "Canceling Requests in Progress".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Self

import psycopg
from psycopg import generators, pq, sql

from sspcloud_magics.databases.postgres.server_wait import wait_for
from sspcloud_magics.databases.postgres.sql_lexer import Statement, statements
from sspcloud_magics.errors import QueryFailed

_PROCESS = b"SELECT pg_catalog.pg_backend_pid()"
_WAIT_SECONDS = 2.0
"""How long a second session may wait for a process of the server before that is taken for an answer."""


def is_between(session: psycopg.Connection[Any], timeout: float) -> bool:
    """Whether another program than the server's own process answers a new session, within so many seconds."""
    answer = _process(session, timeout)
    return answer.isdigit() and int(answer) != session.pgconn.backend_pid


def keeps_sessions(session: psycopg.Connection[Any], other: psycopg.Connection[Any], timeout: float) -> bool:
    """Whether a pooler gives each client a session with the server that stays its own.

    Poolers that do not give the process that was used last, or the one that was not used for longest. Each of them shows with this
    order of questions, unless other clients use the pooler in the same milliseconds and all of them by chance hide it.

    Parameters
    ----------
    session, other
        Two sessions through the pooler that have nothing else to do.
    timeout
        How many seconds each answer may take.
    """
    first = _process(session, timeout)
    other.pgconn.send_query(_PROCESS)
    try:
        second = _answer(other, _WAIT_SECONDS)
    except psycopg.OperationalError:
        # The pooler has no process left. Those who wait are served in turn, so this answer comes first only to a client that holds one.
        _process(session, timeout)
        other.pgconn.consume_input()
        return bool(other.pgconn.is_busy())
    later = [_process(each, timeout) for each in (session, session, other)]
    return first != second and later == [first, first, second]


def _process(session: psycopg.Connection[Any], timeout: float) -> bytes:
    session.pgconn.send_query(_PROCESS)
    return _answer(session, timeout)


def _answer(session: psycopg.Connection[Any], timeout: float) -> bytes:
    """Return the answer as it came; nothing where the server refuses to tell."""
    results = wait_for(session, generators.execute(session.pgconn), timeout)
    if session.pgconn.status == pq.ConnStatus.BAD:  # the pooler has ended it, as after its query_wait_timeout
        raise psycopg.errors.error_from_result(results[-1])
    return results[-1].get_value(0, 0) or b""


@dataclass(frozen=True, slots=True)
class _Need:
    """What a statement needs a session for.

    Parameters
    ----------
    pattern
        Its words, with blanks between them.
    what
        What it needs the session for.
    hint
        What to do instead.
    but
        Words with which it does not.
    """

    pattern: re.Pattern[str]
    what: str
    hint: str
    but: re.Pattern[str] = re.compile(r"(?!)")


_TEMPORARY = (
    r"(?:local |global )?temp(?:orary)? (?:recursive )?(?:table|view|sequence)\b"
    r"|(?:unlogged )?\w+ (?:if not exists )?pg_temp\b"
)
_NEEDS = (
    _Need(
        re.compile(r"(?:set (?!local\b|transaction\b|constraints\b)|reset\b|discard\b)"),
        "What SET, RESET or DISCARD changes",
        "for one transaction, inside of it: SET LOCAL name = value\n"
        "for each query: %config SSPCloud.search_path, %config SSPCloud.time_zone, %%query_db --timeout 30s",
    ),
    _Need(
        re.compile(r".*\bset_config\b"),
        "set_config(name, value, false)",
        "for one transaction, inside of it: set_config(name, value, true)",
        but=re.compile(r"(?!.*\b(?:false|not)\b).*\btrue\b"),
    ),
    _Need(
        re.compile(
            rf"create (?:or replace )?(?:{_TEMPORARY})|(?:select|with)\b.*(?<!insert )(?<!merge )\binto (?:(?:local |global )?temp(?:orary)? |(?:table )?pg_temp\b)"
        ),
        "A temporary table that outlasts its transaction",
        "inside of a transaction: CREATE TEMP TABLE name (…) ON COMMIT DROP",
        but=re.compile(r".*\bon commit drop\b"),
    ),
    _Need(
        re.compile(r".*\bpg_(?:try_)?advisory_(?:un)?lock"),
        "An advisory lock that outlasts its transaction",
        "inside of a transaction: SELECT pg_advisory_xact_lock(key)",
    ),
    _Need(
        re.compile(r"(?:un)?listen\b"),
        "LISTEN",
        "connect to the server's own service, without the pooler: %databases lists those that there are",
    ),
    _Need(
        re.compile(r"declare (?:(?!for\b)\w+ )*with hold\b"),
        "A cursor WITH HOLD",
        "read the rows some at a time: %%query_db --chunks ROWS --into chunks",
    ),
    _Need(
        re.compile(r"(?:prepare (?!transaction\b)|execute\b|deallocate\b)"),
        "A prepared statement",
        "send the statement itself, with its values as :name",
    ),
    _Need(
        re.compile(r".*\bdblink_connect"), "A named connection of dblink", "name the connection in each dblink(…)"
    ),
)  # fmt: skip
_KEPT_IN_BLOCKS = _Need(
    re.compile(r".*\b(?:currval|lastval|setseed)\b"),
    "currval, lastval or setseed outside of a transaction",
    "run it in one transaction with the statement before it, or take the number from INSERT … RETURNING",
)
_EXPLAINED = re.compile(
    r"explain (?:(?:analyze|verbose|costs|settings|generic_plan|buffers|serialize|wal|timing|summary|memory"
    r"|format|text|xml|json|yaml|on|off|true|false|none|binary) )*"
)


def refuse(parsed: Sequence[Statement], place: str, *, in_transaction: bool) -> None:
    """Refuse statements that need a session of their own; call it before the first of them is sent.

    Raises
    ------
    QueryFailed
        If one of them does.
    """
    for statement in parsed:
        words = _EXPLAINED.sub("", " ".join(statement.words))
        for need in _NEEDS:
            if need.pattern.match(words) and not need.but.match(words):
                _refuse(need, place)
        in_transaction = in_transaction or words.startswith(("begin", "start transaction"))
        if not in_transaction and _KEPT_IN_BLOCKS.pattern.match(words):
            _refuse(_KEPT_IN_BLOCKS, place)


def _refuse(need: _Need, place: str) -> NoReturn:
    raise QueryFailed(
        f"{need.what} needs a session, and the pooler keeps none.",
        why=f"The pooler of {place} gives each transaction another session: what is kept in one is lost to you, and reaches "
        "other clients.",
        hint=need.hint,
    )


def watch_cursors(session: psycopg.Connection[Any], place: str) -> None:
    """Have psycopg's own cursors refuse what `refuse` does: libraries use them."""

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
            refuse_query(session, query, place)
            return super().execute(query, *arguments, **options)

        def executemany(self, query: Any, *arguments: Any, **options: Any) -> None:
            refuse_query(session, query, place)
            super().executemany(query, *arguments, **options)

        def stream(self, query: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
            refuse_query(session, query, place)
            return super().stream(query, *arguments, **options)

    class ServerCursor(psycopg.ServerCursor[Any]):
        def execute(self, *arguments: Any, **options: Any) -> Self:
            if self.withhold:
                refuse(statements("DECLARE c CURSOR WITH HOLD FOR SELECT 1"), place, in_transaction=True)
            return super().execute(*arguments, **options)

    session.cursor_factory, session.server_cursor_factory = Cursor, ServerCursor


def refuse_query(session: psycopg.Connection[Any], query: Any, place: str) -> None:
    """Refuse what `refuse` does in a query as psycopg takes it."""
    if isinstance(query, bytes):
        text = query.decode(session.info.encoding)
    else:
        text = query if isinstance(query, str) else sql.SQL("{}").format(query).as_string(session)
    in_transaction = session.info.transaction_status != pq.TransactionStatus.IDLE
    refuse(statements(text), place, in_transaction=in_transaction)
