"""Apply the renaming map to a tree: ``python rename.py [--map FOLDER] [--refs FILE] [--dry]``, run in the root of a checkout.

The map is TSV (old, new, kind, why). Kinds: module, class, function (methods and nested functions too), word (an
identifier, wherever it stands in Python code), member (old: PATH PREFIX:.NAME, where mypy does not know the owner; new
- to leave it), edit (old: PATH:TEXT, new: TEXT, replaced as it stands).

mypy resolves every name and attribute to its definition (export_types), Python's ast gives the positions, and the text
is edited in place: so formatting, comments, stored and typed texts stay. Needs the project's environment and 3 GiB.
What is resolved is kept in --refs, so that another run on the same commit takes seconds.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

TEXT_SUFFIXES = {".py", ".md", ".toml", ".ts", ".txt", ".css", ".mjs", ".yaml", ".json", ".sh", ".cfg", ".go"}
# What a node of mypy's refers to, and does not contain.
REFERENCES = {"node", "info", "type", "unanalyzed_type", "names", "imports", "original_def", "type_annotation"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
PACKAGE = "sspcloud_magics"


def git_files():
    names = subprocess.check_output(["git", "ls-files", "-z"], text=True).split("\0")
    return [Path(n) for n in names if n and Path(n).is_file() and not n.startswith("tools/renaming/")]


def module_of(path):
    parts = list(path.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def walk_defs(tree, prefix):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            name = f"{prefix}.{node.name}"
            yield name, node
            yield from walk_defs(node, name)
        else:
            yield from walk_defs(node, prefix)


# --- resolve -----------------------------------------------------------------------------------------------------


def resolve(files, defs_by_line):
    """Return references [path, line, column (bytes), token, full name] and the class hierarchy, by mypy."""
    from mypy import build, nodes, options, types
    from mypy.modulefinder import BuildSource

    opts = options.Options()
    opts.incremental, opts.cache_dir = False, "/dev/null"
    opts.export_types = opts.preserve_asts = opts.check_untyped_defs = True
    opts.namespace_packages = opts.explicit_package_bases = opts.ignore_missing_imports = True
    opts.mypy_path = [str(Path.cwd())]
    sources = [BuildSource(str(p), module_of(p), None) for p in files if all(x.isidentifier() for x in p.with_suffix("").parts)]
    result = build.build(sources, opts)
    ours = {source.module for source in sources}
    references, imports, hierarchy = [], {}, defaultdict(list)

    def full(node, path):
        if isinstance(node, nodes.Decorator):
            node = node.func
        if isinstance(node, nodes.OverloadedFuncDef):
            node = node.items[0]
            node = node.func if isinstance(node, nodes.Decorator) else node
        if isinstance(node, nodes.MypyFile):
            return node.fullname
        if isinstance(node, (nodes.FuncDef, nodes.TypeInfo)):
            info = getattr(node, "info", None) if isinstance(node, nodes.FuncDef) else None
            name = node.fullname
            if "." not in name or "@" in name or (info and "@" in info.fullname):
                return defs_by_line.get((path, node.line if isinstance(node, nodes.FuncDef) else node.line))
            return name
        return getattr(node, "fullname", None) or None

    def owners(kind):
        kind = types.get_proper_type(kind)
        if isinstance(kind, types.Instance):
            yield kind.type
        elif isinstance(kind, types.UnionType):
            for item in kind.items:
                yield from owners(item)
        elif isinstance(kind, types.TypeVarType):
            yield from owners(kind.upper_bound)
        elif isinstance(kind, types.TupleType):
            yield from owners(kind.partial_fallback)
        elif isinstance(kind, types.TypeType):
            yield from owners(kind.item)
        elif isinstance(kind, types.FunctionLike) and kind.is_type_obj():
            yield kind.type_object()
        elif isinstance(kind, (types.LiteralType, types.TypedDictType)):
            yield kind.fallback.type

    def attribute(expr, name, path):
        """Return the full names that an attribute of an expression may mean; none where nothing is known."""
        node = getattr(expr, "node", None)
        if isinstance(node, nodes.MypyFile):
            found = node.names.get(name)
            return [full(found.node, path)] if found and found.node else [f"{node.fullname}.{name}"]
        if isinstance(node, nodes.TypeInfo):
            infos = [node]
        else:
            infos = list(owners(result.types[expr])) if expr in result.types else []
        names = []
        for info in infos:
            found = info.get(name)
            if found is None or found.node is None:
                continue
            names.append(full(found.node, path) or f"{info.fullname}.{name}")
        return names

    def note(path, line, column, token, names):
        references.append([path, line, column, token, sorted({n for n in names if n})])

    def collect(path, tree):
        """Note every reference of a module. mypy's visitors are compiled and cannot be inherited from."""
        seen, stack = set(), [tree]
        while stack:
            node = stack.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, nodes.NameExpr):
                note(path, node.line, node.column, node.name, [full(node.node, path)] if node.node else [])
            elif isinstance(node, nodes.MemberExpr):
                known = isinstance(node.node, (nodes.MypyFile, nodes.TypeInfo, nodes.FuncDef, nodes.Decorator))
                names = ([full(node.node, path)] if known else []) or attribute(node.expr, node.name, path)
                note(path, node.end_line, (node.end_column or 0) - len(node.name.encode()), f".{node.name}", names)
            elif isinstance(node, nodes.SuperExpr):
                bases = node.info.mro[1:] if node.info else []
                names = [full(base.names[node.name].node, path) for base in bases if node.name in base.names][:1]
                note(path, node.end_line, (node.end_column or 0) - len(node.name.encode()), f".{node.name}", names)
            elif isinstance(node, nodes.CallExpr):
                callee = node.callee.name if isinstance(node.callee, (nodes.NameExpr, nodes.MemberExpr)) else ""
                text = node.args[1] if len(node.args) > 1 else None
                if callee in {"setattr", "getattr", "delattr", "hasattr", "object"} and isinstance(text, nodes.StrExpr):
                    if text.value.isidentifier():
                        note(path, text.line, text.column, f'"{text.value}', attribute(node.args[0], text.value, path))
            for kind in type(node).__mro__:
                for name in kind.__dict__.get("__mypyc_attrs__", ()):
                    if name not in REFERENCES:
                        push(stack, getattr(node, name, None))

    def push(stack, value):
        if isinstance(value, (list, tuple)):
            for each in value:
                push(stack, each)
        elif isinstance(value, nodes.Node) and not isinstance(value, (nodes.TypeInfo, nodes.Var)):
            stack.append(value)

    for module, tree in result.files.items():
        if module not in ours:
            continue
        path = str(Path(tree.path))
        collect(path, tree)
        imports[path] = {name: full(symbol.node, path) for name, symbol in tree.names.items() if symbol.node is not None}
        exported = imports[path]
        imports[f"module:{module}"] = exported
    for module in ours:
        tree = result.files.get(module)
        stack = [tree.names] if tree else []
        while stack:
            names = stack.pop()
            for symbol in list(names.values()):
                info = symbol.node
                if isinstance(info, nodes.TypeInfo) and info.fullname.startswith(module + "."):
                    hierarchy[info.fullname] = [base.fullname for base in info.mro[1:]]
                    stack.append({k: v for k, v in info.names.items() if isinstance(v.node, nodes.TypeInfo)})
    return {"references": references, "imports": imports, "hierarchy": hierarchy, "errors": len(result.errors)}


