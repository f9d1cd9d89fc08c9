"""Notebooks as files: written, and run by a real kernel.

What does it is imported at first use: it takes two seconds, which not every process of the tests has to take.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def new_notebook(cells: Iterable[str], *, title: str = "", metadata: dict[str, Any] | None = None) -> Any:
    """Return a notebook that has not run: below its title, where there is one, these cells of code."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    made = [new_markdown_cell(title)] if title else []
    return new_notebook(cells=[*made, *map(new_code_cell, cells)], metadata=metadata or {})


def write(notebook: Any, file: Path) -> None:
    """Write a notebook to a file."""
    import nbformat

    nbformat.write(notebook, file)


def run_and_save(cells: Iterable[str], folder: Path) -> Path:
    """Run the cells in a folder, also those after one that fails; return the file with their outputs."""
    from nbclient import NotebookClient

    book, file = new_notebook(cells), folder / "saved.ipynb"
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(book, timeout=60, allow_errors=True, resources=where).execute()
    write(book, file)
    return file
