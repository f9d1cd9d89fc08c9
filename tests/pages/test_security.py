"""Check that each sentence of docs/security.md names the tests that hold it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from sspcloud_magics import bounded_json, printable
from sspcloud_magics.cluster.api import client, transport
from sspcloud_magics.cluster.auth import exec_plugin
from sspcloud_magics.databases.postgres import query
from sspcloud_magics.tunnel import http
from sspcloud_magics.tunnel.timings import Timings

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
CLAIMS = PAGE.partition("## Threats and protections\n")[2].partition("\n## ")[0]
_NAMED = re.compile(r"<!-- (test_\w+(?: test_\w+)*) -->$")


def claims() -> list[str]:
    """Return the sentences with claims, without the attackers and the unprotected cases."""
    found: list[str] = []
    is_claim = True
    for line in CLAIMS.splitlines():
        if line.startswith("- *Not protected:*"):
            is_claim = False
        elif line.startswith("**"):
            is_claim = True
            continue
        elif not line.startswith("  "):
            is_claim = True
        if is_claim and line.strip():
            found.append(line.strip())
    return found


def names_of_tests() -> set[str]:
    return {
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_each_sentence_names_its_tests() -> None:
    assert len(claims()) > 50
    assert [line for line in claims() if not _NAMED.search(line)] == []
    named = {name for line in claims() for name in _NAMED.findall(line)[0].split()}
    assert named - names_of_tests() == set()


def test_limits_are_those_of_the_page() -> None:
    for limit in (
        f"at most {transport.LONGEST_ANSWER >> 20} MiB, unpacked, and {bounded_json.MAX_VALUES:,} values",
        f"at most {bounded_json.MAX_DEPTH} levels of nesting",
        f"A response takes at most {transport.ANSWER_SECONDS:.0f} seconds",
        f"An event of a watch has at most {transport.LONGEST_EVENT >> 20} MiB",
        f"a watch ends after {client.Timings.watch + client.Timings.silence:.0f} seconds",
        f"accepts at most {http._MAX_ANSWER >> 20} MiB and {http._MAX_VALUES:,} values in {http.ANSWER_TIMEOUT:.0f} seconds",
        f"Its watches end after {Timings.watch_timeout:.0f} seconds",
        f"A login command may print at most {exec_plugin.LONGEST_OUTPUT >> 20} MiB",
        f"At most {query._MOST_NOTICES} of its notices are kept, and at most {printable.LONGEST:,} characters of each text",
    ):
        assert limit in PAGE
    assert exec_plugin.TIMEOUT == 15 * 60


_CALLS = {
    "system",
    "popen",
    "Popen",
    "run",
    "call",
    "check_call",
    "check_output",
    "getoutput",
    "fork",
    "execv",
    "spawnv",
}


@pytest.mark.parametrize("shell", ["os.system('x')", "subprocess.run('x', shell=True)"])
def test_a_shell_would_be_found(shell: str) -> None:
    assert list(list_starts(ast.parse(f"import os, subprocess\n{shell}")))


def list_starts(tree: ast.AST) -> list[ast.Call]:
    """Return the calls that start a program."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"os", "subprocess", "pty", "asyncio"}
        and (
            node.func.attr in _CALLS
            or node.func.attr.startswith(("exec", "spawn", "posix_spawn", "create_subprocess"))
        )
    ]


def test_no_shell_is_run() -> None:
    package = ROOT / "sspcloud_magics"
    found = {
        file.relative_to(package).as_posix(): call
        for file in package.rglob("*.py")
        for call in list_starts(ast.parse(file.read_text("utf-8")))
        if "sandbox" not in file.parts
    }
    assert set(found) == {"cluster/auth/exec_plugin.py", "forwards/helper.py"}
    for call in found.values():
        assert "shell" not in {keyword.arg for keyword in call.keywords}
