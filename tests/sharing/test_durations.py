"""Durations of shares, well written and mistyped."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.sharing.durations import LONGEST, duration_in_words, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("90s", timedelta(seconds=90)),
        ("2w", timedelta(days=14)),
        ("1d12h", timedelta(days=1, hours=12)),
        (" 7D ", timedelta(days=7)),
    ],
)
def test_numbers_with_units_are_durations(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "7", "d", "7 d", "-7d", "1.5d", "7j", "0d", "0h0m", "tomorrow", "367d", "99999d", "9" * 12 + "s"],
)
def test_nonsense_is_refused_with_what_to_do(text):
    with pytest.raises(UsageProblem) as refused:
        parse_duration(text)
    assert refused.value.hint


@given(st.integers(min_value=1, max_value=int(LONGEST.total_seconds())))
def test_any_number_of_seconds_is_understood(seconds):
    assert parse_duration(f"{seconds}s") == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (timedelta(days=6, hours=23, minutes=59), "6d23h"),
        (timedelta(days=7), "7d"),
        (timedelta(hours=1, seconds=5), "1h"),
        (timedelta(seconds=45.9), "45s"),
        (timedelta(0), "0s"),
        (timedelta(seconds=-3), "0s"),
    ],
)
def test_two_units_are_shown(duration, expected):
    assert format_duration(duration) == expected


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (timedelta(days=7), "7 days"),
        (timedelta(days=1, hours=12), "1 day and 12 hours"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(seconds=2), "2 seconds"),
    ],
)
def test_a_duration_is_said_in_words(duration, expected):
    assert duration_in_words(duration) == expected
