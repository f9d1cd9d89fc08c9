"""Cell magics below comments and behind an assignment: ``df = %%query_db``.

IPython takes a cell for a magic's where its first characters are ``%%``; all else it reads as Python, and ``%%`` is a syntax
error there. Two transformers of its input let our cell magics stand below comments and blank lines, and behind one
assignment. What stands above stays where it is, so that a traceback counts the lines as the notebook does. A cell
that is not like this passes unchanged.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

Transformer: TypeAlias = Callable[[list[str]], list[str]]

ASSIGNMENT = r"(?:[\w.,:\[\]'\"() ]+=\s*)?"
"""What may take the result of a magic, before it on its line: a pattern, which fits nothing, too."""

_ABOVE = re.compile(r"(?:[^\S\n]*(?:(?:#|--)[^\n]*)?\n)*")
_SQL_COMMENT = re.compile(r"^([^\S\n]*)--", re.MULTILINE)
_VALUE = "sspcloud_value_of_the_cell"
_CHUNKS = re.compile(r"(?<!\S)--chunks\b")


@dataclass(frozen=True, slots=True)
class CellMagic:
    """A cell that one of our magics runs.

    Parameters
    ----------
    head
        What stands before the magic: comments, those of SQL as Python's, blank lines, and the left side of an assignment with
        its sign.
    name, line, body
        The magic, its options, and the lines below.
    target
        The name that is assigned, where it is a plain one.
    """

    head: str
    name: str
    line: str
    body: str
    target: str | None = None


def cell_magic(text: str, names: Iterable[str]) -> CellMagic | None:
    r"""Return the parts of a cell that runs one of these magics; None for any other cell.

    Examples
    --------
    >>> cell_magic("# towns\ndf = %%query_db --limit 5\nSELECT 1", ["query_db"]).target
    'df'
    """
    above = cast("re.Match[str]", _ABOVE.match(text)).end()
    found = re.compile(rf"%%({'|'.join(names)})(?!\S)([^\n]*)\n?").search(text, above)
    if found is None:
        return None
    left, target = text[above : found.start()].lstrip(), None
    if left:
        assignment = _assignment(left)
        if assignment is None:
            return None
        target = assignment.id if isinstance(assignment, ast.Name) else None
    head = _SQL_COMMENT.sub(r"\1# --", text[:above]) + left
    return CellMagic(head, found[1], found[2].strip(), text[found.end() :], target)


def _assignment(left: str) -> ast.expr | None:
    """Return the target of the assignment that is all that this text is, but for its value."""
    try:
        body = ast.parse(left + _VALUE).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match body:
        case [
            ast.Assign(targets=[target, *_], value=ast.Name(id=value))
            | ast.AnnAssign(target=target, value=ast.Name(id=value))
            | ast.AugAssign(target=target, value=ast.Name(id=value))
        ] if value == _VALUE:
            return target
    return None


def transformers(names: Iterable[str]) -> tuple[Transformer, Transformer]:
    """Return the transformers for `InteractiveShell.input_transformers_cleanup`, in their order."""
    ours = tuple(names)

    def call(lines: list[str]) -> list[str]:
        """Write the cell as Python that calls the magic."""
        cell = cell_magic("".join(lines), ours)
        if cell is None or not cell.head:
            return lines
        line = cell.line
        if cell.target is not None and _CHUNKS.search(line):
            line = (
                f"--into {cell.target} {line}"  # the variable that the cell's last run left is closed first
            )
        code = f"{cell.head}get_ipython().run_cell_magic({cell.name!r}, {line!r}, {cell.body!r})\n"
        return code.splitlines(keepends=True)

    def uncover(lines: list[str]) -> list[str]:
        """Leave out the head: IPython asks whether a cell is complete, and a magic's is at a blank line."""
        cell = cell_magic("".join(lines), ours)
        if cell is None or not cell.head:
            return lines
        return f"%%{cell.name} {cell.line}\n{cell.body}".splitlines(keepends=True)

    # IPython leaves such a transformer out where it only asks whether the cell is complete.
    cast("Any", call).has_side_effects = True
    return call, uncover
