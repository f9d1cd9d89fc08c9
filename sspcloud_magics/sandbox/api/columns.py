"""The tables of ``kubectl get``: columns and cells for every kind.

The server makes the table, and kubectl only aligns it.

Source: k8s.io/kubernetes/pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from sspcloud_magics.sandbox.api.humanize import (
    NONE,
    UNSET,
    age,
    format_labels,
    format_selector,
    human_duration,
    join_values,
)
from sspcloud_magics.sandbox.api.pod_status import summarize
from sspcloud_magics.sandbox.pods import is_terminating
from sspcloud_magics.sandbox.store import Obj

# The path of a cell's value, with a default after "or"; or the function that returns the cell.
Cell: TypeAlias = str | Callable[[Obj], Any]
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def definitions(plural: str) -> list[Obj]:
    """Return the ``columnDefinitions`` of a kind's table."""
    return [
        {
            "name": heading.strip("#+"),
            "type": "integer" if heading.startswith("#") else "string",
            "format": "name" if heading == "Name" else "",
            "description": "",
            "priority": 1 if heading.startswith("+") else 0,
        }
        for heading in TABLES[plural]
    ]


def cells(plural: str, obj: Obj) -> list[Any]:
    """Return the cells of an object in its kind's table."""
    return [cell(obj) if callable(cell) else read_path(obj, cell) for cell in TABLES[plural].values()]


def read_path(obj: Obj, cell: str) -> Any:
    """Return the value at a path such as ``status.phase or <none>``."""
    path, _, default = cell.partition(" or ")
    value: Any = obj
    for part in path.split("."):
        value = (value or {}).get(part)
    if value in (None, ""):
        return int(default) if default.isdigit() else default
    return value


def _of_containers(field: str) -> Cell:
    return lambda obj: join_values(
        c.get(field, "") for c in read_path(obj, "spec.template.spec.containers") or ()
    )


def _ready(obj: Obj) -> str:
    return f"{read_path(obj, 'status.readyReplicas or 0')}/{obj['spec'].get('replicas', 1)}"


def _external_ip(service: Obj) -> str:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or NONE)
    return ",".join(spec.get("externalIPs") or []) or (
        "<pending>" if spec["type"] == "LoadBalancer" else NONE
    )


def _ports(service: Obj) -> str:
    return join_values(
        f"{p['port']}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p.get('protocol', 'TCP')}"
        for p in service["spec"].get("ports") or ()
    )


def _some(values: list[str], empty: str) -> str:
    more = f" + {len(values) - 3} more..." if len(values) > 3 else ""
    return ",".join(values[:3]) + more if values else empty


def _endpoints(endpoints: Obj) -> str:
    shown = [
        f"{address['ip']}:{port['port']}" if port else address["ip"]
        for subset in endpoints.get("subsets") or ()
        for port in subset.get("ports") or [{}]
        for address in subset.get("addresses") or ()
    ]
    return _some(shown, NONE)


def _node_status(node: Obj) -> str:
    conditions = {c["type"]: c["status"] for c in read_path(node, "status.conditions") or ()}
    word = {"True": "Ready", None: "Unknown"}.get(conditions.get("Ready"), "NotReady")
    return f"{word},SchedulingDisabled" if read_path(node, "spec.unschedulable") else word


def _node_roles(node: Obj) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    return join_values(sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix)))


def _show_last_seen(event: Obj) -> str:
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = age(event.get("lastTimestamp") or first)
    count = event.get("count") or 1
    return f"{last} (x{count} over {age(first)})" if count > 1 else last


