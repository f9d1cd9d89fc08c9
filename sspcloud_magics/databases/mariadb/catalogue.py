"""Reads of MariaDB's catalogue: the tables of a database, and the description of one table."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

import pandas as pd

from sspcloud_magics.cluster.workloads.tables import make_table
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.databases.mariadb.literals import quote_name
from sspcloud_magics.databases.mariadb.query import run
from sspcloud_magics.databases.query_options import QueryOptions
from sspcloud_magics.databases.query_result import Columns
from sspcloud_magics.databases.sql_names import Relation, SchemaNames
from sspcloud_magics.databases.table_description import (
    COLUMNS_VIEW,
    TableDescription,
    as_like,
    make_tables,
)
from sspcloud_magics.errors import QueryFailed, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.spelling import nearest

_FACTS = """
SELECT t.TABLE_SCHEMA AS `schema`, t.TABLE_NAME AS name, IF(t.TABLE_TYPE LIKE '%VIEW', 'view', 'table') AS kind,
       CAST(t.TABLE_ROWS AS SIGNED) AS rows_about, CAST(t.DATA_LENGTH + t.INDEX_LENGTH AS SIGNED) AS bytes,
       COALESCE(v.DEFINER, '') AS owner, v.SECURITY_TYPE AS runs_as, NULLIF(t.TABLE_COMMENT, 'VIEW') AS comment
FROM information_schema.TABLES t LEFT JOIN information_schema.VIEWS v USING (TABLE_SCHEMA, TABLE_NAME)
"""

_TABLES = f"""{_FACTS}
WHERE t.TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
  AND (t.TABLE_NAME LIKE :pattern ESCAPE '|' OR CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME) LIKE :pattern ESCAPE '|')
