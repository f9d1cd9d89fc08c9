"""Saved statements as common table expressions (WITH) of another statement, without I/O.

The saved statements are inserted on the first line of the other statement, so that line numbers in PostgreSQL's errors
remain those of the cell.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from sspcloud_magics.databases.column_names import MOST_BYTES
from sspcloud_magics.databases.postgres.sql.sql_scope import (
    Group,
    Item,
    Lexeme,
    group_parentheses,
    lexemes,
    word,
)
from sspcloud_magics.databases.postgres.sql_lexer import Kind, fold, statements, tokens
from sspcloud_magics.databases.sql_names import POSTGRES, QUERIES, Dialect
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.spelling import nearest

_NAME = re.compile(r"[^\W\d]\w*")
_CHANGES = frozenset({"insert", "update", "delete", "merge"})


@dataclass(frozen=True, slots=True)
class _Only:
    """The only statement of a text, as it was written and as the lexer reads it, and the number of its first line."""

    text: str
    shape: str
    line: int


@dataclass(frozen=True, slots=True)
class SavedStatement:
    """A saved query."""

    name: str  # its name, folded to lower case
    sql: str  # the query as it was written
    uses: tuple[str, ...] = ()  # the names of the saved statements that it uses


def check_name(name: str, reserved: Container[str] = ()) -> str:
    """Return a name for a saved statement, folded to lower case.

    Parameters
    ----------
    name
        The name as it was typed.
    reserved
        The reserved keywords, which need quotes as a name.

    Raises
    ------
    UsageProblem
        If the name would need double quotes in SQL, or PostgreSQL would truncate it.
    """
    folded = fold(name)
    if _NAME.fullmatch(folded) and folded not in reserved and len(folded.encode()) <= MOST_BYTES:
        return folded
    raise UsageProblem(
        _("--save needs a name that SQL accepts without quotes: letters, digits and _, no reserved word."),
        hint=_("choose another name, such as %%query_db --save salaries"),
    )


def check_query(
    sql: str,
    name: str,
    uses: Iterable[str],
    saved: Mapping[str, SavedStatement],
    dialect: Dialect = POSTGRES,
) -> None:
    """Refuse a statement that cannot be a common table expression.

    Parameters
    ----------
    sql, name
        The statement, and the name to save it under.
    uses, saved
        The names of the saved statements that it uses, and all saved statements by name.
    dialect
        The server's SQL.

    Raises
    ------
    UsageProblem
        If it is not a single query, changes data, or would use itself.
    """
    parts = _parts(_only(sql, "save", dialect).shape)
    changes = _CHANGES & {parts.verb, *(word(body.items[0]) for body in parts.bodies if body.items)}
    if changes:
        raise UsageProblem(
            _(
                "--save takes a query: every statement that uses it would run the {verb} again.",
                verb=min(changes).upper(),
            ),
            hint=_("run it without --save, and save a SELECT of its result"),
        )
    if parts.verb not in QUERIES or "into" in map(word, parts.main):
        raise UsageProblem(
            _("--save takes a query: SELECT, VALUES or TABLE, with or without WITH, but not SELECT INTO."),
            hint=_("run the statement without --save"),
        )
    if name in _require(uses, saved):
        raise UsageProblem(
            _("{name} would use itself: it is in --with, or a statement in --with uses it.", name=name),
            hint=_("save it under another name: --save {name}_2", name=name),
        )


def compose(
    sql: str, uses: Iterable[str], saved: Mapping[str, SavedStatement], dialect: Dialect = POSTGRES
) -> str:
    """Return a statement with saved statements, and those that they use, as its first common table expressions.

    Parameters
    ----------
    sql
        One statement that has, or may have, a WITH clause.
    uses
        The names of the saved statements.
    saved
        All saved statements by name.
    dialect
        The server's SQL.

    Raises
    ------
    UsageProblem
        If a name is unknown or ambiguous, or the statement cannot have a WITH clause.

    Examples
    --------
    >>> compose("SELECT max(n) FROM few", ["few"], {"few": SavedStatement("few", "SELECT 1 AS n -- one")})
    'WITH "few" AS (SELECT 1 AS n) SELECT max(n) FROM few'
    """
    statement = _only(sql, "with", dialect)
    parts = _parts(statement.shape)
    if parts.verb in _CHANGES - dialect.verbs:
        raise UsageProblem(
            _(
                "--with does not work with {verb} in MariaDB: only SELECT can have WITH.",
                verb=parts.verb.upper(),
            ),
            hint=_("run the SELECT, and write its rows with %load_table df TABLE --append"),
        )
    if parts.verb not in dialect.verbs:
        raise UsageProblem(
            _(
                "--with does not work with {verb}: only SELECT, INSERT, UPDATE, DELETE and MERGE can have WITH.",
                verb=parts.verb.upper(),
            ),
            hint=_("show the plan with %%query_db --explain") if parts.verb == "explain" else "",
        )
    needed = _require(uses, saved)
    if clash := [name for name in parts.names if name in needed]:
        raise UsageProblem(
            _("{name} is both a saved statement and a name in the statement's own WITH.", name=clash[0]),
            hint=_("rename the one in the statement"),
        )
    names = _in_order(needed)
    if parts.is_recursive:
        _refuse_recursion([needed[name] for name in names], parts.names)
    quote = dialect.quote
    listed = ", ".join(f"{quote}{name}{quote} AS ({_one_line(needed[name].sql, dialect)})" for name in names)
    text, begin = statement.text, parts.list_begin
    composed = f"{text[:begin]} {listed},{text[begin:]}" if begin else f"WITH {listed} {text}"
    return "\n" * (statement.line - 1) + composed


def _only(sql: str, option: str, dialect: Dialect) -> _Only:
    masked = dialect.mask(sql)
    found = statements(masked)
    if len(found) != 1:
        raise UsageProblem(
            _("--{option} takes one statement.", option=option), hint=_("move the others to another cell")
        )
    shape = found[0].text
    start = masked.index(shape)
    return _Only(sql[start : start + len(shape)], shape, found[0].line)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a statement: the names and bodies of its own WITH, and the main statement.

    `list_begin` is the offset of the list of its WITH; 0 if it has none.
    """

    names: Sequence[str]
    bodies: Sequence[Group]
    main: Sequence[Item]
    list_begin: int = 0
    is_recursive: bool = False

    @property
    def verb(self) -> str:
        return word(self.main[0]) if self.main and not isinstance(self.main[0], Group) else ""


