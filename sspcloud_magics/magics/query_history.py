"""The statements of a notebook, kept in a file for its next kernels: what ``%queries`` lists and ``--with`` takes.

A notebook has one file (0600), which all of its kernels share under a lock. It holds the texts of statements and what became
of them: no value of a parameter, no row, and of an error its class only, since PostgreSQL's words quote values. A statement that looks as if it holds a
secret is not kept at all. Where the file cannot be used, the statements of this kernel are kept in its memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sspcloud_magics.bounded_json import parse
from sspcloud_magics.log_file import without_secrets
from sspcloud_magics.magics.arguments import SECRET_WORDS, TOKEN, URL_WITH_PASSWORD
from sspcloud_magics.printable import shorten
from sspcloud_magics.user_files import state_folder

if TYPE_CHECKING:
    from sspcloud_magics.cluster.workloads.tables import ResourceTable, Row
    from sspcloud_magics.databases.postgres.sql.cte import SavedStatement

MOST, MOST_SAVED = 200, 100
"""How many statements are kept, the newest, and how many that have a name."""
LONGEST = 50_000
"""Characters; a longer statement is not kept."""
_LONGEST_FILE = 1_000_000
"""Characters of all statements that have no name."""
_MOST_FILES = 200
"""Notebooks; the files of those that were not used for longest are removed."""
_LARGEST = 1e12
"""Of a number in the file: pandas holds it, also as seconds."""
_PATIENCE = 5.0
"""Seconds to wait for another kernel that writes; it writes for milliseconds."""

_PASSWORD = re.compile(r"pass(?:word|wd|phrase)|mot_?de_?passe|\bmdp\b|pgp_sym_\w+\s*\(", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"(?:secret|token|api_?key|pwd)\w*[\"']?(?:\s*(?:=>?|:=|,)\s*|\s+)[eE]?'", re.IGNORECASE
)

_HALF_PAIRS = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One statement, or several of one cell, and what became of them.

    Parameters
    ----------
    number
        Names it; grows from one to the next.
    time
        When it was given.
    database
        The database, as ``NAMESPACE/NAME``.
    sql, options
        What stood below ``%%query_db``, and on its line, as they were typed.
    rows
        How many came, or were changed; None where they are not counted.
    seconds
        How long it took.
    error
        The class of its error; empty where there was none.
    name, uses
        What it is saved as, and the saved statements that it was given with.
    """

    number: int = 0
    time: datetime
    database: str
    sql: str
    options: str = ""
    rows: int | None = None
    seconds: float = 0.0
    error: str = ""
    name: str = ""
    uses: tuple[str, ...] = ()

    @property
    def cell(self) -> str:
        """The cell that gives it again to the same database."""
        named = re.search(r"(?<!\S)--db\b", self.options)
        words = [] if named else [f"--db {self.database}"]
        return f"%%query_db {' '.join([*words, self.options]).strip()}\n{self.sql}"

    def to_plain(self) -> dict[str, Any]:
        """Return it as the file holds it."""
        return {each: getattr(self, each) for each in self.__slots__} | {"time": self.time.isoformat()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Query:
        """Return what the file says.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is no statement.
        """
        texts = {name: plain[name] for name in ("database", "sql", "options", "error", "name")}
        uses, time = tuple(plain["uses"]), datetime.fromisoformat(plain["time"])
        number, rows, seconds = plain["number"], plain["rows"], float(plain["seconds"])
        is_text = all(isinstance(text, str) for text in [*texts.values(), *uses])
        is_whole = isinstance(number, int) and isinstance(rows, int | None)
        if not (is_text and is_whole) or time.tzinfo is None:
            raise ValueError("no statement")
        if not all(0 <= each <= _LARGEST for each in (number, seconds, rows or 0)):
            raise ValueError("no statement")
        return cls(number=number, time=time, rows=rows, seconds=seconds, uses=uses, **texts)


def holds_secret(text: str) -> bool:
    """Whether a text holds a secret of this process, or looks as if it holds another.

    Examples
    --------
    >>> holds_secret("ALTER ROLE bob PASSWORD 'x'"), holds_secret("SELECT token FROM words")
    (True, False)
    """
    patterns = (_PASSWORD, _SECRET_TEXT, SECRET_WORDS, TOKEN, URL_WITH_PASSWORD)
    return any(each.search(text) for each in patterns) or without_secrets(text) != text


def why_not_kept(text: str) -> str:
    """Return why a statement is not kept; empty where it is."""
    if len(text) > LONGEST:
        return f"It has more than {LONGEST:,} characters."
    if _HALF_PAIRS.search(text):
        return "It holds half a surrogate pair, which is no text."
    return "It looks as if it held a password or a token." if holds_secret(text) else ""


class QueryHistory:
    """The statements of this notebook.

    Parameters
    ----------
    notebook
        Its path; in a terminal, which has none, the working directory.
    """

    is_kept: ClassVar[bool] = True
    """Whether the file is read and written: ``%config SSPCloud.keep_queries``."""

    def __init__(self, notebook: Path | None = None) -> None:
        said = os.environ.get("JPY_SESSION_NAME", "")
        path = notebook or (said if Path(said).is_absolute() else _find_working_directory())
        key = os.fsencode(path)
        self._key = hashlib.sha256(key).hexdigest()[:16]
        # The file's statements when it was last read or written, in the order of their numbers, and what tells that
        # another kernel has replaced it: reading it takes most of the time.
        self._known: list[Query] = []
        self._version: tuple[int, int] | None = None
        # What could not be written yet, and what is never written, since the setting says so.
        self._waiting: list[Query] = []
        self._apart: list[Query] = []
        # What has been wrong with the file, so that it is told once.
        self._told = ""

    @property
    def path(self) -> Path:
        """The file."""
        return state_folder() / "queries" / f"{self._key}.json"

    def queries(self) -> list[Query]:
        """Return the statements, the newest first."""
        if self.is_kept:
            with contextlib.suppress(OSError, RuntimeError, KeyError, TypeError, ValueError):
                self._known = self._read()
        found = self._known
        # What was kept apart is older than what is kept now, and must not take its names.
        for each in (*self._waiting, *(() if self.is_kept else self._apart)):
            found = _with(found, each)
        return found[::-1]

    def find_saved(self) -> dict[str, SavedStatement]:
        """Return the saved statements by their names."""
        from sspcloud_magics.databases.postgres.sql.cte import SavedStatement  # noqa: PLC0415 - the magics load without it

        return {
            each.name: SavedStatement(each.name, each.sql, each.uses) for each in self.queries() if each.name
        }

    def add(self, query: Query) -> str:
        """Keep a statement, and return a sentence where the file cannot be used, the first time."""
        if why_not_kept(f"{query.options}\n{query.sql}"):
            return ""
        unwritten = self._waiting if self.is_kept else self._apart
        unwritten.append(query)
        del unwritten[:-MOST]
        if not self.is_kept:
            return ""
        from filelock import FileLock  # noqa: PLC0415 - the magics load without it

        trouble = ""
        try:
            folder = self.path.parent
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(folder / ".lock", timeout=_PATIENCE, mode=0o600):
                try:
                    self._known = self._read()
                except (KeyError, TypeError, ValueError):
                    aside = self.path.with_suffix(".corrupt")
                    self.path.replace(aside)
                    trouble = f"The statements of before could not be read; their file is kept as {aside}."
                for each in self._waiting:
                    self._known = _with(self._known, each)
                self._write()
                self._waiting.clear()
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory, or no locks
            reason = (isinstance(error, OSError) and error.strerror) or error
            trouble = (
                f"The statements are kept for this kernel only, since their file cannot be written: {reason}"
            )
        told, self._told = self._told, trouble
        return trouble if trouble != told else ""

    def _read(self) -> list[Query]:
        if (version := self._find_version()) is None:
            return []
        if version != self._version:
            self._known = [Query.from_plain(each) for each in parse(self.path.read_text("utf-8"))["queries"]]
            self._version = version
        return self._known

    def _find_version(self) -> tuple[int, int] | None:
        if not self.path.exists():
            return None
        found = self.path.stat()
        return found.st_ino, found.st_mtime_ns

    def _write(self) -> None:
        if not self.path.exists():
            others = sorted(self.path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
            for file in others[: 1 - _MOST_FILES]:
                file.unlink(missing_ok=True)
        plain = [each.to_plain() for each in self._known]
        handle, scratch = tempfile.mkstemp(dir=self.path.parent, prefix=".new-")  # it is made 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as written:
                written.write(json.dumps({"version": 1, "queries": plain}))
            Path(scratch).replace(self.path)
            self._version = self._find_version()
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise


def _with(known: Sequence[Query], query: Query) -> list[Query]:
    """Return statements and a new one, which takes its name from an older one; within the bounds."""
    before = [replace(each, name="") if query.name and each.name == query.name else each for each in known]
    number = 1 + max((each.number for each in known), default=0)
    kept: list[Query] = []
    unnamed = named = size = 0
    for each in [replace(query, number=number), *reversed(before)]:
        if each.name:
            named += 1
            fits = named <= MOST_SAVED
        else:
            unnamed, size = unnamed + 1, size + len(each.sql)
            fits = unnamed <= MOST and size <= _LONGEST_FILE
        if fits:
            kept.append(each)
    return kept[::-1]


def _find_working_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was deleted
        return ""


def name_error(error: BaseException) -> str:
    """Return the class of an error: PostgreSQL's condition and its code, else the class of ours."""
    code = getattr(error, "sqlstate", None)
    if code is None:
        return type(error).__name__
    from psycopg.errors import lookup  # noqa: PLC0415 - at first use

    try:
        return f"{lookup(code).__name__} ({code})"
    except KeyError:
        return f"{type(error).__name__} ({code})"


def count_rows(result: Any) -> int | None:
    """Return how many rows a query gave or changed; None where they are not counted."""
    # By the class: a DataFrame has its columns as attributes.
    kind = type(result)
    if hasattr(kind, "__len__"):
        return len(result)
    if hasattr(kind, "statements"):
        return sum(int(done.rows) for done in result.statements)
    return int(result.rows) if hasattr(kind, "rows") else None


def query_table(queries: Sequence[Query]) -> ResourceTable:
    """Return statements as a DataFrame.

    Returns
    -------
    ResourceTable
        One row a statement: ``number`` int64, ``time`` datetime64[us, UTC], ``rows`` Int64, ``duration`` timedelta64[us], ``error``,
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
        TableColumn("duration", "DURATION", lambda row: f"{row['duration'].total_seconds():,.2f} s"),
        TableColumn("error", "ERROR"),
        TableColumn("name", "SAVED AS"),
        TableColumn("statement", "STATEMENT", _statement_in_words),
        TableColumn("database", "DATABASE"),
    )
    return table(rows, dtypes, TableView(columns, "statement", "No statement has been run in this notebook."))


def _time_in_words(row: Row) -> str:
    # In the zone of this machine, which pandas does not know.
    return f"{row['time'].to_pydatetime().astimezone():%Y-%m-%d %H:%M}"


def _statement_in_words(row: Row) -> str:
    return shorten(" ".join(row["statement"].split()), 120)
