"""Tests of French typography: the tool finds a blank that may break, fixes it, and leaves code alone."""

from __future__ import annotations

import pytest

from tools import french_typography

BLANK = "\N{NO-BREAK SPACE}"


def test_all_that_is_french_has_its_blanks():
    assert french_typography.find_faults() == []
    assert len(list(french_typography.list_files())) == 8


@pytest.mark.parametrize(
    ("text", "set_right"),
    [
        ("Pourquoi ? Parce que : oui ; non !", "Pourquoi_? Parce que_: oui_; non_!"),
        ("la page « Mon compte » dit", "la page «_Mon compte_» dit"),
        ("`a : b` et `x` : y", "`a : b` et `x`_: y"),
        ("```\na : b\n```", "```\na : b\n```"),
        ("voir https://x.example/a?b", "voir https://x.example/a?b"),
        ("oui\u202f; non\u202f: 1\u202f000", "oui_; non_: 1\u202f000"),
        ("écrivez\u00a0: a =\u00a0:least, «\u00a0:80\u00a0»", "écrivez_: a = :least, «_:80_»"),
    ],
)
def test_signs_are_never_alone_on_a_line(text, set_right):
    assert french_typography.set_blanks(text) == set_right.replace("_", BLANK)


def test_english_prose_and_code_cells_are_left_alone(tmp_path, monkeypatch):
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    for name in ("README.fr.md", "sspcloud_magics/locale/fr_FR/LC_MESSAGES/sspcloud_magics.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    source = tmp_path / "notebooks" / "source" / "1.txt"
    source.write_text("%% en\nA : b\n%% fr\nUn : deux\n%% code\nx = {1 : 2}\n")
    monkeypatch.setattr(french_typography, "ROOT", tmp_path)
    assert french_typography.find_faults() == ["notebooks/source/1.txt:4: Un : deux"]
    monkeypatch.setattr("sys.argv", ["french.py", "fix"])
    assert french_typography.main() == 0
    assert source.read_text() == f"%% en\nA : b\n%% fr\nUn{BLANK}: deux\n%% code\nx = {{1 : 2}}\n"
