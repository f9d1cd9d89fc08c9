"""Suggestions for an unknown name: the most similar name in the database.

The unknown name is found by the server's error position and by the quotes in its message, whose words depend on its
language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sspcloud_magics.databases.postgres.sql.sql_completion import sources_at
from sspcloud_magics.databases.postgres.sql.sql_scope import Columns, is_symbol, lexemes
from sspcloud_magics.databases.sql_names import SchemaNames
from sspcloud_magics.spelling import nearest

_SYSTEM = ("pg_catalog", "information_schema")


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name that PostgreSQL does not know."""

    sqlstate: str  # the SQLSTATE, which determines the kind of name
    text: str  # the statement
    offset: int | None  # the offset of the name in the statement; None if the server does not report it
    quoted: Sequence[str]  # the names that the message quotes


def find_near_name(unknown: UnknownName, names: SchemaNames) -> str:
    """Return the name that was probably meant, quoted as needed; empty if none is similar."""
    path = _path_at(unknown.text, unknown.offset)
    found = _FINDERS[unknown.sqlstate](unknown, path, names)
    typed = ".".join(map(names.quote, path)) if path else names.quote(next(iter(unknown.quoted), ""))
    return "" if found == typed else found  # the same name exists, but not where it was looked up


def find_near_relation(name: str, names: SchemaNames) -> str:
    """Return the table or view most similar to ``NAME`` or ``SCHEMA.NAME``; empty if none is similar."""
    return _find_table(UnknownName("", "", None, [name]), [], names)


def _path_at(text: str, offset: int | None) -> list[str]:
    """Return the parts of the name that begins at an offset, without quotes."""
    if offset is None:
        return []
    path: list[str] = []
    expects_name = True
    for part in lexemes(text):
        if part.start < offset:
            continue
        if expects_name and part.kind in ("word", "name"):
            path.append(part.text)
        elif expects_name or not is_symbol(part, "."):
            break
        expects_name = not expects_name
    return path


def _find_table(unknown: UnknownName, path: Sequence[str], names: SchemaNames) -> str:
    """Return the most similar relation, first in the schemas of the search path, then in all schemas."""
    typed = next(iter(unknown.quoted), "")
    if len(path) > 1 and typed == path[0]:  # c.name, but the statement has no c
        sources = [name for name, _ in _sources(unknown, names)]
        begun = [name for name in sources if name.startswith(typed)]  # a missing alias
        return names.quote(nearest(typed, sources) or (begun[0] if len(begun) == 1 else ""))
    *schemas, name = path or typed.split(".", 1)
    schema = schemas[0] if schemas else None
    own = [key for key in names.relations if key[0] not in _SYSTEM or key[0] == schema]
    on_path = [key for key in own if (key[0] == schema if schema else key[0] in names.path)]
    spelt_so = [key for key in own if key[1].casefold() == name.casefold()]
    for keys in (on_path, spelt_so, own):
        found = nearest(name, (key[1] for key in keys))
        if found:
            where = next(key[0] for key in keys if key[1] == found)
            is_bare = schema is None and where in names.path
            return names.quote(found) if is_bare else f"{names.quote(where)}.{names.quote(found)}"
    return ""


def _find_column(unknown: UnknownName, path: Sequence[str], names: SchemaNames) -> str:
    """Return the most similar column of the tables in scope."""
    sources = _sources(unknown, names)
    if len(unknown.quoted) > 1:  # column "a" of relation "b" does not exist
        sources = [("", each.columns) for key, each in names.relations.items() if key[1] == unknown.quoted[1]]
    *of, typed = path or unknown.quoted[:1] or [""]
    columns = [name for source, held in sources if not of or source == of[-1] for name, _ in held]
    found = nearest(typed, columns)
    return f"{names.quote(of[-1])}.{names.quote(found)}" if found and of else names.quote(found)


def _find_schema(unknown: UnknownName, _path: Sequence[str], names: SchemaNames) -> str:
    return names.quote(nearest(next(iter(unknown.quoted), ""), names.schemas))


def _find_function(_unknown: UnknownName, path: Sequence[str], names: SchemaNames) -> str:
    """Return the most similar function; empty if the function exists but has other arguments."""
    functions = {name for _, name in names.functions}
    return nearest(path[-1], sorted(functions)) if path and path[-1] not in functions else ""


def _find_type(unknown: UnknownName, path: Sequence[str], names: SchemaNames) -> str:
    return nearest((path or unknown.quoted or [""])[-1], names.types)


_FINDERS: dict[str, Callable[[UnknownName, Sequence[str], SchemaNames], str]] = {
    "42P01": _find_table,
    "42703": _find_column,
    "3F000": _find_schema,
    "42883": _find_function,
    "42704": _find_type,
}


def _sources(unknown: UnknownName, names: SchemaNames) -> Sequence[tuple[str, Columns]]:
    offset = len(unknown.text) if unknown.offset is None else unknown.offset
    return [(each.name, each.columns) for each in sources_at(unknown.text, offset, names)]


KINDS = frozenset(_FINDERS)
"""The SQLSTATEs of unknown names."""
