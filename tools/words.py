"""Refuse words, function names and commit subjects that are not in the project's language.

    python -m tools.words            print the refused words and names, and fail if there are any
    python -m tools.words allow      write the current number of each into tools/words-allowed.txt

A word in quotation marks or backticks is a quotation, and passes.
Functions are verbs in the base form: no name begins with a participle, and none is a bare preposition.
Properties and fixtures name a value, so they may be participles.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GIT = shutil.which("git") or "git"
ALLOWED = ROOT / "tools" / "words-allowed.txt"
# The glossary lists the words that it replaces.
EXCEPT = {Path("docs/glossary.md"), ALLOWED.relative_to(ROOT)}
SUFFIXES = {".css", ".md", ".mjs", ".py", ".toml", ".ts", ".txt"}
# Subjects of older commits stay as they are.
SINCE = "47c08d93281a7bea932899535721ed6855e85cc4"
SUBJECT_CHARACTERS = 72

VERBS = ("heed", "mend")
OTHERS = (
    "anew",
    "hitherto",
    "lest",
    "meanwhile",
    "nobody",
    "oneself",
    "somebody",
    "stir",
    "stirred",
    "stirring",
    "stirs",
    "thereof",
    "whoever",
    "whom",
)
QUOTES = "\"'`"
REFUSED = re.compile(
    rf"(?<![{QUOTES}\w])(?:(?:{'|'.join(VERBS)})(?:s|ed|ing)?|{'|'.join(OTHERS)})(?![{QUOTES}\w])",
    re.IGNORECASE,
)

# Words with these endings that are not participles.
NO_PARTICIPLES = {
    "anything", "bed", "bring", "embed", "everything", "feed", "heading", "heed", "need", "nothing", "ping", "ring", "seed",
    "shed", "something", "speed", "string", "testbed", "warning",
}  # fmt: skip
IRREGULAR = {
    "begun", "bound", "broken", "built", "chosen", "denied", "done", "drawn", "forbidden", "forgotten", "found", "frozen",
    "given", "gone", "grown", "held", "hidden", "hung", "kept", "known", "left", "lent", "lost", "made", "meant", "said",
    "seen", "sent", "shown", "slept", "spoken", "spelt", "stood", "taken", "thrown", "told", "torn", "understood", "unknown",
    "unsent", "untaken", "written",
}  # fmt: skip
PREPOSITIONS = {
    "about", "above", "across", "after", "against", "along", "among", "around", "at", "before", "behind", "below", "beside",
    "between", "beyond", "by", "during", "for", "in", "inside", "into", "of", "off", "on", "onto", "out", "outside", "over",
    "per", "since", "through", "to", "under", "until", "up", "upon", "via", "within", "without",
}  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


def list_files(folder: Path) -> list[Path]:
    """List the files in git, or all files if git has none, relative to the folder."""
    command = [GIT, "-C", folder, "ls-files", "-z"]
    known = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    paths = (
        map(Path, known.split("\0")) if known else (path.relative_to(folder) for path in folder.rglob("*"))
    )
    return sorted(path for path in paths if (folder / path).is_file())


def list_subjects(folder: Path, revisions: str = "HEAD") -> list[str]:
    """List the subjects of commits; none if git does not know the revisions."""
    command = [GIT, "-C", folder, "log", "--no-merges", "--format=%s", revisions, "--", "."]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()


def is_participle(name: str) -> bool:
    """Whether a name begins with a participle."""
    word = name.strip("_").partition("_")[0]
    return word in IRREGULAR or (word.endswith(("ed", "ing")) and word not in NO_PARTICIPLES)


def is_preposition(name: str) -> bool:
    """Whether a name is a bare preposition."""
    return name.strip("_") in PREPOSITIONS


def is_value(function: Function) -> bool:
    """Whether a function names a value: a property or a fixture."""
    decorators = [ast.unparse(each) for each in function.decorator_list]
    return any(each.endswith(("property", "setter")) or "fixture" in each for each in decorators)


def list_functions(tree: ast.Module) -> list[Function]:
    """List the functions and methods of a module."""
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def find_words(text: str) -> Iterator[tuple[int, str]]:
    """Yield the refused words of a text, each with its line."""
    for number, line in enumerate(text.splitlines(), 1):
        # Underscores separate the words of a name in Python.
        for found in REFUSED.findall(re.sub(r"(?<=\w)_|_(?=\w)", " ", line)):
            yield number, found.lower()


def find_functions(text: str) -> Iterator[tuple[int, str]]:
    """Yield the functions of a module whose names are refused, each with its line."""
    for function in list_functions(ast.parse(text)):
        if not is_value(function) and (is_participle(function.name) or is_preposition(function.name)):
            yield function.lineno, function.name


def find_all(root: Path) -> Iterator[tuple[Path, int, str]]:
    """Yield the refused words and names of all files, with their places."""
    for path in list_files(root):
        if path.suffix not in SUFFIXES or path in EXCEPT:
            continue
        text = (root / path).read_text(encoding="utf-8")
        found = list(find_words(text))
        if path.suffix == ".py":
            found += [(line, f"{name}()") for line, name in find_functions(text)]
        yield from ((path, line, word) for line, word in found)


def read_allowed() -> Counter[str]:
    """Read the allowed number of each word and name."""
    lines = ALLOWED.read_text(encoding="utf-8").splitlines() if ALLOWED.exists() else []
    return Counter({word: int(number) for number, word in map(str.split, lines)})


def main() -> None:
    """Print the refused words and names, or allow them."""
    found = list(find_all(ROOT))
    counts = Counter(word for _, _, word in found)
    if sys.argv[1:] == ["allow"]:
        ALLOWED.write_text("".join(f"{counts[word]} {word}\n" for word in sorted(counts)), encoding="utf-8")
        return
    added = counts - read_allowed()
    refused = [f"{path}:{line}: {word}" for path, line, word in found if word in added]
    refused += [
        f"{word}: {number} more than tools/words-allowed.txt allows" for word, number in added.items()
    ]
    subjects = list_subjects(ROOT, f"{SINCE}..HEAD")
    refused += [f"{len(each)} characters: {each}" for each in subjects if len(each) > SUBJECT_CHARACTERS]
    if refused:
        sys.exit(
            "\n".join([*refused, "docs/glossary.md has the words; functions are verbs in the base form."])
        )


if __name__ == "__main__":
    main()
