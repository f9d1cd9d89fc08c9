"""Every answer in English and French, as a person has read it once.

After a change of an answer, run ``pytest tests/languages --keep-answers``, and read the difference in both languages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sspcloud_magics import i18n
from sspcloud_magics.i18n import Source
from sspcloud_magics.magics import _CLASSES
from tests.languages.situations import SITUATIONS
from tests.magics.conftest import fresh_session, notebook
from tests.testbed import Sandbox, open_sandbox
from tools import catalogue

__all__ = ["fresh_session", "notebook"]


@pytest.fixture(scope="module")
def own_sandbox() -> Iterator[Sandbox]:
    """A sandbox in which no other test has left anything."""
    with open_sandbox() as running:
        yield running


ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "answers"

# What differs from run to run, and what stands for it.
VOLATILE = (
    (r"localhost:\d+|127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?( UTC|Z)?", "MOMENT"),
    (r"\w+\s+\d+(er)?\s+\w+\s+\d{4},?\s+(à )?\d\d:\d\d\s+\(UTC\)", "MOMENT"),
    (r"\d\d:\d\d:\d\d", "CLOCK"),
    (r"\b\d+s\b|\b\d+m\d+s\b|\b\d+m\b(?=  )", "AGE"),
    (r"(port|%unforward) \d{5}\b", r"\1 N"),
    (r"[\d.,\u202f]+[ \u00a0](ms|s|min|jours?|days?|heures?|hours?|minutes?|secondes?|seconds?)\b", "TIME"),
    (r"[\d.,\u202f]+[ \u00a0]([KMG]i[Bo])(/s)?", r"N \1\2"),
    (r"/[^\s<>\"']*/(pytest-[^\s<>\"',;)]*|sspcloud[^\s<>\"',;)]*)", "PATH"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]+\b", "UID"),
    (r"(pid|PID|process|processus) \d+", r"\1 N"),
    (r"sspcloud-magics-relay-\w+", "RELAY"),
    (r"(?<=\S) {2,}", "  "),
    (r"(?m)[ \t]+$", ""),
)


def still(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, replacement in VOLATILE:
        text = re.sub(pattern, replacement, text)
    return text


def choose_shown(printed: str, result: Any) -> str:
    """Return what a terminal shows."""
    return printed.strip() or ("" if result is None else str(result))


def answer(notebook: Any, line: str) -> str:
    """Run a line, and return its answer, of a failure the error."""
    result = notebook._run(line)
    return still(choose_shown(notebook.printed, result.result))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_answers_are_those_that_were_read(situation, notebook, own_sandbox, monkeypatch, request):
    who, _colon, name = situation.partition(": ")
    monkeypatch.chdir(Path(notebook.shell.ipython_dir).parent)
    if who != "anonymous":
        monkeypatch.setenv("KUBECONFIG", str(own_sandbox.kubeconfig(who)))
    notebook.shell.user_ns["frame"] = pd.DataFrame({"a": [1]})
    found: dict[str, list[str]] = {"en": [], "fr": []}
    for language, answers in found.items():
        i18n.choose(Source.SETTING, language)
        answers += [f"In: {line}\n{answer(notebook, line)}\n" for line in SITUATIONS[situation]]
    i18n.choose(Source.SETTING, "")
    for language, answers in found.items():
        file = FOLDER / f"{name.replace(' ', '-').replace(',', '')}.{language}.txt"
        text = "\n".join(answers)
        if request.config.getoption("--keep-answers"):
            FOLDER.mkdir(exist_ok=True)
            file.write_text(text, "utf-8")
        assert file.read_text("utf-8") == text


def test_each_magic_is_answered():
    lines = " ".join(line for lines in SITUATIONS.values() for line in lines)
    names = {name for kind in _CLASSES for names in kind.magics.values() for name in names}
    assert sorted(name for name in names if not re.search(rf"%{name}\b", lines)) == []


def english_pieces() -> set[str]:
    """Return the longest piece between two values of each English message, if it has at least four words."""
    found = set()
    for message in catalogue.read_french():
        french = [message.string] if isinstance(message.string, str) else list(message.string)
        for text in [message.id] if isinstance(message.id, str) else message.id:
            longest = max(re.split(r"(?<!\{)\{\w+[^}]*\}|\n", text), key=len).strip()
            if len(re.findall(r"[a-z]{2,}", longest)) >= 4 and not any(longest in each for each in french):
                found.add(longest)
    return found


def test_no_french_answer_has_an_english_sentence():
    pieces = english_pieces()
    texts = {file.name: file.read_text("utf-8") for file in sorted(FOLDER.glob("*.fr.txt"))}
    assert [f"{name}: {piece}" for name, text in texts.items() for piece in pieces if piece in text] == []


def test_no_french_tutorial_has_an_english_sentence():
    pieces = english_pieces()
    faults = []
    for file in sorted((ROOT / "notebooks" / "fr").glob("*.ipynb")):
        cells = json.loads(file.read_text("utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        shown = json.dumps(outputs, ensure_ascii=False)
        faults += [f"{file.name}: {piece}" for piece in pieces if piece in shown]
    assert faults == []
