"""The history of a notebook's statements: what ``%queries`` lists and ``--with`` reads.

All kernels of a notebook share one file (0600), one JSON object a line, and append to it under a lock.
It holds the text of each statement and its outcome: no parameter values and no rows, and only the class of an error,
because PostgreSQL quotes values in its messages.
A statement that seems to hold a secret is not kept at all.
If the file cannot be used, the statements of this kernel are kept in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sspcloud_magics.bounded_json import parse
from sspcloud_magics.i18n import _, format_number, format_seconds
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.log_file import without_secrets
from sspcloud_magics.magics.arguments import SECRET_WORDS, TOKEN, URL_WITH_PASSWORD
from sspcloud_magics.printable import shorten
from sspcloud_magics.private_file import replace_file
from sspcloud_magics.user_files import state_folder

if TYPE_CHECKING:
    from sspcloud_magics.cluster.workloads.tables import ResourceTable, Row
    from sspcloud_magics.databases.postgres.sql.cte import SavedStatement

MOST, MOST_SAVED = 200, 100
"""The number of statements to keep without a name (the newest), and with a name."""
LONGEST = 50_000
"""In characters; a longer statement is not kept."""
_LONGEST_FILE = 1_000_000
"""In characters, of all statements without a name."""
_MOST_FILES = 200
"""The number of notebooks; the files that were unused for longest are removed."""
_LARGEST = 1e12
"""The largest number of rows or seconds in a file; pandas can hold it as a duration."""
_LOCK_TIMEOUT = 5.0
"""In seconds; another kernel holds the lock for milliseconds."""

_PASSWORD = re.compile(
    r"pass(?:word|wd|phrase)|mot_?de_?passe|\bmdp\b|\bpwd\s*=|identified\s+by|(?:crypt|hmac)\w*\s*\(|PRIVATE KEY--",
    re.IGNORECASE,
)
# A text after such a name: `token = 'x'`, `f(api_key => 'x')`, and in MongoDB's commands `"pwd": "x"`.
_SECRET_TEXT = re.compile(
    r"(?:secret|token|(?:api|access|private)_?key|cl[eé]_?api|jwt|pwd)\w*[\"']?"
    r"(?:(?:\s*(?:=>?|:=|,)\s*|\s+(?:to\s+)?)[eE]?'|\s*:\s*[\"'])",
    re.IGNORECASE,
)

_HALF_PAIRS = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One statement, or all statements of one cell, and the outcome."""

    number: int = 0  # identifies the statement in this notebook; later statements have larger numbers
    time: datetime  # the time at which it was run
    # The server, as ``NAMESPACE/NAME``, and the name of the database on it.
    database: str
    dbname: str
    # The text below ``%%query_db``, and the rest of its line, as typed.
    sql: str
    options: str = ""
    rows: int | None = None  # the number of rows that were returned or changed; None if they are not counted
    seconds: float = 0.0  # the duration
    error: str = ""  # the class of the error; empty if there was none
    # The name that ``--save`` gave it, and the saved statements that ``--with`` named.
    name: str = ""
    uses: tuple[str, ...] = ()

    @property
    def cell(self) -> str:
        """The cell that runs it again on the same server."""
        named = re.search(r"(?<!\S)--db\b", self.options)
        words = [] if named else [f"--db {self.database}"]  # not translated: an option
        return f"%%query_db {' '.join([*words, self.options]).strip()}\n{self.sql}"  # not translated: a cell

    def to_plain(self) -> dict[str, Any]:
        """Return the JSON object of the file."""
        return {each: getattr(self, each) for each in self.__slots__} | {"time": self.time.isoformat()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Query:
        """Return the query of a JSON object.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the object is not a query.
        """
        texts = {name: plain[name] for name in ("database", "dbname", "sql", "options", "error", "name")}
        uses, time = tuple(plain["uses"]), datetime.fromisoformat(plain["time"])
        number, rows, seconds = plain["number"], plain["rows"], float(plain["seconds"])
        is_text = all(isinstance(text, str) for text in [*texts.values(), *uses])
        is_whole = isinstance(number, int) and isinstance(rows, int | None)
        if not (is_text and is_whole) or time.tzinfo is None:
            raise ValueError("not a query")
        if not all(0 <= each <= _LARGEST for each in (number, seconds, rows or 0)):
            raise ValueError("not a query")
        return cls(number=number, time=time, rows=rows, seconds=seconds, uses=uses, **texts)


def holds_secret(text: str) -> bool:
    """Return whether a text contains a secret of this process, or seems to contain another.

    Examples
    --------
    >>> holds_secret("ALTER ROLE bob PASSWORD 'x'"), holds_secret("SELECT token FROM words")
    (True, False)
    """
    patterns = (_PASSWORD, _SECRET_TEXT, SECRET_WORDS, TOKEN, URL_WITH_PASSWORD)
    return any(each.search(text) for each in patterns) or without_secrets(text) != text


def why_not_kept(text: str) -> str:
    """Return the reason for not keeping a statement; empty if there is none."""
    if len(text) > LONGEST:
        return _("It has more than {longest} characters.", longest=format_number(LONGEST))
    if _HALF_PAIRS.search(text):
        return _("It contains half of a surrogate pair, which is not valid text.")
    return _("It seems to contain a password or a token.") if holds_secret(text) else ""


class QueryHistory:
    """The statements of this notebook.

    Parameters
    ----------
    notebook
        The notebook's path; by default that of this kernel, or the working directory in a terminal.
    """

    is_kept: ClassVar[bool] = True
    """Whether the file is used: ``%config SSPCloud.keep_queries``."""

    def __init__(self, notebook: Path | None = None) -> None:
        session_name = os.environ.get("JPY_SESSION_NAME", "")
        path = notebook or (session_name if Path(session_name).is_absolute() else _find_working_directory())
        self._key = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        # The queries of the file, the file's inode, and the offset up to which it has been read: another kernel may
        # append to the file or replace it.
        self._known: list[Query] = []
        self._inode = self._offset = 0
        # The size in bytes above which the file is compacted: what is kept may be large.
        self._compact_above = 4 * _LONGEST_FILE
        # The queries that could not be written yet, and those that are not to be written because of the setting.
        self._unwritten: list[Query] = []
        self._unkept: list[Query] = []
        # The last error of the file, so that it is reported once.
        self._last_error = ""

    @property
    def path(self) -> Path:
        """The file."""
        return state_folder() / "queries" / f"{self._key}.jsonl"

    def queries(self) -> list[Query]:
        """Return the queries, the newest first."""
        if self.is_kept:
            with contextlib.suppress(OSError, RuntimeError):
                self._read()
        # What was not kept stays apart from the file: once the file is used again, it must not take its names.
        unkept = [] if self.is_kept else self._unkept
        return _limit([*self._known, *self._unwritten, *unkept])

    def find_saved(self) -> dict[str, SavedStatement]:
        """Return the saved statements by name."""
        from sspcloud_magics.databases.postgres.sql.cte import SavedStatement  # noqa: PLC0415 - the magics load without it

        return {
            each.name: SavedStatement(each.name, each.sql, each.uses) for each in self.queries() if each.name
        }

    def add(self, query: Query) -> str:
        """Keep a query; return a warning if the file cannot be used, the first time."""
        if why_not_kept(f"{query.options}\n{query.sql}"):
            return ""
        unwritten = self._unwritten if self.is_kept else self._unkept
        unwritten.append(replace(query, number=self._next_number()))
        del unwritten[:-MOST]
        if not self.is_kept:
            return ""
        try:
            self._write()
            error = ""
        except (OSError, RuntimeError) as caught:  # RuntimeError: there is no home directory, or no locks
            reason = system_reason(caught) if isinstance(caught, OSError) else caught
            error = _(
                "The statements are kept for this kernel only, because their file cannot be written: {reason}",
                reason=reason,
            )
        previous, self._last_error = self._last_error, error
        return error if error != previous else ""

    def _next_number(self) -> int:
        listed = (*self._known[-1:], *self._unwritten[-1:], *self._unkept[-1:])
        return 1 + max((each.number for each in listed), default=0)

    def _read(self) -> None:
        """Read what was appended since the last time; everything if the file was replaced."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._known, self._inode, self._offset = [], 0, 0
            return
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._known, self._inode, self._offset = [], found.st_ino, 0
        if found.st_size > self._offset:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole = file.read().rpartition(b"\n")
            for line in whole[0].split(b"\n"):
                # A line that a killed kernel left unfinished, or that was edited, costs no other line.
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    self._known.append(Query.from_plain(parse(line)))
            self._offset += len(whole[0]) + len(whole[1])

    def _write(self) -> None:
        from filelock import FileLock  # noqa: PLC0415 - the magics load without it

        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=_LOCK_TIMEOUT, mode=0o600):
            self._read()
            if not self._inode:
                _remove_oldest(folder)
            new: list[Query] = []
            for each in self._unwritten:
                last = max((query.number for query in (*self._known[-1:], *new[-1:])), default=0)
                new.append(each if each.number > last else replace(each, number=last + 1))
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:  # noqa: PTH123 - a descriptor
                # The rest of an unfinished line becomes a line of its own.
                end = b"" if file.seek(0, os.SEEK_END) == self._offset else b"\n"
                file.write(end + _to_lines(new))
            self._unwritten.clear()
            self._read()
            # Rarely: most statements cost one line.
            if len(self._known) > 2 * (MOST + MOST_SAVED) or self._offset > self._compact_above:
                replace_file(self.path, _to_lines(_limit(self._known)[::-1]))
                self._read()
                self._compact_above = 2 * self._offset + 4 * _LONGEST_FILE


def _to_lines(queries: Iterable[Query]) -> bytes:
    return b"".join(json.dumps(each.to_plain()).encode() + b"\n" for each in queries)


def _remove_oldest(folder: Path) -> None:
    """Make room for the file of one more notebook."""
    files = sorted(folder.glob("*.json*"), key=lambda file: file.stat().st_mtime)
    for file in files[: 1 - _MOST_FILES]:
        file.unlink(missing_ok=True)


def _limit(queries: Sequence[Query]) -> list[Query]:
    """Return the newest queries within the limits, the newest first; a name belongs to its newest query."""
    names: set[str] = set()
    kept: list[Query] = []
    unnamed = size = 0
    for each in sorted(queries, key=lambda query: query.number, reverse=True):
        if each.name and each.name not in names:
            names.add(each.name)
            if len(names) <= MOST_SAVED:
                kept.append(each)
        else:
            unnamed, size = unnamed + 1, size + len(each.sql)
            if unnamed <= MOST and size <= _LONGEST_FILE:
                kept.append(replace(each, name="") if each.name else each)
    return kept


def _find_working_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was deleted
        return ""


def name_error(error: BaseException) -> str:
    """Return the class of an error: PostgreSQL's condition name and code, or the name of the Python class."""
    code = getattr(error, "sqlstate", None)
    if code is None:
        return type(error).__name__
    from psycopg.errors import lookup  # noqa: PLC0415 - at first use

    try:
        return f"{lookup(code).__name__} ({code})"
    except KeyError:
        return f"{type(error).__name__} ({code})"


def count_rows(result: Any) -> int | None:
    """Return the number of rows that a query returned or changed; None if they are not counted."""
    # Looked up on the class, because the attributes of a DataFrame include its columns.
    kind = type(result)
    if hasattr(kind, "npartitions"):  # a Dask DataFrame would read all of its rows
        return None
    if hasattr(kind, "__len__"):
        return len(result)
    if hasattr(kind, "statements"):
        return sum(int(done.rows) for done in result.statements)
    return int(result.rows) if hasattr(kind, "rows") else None


def query_table(queries: Sequence[Query]) -> ResourceTable:
    """Return queries as a DataFrame.

    Returns
    -------
    ResourceTable
        One row for each query: ``number`` int64, ``time`` datetime64[us, UTC], ``rows`` Int64, ``duration`` timedelta64[us], ``error``,
        ``database``, ``name`` and ``statement`` as str.
    """
    from sspcloud_magics.cluster.workloads.tables import TableColumn, TableView, table  # noqa: PLC0415 - at first use

    rows = (
        {
            "number": each.number,
            "time": each.time,
            "rows": each.rows,
            "duration": timedelta(seconds=each.seconds),
            "error": each.error,
            "database": each.database,
            "name": each.name,
            "statement": each.sql,
        }
        for each in queries
    )
    dtypes = {
        "number": "int64",
        "time": "datetime64[us, UTC]",
        "rows": "Int64",
        "duration": "timedelta64[us]",
        "error": "str",
        "database": "str",
        "name": "str",
        "statement": "str",
    }
    columns = (
        TableColumn("number", "NUMBER"),
        TableColumn("time", "TIME", _time_in_words),
        TableColumn("rows", "ROWS"),
        TableColumn("duration", "DURATION", lambda row: format_seconds(row["duration"].total_seconds())),
        TableColumn("error", "ERROR"),
        TableColumn("name", "SAVED AS"),
        TableColumn("statement", "STATEMENT", _statement_in_words),
        TableColumn("database", "DATABASE"),
    )
    return table(
        rows, dtypes, TableView(columns, "statement", _("No statement has been run in this notebook."))
    )


def _time_in_words(row: Row) -> str:
    # In the local time zone, which pandas does not know.
    return f"{row['time'].to_pydatetime().astimezone():%Y-%m-%d %H:%M}"


def _statement_in_words(row: Row) -> str:
    return shorten(" ".join(row["statement"].split()), 120)
