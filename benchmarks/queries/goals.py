"""The goals of queries; each goal compares two figures of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Medians: TypeAlias = Mapping[str, Mapping[str, float]]
Figure: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Goal:
    """A limit relative to another figure: a multiple of it, or a difference.

    Parameters
    ----------
    words
        What is asked for.
    ours, theirs
        Subject and row of the two figures.
    times, more
        The limit: `times` the other figure, or `more` than it.
    """

    words: str
    ours: Figure
    theirs: Figure
    times: float = 1.0
    more: float = 0.0

    def figures(self, medians: Medians) -> tuple[float, float] | None:
        """Return our figure and the limit; None if a figure is missing."""
        ours = medians.get(self.ours[0], {}).get(self.ours[1])
        theirs = medians.get(self.theirs[0], {}).get(self.theirs[1])
        return None if ours is None or theirs is None else (ours, self.times * theirs + self.more)


_KUBECTL = "kubectl + read_sql"
_ADBC = "ADBC, direct"


def _of_many_rows(subject: str, words: str) -> tuple[Goal, ...]:
    return (
        Goal(f"{words}: 0.2 x kubectl + read_sql", (f"{subject}, tunnel", "s"), (_KUBECTL, "s"), 0.2),
        Goal(
            f"{words}: memory 0.3 x",
            (f"{subject}, tunnel", "peak MiB"),
            (_KUBECTL, "peak MiB"),
            0.3,
        ),
        Goal(f"{words}: 1.3 x ADBC direct", (f"{subject}, direct", "s"), (_ADBC, "s"), 1.3),
        Goal(
            f"{words}: tunnel 1.15 x without", (f"{subject}, tunnel", "s"), (f"{subject}, direct", "s"), 1.15
        ),
    )


def _of_one_row(way: str) -> tuple[Goal, ...]:
    subject = f"one row, {way}"
    return (
        Goal(f"{subject}: 2 x psycopg", (subject, "ours ms"), (subject, "psycopg ms"), 2),
        Goal(
            f"{subject}, first run: 2 x psycopg",
            (subject, "ours, first run ms"),
            (subject, "psycopg, first run ms"),
            2,
        ),
        Goal(
            f"{subject}: %query_db 10 ms over psycopg",
            (subject, "%query_db ms"),
            (subject, "psycopg ms"),
            1,
            10,
        ),
    )


GOALS = (
    *_of_many_rows("ours", "1 M rows"),
    *_of_many_rows("ours with parameters", "1 M rows with parameters"),
    *_of_one_row("tunnel"),
    *_of_one_row("direct"),
    Goal(
        "Parquet: memory of 10 M rows as of 1 M (1.05 x)",
        ("to Parquet, 10 times", "second half's median MiB"),
        ("to Parquet", "second half's median MiB"),
        1.05,
    ),
)


def verdicts(medians: Medians) -> list[tuple[str, float, float, bool]]:
    """Return the text, our figure, the limit and the verdict of each goal that has figures."""
    judged = []
    for goal in GOALS:
        figures = goal.figures(medians)
        if figures is not None:
            judged.append((goal.words, *figures, figures[0] <= figures[1]))
    return judged
