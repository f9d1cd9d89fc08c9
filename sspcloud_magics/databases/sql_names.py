"""The names in a database, and how its SQL writes them, for completion and for saved statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")

QUERIES = frozenset({"select", "values", "table", ""})
"""The first words of queries; empty for one in parentheses."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The SQL of a kind of database.

    Parameters
    ----------
    mask
        Returns a text of the same length that the lexer of PostgreSQL's SQL reads as the server reads the text.
    quote
        The quote of a name.
    verbs
        The first words of statements that may have WITH.
    """

    mask: Callable[[str], str]
    quote: str
    verbs: frozenset[str]


POSTGRES = Dialect(str, '"', QUERIES | {"insert", "update", "delete", "merge"})


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, or an object that is read like one.

    Parameters
    ----------
    schema, name
        Its schema and its name.
    kind
        ``table``, ``view``, …
    columns
        The name and the type of each column, in order.
    """

    schema: str
    name: str
    kind: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SchemaNames:
    """The names that SQL may use in a database.

    Parameters
    ----------
    path
        The schemas of the search path.
    schemas
        All schemas.
    relations
        The relations by schema and name.
    functions
        The schema and the name of each function.
    types
        The names of the types in SQL.
    reserved
        The reserved keywords, which need quotes as a name.
    mark
        The quote of a name.
    """

    path: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    relations: Mapping[tuple[str, str], Relation] = field(default_factory=dict)
    functions: tuple[tuple[str, str], ...] = ()
    types: tuple[str, ...] = ()
    reserved: frozenset[str] = frozenset()
    mark: str = '"'

    def quote(self, name: str) -> str:
        """Return a name, quoted as needed."""
        if not name or (_PLAIN.fullmatch(name) and name not in self.reserved):
            return name
        return self.quote_always(name)

    def quote_always(self, name: str, closing: str | None = None) -> str:
        """Return a name in quotes; `closing` is the last of them."""
        return (
            f"{self.mark}{name.replace(self.mark, self.mark * 2)}{self.mark if closing is None else closing}"
        )

    def relation(self, schema: str | None, name: str) -> Relation | None:
        """Return the relation of this name, without a schema by the search path; None if there is none."""
        for each in [schema] if schema is not None else self.path:
            if (found := self.relations.get((each, name))) is not None:
                return found
        return None
