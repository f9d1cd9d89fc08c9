"""What is in a database: its tables, and one table described."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace

import pandas as pd

from sspcloud_magics.cluster.tables import Column, ResourceTable, Row, View, viewed
from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.pinned import pinned
from sspcloud_magics.databases.query import run
from sspcloud_magics.errors import QueryFailed

_TABLES = """
SELECT n.nspname AS schema, c.relname AS name,
       CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
                      ELSE 'table' END AS kind,
       CASE WHEN c.reltuples >= 0 AND c.relkind IN ('r', 'm', 'p') THEN c.reltuples::bigint END AS rows_about,
       CASE WHEN c.relkind IN ('r', 'm', 'p') THEN pg_total_relation_size(c.oid) END AS bytes,
       pg_get_userbyid(c.relowner) AS owner,
       obj_description(c.oid, 'pg_class') AS comment
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
  AND (c.relname LIKE :pattern OR n.nspname || '.' || c.relname LIKE :pattern)
ORDER BY 1, 2
"""

_FACTS = """
SELECT format('%I.%I', n.nspname, c.relname) AS path,
       CASE WHEN c.reltuples >= 0 AND c.relkind IN ('r', 'm', 'p') THEN c.reltuples::bigint END AS rows_about,
       pg_size_pretty(pg_total_relation_size(c.oid)) AS size, pg_get_userbyid(c.relowner) AS owner,
       obj_description(c.oid, 'pg_class') AS comment
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = CAST(:oid AS oid)
"""

# The one statement that runs with the user's path, since it says what the name that they typed means.
_RESOLVED = "SELECT CAST(CAST(:name AS pg_catalog.regclass) AS pg_catalog.oid)::pg_catalog.int8 AS oid"

# What reading a relation runs: the rules of views, the policies and the parts of tables, and all that these need. It is
# trusted where each of it belongs to the reader, to the owner of the database or to a superuser.
_TRUSTED = """
WITH RECURSIVE needed(classid, objid) AS (
    SELECT 'pg_class'::regclass::oid, CAST(:oid AS oid)
    UNION
    SELECT more.classid, more.objid FROM needed CROSS JOIN LATERAL (
        SELECT d.refclassid, d.refobjid FROM pg_rewrite r
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE needed.classid = 'pg_class'::regclass AND r.ev_class = needed.objid
        UNION SELECT d.refclassid, d.refobjid FROM pg_policy p
        JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
        WHERE needed.classid = 'pg_class'::regclass AND p.polrelid = needed.objid
        UNION SELECT 'pg_class'::regclass, i.inhrelid FROM pg_inherits i
        WHERE needed.classid = 'pg_class'::regclass AND i.inhparent = needed.objid
        UNION SELECT 'pg_proc'::regclass, o.oprcode::oid FROM pg_operator o
        WHERE needed.classid = 'pg_operator'::regclass AND o.oid = needed.objid
    ) AS more(classid, objid)
)
SELECT NOT EXISTS (
    SELECT FROM needed JOIN pg_shdepend s USING (classid, objid) JOIN pg_roles r ON r.oid = s.refobjid
    JOIN pg_database b ON b.oid = s.dbid
    WHERE s.deptype = 'o' AND b.datname = current_database() AND NOT r.rolsuper
      AND r.oid <> b.datdba AND r.rolname <> current_user
) AS trusted, current_setting('restrict_nonsystem_relation_kind', true) IS NOT NULL AS restricted
"""

_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
       pg_get_expr(d.adbin, d.adrelid) AS "default", col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = CAST(:oid AS oid) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_SELECT = """
SELECT format('%s' || E'\nFROM %I.%I\nLIMIT 100', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
              n.nspname, c.relname) AS statement,
       c.oid::bigint AS oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = :schema AND c.relname = :name
