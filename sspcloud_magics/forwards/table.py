"""Forwards as a DataFrame with a readable display."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from sspcloud_magics.cluster.workloads.tables import ResourceTable, Row, TableColumn, TableView, Tone, table
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.i18n import N_, _, format_bytes, format_number
from sspcloud_magics.tunnel.ipc import State

_TONES = {
    State.STARTING: Tone.WAITING,
    State.ACTIVE: Tone.GOOD,
    State.RECONNECTING: Tone.WAITING,
    State.STOPPED: Tone.OVER,
    State.FAILED: Tone.BAD,
}

_DTYPES = {
    "state": "str",
    "local": "str",
    "target": "str",
    "pod": "str",
    "sent": "int64",
    "received": "int64",
    "open": "int64",
    "connections": "int64",
    "failed": "int64",
    "reconnects": "int64",
    "since": "datetime64[us, UTC]",
    "reason": "str",
    "last_error": "str",
    "protocol": "str",
}


def _open_of_all(row: Row) -> str:
    numbers = {name: format_number(row[name]) for name in ("open", "connections", "failed")}
    if row["failed"]:
        return _("{open} open of {connections}, {failed} failed", **numbers)
    return _("{open} open of {connections}", **numbers)


def _clock(row: Row) -> str:
    since = row["since"]
    return "" if since is pd.NaT else f"{since.to_pydatetime().astimezone():%H:%M:%S}"


def _trouble(row: Row) -> str:
    return str(row["reason"] or row["last_error"])


_COLUMNS = (
    TableColumn("state", "STATE", tone=lambda row: _TONES[State(row["state"])]),
    TableColumn("local", "LOCAL"),
    TableColumn("target", "TARGET"),
    TableColumn("pod", "POD"),
    TableColumn("sent", "SENT", lambda row: format_bytes(row["sent"])),
    TableColumn("received", "RECEIVED", lambda row: format_bytes(row["received"])),
    TableColumn("connections", "CONNECTIONS", _open_of_all),
    TableColumn("since", "SINCE", _clock),
    TableColumn("last_error", "LAST ERROR", _trouble),
)
_APART = frozenset({"open", "failed", "reconnects", "reason", "protocol"})


def _view(rows: list[dict[str, Any]]) -> TableView:
    """Return the display of the table: without a column for errors if there are none."""
    apart = _APART if any(map(_trouble, rows)) else _APART | {"last_error"}
    return TableView(_COLUMNS, "forward", N_("No forward is open."), apart)


def forward_table(forwards: Iterable[Forward]) -> ResourceTable:
    """Return forwards as a DataFrame.

    Returns
    -------
    ResourceTable
        One row per forward: ``state``, ``local`` (``localhost:1500``; several ports with commas), ``target``
        (``user-bob/pod/mon-api:8000``), ``pod``, ``reason``, ``last_error``, ``protocol`` as str; ``sent``,
        ``received`` (bytes), ``open``, ``connections``, ``failed``, ``reconnects`` as int64; ``since`` as
        datetime64[us, UTC].
    """
    rows: list[dict[str, Any]] = []
    for forward in forwards:
        counters = forward.counters
        routes = forward.routes
        rows.append(
            {
                "state": str(forward.state),
                "local": ", ".join(local for local, _unused in routes),
                "target": ", ".join(remote for _unused, remote in routes),
                "pod": forward.pod,
                "sent": counters.sent,
                "received": counters.received,
                "open": counters.open_connections,
                "connections": counters.connections,
                "failed": counters.failed_connections,
                "reconnects": counters.reconnects,
                "since": forward.since,
                "reason": forward.reason,
                "last_error": counters.last_error,
                "protocol": forward.protocol,
            }
        )
    return table(rows, _DTYPES, _view(rows))
