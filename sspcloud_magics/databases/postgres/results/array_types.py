"""Arrays of types that a database has of its own: enums, domains, composites, those of extensions.

psycopg knows PostgreSQL's types by their numbers. The number of any other type says nothing, not even that it is an array, so the
catalogue is asked for it, once in a session. The elements of an array are loaded as a column of their type is: those of a domain as its base type,
those of a type that psycopg does not know as text.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

import psycopg
from psycopg.types.array import ArrayLoader

# With its names and operators qualified, since it runs with the user's search path.
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

# The types that the catalogue was asked for, in each session.
_asked: weakref.WeakKeyDictionary[psycopg.Connection[Any], set[int]] = weakref.WeakKeyDictionary()


def list_unknown(connection: psycopg.Connection[Any], types: Iterable[int]) -> list[int]:
    """Return those types of which it is not known whether they are arrays."""
    asked: AbstractSet[int] = _asked.get(connection, frozenset())
    return [
        oid
        for oid in types
        if oid not in asked and connection.adapters.get_loader(oid, psycopg.pq.Format.TEXT) is None
    ]


def learn(connection: psycopg.Connection[Any], types: Iterable[int]) -> None:
    """Have the session load arrays among these types as lists.

    Parameters
    ----------
    connection
        The session, in which no statement runs.
    types
        PostgreSQL's numbers of types.
    """
    asked = _asked.setdefault(connection, set())
    pending = set(list_unknown(connection, types))
    while pending:
        rows = connection.execute(_ARRAYS, [list(pending)]).fetchall()
        asked |= pending
        for array, element, delimiter, _ in rows:
            members = {"base_oid": element, "delimiter": delimiter.encode()}
            connection.adapters.register_loader(array, type("OwnArrayLoader", (ArrayLoader,), members))
        # A domain may be one over an array.
        pending = set(
            list_unknown(connection, [element for _, element, _, category in rows if category == "A"])
        )
