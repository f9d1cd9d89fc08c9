"""The switch interval: short while a command runs, and restored afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from sspcloud_magics.widgets.gil_switch_interval import SHORT, GilSwitchInterval


@pytest.fixture(autouse=True)
def interval() -> Iterator[float]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.004)
    yield 0.004
    sys.setswitchinterval(before)


def test_it_is_short_until_the_last_has_ended(interval: float) -> None:
    one, other = GilSwitchInterval(), GilSwitchInterval()
    one.begin()
    one.begin()
    other.begin()
    assert sys.getswitchinterval() == pytest.approx(SHORT)
    one.end()
    one.end()
    assert sys.getswitchinterval() == pytest.approx(SHORT)
    other.end()
    assert sys.getswitchinterval() == interval


def test_an_interval_set_by_the_user_stays() -> None:
    hurry = GilSwitchInterval()
    hurry.begin()
    sys.setswitchinterval(0.02)
    hurry.end()
    assert sys.getswitchinterval() == 0.02


def test_one_that_is_shorter_already_stays() -> None:
    sys.setswitchinterval(SHORT / 5)
    before = sys.getswitchinterval()
    hurry = GilSwitchInterval()
    hurry.begin()
    assert sys.getswitchinterval() == before
    hurry.end()
    assert sys.getswitchinterval() == before


def test_it_does_not_drift(interval: float) -> None:
    hurry = GilSwitchInterval()
    for _ in range(1000):
        hurry.begin()
        hurry.end()
    assert sys.getswitchinterval() == interval
