"""Arrays of user-defined types: enums, domains, composites, and the types of extensions.

psycopg knows PostgreSQL's built-in types by their OIDs. The OID of another type does not even say that it is an array,
so the catalogue is queried for it, once in a session. The elements of an array load like a column of their type:
a domain as its base type, and a type that psycopg does not know as text.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

import psycopg
from psycopg.types.array import ArrayLoader

from sspcloud_magics.databases.postgres.results import extension_types

# Names and operators are qualified, since it runs with the user's search path.
_ARRAYS = b"""
WITH RECURSIVE element(array_oid, oid, typdelim, typtype, typbasetype, typcategory) AS (
    SELECT typarray, oid, typdelim, typtype, typbasetype, typcategory
    FROM pg_catalog.pg_type WHERE typarray OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.oid[])
    UNION ALL
    SELECT element.array_oid, base.oid, element.typdelim, base.typtype, base.typbasetype, base.typcategory
    FROM element JOIN pg_catalog.pg_type AS base ON base.oid OPERATOR(pg_catalog.=) element.typbasetype
    WHERE element.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char"
)
SELECT array_oid, oid, typdelim, typcategory FROM element WHERE typtype OPERATOR(pg_catalog.<>) 'd'::pg_catalog."char"
"""

# The types that were looked up in the catalogue, by session.
_asked: weakref.WeakKeyDictionary[psycopg.Connection[Any], set[int]] = weakref.WeakKeyDictionary()


def list_unknown(connection: psycopg.Connection[Any], types: Iterable[int]) -> list[int]:
    """Return the types that have not been looked up yet, and may be arrays."""
    asked: AbstractSet[int] = _asked.get(connection, frozenset())
    return [
        oid
        for oid in types
        if oid not in asked and connection.adapters.get_loader(oid, psycopg.pq.Format.TEXT) is None
    ]


def register_arrays(connection: psycopg.Connection[Any], types: Iterable[int]) -> None:
    """Register loaders in an idle session, so that arrays among these type OIDs load as lists; look up extensions' types."""
    asked = _asked.setdefault(connection, set())
    pending = set(list_unknown(connection, types))
    extension_types.register_types(connection, pending)
    while pending:
        rows = connection.execute(_ARRAYS, [list(pending)]).fetchall()
        asked |= pending
        for array, element, delimiter, _ in rows:
            members = {"base_oid": element, "delimiter": delimiter.encode()}
            connection.adapters.register_loader(array, type("OwnArrayLoader", (ArrayLoader,), members))
        # The base type of a domain may be an array.
        pending = set(
            list_unknown(connection, [element for _, element, _, category in rows if category == "A"])
        )
