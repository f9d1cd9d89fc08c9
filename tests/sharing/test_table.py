"""Shares as a table: true dtypes, and words that a person reads."""

from datetime import UTC, datetime, timedelta

import pandas as pd

from sspcloud_magics.sharing.shares import LEFT, StandingShare
from sspcloud_magics.sharing.table import share_table


def share(**more):
    return StandingShare(
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
            "keeper": True,
            "complete": True,
            **more,
        }
    )


def test_it_says_when_a_share_ends_and_who_is_connected():
    shown = repr(share_table([share()], {("db", "share_bob"): 2}))
    assert "(in 3d2h)" in shown
    assert " 2 " in shown


def test_a_share_that_is_over_or_cut_off_is_said_to_be():
    ended = share(until=datetime.now(UTC) - timedelta(seconds=1))
    table = share_table([ended, share(complete=False)], {})
    assert list(table["state"]) == ["ended", "incomplete"]
    assert "is over" in repr(table)


def test_who_is_connected_is_missing_where_nobody_could_be_asked():
    table = share_table([share()], {})
    assert table["sessions"][0] is pd.NA
    assert "?" in repr(table)


def test_an_empty_table_keeps_its_dtypes_and_says_so():
    table = share_table([], {})
    assert str(table["sessions"].dtype) == "Int64"
    assert str(table["until"].dtype) == "datetime64[us, UTC]"
    assert repr(table) == "You share nothing."


def test_names_are_escaped():
    assert "<b>" not in share_table([share()], {})._repr_html_()


def test_what_belongs_to_nobody_any_more_has_a_state_of_its_own():
    table = share_table([share(orphaned=True)], {})
    assert table["state"][0] == "orphaned"
    assert table["state"].isin(LEFT).all()
