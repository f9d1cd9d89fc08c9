"""Names of tests say what the test shows: ``test_<subject>_<expected>``, short enough to be read in a list."""

from __future__ import annotations

import re
from pathlib import Path

MOST = 50
"""Characters; the situation belongs in the docstring or in the id of a parameter."""


def test_names_of_tests_are_short() -> None:
    files = sorted(Path(__file__).parent.rglob("*.py"))
    names = {
        name: file.name for file in files for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    assert len(names) > 1000
    assert {name: file for name, file in names.items() if len(name) > MOST} == {}
