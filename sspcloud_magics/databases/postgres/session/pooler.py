"""Detection of a connection pooler, and the statements that do not work through one.

PgBouncer in transaction mode gives each transaction another server session. Session state (``SET``, temporary tables,
advisory locks) would be lost to its client, and leak to the next one. So settings travel with each transaction, by
``SET LOCAL``, and a statement that needs its own session is refused before it is sent.

The protocol does not reveal a pooler. But a pooler invents the process ID that clients use for cancel requests, so it
differs from the ID of the server process. In session mode a pooler is harmless: a second session tells the modes apart.

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
from sspcloud_magics.i18n import N_, _

_PROCESS = b"SELECT pg_catalog.pg_backend_pid()"
_WAIT_SECONDS = 2.0
"""The wait for the second session's answer, in seconds; after it, the pooler counts as exhausted."""


def has_pooler(session: psycopg.Connection[Any], timeout: float) -> bool:
    """Whether a pooler stands between a new session and the server; each answer may take `timeout` seconds."""
    answer = _process(session, timeout)
    return answer.isdigit() and int(answer) != session.pgconn.backend_pid


def keeps_sessions(session: psycopg.Connection[Any], other: psycopg.Connection[Any], timeout: float) -> bool:
    """Whether the pooler keeps one server session for each client.

    A pooler in transaction mode hands out the most or the least recently used server session. This order of queries
    reveals both, unless other clients use the pooler in the same milliseconds and happen to hide it.

    Parameters
    ----------
    session, other
        Two idle sessions through the pooler.
    timeout
        The timeout of each answer, in seconds.
    """
    first = _process(session, timeout)
    other.pgconn.send_query(_PROCESS)
    try:
        second = _answer(other, _WAIT_SECONDS)
    except psycopg.OperationalError:
        # The pooler has no server session left. It serves waiting clients in order, so an answer that comes first here
        # means that the first client still holds its session.
        _process(session, timeout)
        other.pgconn.consume_input()
        return bool(other.pgconn.is_busy())
    later = [_process(each, timeout) for each in (session, session, other)]
    return first != second and later == [first, first, second]


def _process(session: psycopg.Connection[Any], timeout: float) -> bytes:
    session.pgconn.send_query(_PROCESS)
    return _answer(session, timeout)


def _answer(session: psycopg.Connection[Any], timeout: float) -> bytes:
    """Return the raw answer; empty if the server refuses the query."""
    results = wait_for(session, generators.execute(session.pgconn), timeout)
    if (
        session.pgconn.status == pq.ConnStatus.BAD
    ):  # closed by the pooler, for example after query_wait_timeout
        raise psycopg.errors.error_from_result(results[-1])
    return results[-1].get_value(0, 0) or b""


@dataclass(frozen=True, slots=True)
class _Need:
    """A kind of statement that needs a session."""

    pattern: re.Pattern[str]  # matches the words of the statement, separated by blanks
    what: str  # the first sentence of the error
    hint: str  # the alternative
    # Matches the words of statements that do not need a session after all.
    unless: re.Pattern[str] = re.compile(r"(?!)")


