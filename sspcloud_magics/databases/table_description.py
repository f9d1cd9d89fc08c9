"""Tables of a database, and the description of one table, as a notebook shows them."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from numbers import Integral

import pandas as pd

from sspcloud_magics.cluster.workloads.tables import ResourceTable, Row, TableColumn, TableView, make_table
from sspcloud_magics.i18n import _, _n, format_bytes, format_number
from sspcloud_magics.printable import printable


def as_like(pattern: str | None, escape: str) -> str:
    """Return the pattern of LIKE for a glob, in which ``*`` matches any characters, and ``?`` matches one.

    Examples
    --------
    >>> as_like("a_b*", "|")
    'a|_b%'
    """
    like = pattern or "*"
    for special in (escape, "%", "_"):
        like = like.replace(special, escape + special)
    return like.replace("*", "%").replace("?", "_")


def make_tables(found: pd.DataFrame, pattern: str | None, near: str = "") -> ResourceTable:
    """Return tables and views as a table; one without rows shows why, and the name that was meant."""
    nothing = (
        _("No table or view that you may read matches '{pattern}'.", pattern=pattern)
        if pattern
        else _("No table or view that you may read.")
    )
    nothing += " " + _("Did you mean {near}?", near=near) if near else ""
    return make_table(found, replace(TABLES_VIEW, nothing=nothing))


@dataclass(frozen=True, slots=True, eq=False)
class TableDescription:
    """The description of one table."""

    name: str  # its schema and name, quoted as needed
    columns: ResourceTable  # a DataFrame: ``name``, ``type``, ``nullable``, ``default``, ``comment``
    indexes: pd.DataFrame  # a DataFrame: ``name``, ``definition``
    rows_about: int | None  # the number of rows in the server's statistics; None if there are none
    bytes: int | None  # the size with indexes; None for a view
    owner: str  # the role that owns it; empty if the server knows no owner
    comment: str  # its COMMENT; empty if there is none
    head: pd.DataFrame  # its first five rows
    head_note: str = ""  # the reason for which no rows were read; empty if they were

    @property
    def _facts(self) -> str:
        size = "" if self.bytes is None else format_bytes(self.bytes)
        if not self.owner:
            return f"{self.name}: {size}" if size else self.name
        if not size:
            return _("{name}: owner {owner}", name=self.name, owner=self.owner)
        if self.rows_about is None:
            return _("{name}: {size}, owner {owner}", name=self.name, size=size, owner=self.owner)
        return _n(
            "{name}: about {count} row, {size}, owner {owner}",
            "{name}: about {count} rows, {size}, owner {owner}",
            self.rows_about,
            name=self.name,
            size=size,
            owner=self.owner,
        )

    def __repr__(self) -> str:
        parts = [
            self._facts,
            self.comment,
            repr(self.columns),
            *self.indexes["definition"],
            self.head_note or self.head.to_string(index=False),
        ]
        return printable("\n\n".join(part for part in parts if part))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - IPython's signature
        indexes = "".join(f"<li><code>{html.escape(text)}</code></li>" for text in self.indexes["definition"])
        parts = [
            f"<strong>{html.escape(self._facts)}</strong>",
            f"<div>{html.escape(self.comment)}</div>" if self.comment else "",
            self.columns._repr_html_(),
            f"<ul>{indexes}</ul>" if indexes else "",
            f"<div>{html.escape(self.head_note)}</div>" if self.head_note else self.head.to_html(index=False),
        ]
        return {"text/plain": repr(self), "text/html": printable(f"<div>{''.join(parts)}</div>")}


def _size_in_words(row: Row) -> str:
    return format_bytes(int(row["bytes"])) if isinstance(row["bytes"], Integral) else ""


def _rows_in_words(row: Row) -> str:
    return format_number(int(row["rows_about"])) if isinstance(row["rows_about"], Integral) else ""


TABLES_VIEW = TableView(
    columns=(
        TableColumn("schema", "SCHEMA"),
        TableColumn("name", "NAME"),
        TableColumn("kind", "KIND"),
        TableColumn("rows_about", "ROWS (ABOUT)", _rows_in_words),
        TableColumn("bytes", "SIZE", _size_in_words),
        TableColumn("owner", "OWNER"),
        TableColumn("comment", "COMMENT"),
    ),
    noun="table",
)

COLUMNS_VIEW = TableView(
    columns=(
        TableColumn("name", "COLUMN"),
        TableColumn("type", "TYPE"),
        TableColumn("nullable", "NULL", lambda row: _("nullable") if row["nullable"] else _("not null")),
        TableColumn("default", "DEFAULT"),
        TableColumn("comment", "COMMENT"),
    ),
    noun="column",
)
