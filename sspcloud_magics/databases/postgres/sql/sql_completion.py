"""SQL completion: columns, tables, schemas, functions, types, keywords and parameters.

`offers` depends only on the text, the cursor, and the names of the database, and does no I/O. Identifiers are quoted as
needed, and keywords follow the case of the typed letters.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sspcloud_magics.databases.postgres.sql.sql_scope import (
    Columns,
    Group,
    Item,
    Source,
    group_parentheses,
    is_symbol,
    lexemes,
    part_around,
    sources_of,
    split_with,
    text_of,
    word,
)
from sspcloud_magics.databases.postgres.sql_lexer import Kind, fold, tokens
from sspcloud_magics.databases.sql_names import SchemaNames


@dataclass(frozen=True, slots=True)
class Offer:
    """A completion."""

    text: str  # the text that replaces the fragment
    # The type of a column, or the kind: ``table``, ``view``, ``schema``, ``alias``, ``function``, ``type``,
    # ``keyword``, ``parameter``.
    kind: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """The name at the cursor: ``schema.table.na`` has a path, a prefix, and their offsets."""

    start: int
    path: tuple[str, ...]
    begun: str
    quoted: bool
    parameter: bool
    path_start: int


_REST = re.compile(r"[\w$]*")
_REST_QUOTED = re.compile(r'[^"\n]*"')

_RELATIONS_FOLLOW = frozenset(
    {"from", "join", "into", "update", "table", "truncate", "analyze", "only", "references", "view", "copy"}
)
_CLAUSES = frozenset(
    {"select", "from", "where", "group", "order", "having", "set", "values", "returning", "limit", "offset"}
    | {"on", "into", "update", "table", "join", "using", "with"}
)
_STATEMENT_KEYWORDS = (
    "SELECT WITH INSERT UPDATE DELETE CREATE ALTER DROP TRUNCATE EXPLAIN ANALYZE BEGIN COMMIT ROLLBACK SET SHOW "
    "VALUES TABLE GRANT REVOKE COMMENT COPY MERGE REFRESH VACUUM RESET"
)
_SOURCE_KEYWORDS = (
    "WHERE JOIN LEFT RIGHT FULL INNER CROSS NATURAL LATERAL ON USING AS GROUP ORDER HAVING LIMIT OFFSET UNION "
    "INTERSECT EXCEPT SET VALUES SELECT RETURNING TABLESAMPLE FETCH WINDOW DEFAULT"
)
_EXPRESSION_KEYWORDS = (
    "AND OR NOT IN IS NULL LIKE ILIKE BETWEEN EXISTS CASE WHEN THEN ELSE END DISTINCT ALL ANY AS FROM WHERE "
    "GROUP BY ORDER HAVING LIMIT OFFSET ASC DESC NULLS FIRST LAST OVER PARTITION FILTER WITHIN ARRAY CAST "
    "COALESCE NULLIF GREATEST LEAST EXTRACT INTERVAL DATE TIMESTAMP TRUE FALSE UNION INTERSECT EXCEPT JOIN LEFT "
    "ON USING RETURNING SELECT SIMILAR CURRENT_DATE CURRENT_TIMESTAMP CURRENT_USER ROWS RANGE PRECEDING FOLLOWING UNBOUNDED"
)
_DEFINITION_KEYWORDS = (
    "TABLE VIEW SCHEMA INDEX IF EXISTS NOT TEMP TEMPORARY MATERIALIZED FUNCTION TYPE ROLE AS ON TO COLUMN ADD DROP ALTER "
    "RENAME PRIMARY KEY UNIQUE REFERENCES CASCADE DEFAULT NULL CONSTRAINT CHECK ANALYZE BUFFERS VERBOSE FORMAT INTO FROM"
)
_SYSTEM = ("pg_catalog", "information_schema")


MOST = 500
"""The maximum number of offers."""


def offers(
    text: str, cursor: int, names: SchemaNames, variables: Iterable[str] = ()
) -> tuple[int, list[Offer]]:
    """Return up to `MOST` completions at the cursor, the most likely first, and the offset of the text they replace.

    Parameters
    ----------
    text
        SQL, one or several statements, which may be incomplete.
    cursor
        The offset of the cursor in it.
    names
        The names in the database.
    variables
        The possible names of a parameter.
    """
    fragment = fragment_at(text, cursor)
    if fragment is None:
        return cursor, []
    if fragment.parameter:
        return fragment.start, [
            Offer(name, "parameter") for name in sorted(variables) if name.startswith(fragment.begun)
        ]
    rest = (_REST_QUOTED if fragment.quoted else _REST).match(text, cursor)
    behind = text[rest.end() if rest else cursor :]
    whole = f"{text[: fragment.path_start]} {behind}"
    place = _place(whole, fragment.path_start, names)
    found: dict[str, Offer] = {}
    closing = "" if fragment.quoted and text.startswith('"', cursor) else names.mark
    for offer in _candidates(place, fragment, names):
        shown = _fit_offer(offer, fragment, names, closing)
        if shown is not None:
            found.setdefault(shown.text, shown)
            if len(found) >= MOST:
                break
    return fragment.start, list(found.values())


def sources_at(text: str, cursor: int, names: SchemaNames) -> tuple[Source, ...]:
    """Return the tables whose columns are in scope at the cursor."""
    return _place(text, cursor, names).sources


def fragment_at(text: str, cursor: int) -> Fragment | None:
    """Return the name at the cursor; None in a string, a comment or a number."""
    before = text[:cursor]
    parts = list(tokens(f"{before}X"))  # the token of the X shows what the cursor is in
    last = parts.pop()
    start = last.start
    if last.kind is Kind.PARAMETER:
        return Fragment(start + 1, (), before[start + 1 :], quoted=False, parameter=True, path_start=start)
    quoted = last.kind is Kind.QUOTED and before.startswith('"', start)
    if last.kind is not Kind.WORD and not quoted:
        return None
    path: list[str] = []
    path_start = start
    while len(parts) >= 2 and before[parts[-1].start : parts[-1].end] == ".":
        parts.pop()
        name = before[parts[-1].start : parts[-1].end]
        if parts[-1].kind not in (Kind.WORD, Kind.QUOTED) or name.startswith("'"):
            break
        path_start = parts.pop().start
        path.insert(0, name.strip('"').replace('""', '"') if name.startswith('"') else fold(name))
    begun = before[start + 1 :] if quoted else before[start:]
    return Fragment(start, tuple(path), begun, quoted, parameter=False, path_start=path_start)


@dataclass(frozen=True, slots=True)
class CursorContext:
    """The scope at the cursor, and the part of the statement that it is in."""

    sources: tuple[Source, ...]
    queries: tuple[tuple[str, Columns], ...]
    expects: str
    target: Source | None = None


def _place(text: str, cursor: int, names: SchemaNames) -> CursorContext:
    parts = list(lexemes(text))
    ends = [part.start for part in parts if part.kind == "symbol" and part.text == ";"]
    begin = max((end for end in ends if end < cursor), default=-1)
    end = min((end for end in ends if end >= cursor), default=len(text))
    items = group_parentheses([part for part in parts if begin < part.start < end], end)
    sources: list[Source] = []
    queries: dict[str, Columns] = {}
    outer: list[Item] = []
    before: list[Item] = []
    while True:
        queries = split_with(items, names, queries)
        part = part_around(items, cursor)
        sources = [*sources_of(part, names, queries), *sources]
        before = [
            item
            for item in part
            if item.start < cursor and not (isinstance(item, Group) and item.end >= cursor)
        ]
        inner = next((i for i in part if isinstance(i, Group) and i.start <= cursor <= i.end), None)
        if inner is None:
            break
        outer, items = before, inner.items
        if not items:
            before = []
            break
    in_group = inner is not None or bool(outer)
    expects, target = _expect(before, outer, sources, in_group=in_group)
    return CursorContext(tuple(sources), tuple(queries.items()), expects, target)


def _expect(
    before: Sequence[Item], outer: Sequence[Item], sources: Sequence[Source], *, in_group: bool
) -> tuple[str, Source | None]:
    """Return the kind of item that may follow those before the cursor, and its table if only one is possible."""
    if in_group and not {"select", "with", "insert", "update", "delete"} & set(map(word, before)):
        special = _expect_in_parentheses(before, [word(item) for item in outer], sources)
        if special is not None:
            return special
    last = before[-1] if before else None
    clause = next((word(item) for item in reversed(before) if word(item) in _CLAUSES), "")
    if is_symbol(last, "::"):
        expects = "types"
    elif last is None:
        expects = "expression" if in_group else "statement"
    elif word(last) in _RELATIONS_FOLLOW or (is_symbol(last, ",") and clause in ("from", "join", "on")):
        expects = "relations"
    elif clause in ("from", "join", "into", "update", "table") and not is_symbol(last, text_of(last)):
        expects = "table's parts" if clause == "table" else "source's end"
    else:
        expects = "expression" if clause or in_group else "other"
    return expects, None


def _expect_in_parentheses(
    before: Sequence[Item], around: Sequence[str], sources: Sequence[Source]
) -> tuple[str, Source | None] | None:
    """Return the content that the words before a parenthesis imply; None if they imply nothing."""
    opens = around[-1] if around else ""
    if "into" in around and not {"values", "select"} & set(around) and sources:
        return "columns", sources[-1]
    if opens == "using" and "join" in around:
        return "shared columns", None  # not translated: a key of _EXPECTED
    if opens == "cast" and word(before[-1] if before else None) == "as":
        return "types", None
    if not before and opens in ("as", "materialized", "from", "join", "exists", ""):
        return "query", None
    return None


def _candidates(place: CursorContext, fragment: Fragment, names: SchemaNames) -> Iterator[Offer]:
    begun = fragment.begun
    if fragment.path:
        return _complete_path(place, fragment.path, names)
    return itertools.chain.from_iterable(each(place, names, begun) for each in _EXPECTED[place.expects])


def _complete_path(place: CursorContext, path: tuple[str, ...], names: SchemaNames) -> Iterator[Offer]:
    named = next((source for source in place.sources if source.name == path[-1]), None)
    if len(path) == 1 and named is not None and named.columns:
        yield from _column_offers([named])
        return
    relation = names.relation(path[-2] if len(path) > 1 else None, path[-1])
    if relation is not None:
        yield from _column_offers([Source(relation.name, relation.columns)])
    if len(path) == 1:
        for (schema, name), each in names.relations.items():
            if schema == path[0]:
                yield Offer(name, each.kind)
        if place.expects not in ("relations", "query"):
            yield from (Offer(name, "function") for schema, name in names.functions if schema == path[0])


def _column_offers(sources: Iterable[Source]) -> Iterator[Offer]:
    for source in sources:
        yield from (Offer(name, _shorten_type(kind)) for name, kind in source.columns if name != "?column?")


_SHORT = {
    "character varying": "varchar",  # not translated: a type
    "character": "char",
    "double precision": "float8",  # not translated: a type
    "timestamp without time zone": "timestamp",  # not translated: a type
    "timestamp with time zone": "timestamptz",  # not translated: a type
    "time without time zone": "time",  # not translated: a type
    "time with time zone": "timetz",  # not translated: a type
}


def _shorten_type(kind: str) -> str:
    """Return PostgreSQL's short name of a type, since the list of completions is narrow."""
    name, bracket, rest = kind.partition("(")
    return _SHORT.get(name, name) + bracket + rest if kind else "column"


