"""Write the types of the panel's messages in TypeScript, from ``sspcloud_magics/widgets/protocol.py``.

python -m tools.panel_types          write labextension/src/view/protocol.ts
python -m tools.panel_types check    fail if the file differs
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from sspcloud_magics.widgets import protocol

TARGET = Path(__file__).resolve().parent.parent / "labextension" / "src" / "view" / "protocol.ts"
HEAD = "/** The messages between the kernel and the view. Written by tools/panel_types.py: change protocol.py instead. */\n"
# A type of Python without a counterpart of ours.
ONLY_PYTHON = {"Snapshot"}
PRIMITIVES = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    Any: "unknown",
}


class Writer:
    """The types of a module in TypeScript, in their order."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        source = inspect.getsource(module)
        self.lines = source.splitlines()
        self.body = ast.parse(source).body
        # The aliases by their values, to use their names inside other types.
        self.aliases = {
            vars(module)[name]: name
            for name in map(alias_name, self.body)
            if name and name not in ONLY_PYTHON
        }

    def text(self) -> str:
        """Return the whole file."""
        return HEAD + "".join(f"\n{each}" for each in self.declarations())

    def declarations(self) -> Iterator[str]:
        """Yield the declaration of each type."""
        for node in self.body:
            name = alias_name(node)
            if name and name not in ONLY_PYTHON:
                written = self.write(vars(self.module)[name], without=name)
                yield f"{self.comment(node)}export type {name} = {written};\n"
            elif isinstance(node, ast.ClassDef) and is_typeddict(vars(self.module)[node.name]):
                yield self.interface(node)

    def interface(self, node: ast.ClassDef) -> str:
        """Return a TypedDict as an interface."""
        kind = vars(self.module)[node.name]
        hints = get_type_hints(kind, include_extras=True)
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        written = "".join(f"{self.comment(each, '  ')}  {self.field(each, hints)};\n" for each in fields)
        bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id != "TypedDict"]
        extends = f" extends {', '.join(bases)}" if bases else ""
        return f"/** {ast.get_docstring(node)} */\nexport interface {node.name}{extends} {{\n{written}}}\n"

    def field(self, node: ast.AnnAssign, hints: dict[str, Any]) -> str:
        """Return a key with its type."""
        name = ast.unparse(node.target)
        hint = hints[name]
        is_optional = get_origin(hint) is NotRequired
        return f"{name}{'?' if is_optional else ''}: {self.write(get_args(hint)[0] if is_optional else hint)}"

    def comment(self, node: ast.AST, indent: str = "") -> str:
        """Return the comment above a node."""
        at = node.lineno - 2  # type: ignore[attr-defined]
        found: list[str] = []
        while at >= 0 and self.lines[at].strip().startswith("#"):
            found.insert(0, self.lines[at].strip().removeprefix("#").strip())
            at -= 1
        return f"{indent}/** {' '.join(found)} */\n" if found else ""

    def write(self, hint: Any, without: str = "") -> str:
        """Return a type in TypeScript; an alias by its name, except for its own declaration."""
        known = PRIMITIVES.get(hint) or self.aliases.get(hint)
        if known and known != without:
            return known
        if is_typeddict(hint):
            return str(hint.__name__)
        return self.write_generic(get_origin(hint), get_args(hint))

    def write_generic(self, origin: Any, arguments: tuple[Any, ...]) -> str:
        """Return a type with arguments in TypeScript."""
        if origin is Literal:
            return " | ".join(json.dumps(each) for each in arguments)
        written = [self.write(each) for each in arguments]
        if origin in (Union, types.UnionType):
            return " | ".join(written)
        if origin is list:
            return f"({written[0]})[]" if " | " in written[0] else f"{written[0]}[]"
        if origin is tuple:
            return f"[{', '.join(written)}]"
        if origin is dict:
            return f"Record<string, {written[1]}>"
        raise TypeError(f"no TypeScript for {origin}")


def alias_name(node: ast.stmt) -> str:
    """Return the name that a line declares as a `TypeAlias`; empty for another line."""
    is_alias = (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.annotation, ast.Name)
        and node.annotation.id == "TypeAlias"
        and isinstance(node.target, ast.Name)
    )
    return node.target.id if is_alias else ""  # type: ignore[union-attr]


def main(arguments: list[str]) -> None:
    """Write the file, or compare it."""
    text = Writer(protocol).text()
    if arguments == ["check"]:
        if TARGET.read_text(encoding="utf-8") != text:
            sys.exit("protocol.ts differs from protocol.py: run python -m tools.panel_types")
    elif arguments:
        sys.exit(__doc__)
    else:
        TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
