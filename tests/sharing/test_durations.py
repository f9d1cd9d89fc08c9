"""Durations of shares, well written and mistyped, in English and in French."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.sharing.durations import LONGEST, parse_duration, quote_duration

NOON = datetime(2026, 12, 1, 12, 0).astimezone()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("7j", timedelta(days=7)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("90s", timedelta(seconds=90)),
        ("2w", timedelta(days=14)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("1j12h", timedelta(days=1, hours=12)),
        (" 7D ", timedelta(days=7)),
        ("7 d", timedelta(days=7)),
        ("3 weeks", timedelta(days=21)),
        ("3 semaines", timedelta(days=21)),
        ("1 semaine", timedelta(days=7)),
        ("1 day and 12 hours", timedelta(days=1, hours=12)),
        ("1 jour et 12 heures", timedelta(days=1, hours=12)),
        ("45min", timedelta(minutes=45)),
    ],
)
def test_numbers_with_units_are_durations(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["1 month", "1 mois", "1mois"])
def test_month_ends_on_the_same_day(text):
    assert NOON + parse_duration(text, NOON) == datetime(2027, 1, 1, 12, 0).astimezone()


def test_month_ends_with_a_shorter_month():
    start = datetime(2027, 1, 31, 9, 30).astimezone()
    assert start + parse_duration("1 month", start) == datetime(2027, 2, 28, 9, 30).astimezone()


@pytest.mark.parametrize("text", ["2026-12-30", "30/12/2026"])
def test_date_includes_its_day(text):
    assert NOON + parse_duration(text, NOON) == datetime(2026, 12, 30, 23, 59).astimezone()


def test_date_may_be_today():
    assert parse_duration("2026-12-01", NOON) == timedelta(hours=11, minutes=59)


@pytest.mark.parametrize(
    "text",
    [
        *("", "7", "d", "-7d", "1.5d", "0d", "0h0m", "tomorrow", "demain", "367d", "99999d", "9" * 12 + "s"),
        *("999999999w", "13 months", "999999999 mois", "7 days left", "3 weeks 2"),
        *("2026-11-30", "2026-02-30", "30/02/2027", "2027-12-30", "9999-12-30", "12/30/2026"),
    ],
)
def test_nonsense_is_refused_with_what_to_do(text):
    with pytest.raises(UsageProblem) as refused:
        parse_duration(text, NOON)
    assert refused.value.hint


@given(st.integers(min_value=1, max_value=int(LONGEST.total_seconds())))
def test_any_number_of_seconds_is_understood(seconds):
    assert parse_duration(f"{seconds}s") == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        ("db --for 3 weeks --with bob", 'db --for "3 weeks" --with bob'),
        ("db --with bob --for 1 jour et 12 heures", 'db --with bob --for "1 jour et 12 heures"'),
        ('db --for "3 weeks"', 'db --for "3 weeks"'),
        ("--for 7d db", '--for "7d" db'),
        ("db --for 3 mondays", "db --for 3 mondays"),
        ("db --for-kubectl", "db --for-kubectl"),
    ],
)
def test_words_of_a_duration_stay_together(line, quoted):
    assert quote_duration(line) == quoted
