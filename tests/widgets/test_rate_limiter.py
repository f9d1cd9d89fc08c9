"""Rate limiting: background changes twice a second, replies at once, and no more over a longer time."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.widgets.rate_limiter import AHEAD, PACE, RateLimiter


def test_news_keep_their_distance() -> None:
    pace = RateLimiter()
    assert pace.wait(100.0, reply=False) <= 0
    pace.count(100.0)
    assert pace.wait(100.0, reply=False) == PACE
    assert pace.wait(100.0 + PACE, reply=False) == 0


def test_answer_goes_at_once_and_later_news_pay() -> None:
    pace = RateLimiter()
    pace.count(100.0)
    assert pace.wait(100.1, reply=True) <= 0
    pace.count(100.1)
    assert pace.wait(100.0 + PACE, reply=False) == PACE


def test_news_wait_for_an_answer_that_is_about_to_come() -> None:
    pace = RateLimiter()
    pace.hold(100.0)
    assert pace.wait(100.0, reply=False) == PACE
    assert pace.wait(100.0, reply=True) <= 0
    pace.hold(100.0)
    assert pace.wait(100.0, reply=False) == PACE, "two clicks do not wait twice"
    pace.count(100.1)
    assert pace.wait(100.1, reply=False) == PACE, "nor what comes behind the answer"


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
def test_updates_are_two_a_second_over_any_time(steps: list[tuple[float, bool]]) -> None:
    pace, now, told = RateLimiter(), 100.0, []
    for later, answer in steps:
        now += later
        if pace.wait(now, reply=answer) <= 0:
            pace.count(now)
            told.append(now)
    for (first, sooner), (last, later) in itertools.combinations(enumerate(told), 2):
        assert last - first <= (later - sooner + AHEAD) / PACE + 1
