"""Events and conditions of an object: what happened to it, in the order of time, and what is true of it now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from sspcloud_magics.cluster.api.api_errors import report_malformed
from sspcloud_magics.cluster.api.resources import EVENTS
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.kinds import Kind
from sspcloud_magics.cluster.requests.object_reads import list_objects
from sspcloud_magics.cluster.timefmt import human_duration, timestamp
from sspcloud_magics.cluster.workloads.tables import ResourceTable, Row, TableColumn, TableView, Tone, table
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.i18n import N_
from sspcloud_magics.printable import printable, shorten

_EVENT_DTYPES = {
    "time": "datetime64[us, UTC]",
    "type": "str",
    "reason": "str",
    "object": "str",
    "count": "int64",
    "message": "str",
}
_CONDITION_DTYPES = {
    "type": "str",
    "status": "str",
    "reason": "str",
    "message": "str",
    "since": "datetime64[us, UTC]",
}


def _ago(column: str) -> TableColumn:
    def words(row: Row) -> str:
        return "" if row[column] is pd.NaT else human_duration(pd.Timestamp.now("UTC") - row[column])

    return TableColumn(column, "AGE", words)


def _event_tone(row: Row) -> Tone:
    return Tone.GOOD if row["type"] == "Normal" else Tone.BAD


_EVENT_COLUMNS = (
    _ago("time"),
    TableColumn("type", "TYPE", tone=_event_tone),
    TableColumn("reason", "REASON"),
    TableColumn("object", "OBJECT"),
    TableColumn("count", "COUNT"),
    TableColumn("message", "MESSAGE"),
)
_CONDITION_COLUMNS = (
    TableColumn("type", "CONDITION"),
    TableColumn("status", "STATUS"),
    TableColumn("reason", "REASON"),
    TableColumn("message", "MESSAGE"),
    _ago("since"),
)


def read_events(
    cluster: Cluster, namespace: str | None = None, *, kind: str = "", name: str = "", uid: str = ""
) -> ResourceTable:
    """Return the events of an object, or of a namespace, the oldest first.

    Parameters
    ----------
    namespace
        The namespace; the cluster's default if None. The events of objects without namespaces are in ``default``.
    kind, name, uid
        The kind of the object as in manifests, its name, and its identifier, which excludes an earlier object of that name.

    Returns
    -------
    ResourceTable
        One row per event: ``time`` datetime64[us, UTC]; ``type`` (Normal or Warning), ``reason``, ``object``, ``message``
        str; ``count`` int64.

    Raises
    ------
    Forbidden
        If you may not list events there.
    """
    fields = {"involvedObject.kind": kind, "involvedObject.name": name, "involvedObject.uid": uid}
    selector = ",".join(f"{field}={value}" for field, value in fields.items() if value)
    listed = list_objects(cluster, EVENTS, namespace, field_selector=selector)
    with report_malformed(cluster):
        rows = sorted(map(_event, listed), key=lambda row: row["time"] or pd.Timestamp(0, tz="UTC"))
    return _event_table(rows, N_("No events."), frozenset({"object"}) if name else frozenset())


def _event_table(rows: list[dict[str, Any]], nothing: str, apart: frozenset[str]) -> ResourceTable:
    return table(rows, _EVENT_DTYPES, TableView(_EVENT_COLUMNS, "event", nothing, apart))


def _event(item: Mapping[str, Any]) -> dict[str, Any]:
    series = item.get("series") or {}
    moment = (
        series.get("lastObservedTime")
        or item.get("lastTimestamp")
        or item.get("eventTime")
        or item.get("firstTimestamp")
        or item["metadata"].get("creationTimestamp")
    )
    about = item.get("involvedObject") or {}
    return {
        "time": timestamp(moment),
        "type": str(item.get("type") or ""),
        "reason": str(item.get("reason") or ""),
        "object": f"{str(about.get('kind') or '').lower()}/{about.get('name') or ''}",
        "count": int(series.get("count") or item.get("count") or 1),
        "message": shorten(str(item.get("message") or "").strip()),
    }


def read_conditions(item: Mapping[str, Any]) -> ResourceTable:
    """Return the conditions of an object, the oldest change first; of a pod also the states of its containers."""
    status = item.get("status") or {}
    rows = sorted(
        (_condition(each) for each in status.get("conditions") or ()),
        key=lambda row: row["since"] or pd.Timestamp(0, tz="UTC"),
    )
    rows += _containers(status)
    return table(rows, _CONDITION_DTYPES, TableView(_CONDITION_COLUMNS, "condition", N_("No conditions.")))


def _condition(each: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": str(each.get("type") or ""),
        "status": str(each.get("status") or ""),
        "reason": str(each.get("reason") or ""),
        "message": shorten(str(each.get("message") or "").strip()),
        "since": timestamp(each.get("lastTransitionTime") or each.get("lastUpdateTime")),
    }


def _containers(status: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for part in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(part) or ():
            for state, found in (each.get("state") or {}).items():
                details = found or {}
                code = details.get("exitCode")
                ended = "" if code is None else f"exit code {code}"  # not translated: a value of a DataFrame
                yield {
                    "type": f"container {each.get('name')}",  # not translated: a value of a DataFrame
                    "status": state,
                    "reason": str(details.get("reason") or ""),
                    "message": shorten(str(details.get("message") or "").strip() or ended),
                    "since": timestamp(details.get("startedAt") or details.get("finishedAt")),
                }


@dataclass(frozen=True, slots=True)
class Description:
    """The conditions and the events of an object.

    Parameters
    ----------
    ref, namespace
        The object in kubectl's words, and its namespace, which may be empty.
    conditions, events
        Tables, which are DataFrames.
    """

    ref: str
    namespace: str
    conditions: ResourceTable
    events: ResourceTable

    @property
    def _title(self) -> str:
        return f"{self.ref} ({self.namespace})" if self.namespace else self.ref

    def __repr__(self) -> str:
        return printable(f"{self._title}\n\n{self.conditions!r}\n\n{self.events!r}")

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(repr(self))

    def _repr_html_(self) -> str:
        style = "color:var(--jp-content-font-color1, inherit)"
        title = escape(printable(self._title, one_line=True))
        parts = (self.conditions._repr_html_(), self.events._repr_html_())
        return f'<div style="{style}"><b>{title}</b>{"<br>".join(parts)}</div>'


def describe_object(cluster: Cluster, kind: Kind, item: Mapping[str, Any]) -> Description:
    """Return the conditions of an object that was read, and its events."""
    with report_malformed(cluster):
        metadata = item["metadata"]
        namespace = str(metadata.get("namespace") or "")
        conditions = read_conditions(item)
        name, uid = str(metadata["name"]), str(metadata.get("uid") or "")
    try:
        events = read_events(cluster, namespace or "default", kind=kind.kind, name=name, uid=uid)
    except Forbidden:  # such as those of your namespace itself, which are in `default`
        events = _event_table([], N_("You may not list its events."), frozenset({"object"}))
    return Description(kind.ref(name), namespace, conditions, events)
