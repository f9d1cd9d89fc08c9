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
    """The SQL of a kind of database."""

    # Returns a text of the same length that the lexer of PostgreSQL's SQL reads as the server reads the text.
    mask: Callable[[str], str]
    quote: str  # the quote of a name
    verbs: frozenset[str]  # the first words of statements that may have WITH


POSTGRES = Dialect(str, '"', QUERIES | {"insert", "update", "delete", "merge"})


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, or an object that is read like one."""

    schema: str
    name: str
    kind: str  # ``table``, ``view``, …
    columns: tuple[tuple[str, str], ...]  # the name and the type of each column, in order


@dataclass(frozen=True, slots=True)
class SchemaNames:
    """The names that SQL may use in a database."""

    path: tuple[str, ...] = ()  # the schemas of the search path
    schemas: tuple[str, ...] = ()  # all schemas
    # The relations by schema and name.
    relations: Mapping[tuple[str, str], Relation] = field(default_factory=dict)
    functions: tuple[tuple[str, str], ...] = ()  # the schema and the name of each function
    types: tuple[str, ...] = ()  # the names of the types in SQL
    reserved: frozenset[str] = frozenset()  # the reserved keywords, which need quotes as a name
    mark: str = '"'  # the quote of a name

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
