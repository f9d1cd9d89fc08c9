"""Tables of cluster objects: DataFrames with a display like `kubectl get`.

A `ResourceTable` *is* a DataFrame: it filters, sorts and joins, and its columns have suitable dtypes
(an age is a timedelta, restarts are integers). Only the display differs: in a notebook, a table
that shows states by a word, a shape and a colour; as text, kubectl's columns. A `TableView` describes the display,
and is kept when the table is filtered or sorted. A table with another index, such as the result
of a ``groupby``, is displayed by pandas.

Data from the cluster are escaped. Colours are those of JupyterLab if the page has them,
with fallbacks that are visible on white and on black.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape
from typing import Any

import pandas as pd

from sspcloud_magics.cluster.timefmt import human_duration
from sspcloud_magics.cluster.workloads.inventory import Pod, Service
from sspcloud_magics.i18n import N_, _, _n
from sspcloud_magics.printable import printable

MOST_ROWS = 500
"""Maximum number of rows on display; the table itself has all."""


class Tone(Enum):
    """The severity of a state, as a shape and a colour."""

    GOOD = ("●", "var(--jp-success-color1, #2e8b3d)")
    WAITING = ("◐", "var(--jp-warn-color1, #d9822b)")
    BAD = ("✕", "var(--jp-error-color1, #e0433a)")
    OVER = ("○", "var(--jp-ui-font-color2, #808080)")


Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """The display of a column."""

    name: str  # the column of the table
    heading: str  # its heading, in capitals as in kubectl
    # Returns the text of the cell for a row; the plain value if None.
    words: Callable[[Row], str] | None = None
    # Returns the tone of the cell for a row; no shape and colour if None.
    tone: Callable[[Row], Tone] | None = None


@dataclass(frozen=True, slots=True)
class TableView:
    """The display of a table."""

    columns: tuple[TableColumn, ...] = ()  # the displayed columns, in order; the table may have more
    noun: str = "row"  # the noun for a row, in the singular: a key of `_COUNTS`; any other counts rows
    nothing: str = N_("No resources found.")  # the text for an empty table
    # Columns that are hidden as long as the table has all of them; ``namespace`` is still displayed if there
    # are several namespaces.
    apart: frozenset[str] = frozenset()
    # Whether the names include their namespaces, so that the column ``namespace`` is not needed.
    paths: bool = False


class ResourceTable(pd.DataFrame):
    """A DataFrame with the display of a `TableView`. Created by `table`."""

    _metadata = ["_view"]  # noqa: RUF012 - pandas' name for attributes that results keep
    _view = TableView()

    @property
    def _constructor(self) -> type[ResourceTable]:
        return ResourceTable

    def _select_columns(self) -> list[TableColumn] | None:
        """Return the columns to display; None to use the display of pandas."""
        plain = isinstance(self.index, pd.RangeIndex) or (
            self.index.nlevels == 1 and self.index.dtype.kind == "i" and self.index.name is None
        )
        plain = plain and self.columns.nlevels == 1 and self.columns.is_unique
        present = frozenset(self.columns) if plain else frozenset()
        known = [column for column in self._view.columns if column.name in present]
        if not known:
            return None
        apart = self._view.apart if self._view.apart <= present else frozenset()
        several = "namespace" in apart and self["namespace"].nunique() > 1  # noqa: PD101 - it may be empty
        if several and not self._view.paths:
            apart -= {"namespace"}
        ours = {column.name: column for column in known}
        others = [name for name in self.columns if name not in ours]
        return [
            *(column for column in known if column.name not in apart),
            *(
                TableColumn(name, printable(str(name), one_line=True).upper())
                for name in others
                if name not in apart
            ),
        ]

    def _cells(self, shown: Sequence[TableColumn]) -> list[list[tuple[str, Tone | None]]]:
        rows: list[dict[str, Any]] = self.head(MOST_ROWS).to_dict("records")  # type: ignore[assignment]
        return [[_cell(column, row) for column in shown] for row in rows]

    def __repr__(self) -> str:
        shown = self._select_columns()
        if shown is None:
            return printable(super().__repr__())
        if self.empty:
            return printable(self._nothing())
        lines = [[column.heading for column in shown]]
        lines += [[words for words, _unused in row] for row in self._cells(shown)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(shown))]
        written = [
            "   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([*written, *self._rest()])

    def _repr_html_(self) -> str:
        shown = self._select_columns()
        if shown is None:
            return printable(str(super()._repr_html_()))  # type: ignore[misc] # pandas-stubs do not know it
        if self.empty:
            return f"<p>{escape(printable(self._nothing()))}</p>"
        head = "".join(f'<th scope="col" style="{_CELL}">{escape(c.heading.lower())}</th>' for c in shown)
        body = "".join(
            f"<tr>{''.join(_html_cell(words, tone) for words, tone in row)}</tr>"
            for row in self._cells(shown)
        )
        hidden = [
            printable(str(name), one_line=True)
            for name in self.columns
            if name not in {column.name for column in shown}
        ]
        foot = _COUNTS.get(self._view.noun, _COUNTS["row"])(len(self))
        if hidden:
            foot = _("{count} · further columns: {columns}", count=foot, columns=", ".join(hidden))
        notes = "".join(f"<div style='{_FAINT}'>{escape(line)}</div>" for line in [*self._rest(), foot])
        return (
            f'<div style="overflow-x:auto"><table style="{_TABLE}"><thead style="{_HEAD}"><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>{notes}"
        )

    def _rest(self) -> list[str]:
        more = len(self) - MOST_ROWS
        return [_n("… and {count} more", "… and {count} more", more)] if more > 0 else []

    def _nothing(self) -> str:
        return _(self._view.nothing) if self._view.nothing else ""


# The number of rows in words, by the noun of a view.
_COUNTS: Mapping[str, Callable[[int], str]] = {
    "row": lambda count: _n("{count} row", "{count} rows", count),
    "pod": lambda count: _n("{count} pod", "{count} pods", count),
    "service": lambda count: _n("{count} service", "{count} services", count),
    "forward": lambda count: _n("{count} forward", "{count} forwards", count),
    "database": lambda count: _n("{count} database", "{count} databases", count),
    "table": lambda count: _n("{count} table", "{count} tables", count),
    "column": lambda count: _n("{count} column", "{count} columns", count),
    "share": lambda count: _n("{count} share", "{count} shares", count),
    "event": lambda count: _n("{count} event", "{count} events", count),
    "condition": lambda count: _n("{count} condition", "{count} conditions", count),
    "kind": lambda count: _n("{count} kind", "{count} kinds", count),
    "statement": lambda count: _n("{count} statement", "{count} statements", count),
}


_TABLE = (
    "border-collapse:collapse;margin:0;color:var(--jp-content-font-color1, inherit);"
    "font-variant-numeric:tabular-nums"
)
_HEAD = "border-bottom:1px solid var(--jp-border-color1, #808080)"  # not translated: CSS
_CELL = "text-align:left;padding:.25em 1.2em .25em 0"
_WHOLE = f"{_CELL};white-space:nowrap"
_LONG = 32
"""In characters; longer cells may wrap."""
_FAINT = "color:var(--jp-ui-font-color2, #808080);font-size:90%"


def _cell(column: TableColumn, row: Row) -> tuple[str, Tone | None]:
    try:
        words = column.words(row) if column.words else _plain(row[column.name])
        return printable(words, one_line=True), column.tone(row) if column.tone else None
    except (AttributeError, KeyError, TypeError, ValueError):
        # The user has dropped or changed a column that the text needs.
        return printable(_plain(row[column.name]), one_line=True), None


def _plain(value: Any) -> str:
    missing = value is None or (pd.api.types.is_scalar(value) and pd.isna(value))
    return "" if missing else str(value)


def _html_cell(words: str, tone: Tone | None) -> str:
    shape = ""
    if tone is not None:
        mark, colour = tone.value
        shape = f'<span aria-hidden="true" style="color:{colour}">{mark}</span> '
    style = _CELL if tone is None and len(words) > _LONG else _WHOLE
    return f'<td style="{style}">{shape}{escape(words)}</td>'


def table(rows: Iterable[Row], dtypes: Mapping[str, str], view: TableView) -> ResourceTable:
    """Return rows as a table.

    Parameters
    ----------
    rows
        The rows; all have the keys of `dtypes`.
    dtypes
        The columns in order, with their pandas dtypes, which also apply to an empty table.
    view
        The display.
    """
    listed = list(rows)
    made = ResourceTable(
        {name: pd.Series([row[name] for row in listed], dtype=dtype) for name, dtype in dtypes.items()}
    )
    return make_table(made, view)


def make_table(rows: pd.DataFrame, view: TableView) -> ResourceTable:
    """Return a DataFrame as a table."""
    made = ResourceTable(rows)
    made._view = view  # noqa: SLF001 - pandas does not support more constructor arguments
    return made


_WAITING = frozenset(
    {"Pending", "ContainerCreating", "PodInitializing", "Terminating", "NotReady", "SchedulingGated"}
)


def pod_tone(row: Row) -> Tone:
    """Return the tone of a pod's status."""
    status = str(row["status"])
    if status in {"Completed", "Succeeded"}:
        return Tone.OVER
    if status == "Running":
        ready, _unused, containers = str(row.get("ready", "")).partition("/")
        return Tone.GOOD if ready == containers else Tone.WAITING
    counting = status.startswith("Init:") and status[5:6].isdigit()
    return Tone.WAITING if status in _WAITING or counting else Tone.BAD