def _columns(place: CursorContext, _names: SchemaNames, _begun: str) -> Iterator[Offer]:
    return _column_offers(place.sources)


def _columns_of_target(place: CursorContext, _names: SchemaNames, _begun: str) -> Iterator[Offer]:
    return _column_offers([place.target] if place.target else [])


def _list_shared_columns(place: CursorContext, _names: SchemaNames, _begun: str) -> Iterator[Offer]:
    counted = [name for source in place.sources for name in {column for column, _unused in source.columns}]
    return (offer for offer in _column_offers(place.sources) if counted.count(offer.text) > 1)


def _aliases(place: CursorContext, _names: SchemaNames, _begun: str) -> Iterator[Offer]:
    return (Offer(source.name, "alias") for source in place.sources if source.name)


def _types(_place: CursorContext, names: SchemaNames, _begun: str) -> Iterator[Offer]:
    return (Offer(name, "type") for name in names.types)


def _relations(place: CursorContext, names: SchemaNames, begun: str) -> Iterator[Offer]:
    yield from (Offer(name, "query") for name, _unused in place.queries)
    elsewhere: list[Offer] = []
    for (schema, name), each in names.relations.items():
        if schema in _SYSTEM and not begun.lower().startswith("pg_"):
            continue
        if schema in names.path:
            yield Offer(name, each.kind)
        elif begun:
            elsewhere.append(Offer(f"{names.quote(schema)}.{names.quote(name)}", each.kind))
    yield from (Offer(f"{names.quote(name)}.", "schema") for name in names.schemas)
    yield from elsewhere