def _parts(shape: str) -> _Parts:
    items = group_parentheses(list(lexemes(shape)), len(shape))
    if not items:
        raise UsageProblem(_("The parentheses of the statement do not match."))
    if word(items[0]) != "with":
        return _Parts((), (), items)
    is_recursive = word(items[1] if len(items) > 1 else None) == "recursive"
    names: list[str] = []
    bodies: list[Group] = []
    place = first = 1 + is_recursive
    while place < len(items):
        item, before = items[place], word(items[place - 1])
        is_named = word(items[place + 1] if place + 1 < len(items) else None) == "as"
        if isinstance(item, Group) and before in ("as", "materialized"):
            bodies.append(item)
        elif is_named:
            # A list of columns may follow the name.
            named = items[place - 1] if isinstance(item, Group) else item
            names.append(fold(named.text) if isinstance(named, Lexeme) else "")
        elif isinstance(item, Group) or word(item) in (QUERIES | _CHANGES) - {""}:
            break
        place += 1
    return _Parts(names, bodies, items[place:], items[first - 1].end, is_recursive)


def _require(uses: Iterable[str], saved: Mapping[str, SavedStatement]) -> dict[str, SavedStatement]:
    """Return the named saved statements, and all that they use."""
    found: dict[str, SavedStatement] = {}
    waiting = [(fold(name), "") for name in uses]
    for name, by in waiting:
        if name in found:
            continue
        if name not in saved:
            near = nearest(name, saved)
            raise UsageProblem(
                _("No statement is saved as {name}.", name=name),
                why=_("{statement} uses it.", statement=by) if by else "",
                hint=_("did you mean {near}?", near=near)
                if near
                else _("list the statements and their names with %queries"),
            )
        found[name] = saved[name]
        waiting += [(used, name) for used in saved[name].uses]
    return found


def _in_order(needed: Mapping[str, SavedStatement]) -> list[str]:
    """Return the names such that each statement comes after those it uses, and before those that would hide a table."""
    order: TopologicalSorter[str] = TopologicalSorter()
    for name, each in needed.items():
        order.add(name, *each.uses)
        seen = _require(each.uses, needed)
        for other in _find_names(each.sql):
            # It does not use the other statement: there the name refers to a table or a column.
            if other in needed and other != name and other not in seen:
                order.add(other, name)
    try:
        return list(order.static_order())
    except CycleError as error:
        one, other = error.args[1][:2]
        raise UsageProblem(
            _(
                "{one} and {other} cannot be used in one statement: each of them would have to come first.",
                one=one,
                other=other,
            ),
            hint=_("save {one} again under another name", one=one),
        ) from None


def _refuse_recursion(listed: Sequence[SavedStatement], own: Sequence[str]) -> None:
    """Refuse names that WITH RECURSIVE would resolve to the query itself, a later one, or the statement's own ones."""
    for place, each in enumerate(listed):
        taken = {each.name, *(later.name for later in listed[place + 1 :]), *own}
        if clash := taken & _find_names(each.sql):
            raise UsageProblem(
                _(
                    "WITH RECURSIVE would change what {name} means in the saved statement {statement}.",
                    name=min(clash),
                    statement=each.name,
                ),
                hint=_(
                    "save {name} under a name that is not a table, or rename the query in WITH RECURSIVE",
                    name=each.name,
                ),
            )


def _find_names(sql: str) -> set[str]:
    """Return the unqualified names in a text."""
    found: set[str] = set()
    before = ""
    for each in lexemes(sql):
        if each.kind in ("word", "name") and before != ".":
            found.add(fold(each.text))
        before = each.text
    return found


def _one_line(sql: str, dialect: Dialect) -> str:
    """Return a query without comments and line breaks, except those in strings."""
    only = _only(sql, "with", dialect)
    return "".join(
        " " if each.kind is Kind.SPACE else only.text[each.start : each.end] for each in tokens(only.shape)
    )