def _age_in_words(row: Row) -> str:
    return "<unknown>" if row["age"] is pd.NaT else human_duration(row["age"])


def _restarts_in_words(row: Row) -> str:
    if not row["restarts"] or row["last_restart"] is pd.NaT:
        return str(row["restarts"])
    age = human_duration(pd.Timestamp.now("UTC") - row["last_restart"])
    return _("{restarts} ({age} ago)", restarts=row["restarts"], age=age)


def _node_in_words(row: Row) -> str:
    return row["node"] or "<none>"


_POD_DTYPES = {
    "name": "str",
    "namespace": "str",
    "ready": "str",
    "status": "str",
    "restarts": "int64",
    "last_restart": "datetime64[us, UTC]",
    "age": "timedelta64[us]",
    "ports": "str",
    "node": "str",
    "ip": "str",
    "owner": "str",
    "labels": "object",
}

_POD_COLUMNS = (
    TableColumn("namespace", "NAMESPACE"),
    TableColumn("name", "NAME"),
    TableColumn("ready", "READY"),
    TableColumn("status", "STATUS", tone=pod_tone),
    TableColumn("restarts", "RESTARTS", _restarts_in_words),
    TableColumn("age", "AGE", _age_in_words),
    TableColumn("ports", "PORTS"),
    TableColumn("node", "NODE", _node_in_words),
)


