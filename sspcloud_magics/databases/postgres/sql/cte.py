"""Saved statements as common table expressions (WITH) of another statement. No I/O.

A saved statement is written on one line, where the other statement begins: the lines that PostgreSQL's errors name stay
those of the cell.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from sspcloud_magics.databases.postgres.sql.sql_scope import (
    Group,
    Item,
    Lexeme,
    group_parentheses,
    lexemes,
    word,
)
from sspcloud_magics.databases.postgres.sql_lexer import Kind, Statement, statements, tokens
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.spelling import nearest

_NAME = re.compile(r"[^\W\d]\w*")
_LONGEST_NAME = 63  # in bytes; PostgreSQL cuts a longer one
_QUERIES = frozenset({"select", "values", "table", ""})
"""What a query begins with; empty for one in parentheses."""
_CHANGES = frozenset({"insert", "update", "delete", "merge"})


@dataclass(frozen=True, slots=True)
class SavedStatement:
    """A query under a name.

    Parameters
    ----------
    name
        In lower case, as PostgreSQL folds it.
    sql
        The query, as it was written.
    uses
        The saved statements that it was written with.
    """

    name: str
    sql: str
    uses: tuple[str, ...] = ()


def check_name(name: str, reserved: Container[str] = ()) -> str:
    """Return a name for a saved statement in lower case.

    Parameters
    ----------
    name
        As it was typed.
    reserved
        The keywords that need quotes as a name.

    Raises
    ------
    UsageProblem
        If SQL takes it in double quotes only, or cuts it.
    """
    folded = name.lower()
    if _NAME.fullmatch(folded) and folded not in reserved and len(folded.encode()) <= _LONGEST_NAME:
        return folded
    raise UsageProblem(
        "--save takes a name that SQL takes without quotes: letters, digits and _, and no reserved word.",
        hint="%%query_db --save salaries",
    )


def check_query(sql: str, name: str, uses: Iterable[str], saved: Mapping[str, SavedStatement]) -> None:
    """Refuse what cannot be a common table expression.

    Parameters
    ----------
    sql, name
        The statement, and the name to save it under.
    uses, saved
        The names of the saved statements that it is written with, and all that there are.

    Raises
    ------
    UsageProblem
        If it is no single query, changes something, or would need itself.
    """
    parts = _parts(_only(sql, "save"))
    changes = _CHANGES & {parts.verb, *(word(body.items[0]) for body in parts.bodies if body.items)}
    if changes:
        raise UsageProblem(
            f"--save takes a query: {min(changes).upper()} would be done again by each statement that uses it.",
            hint="run it without --save, and save a SELECT of its result",
        )
    if parts.verb not in _QUERIES or "into" in map(word, parts.main):
        raise UsageProblem(
            "--save takes a query: SELECT, VALUES, TABLE, or WITH before one of them, and no SELECT INTO.",
            hint="run the statement without --save",
        )
    if name in _require(uses, saved):
        raise UsageProblem(
            f"{name} would need itself: it is among the statements of --with, or one of them uses it.",
            hint=f"save it under another name: --save {name}_2",
        )


def compose(sql: str, uses: Iterable[str], saved: Mapping[str, SavedStatement]) -> str:
    """Return a statement with saved statements, and those that they use, as its first common table expressions.

    Parameters
    ----------
    sql
        One statement that may begin with WITH, or does.
    uses
        The names of the saved statements.
    saved
        All that there are, by their names.

    Raises
    ------
    UsageProblem
        If a name is unknown or clashes, or the statement takes no WITH.

    Examples
    --------
    >>> compose("SELECT max(n) FROM few", ["few"], {"few": SavedStatement("few", "SELECT 1 AS n -- one")})
    'WITH "few" AS (SELECT 1 AS n) SELECT max(n) FROM few'
    """
    statement = _only(sql, "with")
    parts = _parts(statement)
    if parts.verb not in _QUERIES | _CHANGES:
        raise UsageProblem(
            f"--with does not fit {parts.verb.upper()}: SELECT, INSERT, UPDATE, DELETE and MERGE take a WITH.",
            hint="%%query_db --explain shows a plan" if parts.verb == "explain" else "",
        )
    needed = _require(uses, saved)
    if clash := [name for name in parts.names if name in needed]:
        raise UsageProblem(
            f"{clash[0]} is a saved statement, and a name in the statement's own WITH.",
            hint="rename the one in the statement",
        )
    names = _in_order(needed)
    if parts.is_recursive:
        _refuse_recursion([needed[name] for name in names], parts.names)
    listed = ", ".join(f'"{name}" AS ({_one_line(needed[name].sql)})' for name in names)
    text, begin = statement.text, parts.list_begin
    composed = f"{text[:begin]} {listed},{text[begin:]}" if begin else f"WITH {listed} {text}"
    return "\n" * (statement.line - 1) + composed


def _only(sql: str, option: str) -> Statement:
    found = statements(sql)
    if len(found) != 1:
        raise UsageProblem(f"--{option} takes one statement.", hint="keep the others in a cell of their own")
    return found[0]


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a statement: the names and bodies of its own WITH, and what follows that.

    `list_begin` is where the list of its WITH begins; 0 where it has none.
    """

    names: Sequence[str]
    bodies: Sequence[Group]
    main: Sequence[Item]
    list_begin: int = 0
    is_recursive: bool = False

    @property
    def verb(self) -> str:
        return word(self.main[0]) if self.main and not isinstance(self.main[0], Group) else ""


