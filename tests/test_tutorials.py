"""The tutorials: both languages have the same code and the same kinds of outputs."""

from __future__ import annotations

import importlib
import json
import shutil

import pytest

SOURCE = """en = 1-hello
fr = 1-bonjour

%% en
# Hello
%% fr
# Bonjour
%% code raises-exception
1 / 0
%% code
%%bash
echo two
"""


@pytest.fixture(scope="module")
def notebooks():
    """The tool, whose import takes two seconds, which not every process of the tests has to take."""
    return importlib.import_module("tools.notebooks")


@pytest.fixture
def copies(notebooks, tmp_path, monkeypatch):
    """A copy of all tutorials, that a test may spoil."""
    shutil.copytree(notebooks.NOTEBOOKS, tmp_path / "notebooks")
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(notebooks, "SOURCES", tmp_path / "notebooks" / "source")
    return tmp_path / "notebooks"


def test_committed_notebooks_match_their_sources(notebooks):
    assert notebooks.faults() == []
    assert len(notebooks.tutorials()) == 6


def test_prose_is_of_one_language_and_code_of_both(notebooks):
    tutorial = notebooks.read(SOURCE)
    english, french = (tutorial.notebook(language) for language in ("en", "fr"))
    assert [cell.source for cell in english.cells] == ["# Hello", "1 / 0", "%%bash\necho two"]
    assert [cell.source for cell in french.cells] == ["# Bonjour", "1 / 0", "%%bash\necho two"]
    assert french.cells[1].metadata.tags == ["raises-exception"]


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        (SOURCE.replace("%% fr\n# Bonjour\n", ""), "both|followed by its French"),
        (SOURCE.replace("%% fr\n", "%% de\n"), "en, fr or code"),
        (SOURCE.replace("fr = 1-bonjour\n", ""), "name the notebooks"),
    ],
)
def test_a_source_that_makes_no_pair_is_refused(notebooks, spoilt, says):
    with pytest.raises(notebooks.SourceError, match=says):
        notebooks.read(spoilt)


def spoil(path, change):
    """Change the last code cell of a notebook."""
    notebook = json.loads(path.read_text("utf-8"))
    change([cell for cell in notebook["cells"] if cell["cell_type"] == "code"][-1], notebook)
    path.write_text(json.dumps(notebook), "utf-8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cell, _: cell.update(source="%sandbox status"), "differs from its source"),
        (lambda _, notebook: notebook["cells"].pop(0), "differs from its source"),
        (lambda cell, _: cell.update(outputs=[]), "1-first-steps and 1-premiers-pas have different outputs"),
        (lambda cell, _: cell.update(execution_count=None), "not run"),
    ],
    ids=["code", "prose", "outputs", "not run"],
)
def test_what_drifts_is_told(notebooks, copies, change, says):
    spoil(copies / "fr" / "1-premiers-pas.ipynb", change)
    assert any(says in fault for fault in notebooks.faults())


def test_notebook_without_source_or_missing_is_told(notebooks, copies):
    (copies / "en" / "1-first-steps.ipynb").rename(copies / "en" / "9-stray.ipynb")
    assert "notebooks/en/1-first-steps.ipynb is missing." in notebooks.faults()
    assert "notebooks/en/9-stray.ipynb has no source." in notebooks.faults()