_POD_APART = frozenset({"namespace", "last_restart", "ip", "owner", "labels"})


def pod_table(pods: Sequence[Pod], namespace: str = "", pattern: str = "", near: str = "") -> ResourceTable:
    """Return pods as a DataFrame.

    Returns
    -------
    ResourceTable
        One row per pod: ``name``, ``namespace``, ``ready`` (``1/1``), ``status`` (as in kubectl), ``ports``,
        ``node``, ``ip``, ``owner`` as str; ``restarts`` int64; ``last_restart`` datetime64[us, UTC];
        ``age`` timedelta64[us]; ``labels`` object (dicts).
    """
    rows = (
        {
            "name": pod.name,
            "namespace": pod.namespace,
            "ready": pod.ready,
            "status": pod.status,
            "restarts": pod.restarts,
            "last_restart": pod.last_restart,
            "age": pod.age,
            "ports": _ports(pod),
            "node": pod.node,
            "ip": pod.ip,
            "owner": pod.owner,
            "labels": dict(pod.labels),
        }
        for pod in pods
    )
    return table(
        rows, _POD_DTYPES, TableView(_POD_COLUMNS, "pod", _nothing(namespace, pattern, near), _POD_APART)
    )


_SERVICE_DTYPES = {
    "name": "str",
    "namespace": "str",
    "type": "str",
    "cluster_ip": "str",
    "external_ip": "str",
    "ports": "str",
    "age": "timedelta64[us]",
    "selector": "object",
    "labels": "object",
}

_SERVICE_COLUMNS = (
    TableColumn("namespace", "NAMESPACE"),
    TableColumn("name", "NAME"),
    TableColumn("type", "TYPE"),
    TableColumn("cluster_ip", "CLUSTER-IP"),
    TableColumn("external_ip", "EXTERNAL-IP"),
    TableColumn("ports", "PORTS"),
    TableColumn("age", "AGE", _age_in_words),
)


_SERVICE_APART = frozenset({"namespace", "selector", "labels"})


def service_table(
    services: Sequence[Service], namespace: str = "", pattern: str = "", near: str = ""
) -> ResourceTable:
    """Return services as a DataFrame.

    Returns
    -------
    ResourceTable
        One row per service: ``name``, ``namespace``, ``type``, ``cluster_ip``, ``external_ip``, ``ports``
        (``80→8000 (http)``) as str; ``age`` timedelta64[us]; ``selector``, ``labels`` object (dicts).
    """
    rows = (
        {
            "name": service.name,
            "namespace": service.namespace,
            "type": service.type,
            "cluster_ip": service.cluster_ip,
            "external_ip": service.external_ip,
            "ports": _ports(service),
            "age": service.age,
            "selector": dict(service.selector),
            "labels": dict(service.labels),
        }
        for service in services
    )
    return table(
        rows,
        _SERVICE_DTYPES,
        TableView(_SERVICE_COLUMNS, "service", _nothing(namespace, pattern, near), _SERVICE_APART),
    )


def _ports(thing: Pod | Service) -> str:
    return ", ".join(map(str, thing.ports))


def _nothing(namespace: str, pattern: str, near: str) -> str:
    """Return kubectl's text for an empty list, with a hint for a namespace that was typed like a pod's name."""
    if pattern and namespace:
        found = _(
            "No resources like '{pattern}' found in {namespace} namespace.",
            pattern=pattern,
            namespace=namespace,
        )
    elif pattern:
        found = _("No resources like '{pattern}' found.", pattern=pattern)
    elif namespace:
        found = _("No resources found in {namespace} namespace.", namespace=namespace)
    else:
        found = _("No resources found.")
    if near:
        hint = _("Did you mean {name}?", name=near)
    else:
        hint = _("For another namespace, add -n NAMESPACE.") if namespace and pattern else ""
    return f"{found} {hint}".rstrip()
