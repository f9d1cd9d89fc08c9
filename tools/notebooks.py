"""Build the tutorials in French and English from common sources, and check that they agree with them.

    python tools/notebooks.py build [NAME …]    write both languages, with the outputs of one run
    python tools/notebooks.py check             report notebooks that differ from their source

A source is a file in ``notebooks/source``. Its first lines name the two notebooks. Then the cells follow, each after a
line with its kind::

    en = 1-first-steps
    fr = 1-premiers-pas

    %% en
    # First steps
    %% fr
    # Premiers pas
    %% code raises-exception
    %forward nothing 8000

Prose has a cell in each language, and code a common cell; the words after ``code`` are the cell's tags. Since the code
is the same, one run provides the outputs of both notebooks, and comparing one of them with a new run
(`make notebooks`) verifies both.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SOURCES = NOTEBOOKS / "source"
LANGUAGES = ("en", "fr")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


class SourceError(Exception):
    """An invalid source; the text says where."""


@dataclass(slots=True)
class Cell:
    """One cell: `kind` is ``code``, or the language of its prose."""

    kind: str
    tags: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text of the cell."""
        return "\n".join(self.lines).strip("\n")


@dataclass(frozen=True, slots=True)
class Tutorial:
    """A source: the names of its notebooks by language, and its cells."""

    names: dict[str, str]
    cells: tuple[Cell, ...]

    def path(self, language: str) -> Path:
        """Return the path of the notebook of a language."""
        return NOTEBOOKS / language / f"{self.names[language]}.ipynb"

    def notebook(self, language: str) -> Any:
        """Return the notebook of a language without outputs."""
        cells = []
        for cell in self.cells:
            if cell.kind == "code":
                new = nbformat.v4.new_code_cell(cell.text)
                if cell.tags:
                    new.metadata["tags"] = list(cell.tags)
            elif cell.kind == language:
                new = nbformat.v4.new_markdown_cell(cell.text)
            else:
                continue
            new["id"] = f"cell-{len(cells):02}"
            cells.append(new)
        return nbformat.v4.new_notebook(cells=cells, metadata=METADATA)


def read(text: str) -> Tutorial:
    """Parse a source.

    Raises
    ------
    SourceError
        If prose is in one language only, or a line is invalid.
    """
    heading, _, body = text.partition("\n%% ")
    names = dict(line.split(" = ", 1) for line in heading.splitlines() if line.strip())
    if set(names) != set(LANGUAGES):
        raise SourceError("the first lines must name the notebooks: en = NAME, fr = NAME")
    cells: list[Cell] = []
    for line in f"%% {body}".splitlines():
        if not line.startswith("%% "):
            cells[-1].lines.append(line)
            continue
        kind, *tags = line.split()[1:]
        if kind not in (*LANGUAGES, "code"):
            raise SourceError(f"a cell must be en, fr or code: {line}")
        cells.append(Cell(kind, tuple(tags)))
    prose = [cell.kind for cell in cells if cell.kind != "code"]
    kinds = [cell.kind for cell in cells]
    pairs = sum(kinds[place : place + 2] == list(LANGUAGES) for place in range(len(kinds)))
    if len(prose) != 2 * pairs:
        raise SourceError("each English cell must be followed by its French cell")
    return Tutorial(names, tuple(cells))


def tutorials() -> list[Tutorial]:
    """Return all tutorials in order."""
    found = []
    for path in sorted(SOURCES.glob("*.txt")):
        try:
            found.append(read(path.read_text("utf-8")))
        except SourceError as error:
            raise SourceError(f"{path.relative_to(ROOT)}: {error}") from None
    return found


def run(notebook: Any, language: str) -> None:
    """Run a notebook in a new kernel with its own sandbox, and keep the outputs, in the language of its prose."""
    with tempfile.TemporaryDirectory() as folder:
        places = {
            "SSPCLOUD_LANGUAGE": language,
            "SSPCLOUD_SANDBOX_HOME": f"{folder}/sandbox",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        NotebookClient(
            notebook,
            timeout=120,
            coalesce_streams=True,
            record_timing=False,
            store_widget_state=False,
            resources={"metadata": {"path": folder}},
        ).execute(env={**os.environ, **places})


def write(tutorial: Tutorial) -> None:
    """Run a tutorial, and write the notebooks of both languages."""
    for language in LANGUAGES:
        notebook = tutorial.notebook(language)
        run(notebook, language)
        notebook.metadata = nbformat.from_dict(METADATA)  # without this machine's Python version
        path = tutorial.path(language)
        path.parent.mkdir(exist_ok=True)
        nbformat.validate(notebook)
        # Sorted, and with a final newline, as JupyterLab saves it.
        path.write_text(
            json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
        )
        print(path.relative_to(ROOT))


def faults() -> list[str]:
    """Return a sentence for each notebook that differs from its source."""
    found = []
    known = set()
    for tutorial in tutorials():
        answers = {}
        for language in LANGUAGES:
            path = tutorial.path(language)
            name = path.relative_to(ROOT)
            known.add(path)
            if not path.exists():
                found.append(f"{name} is missing.")
                continue
            is_there = nbformat.read(path, as_version=4)
            wanted = [_essence(cell) for cell in tutorial.notebook(language).cells]
            has = [_essence(cell) for cell in is_there.cells]
            if has != wanted:
                place = next(
                    (i for i, pair in enumerate(zip(has, wanted, strict=False)) if pair[0] != pair[1]), -1
                )
                found.append(f"{name} differs from its source, from cell {place} on.")
            code = [cell for cell in is_there.cells if cell.cell_type == "code"]
            if any(cell.execution_count is None for cell in code):
                found.append(f"{name} has cells that were not run.")
            answers[language] = [sorted(map(_kind, cell.outputs)) for cell in code]
        if len(answers) == len(LANGUAGES) and answers["en"] != answers["fr"]:
            found.append(f"{tutorial.names['en']} and {tutorial.names['fr']} have different outputs.")
    strays = {path for language in LANGUAGES for path in (NOTEBOOKS / language).glob("*.ipynb")} - known
    return found + [f"{path.relative_to(ROOT)} has no source." for path in sorted(strays)]


def _kind(output: Any) -> tuple[str, ...]:
    return output.output_type, *sorted(output.get("data", {}))


def _essence(cell: Any) -> tuple[str, str, tuple[str, ...]]:
    return cell.cell_type, cell.source, tuple(cell.metadata.get("tags", ()))


def main() -> int:
    """Build or check the tutorials."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("order", choices=["build", "check"])
    parser.add_argument("names", nargs="*", help="parts of the names of tutorials; all by default")
    given = parser.parse_args()
    try:
        if given.order == "build":
            for tutorial in tutorials():
                if not given.names or any(name in tutorial.names["en"] for name in given.names):
                    write(tutorial)
        problems = faults()
    except SourceError as error:
        problems = [str(error)]
    if problems:
        print("\n".join([*problems, "→ build them: python tools/notebooks.py build"]), file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
