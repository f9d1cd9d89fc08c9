"""The judge: an unmodified kubectl, run as one of the sandbox's people."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.testbed import Sandbox

KUBECTL = Path(sys.executable).with_name("kubectl")


@dataclass(frozen=True)
class Said:
    """The output of kubectl."""

    out: str
    err: str
    code: int

    def check_output(self) -> str:
        """Return what it printed; it must have succeeded."""
        assert self.code == 0, self.err
        return self.out

    @property
    def text(self) -> str:
        """All of it."""
        return (self.out + self.err).strip()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def table(self) -> list[dict[str, str]]:
        """Read a table by the places of its headings."""
        heading = self.lines[0]
        starts = [0] + [i for i in range(2, len(heading)) if heading[i] != " " and heading[i - 2 : i] == "  "]
        ends = [*starts[1:], None]
        cut = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in self.lines]
        return [dict(zip(cut[0], row, strict=True)) for row in cut[1:]]


def kubectl(
    sandbox: Sandbox,
    person: str,
    *words: str | Path,
    stdin: str | None = None,
    kubeconfig: Path | None = None,
) -> Said:
    """Run kubectl as a person, or with a kubeconfig of the caller's, and return what it said."""
    done = subprocess.run(
        [KUBECTL, *words],
        env=sandbox.env(person) | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return Said(done.stdout, done.stderr, done.returncode)
