"""Input transformers for cell magics after comments and an assignment: ``df = %%query_db``.

IPython treats a cell as a magic's only if it begins with ``%%``. It reads any other cell as Python, where ``%%`` is a
syntax error. Two input transformers allow this package's cell magics after comments, blank lines and one assignment.
The lines above keep their place, so that line numbers in tracebacks match the notebook. Other cells stay unchanged.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

Transformer: TypeAlias = Callable[[list[str]], list[str]]

ASSIGNMENT = r"(?:[\w.,:\[\]'\"() ]+=\s*)?"
"""Pattern of an optional assignment before a magic on its line."""

_ABOVE = re.compile(r"(?:[^\S\n]*(?:(?:#|--)[^\n]*)?\n)*")
_SQL_COMMENT = re.compile(r"^([^\S\n]*)--", re.MULTILINE)
_VALUE = "sspcloud_value_of_the_cell"
_CHUNKS = re.compile(r"(?<!\S)--chunks\b")


@dataclass(frozen=True, slots=True)
class CellMagic:
    """The parts of a cell that runs one of this package's magics."""

    # The text before the magic: comments, with those of SQL turned into Python's, blank lines, and the left
    # side of an assignment with its sign.
    head: str
    # The magic, its options, and the lines below.
    name: str
    line: str
    body: str
    target: str | None = None  # the assigned variable, if the target is a plain name


def cell_magic(text: str, names: Iterable[str]) -> CellMagic | None:
    r"""Parse a cell that runs one of these magics; None for any other cell.

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
    """Return the target of an assignment without its value; None if the text is anything else."""
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
    """Build the transformers for `InteractiveShell.input_transformers_cleanup`, in their order."""
    ours = tuple(names)

    def call(lines: list[str]) -> list[str]:
        """Rewrite the cell as Python that calls the magic."""
        cell = cell_magic("".join(lines), ours)
        if cell is None or not cell.head:
            return lines
        line = cell.line
        if cell.target is not None and _CHUNKS.search(line):
            # Lets the magic close the iterator of the cell's last run.
            line = f"--into {cell.target} {line}"  # not translated: options
        code = f"{cell.head}get_ipython().run_cell_magic({cell.name!r}, {line!r}, {cell.body!r})\n"
        return code.splitlines(keepends=True)

    def uncover(lines: list[str]) -> list[str]:
        """Remove the head, so that IPython treats a magic's cell as complete at a blank line."""
        cell = cell_magic("".join(lines), ours)
        if cell is None or not cell.head:
            return lines
        return f"%%{cell.name} {cell.line}\n{cell.body}".splitlines(keepends=True)

    # IPython skips transformers with side effects when it only checks whether a cell is complete.
    cast("Any", call).has_side_effects = True
    return call, uncover
