"""Measure the language of a repository: names, refused words, commit subjects, comments and log calls.

    python -m tools.census [FOLDER ...]    this repository, or others

It covers the Python files in git except tests, documentation, tools and the sandbox.
Refused words are also counted in TypeScript and in the documentation.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.words import (
    ROOT,
    SUBJECT_CHARACTERS,
    find_words,
    is_participle,
    is_value,
    list_files,
    list_functions,
    list_subjects,
)

LEFT_OUT = {"benchmarks", "build", "docs", "examples", "notebooks", "sandbox", "scripts", "tools"}
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


@dataclass
class Census:
    """The counts of one repository."""

    functions: int = 0
    participles: int = 0
    participle_values: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    code_lines: int = 0
    comment_lines: int = 0
    log_calls: int = 0
    test_names: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)


def is_test(path: Path) -> bool:
    """Whether a file belongs to the tests."""
    return bool({"test", "tests"} & set(path.parts)) or path.name.startswith("test_")


def count_comment_lines(source: str) -> int:
    """Count the lines that consist of a comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return sum(token.type == tokenize.COMMENT and token.line.lstrip().startswith("#") for token in tokens)


def find_docstring_lines(tree: ast.Module) -> Iterator[int]:
    """Yield the lines of docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                yield from range(first.lineno, (first.end_lineno or first.lineno) + 1)


def count_log_calls(tree: ast.Module) -> int:
    """Count the calls of a logger's methods, by the logger's name."""
    return sum(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LOG_METHODS
        and "log" in ast.unparse(node.func.value).rpartition(".")[2].lower()
        for node in ast.walk(tree)
    )


def count(folder: Path) -> Census:
    """Count one repository."""
    census = Census()
    for path in list_files(folder):
        if path.suffix not in {".py", ".md", ".ts"} or not (folder / path).is_file():
            continue
        text = (folder / path).read_text(encoding="utf-8")
        if is_test(path):
            if path.suffix == ".py":
                names = (function.name for function in list_functions(ast.parse(text)))
                census.test_names += [name for name in names if name.startswith("test_")]
            continue
        if path.suffix == ".md" or not LEFT_OUT & set(path.parts[:-1]):
            census.refused.update(word for _, word in find_words(text))
        if path.suffix == ".py" and not LEFT_OUT & set(path.parts[:-1]):
            count_python(text, census)
    census.subjects = list_subjects(folder)
    return census


def count_python(text: str, census: Census) -> None:
    """Add a Python file of the product to the counts."""
    tree = ast.parse(text)
    functions = list_functions(tree)
    named = [function for function in functions if is_participle(function.name)]
    census.functions += len(functions)
    census.participles += len(named)
    census.participle_values += sum(map(is_value, named))
    comments = count_comment_lines(text)
    docstrings = set(find_docstring_lines(tree))
    filled = sum(
        bool(line.strip()) for number, line in enumerate(text.splitlines(), 1) if number not in docstrings
    )
    census.comment_lines += comments
    census.code_lines += filled - comments
    census.log_calls += count_log_calls(tree)


def describe(census: Census) -> Iterator[tuple[str, str]]:
    """Yield each count with its name."""
    share = census.participles / (census.functions or 1)
    yield (
        "functions named by a participle",
        f"{census.participles} of {census.functions}, {share:.1%}; properties among them: {census.participle_values}",
    )
    words = ", ".join(f"{word} {number}" for word, number in census.refused.most_common())
    yield "refused words", f"{census.refused.total()} ({words})" if words else "0"
    if census.subjects:
        long = sum(len(subject) > SUBJECT_CHARACTERS for subject in census.subjects)
        yield (
            "commit subjects",
            f"mean {statistics.fmean(map(len, census.subjects)):.0f} characters, {long / len(census.subjects):.0%} over {SUBJECT_CHARACTERS}",
        )
    if census.test_names:
        yield (
            "test names",
            f"mean {statistics.fmean(map(len, census.test_names)):.0f} characters, of {len(census.test_names)}",
        )
    yield (
        "own-line comments",
        f"{census.comment_lines} for {census.code_lines} lines of code, {census.comment_lines / (census.code_lines or 1):.1%}",
    )
    yield "log calls", str(census.log_calls)


def main() -> None:
    """Print the census of each folder."""
    for folder in [Path(name) for name in sys.argv[1:]] or [ROOT]:
        print(f"{folder.resolve().name}:")
        for name, value in describe(count(folder)):
            print(f"  {name:<32} {value}")


if __name__ == "__main__":
    main()
