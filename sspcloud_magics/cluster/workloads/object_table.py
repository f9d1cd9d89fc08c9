"""Objects of any kind as the table of ``kubectl get``: the server makes it, custom columns too.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from sspcloud_magics.cluster.api.api_errors import report_malformed
from sspcloud_magics.cluster.api.resources import ALL_NAMESPACES, Attempt
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.kinds import Kind
from sspcloud_magics.cluster.requests.object_reads import PAGE
from sspcloud_magics.cluster.timefmt import human_duration, timestamp
from sspcloud_magics.cluster.workloads.tables import (
    ResourceTable,
    Row,
    TableColumn,
    TableView,
    make_table,
    pod_tone,
)

_TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1,application/json"
_DTYPES = {"integer": "Int64", "number": "Float64", "boolean": "boolean"}


def read_table(
    cluster: Cluster,
    kind: Kind,
    namespace: str | None = None,
    *,
    name: str = "",
    label_selector: str = "",
    wide: bool = False,
) -> ResourceTable:
    """Return objects of a kind with the server's columns.

    Parameters
    ----------
    namespace
        The namespace; the cluster's default if None; ``*`` for all.
    name
        One object; all of them if empty.
    label_selector
        A selector of labels, such as ``app=x``.
    wide
        Display the columns of ``kubectl get -o wide`` too; the table always has them.

    Returns
    -------
    ResourceTable
        One row per object. The columns have kubectl's names in small letters, with underscores. ``age`` is timedelta64[us],
        numbers are nullable, everything else is str.

    Raises
    ------
    NotFound
        If the named object does not exist.
    Forbidden
        If the permission is missing.
    ClusterError
        If the request fails.
    """
    where = namespace or cluster.namespace
    scope = None if where == ALL_NAMESPACES or not kind.resource.namespaced else where
    attempt = Attempt("get" if name else "list", kind.resource, scope, name)
    query = {} if name else {"limit": str(PAGE)}
    if label_selector:
        query["labelSelector"] = label_selector
    definitions: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    while True:
        own = scope in (None, cluster.namespace)
        answer = cluster.api.ask(attempt, query=query, own=own, accept=_TABLE)
        with report_malformed(cluster):
            definitions = definitions or list(answer["columnDefinitions"])
            rows += answer.get("rows") or ()
            following = str((answer.get("metadata") or {}).get("continue") or "")
        if not following or following == query.get("continue"):
            break
        query["continue"] = following
    with report_malformed(cluster):
        return _make(
            kind, definitions, rows, namespaced=scope is None and kind.resource.namespaced, wide=wide
        )


def kind_table(kinds: list[Kind]) -> ResourceTable:
    """Return the kinds of a server as a table, like ``kubectl api-resources``.

    Returns
    -------
    ResourceTable
        One row per kind: ``name``, ``short_names``, ``api_version``, ``kind`` str; ``namespaced`` boolean.
    """
    columns = {
        "name": [kind.resource.plural for kind in kinds],
        "short_names": [",".join(kind.short_names) for kind in kinds],
        "api_version": [kind.api_version for kind in kinds],
        "namespaced": [kind.resource.namespaced for kind in kinds],
        "kind": [kind.kind for kind in kinds],
    }
    headings = ("NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND")
    shown = tuple(map(TableColumn, columns, headings))
    return make_table(pd.DataFrame(columns), TableView(shown, "kind"))


def _make(
    kind: Kind, definitions: list[dict[str, Any]], rows: list[dict[str, Any]], *, namespaced: bool, wide: bool
) -> ResourceTable:
    objects = [(row.get("object") or {}).get("metadata") or {} for row in rows]
    columns: dict[str, pd.Series[Any]] = {}
    shown: list[TableColumn] = []
    apart: set[str] = {"namespace"}
    columns["namespace"] = pd.Series([str(item.get("namespace") or "") for item in objects], dtype="str")
    if namespaced:
        shown.append(TableColumn("namespace", "NAMESPACE"))
    for place, definition in enumerate(definitions):
        name = re.sub(r"\W+", "_", definition["name"].strip().lower()).strip("_") or f"column_{place + 1}"
        values = [row["cells"][place] for row in rows]
        heading = str(definition["name"]).upper()
        if name == "age":
            columns[name] = pd.Series([_age(item) for item in objects], dtype="timedelta64[us]")
            shown.append(TableColumn(name, heading, _age_in_words))
        else:
            dtype = _DTYPES.get(definition.get("type") or "", "str")
            columns[name] = _series(values, dtype)
            tone = pod_tone if kind.resource.plural == "pods" and name == "status" else None
            shown.append(TableColumn(name, heading, tone=tone))
        if definition.get("priority") and not wide:
            apart.add(name)
    if not namespaced:
        apart.add("namespace")
    view = TableView(
        tuple(shown), kind.singular, apart=frozenset(apart - ({"namespace"} if namespaced else set()))
    )
    return make_table(pd.DataFrame(columns), view)


def _series(values: list[Any], dtype: str) -> pd.Series[Any]:
    if dtype == "str":
        return pd.Series([None if value is None else str(value) for value in values], dtype="str")
    try:
        return pd.Series(values, dtype=dtype)
    except (TypeError, ValueError):  # an operator's column holds something other than it declares
        return pd.Series([None if value is None else str(value) for value in values], dtype="str")


def _age(metadata: Mapping[str, Any]) -> pd.Timedelta | None:
    created = timestamp(metadata.get("creationTimestamp"))
    return None if created is None else pd.Timestamp.now("UTC") - pd.Timestamp(created)


def _age_in_words(row: Row) -> str:
    return "<unknown>" if row["age"] is pd.NaT else human_duration(row["age"])