def _parts(statement: Statement) -> _Parts:
    items = group_parentheses(list(lexemes(statement.text)), len(statement.text))
    if not items:
        raise UsageProblem("The parentheses of the statement do not match.")
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
            # The list of its columns may stand behind the name.
            named = items[place - 1] if isinstance(item, Group) else item
            names.append(named.text.lower() if isinstance(named, Lexeme) else "")
        elif isinstance(item, Group) or word(item) in (_QUERIES | _CHANGES) - {""}:
            break
        place += 1
    return _Parts(names, bodies, items[place:], items[first - 1].end, is_recursive)


def _require(uses: Iterable[str], saved: Mapping[str, SavedStatement]) -> dict[str, SavedStatement]:
    """Return the saved statements that are named, and all that they use."""
    found: dict[str, SavedStatement] = {}
    waiting = [(name.lower(), "") for name in uses]
    for name, by in waiting:
        if name in found:
            continue
        if name not in saved:
            near = nearest(name, saved)
            raise UsageProblem(
                f"No statement is saved as {name}.",
                why=f"{by} was saved with it." if by else "",
                hint=f"did you mean {near}?" if near else "%queries lists the statements and their names",
            )
        found[name] = saved[name]
        waiting += [(used, name) for used in saved[name].uses]
    return found


def _in_order(needed: Mapping[str, SavedStatement]) -> list[str]:
    """Return names in an order in which each statement finds what it uses, and a table where it means a table."""
    order: TopologicalSorter[str] = TopologicalSorter()
    for name, each in needed.items():
        order.add(name, *each.uses)
        seen = _require(each.uses, needed)
        for other in _find_names(each.sql):
            # It was written without the other one: there the name is a table's or a column's.
            if other in needed and other != name and other not in seen:
                order.add(other, name)
    try:
        return list(order.static_order())
    except CycleError as error:
        one, other = error.args[1][:2]
        raise UsageProblem(
            f"{one} and {other} cannot stand in one statement: each of them would have to come first.",
            hint=f"save {one} again under another name",
        ) from None


def _refuse_recursion(listed: Sequence[SavedStatement], own: Sequence[str]) -> None:
    """Refuse names that WITH RECURSIVE would take for itself, later queries or the statement's own ones."""
    for place, each in enumerate(listed):
        taken = {each.name, *(later.name for later in listed[place + 1 :]), *own}
        if clash := taken & _find_names(each.sql):
            raise UsageProblem(
                f"WITH RECURSIVE would change what {min(clash)} means in the saved statement {each.name}.",
                hint=f"save {each.name} under a name that no table has, or rename the query of WITH RECURSIVE",
            )


def _find_names(sql: str) -> set[str]:
    """Return the names in a text that no other name qualifies."""
    found: set[str] = set()
    before = ""
    for each in lexemes(sql):
        if each.kind in ("word", "name") and before != ".":
            found.add(each.text.lower())
        before = each.text
    return found


def _one_line(sql: str) -> str:
    """Return a query without its comments and line breaks; those inside of texts stay."""
    text = _only(sql, "with").text
    return "".join(" " if each.kind is Kind.SPACE else text[each.start : each.end] for each in tokens(text))
