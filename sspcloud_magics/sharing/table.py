"""The shares as a DataFrame that shows itself well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd

from sspcloud_magics.cluster.tables import Column, ResourceTable, Row, Tone, View, table
from sspcloud_magics.sharing.durations import format_duration
from sspcloud_magics.sharing.shares import StandingShare

_TONES = {"open": Tone.GOOD, "incomplete": Tone.WAITING, "ended": Tone.OVER, "orphaned": Tone.OVER}

_DTYPES = {
    "database": "str",
    "colleague": "str",
    "access": "str",
    "schemas": "str",
    "state": "str",
    "until": "datetime64[us, UTC]",
    "sessions": "Int64",
    "reason": "str",
    "role": "str",
}


def _until_in_words(row: Row) -> str:
    until: datetime = row["until"].to_pydatetime()
    left = format_duration(until - datetime.now(UTC))
    return f"{until.astimezone():%Y-%m-%d %H:%M} (in {left})" if left != "0s" else "is over"


def _sessions_in_words(row: Row) -> str:
    return str(row["sessions"]) if isinstance(row["sessions"], int) else "?"


_VIEW = View(
    columns=(
        Column("state", "STATE", tone=lambda row: _TONES[str(row["state"])]),
        Column("database", "DATABASE"),
        Column("colleague", "COLLEAGUE"),
        Column("access", "ACCESS"),
        Column("schemas", "SCHEMAS"),
        Column("until", "UNTIL", _until_in_words),
        Column("sessions", "CONNECTED", _sessions_in_words),
        Column("reason", "REASON"),
    ),
    noun="share",
    nothing="You share nothing.",
    apart=frozenset({"role"}),
)


def share_table(listed: Sequence[StandingShare], sessions: Mapping[tuple[str, str], int]) -> ResourceTable:
    """Return shares as a DataFrame.

    Parameters
    ----------
    listed
        What `shares` returned.
    sessions
        How many sessions each role has now, by database and role; a database that could not be asked
        is missing.

    Returns
    -------
    ResourceTable
        One row a share: ``database``, ``colleague``, ``access``, ``schemas``, ``state``, ``reason``, ``role`` as
        str; ``until`` datetime64[us, UTC]; ``sessions`` Int64, missing where the database could not be asked.
    """
    rows = (
        {
            "database": share.database,
            "colleague": share.colleague,
            "access": share.access,
            "schemas": ", ".join(share.schemas),
            "state": share.state,
            "until": share.until,
            "sessions": sessions.get((share.database, share.role), pd.NA),
            "reason": share.reason,
            "role": share.role,
        }
        for share in listed
    )
    return table(rows, _DTYPES, _VIEW)
