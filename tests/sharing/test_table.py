"""The table of shares: its dtypes, and its text."""

from datetime import UTC, datetime, timedelta

import pandas as pd

from sspcloud_magics.sharing.inventory import REMOVABLE, Share, ShareRole
from sspcloud_magics.sharing.table import share_table


def share(**more):
    return Share(
        **{
            "database": "db",
            "namespace": "user-alice",
            "colleague": "bob",
            "access": "read-only",
            "schemas": ("public", "<b>"),
            "until": datetime.now(UTC) + timedelta(days=3, hours=2, minutes=1),
            "reason": "cours",
            "role": "share_bob",
            "name": "db-share-bob",
            "has_job": True,
            "complete": True,
            **more,
        }
    )


def roles(sessions, since):
    return {("db", "share_bob"): ShareRole("share_bob", sessions, since, datetime.now(UTC))}


def test_table_says_the_end_and_the_sessions():
    since = datetime(2026, 3, 1, 11, 22, 33, tzinfo=UTC)
    table = share_table([share()], roles(2, since))
    assert "(in 3 days and 2 hours)" in repr(table)
    assert f" 2 since {since.astimezone():%Y-%m-%d %H:%M} " in repr(table)
    assert table["since"][0] == pd.Timestamp(since)
    now = datetime.now(UTC)
    assert f" 1 since {now.astimezone():%H:%M} " in repr(share_table([share()], roles(1, now)))


def test_without_sessions_since_is_missing():
    table = share_table([share()], roles(0, None))
    assert table["since"].isna().all()
    assert "since" not in repr(table)
    assert " 0 " in repr(table)


def test_a_share_that_is_over_or_cut_off_is_said_to_be():
    ended = share(until=datetime.now(UTC) - timedelta(seconds=1))
    table = share_table([ended, share(complete=False)], {})
    assert list(table["state"]) == ["ended", "incomplete"]
    assert repr(table).count("ended") == 2


def test_unknown_sessions_are_missing_values():
    table = share_table([share()], {})
    assert table["sessions"][0] is pd.NA
    assert "?" in repr(table)


def test_an_empty_table_keeps_its_dtypes_and_says_so():
    table = share_table([], {})
    assert str(table["sessions"].dtype) == "Int64"
    assert str(table["until"].dtype) == str(table["since"].dtype) == "datetime64[us, UTC]"
    assert repr(table) == "You share nothing."


def test_names_are_escaped():
    assert "<b>" not in share_table([share()], {})._repr_html_()


def test_ownerless_share_has_a_state_of_its_own():
    table = share_table([share(orphaned=True)], {})
    assert table["state"][0] == "orphaned"
    assert table["state"].isin(REMOVABLE).all()
