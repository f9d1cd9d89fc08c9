"""No test sleeps: it waits for what it expects, and hands down the times that it wants others to keep to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
# Where a pause is what a test is about: each plays something slow.
SLOW = {
    "faults.py": "a slow network",
    "forwards/helper_double.py": "a helper that hangs",
    "forwards/kernel.py": "a worker process that does nothing",
    "support/waiting.py": "the one loop that asks again",
}
TIME = re.compile(
    r"(^|_)(AHEAD|GRACE|INTERVAL|LEASE|PACE|PATIENCE|PAUSE|POLL|QUIET|SECONDS|SILENCE|TIMEOUT|WAIT)(_|$)"
)


def sleeps(tree: ast.AST) -> Iterator[str]:
    """Yield the calls that pause for a time, and those that change how long a module waits."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        arguments = [ast.unparse(each) for each in call.args]
        pauses = name.rpartition(".")[2] == "sleep" and arguments != ["0"]
        new_event = name.endswith("Event().wait") and arguments
        places = [each.strip("'\"") for each in arguments[:2]]
        changes = name.endswith(".setattr") and any(TIME.search(each.rpartition(".")[2]) for each in places)
        if pauses or new_event or changes:
            yield f"{call.lineno}: {ast.unparse(call)}"


def test_no_test_sleeps_or_changes_a_modules_times() -> None:
    found = {
        name: places
        for file in sorted(TESTS.rglob("*.py"))
        if (name := file.relative_to(TESTS).as_posix()) not in SLOW
        and (places := list(sleeps(ast.parse(file.read_text("utf-8")))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("time.sleep(0.1)", True),
        ("await asyncio.sleep(1)", True),
        ("threading.Event().wait(2)", True),
        ("monkeypatch.setattr(watching, 'POLL', 0.1)", True),
        ("monkeypatch.setattr('a.b.WATCH_SILENCE', 0.1)", True),
        ("await asyncio.sleep(0)", False),
        ("done.wait(20)", False),
        ("monkeypatch.setattr(fetching, 'CHUNK', 4)", False),
    ],
)
def test_sleep_is_known(line: str, is_one: bool) -> None:
    assert bool(list(sleeps(ast.parse(f"async def test():\n    {line}")))) is is_one
