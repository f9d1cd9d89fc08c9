"""Keep the catalogue of messages: extract them, compile the French, and find what is missing.

    python -m tools.catalogue update     add the messages of the code to the French catalogue, and drop those that are gone
    python -m tools.catalogue compile    write the compiled catalogue, which the package reads
    python -m tools.catalogue check      print what is missing or wrong, and fail if there is anything
    python -m tools.catalogue literals   print the texts outside the catalogue that look like messages (part of check)

A text that is no message, although it looks like one, has ``# not translated: reason`` on its first line.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "sspcloud_magics"
FRENCH = PACKAGE / "locale" / "fr" / "LC_MESSAGES" / "sspcloud_magics.po"
KEYWORDS = ("_", "N_", "_n")
# Texts that are the same in both languages.
SAME = ROOT / "tools" / "same-in-french.txt"

PLACEHOLDER = re.compile(r"(?<!\{)\{(\w+)")
# What a reader types stays as it is: magics, options, settings, code in backticks.
TYPED = re.compile(r"%%?[a-z]\w+|(?<![\w-])--[a-z][\w-]+|``[^`]+``|`[^`]+`|\bSSPCloud\.\w+")

# Folders and modules without messages for a person.
SILENT = re.compile(
    r"sspcloud_magics/(i18n|databases/clients|labextension|tunnel/protocols|sandbox/(api|node|controllers|scenario|oidc|auth|store|resources|snapshot))"
)
# Calls whose texts are no messages: logs, internal exceptions, patterns.
NO_MESSAGES = {
    *("debug", "info", "exception", "warning", "error", "log"),
    *("ProtocolError", "ValueError", "TypeError", "TunnelClosed", "AttributeError", "LimitExceeded", "OSError"),
    *("KeyError", "RuntimeError", "ConstructorError", "Undecodable", "_Malformed"),
    *("compile", "sub", "match", "search", "fullmatch", "findall", "replace", "removesuffix", "removeprefix"),
    *("startswith", "endswith", "split", "execute", "Literal", "TypeVar", "cast"),
}  # fmt: skip
SQL = re.compile(
    r"\s*(SELECT|CREATE|GRANT|ALTER|REVOKE|DROP|SET|WITH|CROSS|INSERT|COPY|FROM|WHERE|AND|JOIN|LEFT|ORDER|UPDATE|DELETE|BEGIN|pg_|count\()\b"
)


def extract() -> Catalog:
    """Return the messages of the package, without translations."""
    template = Catalog()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_bytes())
        for message, line in list_messages(tree):
            template.add(message, locations=[(name, line)])
        if "magics/" in name:
            for doc, line in list_magic_docs(tree):
                template.add(doc, locations=[(name, line)])
    return template


def list_messages(tree: ast.Module) -> Iterator[tuple[str | tuple[str, str], int]]:
    """Yield the messages of a module with their lines; Babel's own extraction misses calls within calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KEYWORDS:
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            texts = [text for text in texts if isinstance(text, str)]
            if node.func.id == "_n":
                yield (texts[0], texts[1]), node.lineno
            elif texts:  # otherwise it translates a constant
                yield texts[0], node.lineno


def list_magic_docs(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the docstrings of the magics of a module, which ``%NAME?`` shows."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            "magic_arguments" in ast.unparse(decorator) for decorator in node.decorator_list
        ):
            doc = ast.get_docstring(node, clean=False)
            if doc:
                yield inspect.cleandoc(doc), node.lineno


def read_french() -> Catalog:
    """Return the French catalogue; an empty one if there is no file yet."""
    if not FRENCH.exists():
        return Catalog("fr", domain="sspcloud_magics")
    with FRENCH.open("rb") as file:
        return read_po(file, locale="fr", domain="sspcloud_magics")


def update() -> None:
    """Bring the French catalogue to the messages of the code, and set its no-break spaces."""
    # The build hook imports this file by its path alone.
    from tools.french_typography import set_blanks  # noqa: PLC0415

    french = read_french()
    french.update(extract(), no_fuzzy_matching=True)
    french.obsolete.clear()
    for message in french:
        texts = message.string
        if message.id and texts:  # the header has no id, a new message no French
            message.string = (
                set_blanks(texts) if isinstance(texts, str) else tuple(set_blanks(text) for text in texts)
            )
    french.header_comment = "# French messages of sspcloud_magics."
    FRENCH.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    write_po(content, french, sort_by_file=True, include_lineno=False, omit_header=True, width=110)
    header = (
        '# French messages of sspcloud_magics.\nmsgid ""\nmsgstr ""\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n"Language: fr\\n"\n"Plural-Forms: nplurals=2; plural=(n > 1);\\n"\n\n'
    )
    FRENCH.write_text(header + content.getvalue().decode().lstrip("\n"), "utf-8")


def compile_catalogue() -> None:
    """Write the compiled catalogue, if the source is newer."""
    compiled = FRENCH.with_suffix(".mo")
    if compiled.exists() and compiled.stat().st_mtime >= FRENCH.stat().st_mtime:
        return
    content = io.BytesIO()
    write_mo(content, read_french())
    # Another process may read it at the same time.
    fresh = compiled.with_suffix(".mo.new")
    fresh.write_bytes(content.getvalue())
    fresh.replace(compiled)