# --- the map -----------------------------------------------------------------------------------------------------


class Map:
    def __init__(self, folder, files, modules):
        self.modules, self.symbols, self.words, self.edits, self.members, self.gone = {}, {}, {}, [], {}, []
        known = set(modules)
        for path in files:
            if path.suffix == ".py":
                known.update(name for name, _ in walk_defs(ast.parse(path.read_bytes()), module_of(path)))
        by_tail = defaultdict(set)
        for name in known:
            for size in (2, 3):
                by_tail[tuple(name.split(".")[-size:])].add(name)
        for table in sorted(folder.glob("*.tsv")):
            for old, new, kind, _why in list(csv.reader(table.open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE))[1:]:
                if kind == "word":
                    self.words[old] = new
                elif kind == "member":
                    self.members[tuple(old.split(":."))] = new
                elif kind == "edit":
                    self.edits.append((*old.split(":", 1), new))
                else:
                    name = old
                    if name not in known:
                        # The module has moved since the map was written.
                        size = 3 if old.count(".") >= 3 and old.split(".")[-2][:1].isupper() else 2
                        found = by_tail[tuple(old.split(".")[-size:])]
                        if kind == "module":
                            top = old.split(".")[:2]
                            found = {m for m in modules if m.split(".")[:2] == top and m.split(".")[-1] == old.split(".")[-1]}
                        if len(found) != 1:
                            self.gone.append(old)
                            continue
                        (name,) = found
                    last = new.rpartition(".")[2]
                    if kind == "module":
                        self.modules[name] = last
                    else:
                        self.symbols[name] = last

    def new_module(self, name):
        parts = name.split(".")
        return ".".join(self.modules.get(".".join(parts[: i + 1]), part) for i, part in enumerate(parts))

    def new_dotted(self, name):
        """Return a dotted name with every part renamed."""
        parts = name.split(".")
        both = {**self.modules, **self.symbols}
        return ".".join(both.get(".".join(parts[: i + 1]), part) for i, part in enumerate(parts))


