"""Tab completion in SQL: the lines of ``%query_db`` and the cells of ``%%query_db``.

Like the completion of magics, it never sends a request. After a cell that has connected to a database or changed its
objects (CREATE, ALTER, DROP, SET, COMMIT …), a short-lived thread reads the names of the database in a separate session,
and the matcher uses them. The thread also reads them again when they are older than `OLD`.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from sspcloud_magics import fork_hooks, session
from sspcloud_magics.databases.postgres.sql import name_cache
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _
from sspcloud_magics.magics.cell_input import ASSIGNMENT, cell_magic
from sspcloud_magics.printable import printable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
    from sspcloud_magics.databases.sql_names import Dialect, SchemaNames
    from sspcloud_magics.magics.completion import Matcher, Source
    from sspcloud_magics.magics.query_history import QueryHistory

OLD = 300.0
"""Seconds before names are read again: other sessions may have changed them."""

_LINE = re.compile(rf"^\s*{ASSIGNMENT}%query_db[ \t]+")
_OPTION = r"--{}[ =]\s*(\S+)"
_WITH = re.compile(r"(?<!\S)--with[ =]\s*((?:(?!-)\S+\s*)+)")
# The kinds of completions; any other one is the type of a column, which stays as PostgreSQL writes it.
_KINDS = frozenset(
    {
        N_("table"),
        N_("view"),
        N_("schema"),
        N_("alias"),
        N_("function"),
        N_("type"),
        N_("keyword"),
        N_("parameter"),
    }
)
_SQL = ("postgres", "mariadb")
_NO_VALUES = (ModuleType, FunctionType, type)


class KnownTables:
    """The names in connected databases, read by a background thread."""

    def __init__(self) -> None:
        # Guards `_thread`.
        self._lock = threading.Lock()
        # The last thread, which may have ended.
        self._thread: threading.Thread | None = None
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Drop the parent's lock and thread in a forked child."""
        self._lock = threading.Lock()
        self._thread = None

    def names(self, db: str | None = None) -> SchemaNames | None:
        """Return the known names of the current database, or of another connected one."""
        named = [
            each
            for each in session.open_connections()
            if db is None or db in (each.database.name, each.database.path)
        ]
        found = name_cache.last_read(named[-1]) if named else None
        return None if found is None else found.names

    def after_cell(self, *_unused: Any) -> None:
        """Read the names again if the cell may have changed them."""
        self.refresh_soon()

    def refresh_soon(self) -> None:
        """Read names that have changed or are old, in the background."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            opened: Any = session.open_connections()
            due = [each for each in opened if each.database.kind in _SQL and self._is_due(each)]
            if due:
                self._thread = threading.Thread(
                    target=self._fetch, args=(due,), name="sspcloud-tables", daemon=True
                )
                self._thread.start()

    def _is_due(self, connection: DatabaseConnection) -> bool:
        found = name_cache.last_read(connection)
        return (
            found is None or found.changes != connection.changes or time.monotonic() - found.when > OLD
        ) and not connection.in_transaction

    def wait(self, timeout: float | None = None) -> None:
        """Wait for a running read."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _fetch(self, due: Iterable[Any]) -> None:
        for connection in due:
            before, changes = name_cache.last_read(connection), connection.changes
            try:
                with closing(connection.copy_connection()) as copy, copy.turn:
                    read: SchemaNames | None = _read_names(copy)
            except Exception:  # noqa: BLE001 - the next query reports the error
                read = None if before is None else before.names
            name_cache.keep(connection, read, changes)


def _read_names(copy: Any) -> SchemaNames:
    if copy.database.kind == "mariadb":
        from sspcloud_magics.databases.mariadb import catalogue  # noqa: PLC0415 - on the thread, after first use

        return catalogue.read_names(copy)
    from sspcloud_magics.databases.postgres.sql import schema_names  # noqa: PLC0415 - on the thread, after first use

    with copy.with_settings():
        return schema_names.read(copy.psycopg)


def find_sql(context: CompletionContext) -> tuple[str, int, str] | None:
    """Return the SQL around the cursor, the cursor's offset in it, and the cell's options; None outside SQL."""
    cell = cell_magic(context.full_text, ["query_db"])
    first = 0 if cell is None else cell.head.count("\n") + 1
    if cell is not None and context.cursor_line >= first:
        lines = context.full_text.split("\n")
        before = "\n".join([*lines[first : context.cursor_line], context.text_until_cursor])
        return cell.body, len(before), cell.line
    line = _LINE.match(context.text_until_cursor)
    if cell is None and line is not None:
        whole = context.full_text.split("\n")[context.cursor_line]
        return whole[line.end() :], len(context.text_until_cursor) - line.end(), ""
    return None