def find_faults() -> Iterator[str]:
    """Yield a line for each missing or wrong translation, and for each text outside the catalogue."""
    french = read_french()
    same = set(SAME.read_text("utf-8").splitlines()) if SAME.exists() else set()
    known = {message.id for message in french if message.id}
    for message in extract():
        if message.id and message.id not in known:
            yield f"{place(message)}: not in the catalogue (run update): {first(message.id)[:80]!r}"
    for message in french:
        if message.id:
            yield from check_message(message, same)
    yield from find_literals()


def check_message(message: Message, same: set[str]) -> Iterator[str]:
    """Yield the faults of one translation."""
    # The build hook imports this file by its path alone.
    from tools import french_typography  # noqa: PLC0415

    where = f"{place(message)}: {first(message.id)[:60]!r}"
    texts = [message.string] if isinstance(message.string, str) else list(message.string)
    if not all(texts) or message.fuzzy:
        yield f"{where}: no French text"
        return
    english = message.id if isinstance(message.id, str) else " ".join(message.id)
    wanted = set(PLACEHOLDER.findall(english))
    for text in texts:
        # A singular may say "one" instead of the number.
        missing = wanted ^ set(PLACEHOLDER.findall(text))
        if missing - ({"count"} if len(texts) > 1 else set()):
            yield f"{where}: other placeholders than the English text: {', '.join(sorted(missing))}"
        if text == first(message.id) and text not in same:
            yield f"{where}: the French text is the English one"
        if french_typography.set_blanks(text) != text:
            yield f"{where}: no-break spaces are missing: {text[:60]!r}"
        if "'" in CODE.sub("", text):
            yield f"{where}: the apostrophe is \N{RIGHT SINGLE QUOTATION MARK}: {text[:60]!r}"
        lost = set(TYPED.findall(first(message.id))) - set(TYPED.findall(text))
        if lost and len(texts) == 1:
            yield f"{where}: a word to type is missing: {', '.join(sorted(lost))}"


# Quotation marks of Python and shell code, which stay.
CODE = re.compile(r"`[^`]*`|(?<!\w)'[^']*'(?!\w)|\{\w+!r\}")


def place(message: Message) -> str:
    """Return the file of a message."""
    return message.locations[0][0] if message.locations else FRENCH.relative_to(ROOT).as_posix()


def first(message_id: str | tuple[str, ...] | list[str]) -> str:
    """Return the English text, of a plural the singular."""
    return message_id if isinstance(message_id, str) else message_id[0]


def find_literals() -> Iterator[str]:
    """Yield the texts of the code that look like messages, but are outside the catalogue."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if SILENT.match(name):
            continue
        source = path.read_text("utf-8")
        lines = source.splitlines()
        tree = ast.parse(source)
        for node in list_literals(tree):
            if "# not translated:" not in lines[node.lineno - 1]:
                yield f"{name}:{node.lineno}: outside the catalogue: {(text_of(node) or '')[:70]!r}"


def list_literals(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the literals of a module that look like messages."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    docs = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        text = text_of(node)
        if text is None or node in docs or not looks_like_message(text):
            continue
        if not is_exempt(node, parents):
            assert isinstance(node, ast.expr)  # noqa: S101 - for mypy: a text is an expression
            yield node


def is_exempt(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether a literal is translated, a part of a translated one, compared, logged or a pattern."""
    parent: ast.AST | None = parents.get(node)
    if isinstance(parent, ast.JoinedStr | ast.FormattedValue | ast.Compare):
        # The whole f-string is looked at instead.
        return not isinstance(parent, ast.FormattedValue)
    while parent is not None:
        if isinstance(parent, ast.Call):
            return ast.unparse(parent.func).rpartition(".")[2] in NO_MESSAGES | set(KEYWORDS)
        if isinstance(parent, ast.Compare):
            return True
        if isinstance(parent, ast.AnnAssign) and node is parent.annotation:
            return True
        parent = parents.get(parent)
    return False


def text_of(node: ast.AST) -> str | None:
    """Return the text of a literal, with X for each value of an f-string; None for any other node."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    return None


def looks_like_message(text: str) -> bool:
    """Whether a text has words as a sentence has, and is neither SQL nor HTML nor a log record."""
    return (
        bool(re.search(r"[a-z]{2,} [a-zX]", text))
        and not SQL.match(text)
        and not text.startswith(("<", "%pip "))
        and not re.match(r"import \w+|from [\w.]+ import ", text)
        and "style=" not in text
        and not re.search(r"(^| )%[sdr]\b", text)
    )


def main(arguments: list[str]) -> int:
    """Run a command; return 1 if `check` finds a fault."""
    command = arguments[0] if arguments else "check"
    if command == "update":
        update()
    elif command == "compile":
        compile_catalogue()
    else:
        faults = list(find_literals() if command == "literals" else find_faults())
        print(*faults, sep="\n")
        if faults:
            print(f"{len(faults)} faults of the catalogue", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
