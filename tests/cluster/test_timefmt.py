from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sspcloud_magics.cluster.timefmt import human_duration, timestamp

S, M, H, D = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Y = 365 * D


# The table of TestHumanDuration in k8s.io/apimachinery/pkg/util/duration.
@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (S, "1s"),
        (70 * S, "70s"),
        (190 * S, "3m10s"),
        (70 * M, "70m"),
        (47 * H, "47h"),
        (49 * H, "2d1h"),
        (8 * D + 2 * H, "8d"),
        (367 * D, "367d"),
        (2 * Y + 25 * D, "2y25d"),
        (8 * Y + 2 * D, "8y"),
        (timedelta(), "0s"),
        (-S, "0s"),
        (-1.9 * S, "0s"),
        (-2 * S, "<invalid>"),
        (119.9 * S, "119s"),
        (2 * M, "2m"),
        (10 * M - S, "9m59s"),
        (10 * M, "10m"),
        (10 * M + S, "10m"),
        (3 * H - M, "179m"),
        (3 * H, "3h"),
        (3 * H + M, "3h1m"),
        (8 * H - S, "7h59m"),
        (8 * H + M, "8h"),
        (2 * D, "2d"),
        (8 * D - H, "7d23h"),
        (2 * Y - H, "729d"),
        (2 * Y, "2y"),
        (3 * Y, "3y"),
        (8 * Y - D, "7y364d"),
    ],
)
def test_durations_read_as_kubectl_writes_them(duration: timedelta, words: str) -> None:
    assert human_duration(duration) == words


def test_server_timestamps_are_aware_in_any_form() -> None:
    assert timestamp("2026-01-02T03:04:05Z") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert timestamp("2026-01-02T03:04:05.123456+00:00") == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert timestamp("2026-01-02T03:04:05") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert timestamp(None) is None