def list_parameters(variables: Mapping[str, Any], hidden: Iterable[str] = ()) -> Iterator[str]:
    """Yield the names of variables that may be parameters: no modules, no functions, none of IPython's own."""
    without = frozenset(hidden)
    for name, value in variables.items():
        if not name.startswith("_") and name not in without and not isinstance(value, _NO_VALUES):
            yield name


def sources(known: KnownTables, shell: InteractiveShell, history: QueryHistory) -> dict[str, Source]:
    """Return the words for arguments that name tables, DataFrames, dicts, and saved or past statements."""

    def tables(_names: object, words: list[str]) -> Iterable[str]:
        there = known.names(_find_option("db", " ".join(words)))
        if there is None:
            return
        for schema, name in there.relations:
            if schema not in ("pg_catalog", "information_schema"):
                bare = schema in there.path
                yield there.quote(name) if bare else f"{there.quote(schema)}.{there.quote(name)}"

    def of_kind(kind: str) -> Source:
        return lambda _names, _words: [
            name for name, value in shell.user_ns.items() if type(value).__name__ == kind and name[0] != "_"
        ]

    return {
        "table": tables,
        "pattern_of_tables": tables,
        "frame": of_kind("DataFrame"),
        "params": of_kind("dict"),
        "save": lambda _names, _words: history.find_saved(),
        "saved_statements": lambda _names, words: [
            name for name in history.find_saved() if name not in words[:-1]
        ],
        "run": lambda _names, _words: [str(each.number) for each in history.queries()],
        "copy": lambda _names, _words: [str(each.number) for each in history.queries()],
    }


def sql_matcher(known: KnownTables, shell: InteractiveShell, history: QueryHistory) -> Matcher:
    """Build the matcher for `Completer.custom_matchers`.

    Parameters
    ----------
    known
        The names in connected databases.
    shell
        The shell with the variables that parameters may name.
    history
        The history with the saved statements that a cell may use.
    """

    def sspcloud_sql(context: CompletionContext) -> SimpleMatcherResult:
        nothing = SimpleMatcherResult(completions=[], suppress=False)
        found = find_sql(context)
        if found is None:
            return nothing
        known.refresh_soon()
        from sspcloud_magics.databases import kinds, sql_names  # noqa: PLC0415 - the magics load without them
        from sspcloud_magics.databases.postgres.sql import sql_completion  # noqa: PLC0415

        sql, cursor, options = found
        there = known.names(_find_option("db", options)) or sql_names.SchemaNames()
        dialect = kinds.get("mariadb").dialect if there.mark == "`" else sql_names.POSTGRES
        assert dialect is not None  # noqa: S101 - both have SQL
        typed, sql = sql, dialect.mask(sql)
        # Complete the SQL that the server will get: saved statements have columns.
        before, sql = _prepend_saved(sql, options, history, dialect)
        sql, typed, cursor = before + sql, before + typed, cursor + len(before)
        start, offers = sql_completion.offers(
            sql, cursor, there, _list_variables(shell, _find_option("params", options))
        )
        completions = [
            SimpleCompletion(text=each.text, type=_(each.kind) if each.kind in _KINDS else each.kind)
            for each in offers
            if printable(each.text, one_line=True) == each.text
        ]
        return SimpleMatcherResult(
            completions=completions, suppress=True, matched_fragment=typed[start:cursor], ordered=True
        )

    matching: Matcher = cast("Any", context_matcher)(identifier="sspcloud_magics_sql")(sspcloud_sql)
    return matching


def _prepend_saved(sql: str, options: str, history: QueryHistory, dialect: Dialect) -> tuple[str, str]:
    """Return the saved statements that a cell uses, as a WITH clause before its SQL, and the SQL that follows."""
    uses = [name for names in _WITH.findall(options) for name in names.split()]
    if not uses:
        return "", sql
    from sspcloud_magics.databases.postgres.sql import cte, sql_scope  # noqa: PLC0415 - the magics load without it

    try:
        listed = dialect.mask(
            cte.compose("SELECT", uses, history.find_saved(), dialect).removesuffix(" SELECT")
        )
    except UsageProblem:
        return "", sql
    words = list(itertools.islice(sql_scope.lexemes(sql), 2))
    if not words or words[0].text != "with":
        return f"{listed} ", sql
    # The SQL has a WITH clause of its own: blank out its WITH, and continue the list.
    end = words[1].end if words[1:] and words[1].text == "recursive" else words[0].end
    return f"{listed}, ", " " * end + sql[end:]


def _find_option(name: str, options: str) -> str | None:
    found = re.search(_OPTION.format(name), options)
    return found[1] if found else None


def _list_variables(shell: InteractiveShell, params: str | None) -> list[str]:
    given = shell.user_ns.get(params) if params else None
    own = [str(name) for name in given] if isinstance(given, dict) else []
    return [*own, *list_parameters(shell.user_ns, shell.user_ns_hidden)]
