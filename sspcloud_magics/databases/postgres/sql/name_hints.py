"""Did you mean: the name in the database that is nearest to the one that PostgreSQL does not know.

What was typed is found by the place that the server tells, and by the quotes of its message: its words depend on its language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sspcloud_magics.databases.postgres.sql.schema_names import SchemaNames
from sspcloud_magics.databases.postgres.sql.sql_completion import sources_at
from sspcloud_magics.databases.postgres.sql.sql_scope import Columns, Lexeme, lexemes
from sspcloud_magics.spelling import nearest

_COLUMN = "42703"
_SYSTEM = ("pg_catalog", "information_schema")


@dataclass(frozen=True, slots=True)
class UnknownName:
    """What PostgreSQL does not know.

    Parameters
    ----------
    sqlstate
        Of which kind it is.
    text
        The statement.
    offset
        Where in it the name stands; None where the server does not say.
    quoted
        The names that the message quotes.
    """

    sqlstate: str
    text: str
    offset: int | None
    quoted: Sequence[str]


def near_name(unknown: UnknownName, names: SchemaNames) -> str:
    """Return what was probably meant, as SQL writes it; empty where nothing is near."""
    path = _path_at(unknown.text, unknown.offset)
    found = _LOOKS[unknown.sqlstate](unknown, path, names)
    typed = ".".join(map(names.quote, path)) if path else names.quote(next(iter(unknown.quoted), ""))
    return "" if found == typed else found  # it is there, and not where it was looked for


def near_relation(name: str, names: SchemaNames) -> str:
    """Return the table or view that is near a name, ``NAME`` or ``SCHEMA.NAME``; empty where none is."""
    return _table(UnknownName("", "", None, [name]), [], names)


def _path_at(text: str, offset: int | None) -> list[str]:
    """Return the parts of the name that begins at a place, as the catalogue has them."""
    if offset is None:
        return []
    path: list[str] = []
    expects_name = True
    for part in lexemes(text):
        if part.start < offset:
            continue
        if expects_name and part.kind in ("word", "name"):
            path.append(part.text)
        elif expects_name or not _is_dot(part):
            break
        expects_name = not expects_name
    return path


def _is_dot(part: Lexeme) -> bool:
    return part.kind == "symbol" and part.text == "."


def _table(unknown: UnknownName, path: Sequence[str], names: SchemaNames) -> str:
    """Return the relation that is near a name, of the path's schemas first, then of any."""
    typed = next(iter(unknown.quoted), "")
    if len(path) > 1 and typed == path[0]:  # c.name, and the statement has no c
        sources = [name for name, _ in _sources(unknown, names)]
        begun = [name for name in sources if name.startswith(typed)]  # an alias that was forgotten
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


def _column(unknown: UnknownName, path: Sequence[str], names: SchemaNames) -> str:
    """Return the column that is near, of the sources that the statement names at that place."""
    sources = _sources(unknown, names)
    if len(unknown.quoted) > 1:  # column "a" of relation "b" does not exist
        sources = [("", each.columns) for key, each in names.relations.items() if key[1] == unknown.quoted[1]]
    *of, typed = path or unknown.quoted[:1] or [""]
    columns = [name for source, held in sources if not of or source == of[-1] for name, _ in held]
    found = nearest(typed, columns)
    return f"{names.quote(of[-1])}.{names.quote(found)}" if found and of else names.quote(found)


def _schema(unknown: UnknownName, _path: Sequence[str], names: SchemaNames) -> str:
    return names.quote(nearest(next(iter(unknown.quoted), ""), names.schemas))


def _function(_unknown: UnknownName, path: Sequence[str], names: SchemaNames) -> str:
    """Return the function that is near; none where it is there and takes other arguments."""
    functions = {name for _, name in names.functions}
    return nearest(path[-1], sorted(functions)) if path and path[-1] not in functions else ""


def _type(unknown: UnknownName, path: Sequence[str], names: SchemaNames) -> str:
    return nearest((path or unknown.quoted or [""])[-1], names.types)


_LOOKS: dict[str, Callable[[UnknownName, Sequence[str], SchemaNames], str]] = {
    "42P01": _table,
    _COLUMN: _column,
    "3F000": _schema,
    "42883": _function,
    "42704": _type,
}


def _sources(unknown: UnknownName, names: SchemaNames) -> Sequence[tuple[str, Columns]]:
    offset = len(unknown.text) if unknown.offset is None else unknown.offset
    return [(each.name, each.columns) for each in sources_at(unknown.text, offset, names)]


KINDS = frozenset(_LOOKS)
"""The SQLSTATEs of names that are not there."""