def _completions(job: Obj) -> str:
    done, wanted = read_path(job, "status.succeeded or 0"), job["spec"].get("completions")
    parallel = job["spec"].get("parallelism") or 0
    if wanted is not None:
        return f"{done}/{wanted}"
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(job: Obj) -> str:
    start, end = read_path(job, "status.startTime"), read_path(job, "status.completionTime")
    if not start or not end:
        return age(start) if start else ""
    return human_duration((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def _job_state(job: Obj) -> str:
    true = {c["type"] for c in read_path(job, "status.conditions") or () if c["status"] == "True"}
    if is_terminating(job):
        true.add("Terminating")
    order = ("Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet")
    return next((word for word in order if word in true), "Running")


def _quota(*, limits: bool) -> Cell:
    def cell(quota: Obj) -> str:
        hard, used = read_path(quota, "status.hard") or {}, read_path(quota, "status.used") or {}
        names = sorted(name for name in hard if name.startswith("limits.") is limits)
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)

    return cell


def _subjects(kind: str) -> Cell:
    def cell(binding: Obj) -> str:
        subjects = [subject for subject in binding.get("subjects") or () if subject["kind"] == kind]
        return ", ".join("/".join(filter(None, (s.get("namespace"), s["name"]))) for s in subjects)

    return cell


def _sizes(*fields: str) -> Cell:
    return lambda obj: sum(len(obj.get(field) or ()) for field in fields)


# The cells that are not the value at a path, by column, or by kind and column.
_MADE: dict[str, Cell] = {
    "Age": lambda obj: age(obj["metadata"].get("creationTimestamp")),
    "Containers": _of_containers("name"),
    "Images": _of_containers("image"),
    "Pod-Selector": lambda obj: format_selector(obj["spec"].get("podSelector")),
    "Selector": lambda obj: format_selector(obj["spec"].get("selector")),
    "Role": lambda obj: "{kind}/{name}".format(**obj["roleRef"]),
    "Users": _subjects("User"),
    "Groups": _subjects("Group"),
    "ServiceAccounts": _subjects("ServiceAccount"),
    "Secrets": _sizes("secrets"),
    "Data": _sizes("data", "binaryData"),
    "deployments Ready": _ready,
    "statefulsets Ready": _ready,
    "pods Ready": lambda pod: "{0.ready}/{0.total}".format(summarize(pod)),
    "pods Status": lambda pod: summarize(pod).reason,
    "pods Restarts": lambda pod: summarize(pod).restarts,
    "services External-IP": _external_ip,
    "services Port(s)": _ports,
    "services Selector": lambda obj: format_labels(obj["spec"].get("selector")),
    "endpoints Endpoints": _endpoints,
    "endpointslices Endpoints": lambda obj: _some(
        [address for each in obj.get("endpoints") or () for address in each["addresses"]], UNSET
    ),
    "endpointslices Ports": lambda obj: _some(
        [str(p.get("port") or "*") for p in obj.get("ports") or ()], UNSET
    ),
    "nodes Status": _node_status,
    "nodes Roles": _node_roles,
    "events Last Seen": _show_last_seen,
    "events Object": lambda event: (
        f"{read_path(event, 'involvedObject.kind').lower()}/{read_path(event, 'involvedObject.name')}"
    ),
    "events Message": lambda event: str(event.get("message", "")).strip(),
    "jobs Status": _job_state,
    "jobs Completions": _completions,
    "jobs Duration": _duration,
    "persistentvolumeclaims Status": lambda obj: (
        "Terminating" if is_terminating(obj) else read_path(obj, "status.phase")
    ),
    "persistentvolumeclaims Access Modes": lambda o: ",".join(
        _MODES.get(m, m) for m in read_path(o, "status.accessModes")
    ),
    "resourcequotas Request": _quota(limits=False),
    "resourcequotas Limit": _quota(limits=True),
}


def _table(plural: str, columns: str) -> dict[str, Cell]:
    table: dict[str, Cell] = {}
    for column in columns.split(", "):
        heading, _, path = column.partition("=")
        title = heading.strip("#+")
        table[heading] = path or _MADE.get(f"{plural} {title}") or _MADE.get(title, "metadata.name")
    return table


TABLES: dict[str, dict[str, Cell]] = {
    plural: _table(plural, columns)
    for plural, found, columns in (
        line.partition(": ")
        for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    )
    if found
}