ORDER BY 1, 2
"""

_ONE = f"""{_FACTS}
WHERE t.TABLE_SCHEMA = COALESCE(:schema, DATABASE()) AND t.TABLE_NAME = :name
ORDER BY t.TABLE_NAME = BINARY :name DESC LIMIT 1
"""

_COLUMNS = """
SELECT COLUMN_NAME AS name, COLUMN_TYPE AS type, IS_NULLABLE = 'YES' AS nullable,
       NULLIF(TRIM(CONCAT_WS(' ', NULLIF(COLUMN_DEFAULT, 'NULL'), NULLIF(EXTRA, ''),
                             GENERATION_EXPRESSION)), '') AS `default`,
       NULLIF(COLUMN_COMMENT, '') AS comment
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = :schema AND TABLE_NAME = BINARY :name
ORDER BY ORDINAL_POSITION
"""

_INDEXES = """
SELECT INDEX_NAME AS name,
       CONCAT(CASE WHEN INDEX_NAME = 'PRIMARY' THEN 'PRIMARY KEY' WHEN NON_UNIQUE THEN CONCAT('INDEX ', INDEX_NAME)
                   ELSE CONCAT('UNIQUE ', INDEX_NAME) END,
              ' (', GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX SEPARATOR ', '), ')') AS definition
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = :schema AND TABLE_NAME = BINARY :name
GROUP BY INDEX_NAME, NON_UNIQUE ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME
"""

_NAMES = """
SELECT t.TABLE_SCHEMA, t.TABLE_NAME, IF(t.TABLE_TYPE LIKE '%VIEW', 'view', 'table'), c.COLUMN_NAME, c.COLUMN_TYPE
FROM information_schema.TABLES t JOIN information_schema.COLUMNS c USING (TABLE_SCHEMA, TABLE_NAME)
WHERE t.TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'sys')
ORDER BY t.TABLE_SCHEMA = DATABASE() DESC, 1, 2, c.ORDINAL_POSITION LIMIT 200000
"""

_FUNCTIONS = """
SELECT ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION'
UNION ALL SELECT 'pg_catalog', LOWER(FUNCTION) FROM information_schema.SQL_FUNCTIONS
"""
_RESERVED = "SELECT WORD FROM information_schema.KEYWORDS"

# The timeout for reading five rows, in seconds, since a view may compute for hours.
_HEAD_TIMEOUT = 5.0

_PART = r"`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[^\s.`\"]+"
_NAME = re.compile(rf"(?:({_PART})\.)?({_PART})")
_PLAIN = re.compile(r"[a-zA-Z_][\w$]*", re.ASCII)


def tables(connection: MariadbConnection, pattern: str | None = None) -> pd.DataFrame:
    """Return the tables and views that you may read; of the tables, no owner is known."""
    found = _frame(connection, _TABLES, pattern=as_like(pattern, "|"))
    return make_tables(found, pattern)


def read_names(connection: MariadbConnection) -> SchemaNames:
    """Read the names that SQL may use, for completion; call it in a turn.

    Raises
    ------
    pymysql.Error
        If the server refuses.
    """
    with connection.ready()[0].cursor() as cursor:

        def rows(sql: str) -> list[tuple[Any, ...]]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        found = [
            Relation(schema, name, kind, tuple((each[3], each[4]) for each in group))
            for (schema, name, kind), group in groupby(rows(_NAMES), key=lambda row: row[:3])
        ]
        return SchemaNames(
            path=tuple(name for (name,) in rows("SELECT DATABASE()") if name),
            schemas=tuple(name for (name,) in rows("SHOW DATABASES")),
            relations={(each.schema, each.name): each for each in found},
            functions=tuple(rows(_FUNCTIONS)),
            reserved=frozenset(word.lower() for (word,) in rows(_RESERVED)),
            mark="`",
        )


def describe_table(connection: MariadbConnection, name: str) -> TableDescription:
    """Describe one table, by its name in SQL: ``communes``, ``mydb.communes``, ```With Blank```."""
    facts = _find(connection, *split_name(name))
    schema, table, definer = str(facts["schema"]), str(facts["name"]), str(facts["owner"])
    path = f"{_quote(schema)}.{_quote(table)}"
    head, note = pd.DataFrame(), ""
    # A view with SQL SECURITY DEFINER runs with its definer's privileges, any other with the reader's.
    is_theirs = definer != _frame(connection, "SELECT CURRENT_USER() AS me")["me"].iloc[0]
    if facts["kind"] == "view" and facts["runs_as"] != "DEFINER" and is_theirs:
        note = _(
            "Rows not shown: reading them may run code of {owner} with your privileges.",
            owner=definer or _("another user"),
        )
    else:
        try:
            rows = f"SELECT * FROM {quote_name(schema)}.{quote_name(table)} LIMIT 5"  # noqa: S608 - quoted
            head = _frame(connection, rows, _HEAD_TIMEOUT)
        except QueryFailed as error:
            note = _("Rows not shown: {why}", why=error.what)
    return TableDescription(
        name=path,
        columns=make_table(_read_columns(connection, schema, table), COLUMNS_VIEW),
        indexes=_frame(connection, _INDEXES, schema=schema, name=table),
        rows_about=None if pd.isna(facts["rows_about"]) else int(facts["rows_about"]),
        bytes=None if pd.isna(facts["bytes"]) else int(facts["bytes"]),
        owner=definer,
        comment="" if pd.isna(facts["comment"]) else str(facts["comment"]),
        head=head,
        head_note=note,
    )


def columns(connection: MariadbConnection, schema: str, name: str) -> Columns:
    """Return the columns of a table without reading its rows; `schema` and `name` are without quotes."""
    with connection.turn:
        found = _read_columns(connection, schema, name)
    if found.empty:
        raise _make_unknown_error(f"{schema}.{name}")
    listed = ", ".join(map(_quote, found["name"]))
    return Columns(found, f"SELECT {listed}\nFROM {_quote(schema)}.{_quote(name)}\nLIMIT 100")


def _read_columns(connection: MariadbConnection, schema: str, name: str) -> pd.DataFrame:
    found = _frame(connection, _COLUMNS, schema=schema, name=name)
    return found.assign(nullable=found["nullable"] == 1)


def _find(connection: MariadbConnection, schema: str | None, name: str) -> pd.Series:
    found = _frame(connection, _ONE, schema=schema, name=name)
    if found.empty:
        known = tables(connection)
        near = nearest(name, known["name"])
        raise _make_unknown_error(f"{schema}.{name}" if schema else name, near)
    return found.iloc[0]


def _make_unknown_error(name: str, near: str = "") -> QueryFailed:
    return QueryFailed(
        _("The table {name} does not exist.", name=name),
        hint=_("did you mean {near}?", near=near) if near else _("list the tables with %tables"),
    )


def split_name(name: str) -> tuple[str | None, str]:
    """Return the database and the name of a table, without quotes."""
    found = _NAME.fullmatch(name.strip())
    if found is None:
        raise UsageProblem(
            _("{name} is not the name of a table.", name=repr(name)), hint=_("list the tables with %tables")
        )
    schema, table = found.groups()
    return (_unquote(schema) if schema else None), _unquote(table)


def _unquote(word: str) -> str:
    quote = word[0]
    return word[1:-1].replace(quote * 2, quote) if quote in '`"' else word


def _quote(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quote_name(name)


def _frame(
    connection: MariadbConnection, sql: str, timeout: float | None = None, **params: object
) -> pd.DataFrame:
    frame = run(connection, sql, params, QueryOptions(timeout=timeout)).frame
    assert frame is not None  # noqa: S101 - these are queries
    return frame