GROUP BY n.nspname, c.relname, c.oid
"""

_INDEXES = """
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = CAST(:oid AS oid)
ORDER BY 1
"""


@dataclass(frozen=True, slots=True, eq=False)
class TableDescription:
    """One table.

    Parameters
    ----------
    name
        Its schema and name, quoted where SQL needs it.
    columns
        A DataFrame: ``name``, ``type``, ``nullable``, ``default``, ``comment``.
    indexes
        A DataFrame: ``name``, ``definition``.
    rows_about
        How many rows the server's statistics say; None where there are none.
    size
        With its indexes, in words.
    owner
        Whose it is.
    comment
        What the owner wrote; empty where nothing.
    head
        Five rows.
    head_note
        Why there are no rows; empty where they were read.
    """

    name: str
    columns: ResourceTable
    indexes: pd.DataFrame
    rows_about: int | None
    size: str
    owner: str
    comment: str
    head: pd.DataFrame
    head_note: str = ""

    @property
    def _facts(self) -> str:
        rows = "" if self.rows_about is None else f"about {self.rows_about:,} rows, "
        return f"{self.name}: {rows}{self.size}, of {self.owner}"

    def __repr__(self) -> str:
        parts = [
            self._facts,
            self.comment,
            repr(self.columns),
            *self.indexes["definition"],
            self.head_note or self.head.to_string(index=False),
        ]
        return "\n\n".join(part for part in parts if part)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - IPython's signature
        indexes = "".join(f"<li><code>{html.escape(text)}</code></li>" for text in self.indexes["definition"])
        parts = [
            f"<strong>{html.escape(self._facts)}</strong>",
            f"<div>{html.escape(self.comment)}</div>" if self.comment else "",
            self.columns._repr_html_(),
            f"<ul>{indexes}</ul>" if indexes else "",
            f"<div>{html.escape(self.head_note)}</div>" if self.head_note else self.head.to_html(index=False),
        ]
        return {"text/plain": repr(self), "text/html": f"<div>{''.join(parts)}</div>"}


def tables(connection: DatabaseConnection, pattern: str | None = None) -> pd.DataFrame:
    """Return the tables and views that one may read.

    Parameters
    ----------
    connection
        Where.
    pattern
        ``*`` and ``?`` stand for any characters and for one; compared with the name and with ``schema.name``.

    Returns
    -------
    DataFrame
        ``schema``, ``name``, ``kind`` (string), ``rows_about`` and ``bytes`` (Int64; <NA> for views), ``owner``,
        ``comment`` (string).
    """
    like = (pattern or "*").replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    like = like.replace("*", "%").replace("?", "_")
    nothing = "No table or view that you may read" + (f" is named like '{pattern}'." if pattern else ".")
    with pinned(connection.psycopg):
        return viewed(_frame(connection, _TABLES, pattern=like), replace(_VIEW, nothing=nothing))


def _size_in_words(row: Row) -> str:
    size = row["bytes"]
    if size is pd.NA:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def _rows_in_words(row: Row) -> str:
    return "" if row["rows_about"] is pd.NA else f"{row['rows_about']:,}"


_VIEW = View(
    columns=(
        Column("schema", "SCHEMA"),
        Column("name", "NAME"),
        Column("kind", "KIND"),
        Column("rows_about", "ROWS (ABOUT)", _rows_in_words),
        Column("bytes", "SIZE", _size_in_words),
        Column("owner", "OWNER"),
        Column("comment", "COMMENT"),
    ),
    noun="table",
)

_COLUMNS_VIEW = View(
    columns=(
        Column("name", "COLUMN"),
        Column("type", "TYPE"),
        Column("nullable", "NULL", lambda row: "may be" if row["nullable"] else "never"),
        Column("default", "DEFAULT"),
        Column("comment", "COMMENT"),
    ),
    noun="column",
)


def describe_table(connection: DatabaseConnection, name: str) -> TableDescription:
    """Describe one table.

    Parameters
    ----------
    connection
        Where.
    name
        As SQL writes it: ``communes``, ``public.communes``, ``"With Blank"``.

    Raises
    ------
    QueryFailed
        If there is no such table.
    """
    try:
        oid = int(_frame(connection, _RESOLVED, name=name)["oid"].iloc[0])
    except QueryFailed as error:
        raise QueryFailed(error.what, mend="%tables lists those that there are") from None
    with pinned(connection.psycopg):
        facts = _frame(connection, _FACTS, oid=oid).iloc[0]
        columns = viewed(_frame(connection, _COLUMNS, oid=oid), _COLUMNS_VIEW)
        indexes = _frame(connection, _INDEXES, oid=oid)
    head, note = _head(connection, oid, str(facts["path"]), str(facts["owner"]))
    return TableDescription(
        name=str(facts["path"]),
        columns=columns,
        indexes=indexes,
        rows_about=None if pd.isna(facts["rows_about"]) else int(facts["rows_about"]),
        size=str(facts["size"]),
        owner=str(facts["owner"]),
        comment="" if pd.isna(facts["comment"]) else str(facts["comment"]),
        head=head,
        head_note=note,
    )


def _head(connection: DatabaseConnection, oid: int, path: str, owner: str) -> tuple[pd.DataFrame, str]:
    """Return five rows of a relation, or why they are not read: reading them may run the code of another user."""
    select = f"SELECT * FROM {path} LIMIT 5"  # noqa: S608 - quoted by the server
    with pinned(connection.psycopg):
        trusted, restricted = _frame(connection, _TRUSTED, oid=oid).iloc[0]
        if not trusted:
            try:
                if restricted:
                    connection.psycopg.execute(_RESTRICT)
                    return _frame(connection, select), ""
            except QueryFailed:
                pass  # the server has refused to run what is not the reader's
            return pd.DataFrame(), f"Rows not shown: reading them would run code of {owner} with your rights."
    try:
        return _frame(connection, select), ""
    except QueryFailed as error:
        return pd.DataFrame(), f"Rows not shown: {error.what}"


_RESTRICT = (
    b"SET LOCAL restrict_nonsystem_relation_kind = 'view, foreign-table'; SET LOCAL row_security = off"
)
"""Refuse to read through views and foreign tables, and to apply policies; known since the releases of August 2024."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of a table, and how it is asked.

    Parameters
    ----------
    frame
        As `TableDescription.columns`.
    select
        A SELECT of them, quoted where SQL needs it.
    """

    frame: pd.DataFrame
    select: str


def columns(connection: DatabaseConnection, schema: str, name: str) -> Columns:
    """Return the columns of a table; none of its rows is read.

    Parameters
    ----------
    connection
        Where.
    schema, name
        As the catalogue has them, not quoted.

    Raises
    ------
    QueryFailed
        If there is no such table.
    """
    with pinned(connection.psycopg):
        found = _frame(connection, _SELECT, schema=schema, name=name)
        if found.empty:
            raise QueryFailed(
                f"There is no table {schema}.{name}.", mend="%tables lists those that there are"
            )
        return Columns(
            frame=_frame(connection, _COLUMNS, oid=int(found["oid"].iloc[0])),
            select=f"SELECT {found['statement'].iloc[0]}",
        )


def _frame(connection: DatabaseConnection, sql: str, **params: object) -> pd.DataFrame:
    frame = run(connection, sql, params).frame
    assert frame is not None  # noqa: S101 - these are queries
    return frame
