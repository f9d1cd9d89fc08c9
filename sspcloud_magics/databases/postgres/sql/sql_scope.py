"""The scope of a statement: its tables, subqueries and WITH queries, with their names and columns.

The statement may be incomplete, so unknown syntax is skipped. The parser uses PostgreSQL's lexical rules
(`sql_lexer.tokens`) and a small part of its grammar: FROM, and the lists that define the columns of a subquery.
It does no I/O; the tables come from `SchemaNames`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sspcloud_magics.databases.postgres.sql_lexer import Kind, fold, tokens
from sspcloud_magics.databases.sql_names import SchemaNames

Columns: TypeAlias = tuple[tuple[str, str], ...]
"""Names and types; an unknown type is empty."""


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A word, a quoted name, a symbol, or another token (``kind`` is ``value``), with its offsets in the text."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(slots=True)
class Group:
    """The content of parentheses; unclosed ones extend to the end."""

    start: int
    end: int
    items: list[Item] = field(default_factory=list)


Item: TypeAlias = Lexeme | Group

_Context: TypeAlias = tuple[SchemaNames, Mapping[str, Columns], int]


@dataclass(frozen=True, slots=True)
class Source:
    """A table, subquery, WITH query or function in scope."""

    name: str  # its alias, or its own name
    columns: Columns  # its columns; empty if unknown


def lexemes(text: str) -> Iterator[Lexeme]:
    """Yield the lexemes of a text, without white space and comments."""
    for token in tokens(text):
        part = text[token.start : token.end]
        if token.kind is Kind.WORD:
            yield Lexeme("word", fold(part), token.start, token.end)
        elif token.kind is Kind.QUOTED and part.startswith('"'):
            yield Lexeme("name", part.strip('"').replace('""', '"'), token.start, token.end)
        elif token.kind in (Kind.SYMBOL, Kind.SEMICOLON):
            yield Lexeme("symbol", part, token.start, token.end)
        elif token.kind is not Kind.SPACE:
            yield Lexeme("value", part, token.start, token.end)


def group_parentheses(parts: Sequence[Lexeme], end: int) -> list[Item]:
    """Return the lexemes with parentheses as groups; `end` is the length of the text."""
    top: list[Item] = []
    open_groups: list[Group] = []
    here = top
    for part in parts:
        if part.text == "(" and part.kind == "symbol":
            group = Group(part.end, end)
            here.append(group)
            open_groups.append(group)
            here = group.items
        elif part.text == ")" and part.kind == "symbol":
            if open_groups:
                open_groups.pop().end = part.start
                here = open_groups[-1].items if open_groups else top
        else:
            here.append(part)
    for depth in range(len(open_groups) - 1, -1, -1):
        _close_early(open_groups[depth], open_groups[depth - 1].items if depth else top)
    return top


def _close_early(group: Group, parent: list[Item]) -> None:
    """End an unclosed group before the next clause of the query: ``SELECT avg( FROM t``."""
    if group.items and word(group.items[0]) in _STARTS:
        return
    for place, item in enumerate(group.items):
        if word(item) in _GOES_ON:
            parent += group.items[place:]
            group.items, group.end = group.items[:place], item.start - 1
            return


def text_of(item: Item) -> str:
    """Return the text of a lexeme; empty for a group."""
    return item.text if isinstance(item, Lexeme) else ""


def word(item: Item | None) -> str:
    """Return a word in lower case; empty for any other item."""
    return item.text if isinstance(item, Lexeme) and item.kind == "word" else ""


def is_symbol(item: Item | None, text: str) -> bool:
    """Whether an item is this symbol."""
    return isinstance(item, Lexeme) and item.kind == "symbol" and item.text == text


_BEFORE_SOURCE = frozenset({"from", "join", "into", "update", "using", "table"})
_AFTER_FROM = frozenset(
    {"where", "group", "order", "having", "limit", "offset", "fetch", "window", "for", "set", "values"}
    | {"returning", "select", "union", "intersect", "except", "when"}
)
_NO_ALIAS = _AFTER_FROM | frozenset(
    {"on", "using", "join", "inner", "left", "right", "full", "cross", "natural", "tablesample", "default"}
    | {"add", "drop", "alter", "rename", "as", "with", "do", "from", "only", "lateral"}
)
_GOES_ON = frozenset({"from", "where", "group", "order", "having", "limit", "union", "intersect", "except"})
_SET_OPERATORS = frozenset({"union", "intersect", "except"})
_STARTS = frozenset({"select", "with", "values", "table", "insert", "update", "delete", "merge"})
# The maximum nesting of subqueries.
_DEPTH = 20


def split_with(
    items: Sequence[Item], names: SchemaNames, known: Mapping[str, Columns], depth: int = 0
) -> dict[str, Columns]:
    """Return the WITH queries in scope: those of the enclosing queries, and the query's own."""
    found = dict(known)
    if word(items[0] if items else None) != "with":
        return found
    index = 1 + (word(items[1] if len(items) > 1 else None) == "recursive")
    while index < len(items) and _is_name(items[index]):
        name = text_of(items[index])
        listed: list[str] = []
        index += 1
        if index < len(items) and isinstance(named := items[index], Group):
            listed = [text_of(item) for item in named.items if _is_name(item)]
            index += 1
        while index < len(items) and word(items[index]) in ("as", "not", "materialized"):
            index += 1
        if index >= len(items) or not isinstance(body := items[index], Group):
            break
        found[name] = _rename_columns(columns_of(body.items, names, found | {name: ()}, depth + 1), listed)
        index += 1
        if index < len(items) and is_symbol(items[index], ","):
            index += 1
    return found


def part_around(items: Sequence[Item], cursor: int) -> list[Item]:
    """Return the items of the SELECT around the cursor, among several that UNION or the like combines."""
    part: list[Item] = []
    for item in items:
        if word(item) in _SET_OPERATORS:
            if item.start >= cursor:
                break
            part = []
        else:
            part.append(item)
    return part


def sources_of(
    items: Sequence[Item], names: SchemaNames, known: Mapping[str, Columns], depth: int = 0
) -> list[Source]:
    """Return the tables that one SELECT, INSERT, UPDATE or DELETE reads or writes."""
    found: list[Source] = []
    in_from = False
    index = 0
    while index < len(items):
        item = items[index]
        said = word(item)
        index += 1
        if said in _AFTER_FROM:
            in_from = False
        if said == "from" and index > 1 and word(items[index - 2]) == "distinct":
            continue  # IS DISTINCT FROM
        if said in _BEFORE_SOURCE or (in_from and is_symbol(item, ",")):
            in_from = in_from or said in ("from", "join", "using")
            index = _source(items, index, said, (names, known, depth + 1), found)
    return found


def _source(
    items: Sequence[Item],
    index: int,
    before: str,
    context: _Context,
    found: list[Source],
) -> int:
    """Append the source that begins at an index, if any, and return the index after it."""
    while index < len(items) and word(items[index]) in ("only", "lateral"):
        index += 1
    first = items[index] if index < len(items) else None
    if isinstance(first, Group) and not _is_query(first):
        if before != "using":  # otherwise it is the list of columns of a join
            found += _read_join(first.items, context)
        return index + 1
    if isinstance(first, Group):
        source, index = Source("", columns_of(first.items, *context)), index + 1
    elif _is_name(first) and word(first) not in _NO_ALIAS | _STARTS:
        source, index = _read_named(items, index, before, context)
    else:
        return index
    source, index = _read_alias(items, index, source, before)
    found.append(source)
    return index


def _is_query(group: Group) -> bool:
    return bool(group.items) and (word(group.items[0]) in _STARTS or isinstance(group.items[0], Group))


def _read_named(items: Sequence[Item], index: int, before: str, context: _Context) -> tuple[Source, int]:
    """Return the table, WITH query or function that an index names, and the index after its name."""
    names, known, _ = context
    path = [text_of(items[index])]
    index += 1
    while index + 1 < len(items) and is_symbol(items[index], ".") and _is_name(items[index + 1]):
        path.append(text_of(items[index + 1]))
        index += 2
    name = path[-1]
    if before not in ("into", "table", "update") and index < len(items) and isinstance(items[index], Group):
        return Source(name, ((name, ""),)), index + 1
    if len(path) == 1 and name in known:
        return Source(name, known[name]), index
    relation = names.relation(path[-2] if len(path) > 1 else None, name)
    return Source(name, () if relation is None else relation.columns), index


def _read_alias(items: Sequence[Item], index: int, source: Source, before: str) -> tuple[Source, int]:
    """Return a source under its alias, if one follows, and the index after it."""
    if index < len(items) and word(items[index]) == "as":
        index += 1
    if index >= len(items) or not _is_name(items[index]) or word(items[index]) in _NO_ALIAS:
        return source, index
    alias, columns = text_of(items[index]), source.columns
    index += 1
    if columns == ((source.name, ""),):  # the alias renames a function's only column
        columns = ((alias, ""),)
    if index < len(items) and isinstance(listed := items[index], Group) and before != "into":
        columns = _rename_columns(columns, [text_of(item) for item in listed.items if _is_name(item)])
        index += 1
    return Source(alias, columns), index


def _read_join(items: Sequence[Item], context: _Context) -> list[Source]:
    """Return the sources of a join in parentheses, which has no FROM before the first one."""
    names, known, depth = context
    if depth > _DEPTH:
        return []
    start = items[0].start if items else 0
    return sources_of([Lexeme("word", "from", start, start), *items], names, known, depth + 1)


def columns_of(
    items: Sequence[Item], names: SchemaNames, known: Mapping[str, Columns], depth: int = 0
) -> Columns:
    """Return the columns of a query's result."""
    if depth > _DEPTH or not items:
        return ()
    if isinstance(items[0], Group):
        return columns_of(items[0].items, names, known, depth + 1)
    seen = split_with(items, names, known, depth)
    body = _first_part(items)
    sources = sources_of(body, names, seen, depth)
    begins = word(body[0] if body else None)
    if begins == "table":
        return sources[0].columns if sources else ()
    if begins == "values":
        row = next((item for item in body if isinstance(item, Group)), Group(0, 0))
        numbers = range(1, 2 + sum(is_symbol(item, ",") for item in row.items))
        return tuple((f"column{number}", "") for number in numbers)
    lead = "select" if begins == "select" else "returning"
    place = next((place for place, item in enumerate(body) if word(item) == lead), len(body))
    listed: list[Item] = []
    for item in body[place + 1 :]:
        if word(item) in (_AFTER_FROM | {"from", "into"}):
            break
        listed.append(item)
    return tuple(_list_columns(listed, sources))


def _first_part(items: Sequence[Item]) -> list[Item]:
    """Return a query without its WITH, up to its first UNION."""
    starts = (place for place, item in enumerate(items) if word(item) in _STARTS - {"with"})
    body = list(items[next(starts, len(items)) :])
    ends = (place for place, item in enumerate(body) if word(item) in _SET_OPERATORS)
    return body[: next(ends, len(body))]


def _list_columns(listed: Sequence[Item], sources: Sequence[Source]) -> Iterator[tuple[str, str]]:
    """Yield the columns of a SELECT list."""
    by_name = {source.name: source for source in sources}
    entry: list[Item] = []
    for item in [*listed, None]:
        if item is not None and not is_symbol(item, ","):
            if not (word(item) in ("distinct", "all") and not entry):
                entry.append(item)
            continue
        if entry and is_symbol(entry[-1], "*"):
            named = by_name.get(text_of(entry[0])) if len(entry) == 3 else None
            for source in [named] if named is not None else sources if len(entry) == 1 else ():
                yield from source.columns
        elif entry:
            yield _entry_column(entry, sources)
        entry = []


def _entry_column(entry: Sequence[Item], sources: Sequence[Source]) -> tuple[str, str]:
    """Return the name that PostgreSQL gives to one column of a SELECT list, and its type."""
    last = entry[-1]
    if _is_name(last):
        casts = [place for place, item in enumerate(entry) if is_symbol(item, "::")]
        if casts and casts[-1] == len(entry) - 2:  # x::date
            before = _entry_column(entry[: casts[-1]], sources)[0] if casts[-1] else "?column?"
            return before if before != "?column?" else text_of(last), text_of(last)
        path = [text_of(item) for item in entry if _is_name(item)]
        plain = len(entry) == 2 * len(path) - 1 and all(is_symbol(item, ".") for item in entry[1::2])
        name = path[-1]
        if plain:
            wanted = [s for s in sources if len(path) == 1 or s.name == path[-2]]
            return name, next((kind for s in wanted for column, kind in s.columns if column == name), "")
        return name, ""
    if isinstance(last, Group) and len(entry) > 1 and _is_name(entry[-2]):
        return text_of(entry[-2]) if word(entry[-2]) != "over" else text_of(entry[0]), ""
    return "?column?", ""


def _rename_columns(columns: Columns, listed: Sequence[str]) -> Columns:
    kinds = [kind for _, kind in columns]
    if len(listed) > len(columns):
        return tuple((name, "") for name in listed)
    renamed = [*listed, *(name for name, _ in columns[len(listed) :])]
    return tuple(zip(renamed, kinds, strict=True))


def _is_name(item: Item | None) -> bool:
    return isinstance(item, Lexeme) and item.kind in ("word", "name")