# --- edits -------------------------------------------------------------------------------------------------------


class Editor:
    def __init__(self):
        self.edits = defaultdict(dict)

    def put(self, path, line, column, old, new):
        self.edits[path][(line, column)] = (old.encode(), new.encode())

    def apply(self, path, data):
        lines = data.split(b"\n")
        wrong = []
        for (line, column), (old, new) in sorted(self.edits[path].items(), reverse=True):
            text = lines[line - 1]
            if text[column : column + len(old)] != old:
                places = [m.start() for m in re.finditer(rb"(?<!\w)" + re.escape(old) + rb"(?!\w)", text)]
                if len(places) != 1:
                    if new not in text:
                        wrong.append(f"{path}:{line}:{column}: {old.decode()} not found")
                    continue
                column = places[0]
            lines[line - 1] = text[:column] + new + text[column + len(old) :]
        return b"\n".join(lines), wrong


def list_bound_names(tree):
    """Return every name that a module's code binds: assignments, arguments, definitions, imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    for node in tree.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
    return names


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--map", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--refs", type=Path)
    parser.add_argument("--dry", action="store_true", help="change nothing, print what would not go")
    parser.add_argument("--check", action="store_true", help="only say which names of the map are gone")
    given = parser.parse_args()
    files = git_files()
    python = [path for path in files if path.suffix == ".py"]
    trees = {str(path): ast.parse(path.read_bytes()) for path in python}
    modules = {module_of(path): str(path) for path in python}
    for name in list(modules):
        while "." in name:
            name = name.rpartition(".")[0]
            modules.setdefault(name, "")
    defs = {path: list(walk_defs(tree, module_of(Path(path)))) for path, tree in trees.items()}
    defs_by_line = {(path, node.lineno): name for path, found in defs.items() for name, node in found}
    table = Map(given.map, files, modules)

    if given.check:
        print("\n".join(table.gone))
        return
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    refs = json.loads(given.refs.read_text()) if given.refs and given.refs.exists() else {}
    if refs.get("head") != head:
        refs = resolve(python, defs_by_line)
        refs["head"] = head
        if given.refs:
            given.refs.write_text(json.dumps(refs))

    # A method that overrides a renamed one, or that it overrides, is renamed with it.
    all_defs = {name for found in defs.values() for name, _ in found}
    extended = {}
    for name, new in list(table.symbols.items()):
        owner, _, simple = name.rpartition(".")
        if owner not in refs["hierarchy"]:
            continue
        for other, bases in refs["hierarchy"].items():
            related = owner in bases or other in refs["hierarchy"][owner]
            if related and f"{other}.{simple}" in all_defs and f"{other}.{simple}" not in table.symbols:
                extended[f"{other}.{simple}"] = new
    table.symbols.update(extended)

    editor, ambiguous, conflicts = Editor(), [], []
    by_simple = defaultdict(dict)
    classes = {name for found in defs.values() for name, node in found if isinstance(node, ast.ClassDef)}
    for name, new in table.symbols.items():
        # Attributes of modules are always resolved; what may not be is a member of a class.
        if name.rpartition(".")[0] in classes:
            by_simple[name.rpartition(".")[2]][name] = new
    # Members that keep their names, so that an unresolved attribute of this name may be one of them.
    kept = defaultdict(set)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for each in ast.walk(node):
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                        kept[each.target.id].add(path)
                    elif isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
                        kept[each.attr].add(path)
        for name, node in defs[path]:
            if isinstance(node, FUNCTIONS) and name not in table.symbols:
                kept[name.rpartition(".")[2]].add(path)

    classes_of = {name for found in defs.values() for name, node in found if isinstance(node, ast.ClassDef)}
    spans = {n: range(d.lineno, d.end_lineno + 1) for found in defs.values() for n, d in found if isinstance(d, FUNCTIONS)}
    nested = defaultdict(set)
    for path, found in defs.items():
        for name, _ in found:
            if name in table.symbols:
                nested[path, name.rpartition(".")[2]].add(name)
    resolved = {}
    for path, line, column, token, names in refs["references"]:
        if token.isidentifier() and len(names) == 1 and names[0] not in all_defs and names[0].startswith(module_of(Path(path)) + "."):
            # mypy puts a function inside of a method directly below the class.
            inside = [n for n in nested[path, token.lstrip('."')] if n.rpartition(".")[0] in spans and line in spans[n.rpartition(".")[0]]]
            names = list(inside) if len(inside) == 1 and names[0].rpartition(".")[0] in classes_of else names
        resolved[path, line, column, token.lstrip('."')] = names
        simple = token.lstrip('."')
        new = {table.symbols.get(n) or table.modules.get(n) for n in names}
        quoted = token.startswith('"')
        if simple in by_simple or new - {None}:
            wanted = {n for n in new if n}
            exact = {n for n in names if n.rpartition(".")[2] == simple}
            if names and not exact:
                continue  # an alias
            if len(wanted) == 1 and len(new) == 1:
                (target,) = wanted
            elif not names and token.startswith((".", '"')) and simple in by_simple:
                stated = {new for (prefix, member), new in table.members.items() if member == simple and path.startswith(prefix)}
                here = stated or {v for k, v in by_simple[simple].items() if modules.get(k.rpartition(".")[0].rpartition(".")[0]) == path}
                every = set(by_simple[simple].values())
                if here == {"-"}:
                    continue
                if len(here) == 1:
                    (target,) = here
                elif len(every) == 1 and not kept[simple]:
                    (target,) = every
                else:
                    ambiguous.append(f"{path}:{line}: {token} -> {sorted(by_simple[simple].items())[:4]}; kept in {sorted(kept[simple])[:3]}")
                    continue
            elif wanted:
                ambiguous.append(f"{path}:{line}: {token} is {names}")
                continue
            else:
                continue
            editor.put(path, line, column + quoted, simple, target)

    for path, tree in trees.items():
        module = module_of(Path(path))
        names_here = dict(refs["imports"].get(path, {}))
        bound = list_bound_names(tree)
        data = Path(path).read_bytes()
        lines = data.split(b"\n")
        # Definitions.
        for name, node in defs[path]:
            if name in table.symbols:
                start = node.lineno
                match = re.search(rb"(?:def|class)\s+(" + re.escape(node.name.encode()) + rb")\b", lines[start - 1])
                editor.put(path, start, match.start(1), node.name, table.symbols[name])
                new = table.symbols[name]
                owner = name.rpartition(".")[0]
                if f"{owner}.{new}" in all_defs and f"{owner}.{new}" not in table.symbols:
                    conflicts.append(f"{path}:{start}: {name} -> {new}: defined already")
                if owner == module and new in bound:
                    conflicts.append(f"{path}:{start}: {name} -> {new}: bound in its module already")
        # Imports, and through them the names in annotations.
        local = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                new = table.new_module(node.module)
                if new != node.module:
                    at = lines[node.lineno - 1].find(node.module.encode(), node.col_offset)
                    editor.put(path, node.lineno, at, node.module, new)
                exported = refs["imports"].get(f"module:{node.module}", {})
                for alias in node.names:
                    target = f"{node.module}.{alias.name}"
                    if target not in modules or target in table.symbols:
                        target = exported.get(alias.name) or target
                    if target.rpartition(".")[2] != alias.name:
                        continue
                    new = table.symbols.get(target) or table.modules.get(target)
                    if new:
                        editor.put(path, alias.lineno, alias.col_offset, alias.name, new)
                        if alias.asname is None:
                            local[alias.name] = new
                        elif alias.asname == alias.name:
                            at = lines[alias.end_lineno - 1].rfind(alias.name.encode(), 0, alias.end_col_offset)
                            editor.put(path, alias.end_lineno, at, alias.asname, new)
                        if alias.asname is None and new in bound and new not in {alias.name}:
                            # The new name is taken in this file: another one for it, here.
                            other = f"{new}_module" if target in table.modules else f"{new}_"
                            if target in table.modules:
                                editor.put(path, alias.lineno, alias.col_offset, alias.name, f"{new} as {other}")
                                local[alias.name] = other
                            else:
                                conflicts.append(f"{path}:{alias.lineno}: {alias.name} -> {new}: bound in this file")
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    new = table.new_module(alias.name)
                    if new != alias.name:
                        editor.put(path, alias.lineno, alias.col_offset, alias.name, new)
        for name, node in defs[path]:
            if name in table.symbols and name.rpartition(".")[0] == module:
                local[node.name] = table.symbols[name]
        inner = {name.rpartition(".")[2] for name, node in defs[path] if name.rpartition(".")[0] != module}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in local and not isinstance(node.ctx, ast.Store):
                names = resolved.get((path, node.lineno, node.col_offset, node.id))
                if names is None or any(table.symbols.get(n) or table.modules.get(n) for n in names):
                    # Not an expression to mypy: an annotation, or code that it takes for unreachable.
                    editor.put(path, node.lineno, node.col_offset, node.id, local[node.id])
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                # module.Class in an annotation
                target = names_here.get(node.value.id)
                full = f"{target}.{node.attr}" if target in modules else None
                column = node.end_col_offset - len(node.attr.encode())
                if full in table.symbols and (path, node.end_lineno, column, node.attr) not in resolved:
                    editor.put(path, node.end_lineno, column, node.attr, table.symbols[full])
            elif path.endswith("__init__.py") and isinstance(node, ast.Constant) and isinstance(node.value, str):
                # What a package exports, by strings: modules and names of its own.
                words = node.value.split()
                if node.lineno == node.end_lineno and words and all(word.isidentifier() for word in words):
                    line = lines[node.lineno - 1]
                    at = node.col_offset
                    for word in words:
                        at = line.index(word.encode(), at)
                        full = f"{module}.{word}"
                        new = table.modules.get(full) or table.symbols.get(names_here.get(word) or full)
                        if new:
                            editor.put(path, node.lineno, at, word, new)
                        at += len(word.encode())
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "parametrize" and node.args:
                for each in ast.walk(node.args[0]):
                    if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.lineno == each.end_lineno:
                        for found in re.finditer(rb"\w+", lines[each.lineno - 1][each.col_offset : each.end_col_offset]):
                            if (word := found[0].decode()) in table.words:
                                editor.put(path, each.lineno, each.col_offset + found.start(), word, table.words[word])
            # Words.
            if isinstance(node, ast.Name) and node.id in table.words:
                editor.put(path, node.lineno, node.col_offset, node.id, table.words[node.id])
            elif isinstance(node, ast.Attribute) and node.attr in table.words:
                editor.put(path, node.end_lineno, node.end_col_offset - len(node.attr), node.attr, table.words[node.attr])
            elif isinstance(node, (ast.arg, ast.keyword)) and node.arg in table.words:
                editor.put(path, node.lineno, node.col_offset, node.arg, table.words[node.arg])
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS):
                words = {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)} | {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
                clash = [w for w, n in table.words.items() if w in words and n in words]
                if clash:
                    conflicts.append(f"{path}:{node.lineno}: {node.name} has {clash} and their new names")

    new_paths = {}
    for old, last in list(table.modules.items()):
        file = Path(*old.split(".")).with_suffix(".py")
        folder = Path(*old.split("."))
        package, _, simple = old.rpartition(".")
        if file.is_file():
            new_paths[str(file)] = str(file.with_name(f"{last}.py"))
            test = Path("tests", *package.split(".")[1:], f"test_{simple}.py")
        if not test.is_file():
            # The tests may be on no shelf, or the module may have moved to one.
            test = Path("tests", *package.split(".")[1:2], f"test_{simple}.py")
            renamed = test.with_name(f"test_{last}.py")
            if test.is_file() and not renamed.exists():
                new_paths[str(test)] = str(renamed)
                table.modules[module_of(test)] = f"test_{last}"
        elif folder.is_dir():
            new_paths[str(folder)] = str(folder.with_name(last))

    # Texts: dotted names, paths, names in backticks.
    packages = {name for name, path in modules.items() if path.endswith("__init__.py")}
    dotted = re.compile(r"\b(?:sspcloud_magics|tests|tools|benchmarks)(?:\.\w+)+")
    short = re.compile(r"(?<=`)(\w+)\.(\w+)(?=[`.])")
    paths = re.compile(r"(?<![\w.-])((?:sspcloud_magics/|tests/|tools/)?(?:\w+/)*)(\w+)(\.py\b|/)")
    ticked = re.compile(r"`(\w+)(?=\(\)`|`)")
    out, wrong = {}, []
    for path in files:
        if path.suffix not in TEXT_SUFFIXES and path.name != "Makefile":
            continue
        name = str(path)
        data = path.read_bytes()
        if name in trees:
            data, bad = editor.apply(name, data)
            wrong += bad
        text = data.decode()
        own = {n.rpartition(".")[2]: v for n, v in table.symbols.items() if modules.get(n.rpartition(".")[0]) == name}

        def dots(match):
            return table.new_dotted(match[0])

        def shorts(match):
            full = f"{PACKAGE}.{match[1]}.{match[2]}"
            return match[0] if full not in table.modules else f"{match[1]}.{table.modules[full]}"

        def slashes(match, where=name):
            folder, simple, end = match.groups()
            tries = [folder, f"{PACKAGE}/{folder}"] + ([f"{Path(where).parent}/{folder}"] if where.startswith(PACKAGE) else [])
            for base in tries:
                full = (base + simple).replace("/", ".")
                if full in table.modules and (folder or end == ".py"):
                    return f"{folder}{table.modules[full]}{end}"
            return match[0]

        if path.parts[0] != "labextension":
            text = dotted.sub(dots, text)
            text = short.sub(shorts, text)
            text = paths.sub(slashes, text)
            for old, new in table.words.items():
                # Parameters in docstrings and examples.
                text = re.sub(rf"\b{old}=(?!=)", f"{new}=", text)
                text = re.sub(rf"``{old}``", f"``{new}``", text)
                if name in trees:
                    text = re.sub(rf"^( +){old}$", rf"\1{new}", text, flags=re.MULTILINE)
            if name in trees and own:
                text = ticked.sub(lambda m: f"`{own.get(m[1], m[1])}", text)
        if name == "pyproject.toml":
            # Layers that are named below their container.
            for contract in tomllib.loads(data.decode())["tool"]["importlinter"]["contracts"]:
                for layer in contract.get("layers", ()) if contract.get("containers") else ():
                    new = re.sub(
                        r"\w[\w.]*",
                        lambda m, c=contract: next((table.new_dotted(f"{top}.{m[0]}")[len(top) + 1 :] for top in c["containers"]), m[0]),
                        layer,
                    )
                    text = text.replace(f'"{layer}"', f'"{new}"')
        for where, old, new in table.edits:
            if where == name:
                if old not in text:
                    wrong.append(f"{where}: edit {old!r} not found")
                text = text.replace(old, new)
        if text.encode() != path.read_bytes():
            out[name] = text
    print(f"{len(table.modules)} modules, {len(table.symbols)} symbols, {len(table.words)} words; {len(out)} files change")
    for title, found in [("gone", table.gone), ("extended", sorted(extended)), ("ambiguous", ambiguous), ("conflicts", conflicts), ("wrong", wrong)]:
        print(f"\n{title}: {len(found)}")
        print("\n".join(f"  {each}" for each in found))
    if given.dry:
        return
    for name, text in out.items():
        Path(name).write_text(text, encoding="utf-8")
    for old, new in sorted(new_paths.items(), key=lambda pair: Path(pair[0]).is_dir()):
        if Path(new).is_dir():
            shutil.rmtree(new)  # compiled files of an earlier run: git knows nothing in it
        subprocess.check_call(["git", "mv", old, new])


if __name__ == "__main__":
    sys.exit(main())
