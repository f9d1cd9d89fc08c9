"""The DataFrame of ``%shares``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd

from sspcloud_magics.cluster.workloads.tables import ResourceTable, Row, TableColumn, TableView, Tone, table
from sspcloud_magics.i18n import _, format_duration, format_number
from sspcloud_magics.sharing.inventory import Share, ShareRole

_TONES = {"open": Tone.GOOD, "incomplete": Tone.WAITING, "ended": Tone.OVER, "orphaned": Tone.OVER}

_DTYPES = {
    "database": "str",
    "colleague": "str",
    "access": "str",
    "schemas": "str",
    "state": "str",
    "until": "datetime64[us, UTC]",
    "sessions": "Int64",
    "since": "datetime64[us, UTC]",
    "reason": "str",
    "role": "str",
}


def _until_in_words(row: Row) -> str:
    until: datetime = row["until"].to_pydatetime()
    left = until - datetime.now(UTC)
    if left < timedelta(seconds=1):
        return _("ended")
    return _(
        "{moment} (in {left})", moment=f"{until.astimezone():%Y-%m-%d %H:%M}", left=format_duration(left)
    )


def _sessions_in_words(row: Row) -> str:
    if not isinstance(row["sessions"], int):
        return "?"
    if row["sessions"] == 0 or row["since"] is pd.NaT:
        return format_number(row["sessions"])
    since: datetime = row["since"].to_pydatetime().astimezone()
    today = since.date() == datetime.now().astimezone().date()
    clock = f"{since:%H:%M}" if today else f"{since:%Y-%m-%d %H:%M}"
    return _("{sessions} since {clock}", sessions=row["sessions"], clock=clock)


_VIEW = TableView(
    columns=(
        TableColumn("state", "STATE", tone=lambda row: _TONES[str(row["state"])]),
        TableColumn("database", "DATABASE"),
        TableColumn("colleague", "COLLEAGUE"),
        TableColumn("access", "ACCESS"),
        TableColumn("schemas", "SCHEMAS"),
        TableColumn("until", "UNTIL", _until_in_words),
        TableColumn("sessions", "CONNECTED", _sessions_in_words),
        TableColumn("reason", "REASON"),
    ),
    noun="share",
    apart=frozenset({"role", "since"}),
)


def share_table(listed: Sequence[Share], roles: Mapping[tuple[str, str], ShareRole]) -> ResourceTable:
    """Build the DataFrame of shares.

    Returns
    -------
    ResourceTable
        One row per share: ``database``, ``colleague``, ``access``, ``schemas``, ``state``, ``reason``, ``role`` as
        str; ``until`` as datetime64[us, UTC]; ``sessions`` as Int64, missing if the database was unreachable; ``since``
        as datetime64[us, UTC], the start of the oldest session, missing without sessions.
    """

    def row(share: Share) -> dict[str, object]:
        role = roles.get((share.database, share.role))
        return {
            "database": share.database,
            "colleague": share.colleague,
            "access": share.access,
            "schemas": ", ".join(share.schemas),
            "state": share.state,
            "until": share.until,
            "sessions": role.sessions if role else pd.NA,
            "since": role.since if role else None,
            "reason": share.reason,
            "role": share.role,
        }

    return table(map(row, listed), _DTYPES, replace(_VIEW, nothing=_("You share nothing.")))
