"""Tests that this machine cannot run: they are skipped, and the last line of a run names what they lack.

A skipped test is easily overlooked among thousands. So what was not run is kept in a file, which ``make test`` prints
as its last line and on which ``.ci/run`` fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest

FILE = Path(__file__).resolve().parent.parent.parent / "build" / "not-run"
_BEGINNING = "not run: "


def skip(lacking: str) -> NoReturn:
    """Skip the current test for want of something.

    Parameters
    ----------
    lacking
        What is lacking, and why.
    """
    pytest.skip(_BEGINNING + lacking)


def sum_up(reports: Iterable[pytest.TestReport]) -> str:
    """Return the line that says what was not run; empty where everything was.

    Parameters
    ----------
    reports
        Of the tests that were skipped, for whatever reason.
    """
    reasons = (report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple))
    told = (reason.removeprefix("Skipped: ") for reason in reasons)
    lacking = sorted({each.removeprefix(_BEGINNING) for each in told if each.startswith(_BEGINNING)})
    return _BEGINNING + "; ".join(lacking) if lacking else ""
