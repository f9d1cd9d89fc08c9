"""Reads of MongoDB's catalogue: the collections of a database, and the fields of one, from a sample of its documents."""

from __future__ import annotations

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pandas as pd
from pymongo.errors import PyMongoError

from sspcloud_magics.cluster.workloads.tables import make_table
from sspcloud_magics.databases.mongodb.connection import MongodbConnection
from sspcloud_magics.databases.mongodb.documents import name_type
from sspcloud_magics.databases.mongodb.query import run, translate
from sspcloud_magics.databases.query_options import DEFAULTS
from sspcloud_magics.databases.query_result import Columns
from sspcloud_magics.databases.table_description import COLUMNS_VIEW, TABLES_VIEW, TableDescription
from sspcloud_magics.errors import QueryFailed
from sspcloud_magics.i18n import _, _n, format_number
from sspcloud_magics.spelling import nearest

SAMPLE = 1000
"""The number of documents that a description looks at."""

_DEEPEST = 3
"""The depth to which the fields of nested documents are listed."""

_DTYPES = {
    "schema": "string",
    "name": "string",
    "kind": "string",
    "rows_about": "Int64",
    "bytes": "Int64",
    "owner": "string",
    "comment": "string",
}


def tables(connection: MongodbConnection, pattern: str | None = None) -> pd.DataFrame:
    """Return the collections and views that you may read; `pattern` is a glob.

    Returns
    -------
    DataFrame
        ``schema`` (the database), ``name``, ``kind`` (string), ``rows_about`` and ``bytes`` (Int64), ``owner`` and
        ``comment`` (empty).
    """
    rows = []
    for found in _list_collections(connection):
        name, dbname = str(found["name"]), connection.dbname
        if name.startswith("system.") or not _matches(name, dbname, pattern):
            continue
        kind = str(found.get("type", "collection"))
        stats: Mapping[str, Any] = {}
        if kind == "collection":
            with suppress(PyMongoError):  # the sizes need a privilege of their own
                stats = connection.mongo.command({"collStats": name})
        rows.append((dbname, name, kind, stats.get("count"), stats.get("size"), "", None))
    frame = pd.DataFrame(sorted(rows), columns=pd.Index(list(_DTYPES))).astype(_DTYPES)
    nothing = (
        _("No collection that you may read matches '{pattern}'.", pattern=pattern)
        if pattern
        else _("No collection that you may read.")
    )
    return make_table(frame, replace(TABLES_VIEW, nothing=nothing))


def describe_table(connection: MongodbConnection, name: str) -> TableDescription:
    """Describe a collection: the fields of a sample, its indexes, and five documents.

    Raises
    ------
    QueryFailed
        If the collection does not exist.
    """
    listed = tables(connection)
    here = listed[listed["name"] == name]
    if here.empty:
        near = nearest(name, listed["name"])
        raise QueryFailed(
            _("The collection {name} does not exist.", name=name),
            hint=_("did you mean {near}?", near=near) if near else _("list the collections with %tables"),
        )
    facts = here.iloc[0]
    with translate(connection, DEFAULTS):
        documents = _sample(connection, name)
        indexes = connection.mongo[name].index_information() if facts["kind"] == "collection" else {}
    definitions = [
        (key, ", ".join(f"{field} {way}" for field, way in each["key"])) for key, each in indexes.items()
    ]
    head = run(connection, {"find": name, "limit": 5}).frame
    return TableDescription(
        name=f"{connection.dbname}.{name}",
        columns=make_table(_describe_fields(documents), COLUMNS_VIEW),
        indexes=pd.DataFrame(definitions, columns=pd.Index(["name", "definition"])),
        rows_about=None if pd.isna(facts["rows_about"]) else int(facts["rows_about"]),
        bytes=None if pd.isna(facts["bytes"]) else int(facts["bytes"]),
        owner="",
        comment=_n(
            "Fields of a sample of {count} document.",
            "Fields of a sample of {count} documents.",
            len(documents),
        ),
        head=pd.DataFrame() if head is None else head,
    )


def columns(connection: MongodbConnection, _schema: str, name: str) -> Columns:
    """Return the fields of a sample of a collection, and a query for its documents."""
    with connection.turn, translate(connection, DEFAULTS):
        found = _describe_fields(_sample(connection, name))
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return Columns(found, f'{{"find": "{quoted}", "limit": 100}}')


def _list_collections(connection: MongodbConnection) -> list[dict[str, Any]]:
    with connection.turn, translate(connection, DEFAULTS):
        command = {"listCollections": 1, "nameOnly": True, "authorizedCollections": True}
        return list(connection.mongo.cursor_command(command))


def _matches(name: str, dbname: str, pattern: str | None) -> bool:
    return pattern is None or any(fnmatch.fnmatchcase(each, pattern) for each in (name, f"{dbname}.{name}"))


def _sample(connection: MongodbConnection, name: str) -> list[dict[str, Any]]:
    pipeline = [{"$sample": {"size": SAMPLE}}]
    return list(connection.mongo[name].aggregate(pipeline))


def _describe_fields(documents: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the fields of documents, with their types and how many documents have them."""
    types: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for document in documents:
        for path, value in _walk(document):
            types[path][name_type(value)] += 1
    rows = []
    for path, found in types.items():
        present = sum(found.values())
        names = [name for name, _count in found.most_common() if name != "null"] or ["null"]
        share = _("in {percent} % of the documents", percent=format_number(100 * present / len(documents), 0))
        is_always = present == len(documents) and "null" not in found
        rows.append((path, " or ".join(names), not is_always, None, None if is_always else share))
    frame = pd.DataFrame(rows, columns=pd.Index(["name", "type", "nullable", "default", "comment"]))
    return frame.astype(
        {"name": "string", "type": "string", "nullable": bool, "default": "string", "comment": "string"}
    )


def _walk(document: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        yield f"{before}{name}", value
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _walk(value, f"{before}{name}.", depth + 1)