_TEMPORARY = (
    r"(?:local |global )?temp(?:orary)? (?:recursive )?(?:table|view|sequence)\b"  # not translated: a pattern
    r"|(?:unlogged )?\w+ (?:if not exists )?pg_temp\b"
)
_NEEDS = (
    _Need(
        re.compile(r"(?:set (?!local\b|transaction\b|constraints\b)|reset\b|discard\b)"),
        N_("What SET, RESET or DISCARD changes needs a session, and the pooler keeps none."),
        N_("for one transaction, run inside it: SET LOCAL name = value\n"
        "for each query: %config SSPCloud.search_path, %config SSPCloud.time_zone, %%query_db --timeout 30s"),
    ),
    _Need(
        re.compile(r".*\bset_config\b"),
        N_("set_config(name, value, false) needs a session, and the pooler keeps none."),
        N_("for one transaction, run inside it: set_config(name, value, true)"),
        unless=re.compile(r"(?!.*\b(?:false|not)\b).*\btrue\b"),
    ),
    _Need(
        re.compile(
            rf"create (?:or replace )?(?:{_TEMPORARY})|(?:select|with)\b.*(?<!insert )(?<!merge )\binto (?:(?:local |global )?temp(?:orary)? |(?:table )?pg_temp\b)"
        ),
        N_("A temporary table that outlasts its transaction needs a session, and the pooler keeps none."),
        N_("run inside a transaction: CREATE TEMP TABLE name (…) ON COMMIT DROP"),
        unless=re.compile(r".*\bon commit drop\b"),
    ),
    _Need(
        re.compile(r".*\bpg_(?:try_)?advisory_(?:un)?lock"),
        N_("An advisory lock that outlasts its transaction needs a session, and the pooler keeps none."),
        N_("run inside a transaction: SELECT pg_advisory_xact_lock(key)"),
    ),
    _Need(
        re.compile(r"(?:un)?listen\b"),
        N_("LISTEN needs a session, and the pooler keeps none."),
        N_("connect to the server's own service, not to the pooler: %databases lists them"),
    ),
    _Need(
        re.compile(r"declare (?:(?!for\b)\w+ )*with hold\b"),
        N_("A cursor WITH HOLD needs a session, and the pooler keeps none."),
        N_("read the rows in chunks: %%query_db --chunks ROWS --into chunks"),
    ),
    _Need(
        re.compile(r"(?:prepare (?!transaction\b)|execute\b|deallocate\b)"),
        N_("A prepared statement needs a session, and the pooler keeps none."),
        N_("send the statement itself, with its values as :name"),
    ),
    _Need(
        re.compile(r".*\bdblink_connect"),
        N_("A named connection of dblink needs a session, and the pooler keeps none."),
        N_("name the connection in each dblink(…)"),
    ),
)  # fmt: skip
# The body of DO is not parsed; EXECUTE means something else there.
_NEEDS_IN_BODIES = _NEEDS[:4]
_BODY = re.compile(r"do\b.*?(\$\w*\$)(.*)\1", re.IGNORECASE | re.DOTALL)
_BEFORE_STATEMENT = re.compile(r"(?:.*\b(?:begin|then|else|loop) )?")
_QUOTED_NAME = re.compile(r'"(pg_temp|set_config|pg_(?:try_)?advisory_\w+|currval|lastval|setseed)"')
_KEPT_IN_BLOCKS = _Need(
    re.compile(r".*\b(?:currval|lastval|setseed)\b"),
    N_("currval, lastval or setseed outside a transaction needs a session, and the pooler keeps none."),
    N_("run it in one transaction with the previous statement, or use INSERT … RETURNING"),
)
_EXPLAINED = re.compile(
    r"explain (?:(?:analyze|verbose|costs|settings|generic_plan|buffers|serialize|wal|timing|summary|memory"
    r"|format|text|xml|json|yaml|on|off|true|false|none|binary) )*"
)


def refuse(parsed: Sequence[Statement], place: str, *, in_transaction: bool) -> None:
    """Refuse statements that need their own session; call it before sending them.

    Raises
    ------
    QueryFailed
        If one of them needs a session.
    """
    for statement in parsed:
        words = _EXPLAINED.sub("", " ".join(_words(statement)))
        _refuse_any(_NEEDS, words, place)
        if body := _BODY.match(statement.sql):
            for part in statements(body[2]):
                _refuse_any(_NEEDS_IN_BODIES, _BEFORE_STATEMENT.sub("", " ".join(_words(part))), place)
        in_transaction = in_transaction or words.startswith(("begin", "start transaction"))
        if not in_transaction and _KEPT_IN_BLOCKS.pattern.match(words):
            _refuse(_KEPT_IN_BLOCKS, place)


def _words(statement: Statement) -> Sequence[str]:
    """Return the words of a statement, also those that need no quotes and have them."""
    is_quoted = _QUOTED_NAME.search(statement.sql)
    return statements(_QUOTED_NAME.sub(r"\1", statement.sql))[0].words if is_quoted else statement.words


def _refuse_any(needs: Sequence[_Need], words: str, place: str) -> None:
    for need in needs:
        if need.pattern.match(words) and not need.unless.match(words):
            _refuse(need, place)


def _refuse(need: _Need, place: str) -> NoReturn:
    raise QueryFailed(
        _(need.what),
        why=_(
            "The pooler of {place} gives each transaction another session: "
            "session state would be lost to you, and leak to other clients.",
            place=place,
        ),
        hint=_(need.hint),
    )


def watch_cursors(session: psycopg.Connection[Any], place: str) -> None:
    """Make psycopg's cursors refuse the same statements as `refuse`, for libraries that use them."""

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
    """Refuse the same as `refuse` in a query of psycopg's: str, bytes or `psycopg.sql.Composable`."""
    if isinstance(query, bytes):
        text = query.decode(session.info.encoding)
    else:
        text = query if isinstance(query, str) else sql.SQL("{}").format(query).as_string(session)
    in_transaction = session.info.transaction_status != pq.TransactionStatus.IDLE
    refuse(statements(text), place, in_transaction=in_transaction)
