"""The check of words: what it refuses, and what it lets pass."""

from __future__ import annotations

import pytest

from tools import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"An error that {'mend'}s\nand {'nobody'.title()} reads.", [(1, "mends"), (2, "nobody")]),
        (f"test_{'nobody'}_else()", [(1, "nobody")]),
        ("PostgreSQL runs as `nobody`, or 'nobody'.", []),
        ("recommend, amend, stirrup, restir", []),
    ],
)
def test_refused_words_are_found_unless_quoted(text, expected):
    assert list(words.find_words(text)) == expected


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("listed", True),
        ("_waiting_for", True),
        ("taken_back", True),
        ("beside", True),
        ("_of", True),
        ("list_pods", False),
        ("bring", False),
        ("embed_font", False),
        ("from_json", False),
        ("is_closed", False),
    ],
)
def test_function_name_is_a_verb(name, refused):
    assert list(words.find_functions(f"async def {name}(): ...")) == ([(1, name)] if refused else [])


@pytest.mark.parametrize(
    "decorator", ["property", "functools.cached_property", "pytest.fixture(scope='module')"]
)
def test_properties_and_fixtures_pass(decorator):
    assert list(words.find_functions(f"class A:\n @{decorator}\n def closed(self): ...")) == []


def test_subjects_of_unknown_revisions_are_none(tmp_path):
    assert words.list_subjects(tmp_path) == []


def test_files_without_git_are_all_files(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text("")
    assert [path.as_posix() for path in words.list_files(tmp_path)] == ["a/b.py"]
