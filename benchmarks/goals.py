"""The goals of the tunnel; each goal judges one row of the medians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Medians: TypeAlias = Mapping[str, Mapping[str, float]]

OURS, KUBECTL = "ours", "kubectl"


@dataclass(frozen=True)
class Goal:
    """A goal for one row; all given limits must hold.

    Parameters
    ----------
    row
        The row of the medians.
    high
        Whether a higher figure is better.
    kubectl
        A limit as a multiple of kubectl's figure.
    best
        Whether the best figure of the other subjects is a limit.
    limit
        An absolute limit.
    node
        Whether it applies only on a real node, since the sandbox's own server dominates the figure.
    """

    row: str
    high: bool = False
    kubectl: float | None = None
    best: bool = False
    limit: float | None = None
    node: bool = False

    def __str__(self) -> str:
        sign = "≥" if self.high else "≤"
        said = []
        if self.kubectl is not None:
            said.append(f"{sign} {self.kubectl:g} x kubectl" if self.kubectl != 1 else f"{sign} kubectl")
        if self.best:
            said.append(f"{sign} best peer")
        if self.limit is not None:
            said.append(f"{sign} {self.limit:g}")
        return ", ".join(said) + (" (on a node)" if self.node else "")

    def met(self, medians: Medians) -> bool | None:
        """Return whether our median meets the goal; None if a figure is missing."""
        ours = medians.get(OURS, {}).get(self.row)
        if ours is None:
            return None
        limits = []
        if self.kubectl is not None:
            theirs = medians.get(KUBECTL, {}).get(self.row)
            if theirs is None:
                return None
            limits.append(self.kubectl * theirs)
        if self.best:
            peers = [rows[self.row] for name, rows in medians.items() if name != OURS and self.row in rows]
            if not peers:
                return None
            limits.append(max(peers) if self.high else min(peers))
        if self.limit is not None:
            limits.append(self.limit)
        return all(ours >= limit if self.high else ours <= limit for limit in limits)


def _never_refused(row: str) -> tuple[Goal, Goal]:
    return Goal(f"{row}, served after Ready s", limit=0.3), Goal(f"{row}, refused", limit=0)


def _while_busy(work: str) -> tuple[Goal, ...]:
    """Return the goals for a busy kernel, relative to an idle one and to another busy program."""
    return tuple(
        goal
        for reference in ("idle", "elsewhere")
        for goal in (
            Goal(f"kernel {work}: download of {reference}", high=True, limit=0.9),
            Goal(f"kernel {work}: echo p99 of {reference}", limit=2),
        )
    )


GOALS = {
    goal.row: goal
    for goal in (
        Goal("download MiB/s", high=True, kubectl=1.2, best=True, node=True),
        Goal("download, 4 MiB/s", high=True, kubectl=1.2, best=True, node=True),
        Goal("upload MiB/s", high=True, kubectl=1.2, best=True, node=True),
        Goal("download CPU s/GiB", kubectl=0.6, best=True),
        Goal("download, 4 CPU s/GiB", kubectl=0.6, best=True),
        Goal("upload CPU s/GiB", kubectl=0.6, best=True),
        Goal("echo p50 us", best=True),
        Goal("echo p99 us", best=True),
        Goal("connect p50 ms", kubectl=0.6),
        Goal("connect p99 ms", kubectl=0.6),
        Goal("200 at once, served", high=True, limit=200),
        Goal("200 at once s", kubectl=1),
        Goal("200 at once again, served", high=True, limit=200),
        Goal("200 at once again s", kubectl=1),
        Goal("1000 at once, served", high=True, limit=1000),
        *_never_refused("pod replaced, same name"),
        *_never_refused("pod replaced, new name"),
        Goal("stalled neighbour, loss %", limit=5),
        Goal("idle CPU %", limit=0.5),
        Goal("added to the kernel MiB", limit=15),
        # The one tunnel of an idle pool, and the watch on the target.
        Goal("idle connections to the server", limit=2),
        Goal("ready ms", kubectl=1),
        *_while_busy("computes"),
        *_while_busy("fetches"),
        Goal("kernel killed, helper gone s", limit=1),
        Goal("kernel killed, port free s", limit=1),
        Goal("helper killed, served again s", limit=1),
    )
}


def verdicts(medians: Medians) -> dict[str, bool]:
    """Return whether each goal is met; goals without figures are left out."""
    judged = {row: goal.met(medians) for row, goal in GOALS.items()}
    return {row: met for row, met in judged.items() if met is not None}