def _relations_before_from(place: CursorContext, names: SchemaNames, begun: str) -> Iterator[Offer]:
    """Offer tables for a SELECT list that has no FROM yet."""
    return iter(()) if place.sources or not begun else _relations(place, names, begun)


def _functions(_place: CursorContext, names: SchemaNames, begun: str) -> Iterator[Offer]:
    for schema, name in names.functions if begun else ():
        if schema in names.path and (not name.startswith("pg_") or begun.lower().startswith("pg_")):
            yield Offer(name, "function")


def _keywords(words: str) -> _Offering:
    """Return a function that offers these keywords, in the case of the typed letters."""

    def offer(_place: CursorContext, _names: SchemaNames, begun: str) -> Iterator[Offer]:
        return (Offer(each.lower() if begun.islower() else each, "keyword") for each in words.split())

    return offer


_Offering: TypeAlias = Callable[[CursorContext, SchemaNames, str], Iterator[Offer]]

_EXPECTED: dict[str, tuple[_Offering, ...]] = {
    "columns": (_columns_of_target,),
    "shared columns": (_list_shared_columns,),  # not translated: a key
    "types": (_types,),
    "relations": (_relations, _keywords("ONLY LATERAL SELECT IF NOT EXISTS")),
    "source's end": (_keywords(_SOURCE_KEYWORDS),),
    "table's parts": (_columns, _keywords(_DEFINITION_KEYWORDS), _keywords(_SOURCE_KEYWORDS)),
    "statement": (_keywords(_STATEMENT_KEYWORDS),),
    "query": (_keywords("SELECT WITH VALUES TABLE"), _relations),
    "other": (_keywords(_DEFINITION_KEYWORDS), _relations),
    "expression": (_columns, _aliases, _functions, _keywords(_EXPRESSION_KEYWORDS), _relations_before_from),
}
"""The offers for each kind of item that may follow, the most likely first."""

_AS_THEY_ARE = frozenset({"keyword", "schema", "type"})


def _fit_offer(offer: Offer, fragment: Fragment, names: SchemaNames, closing: str) -> Offer | None:
    """Return an offer with quotes as needed, if it completes the fragment."""
    begun, text = fragment.begun.lower(), offer.text
    path, dot, last = text.rpartition(".")
    written = offer.kind in _AS_THEY_ARE or bool(dot and path)
    plain = text.replace(names.mark, "").lower() if written else text.lower()
    if not (plain.startswith(begun) or (dot and last.strip(names.mark).lower().startswith(begun))):
        return None
    if fragment.quoted:
        return None if written else Offer(names.quote_always(text, closing), offer.kind)
    if written:
        return offer
    return Offer(names.quote(text) + ("(" if offer.kind == "function" else ""), offer.kind)
