"""The columns of ``kubectl get`` for every kind, and what stands in them.

The server makes the table and kubectl only aligns it, so these are kubectl's words. Priority 1 columns are
shown by ``-o wide``.

Source: k8s.io/kubernetes/pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sspcloud_magics.sandbox.api.humanize import (
    NONE,
    UNKNOWN,
    UNSET,
    age,
    format_labels,
    format_selector,
    human_duration,
    joined,
    parse_time,
)
from sspcloud_magics.sandbox.api.pod_status import summarize
from sspcloud_magics.sandbox.store import Obj

Row = list[Any]
_LOAD_BALANCER_WIDTH = 16


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0

    @property
    def definition(self) -> Obj:
        """As the Table writes it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": "",
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Layout:
    """How objects of one kind are shown."""

    columns: tuple[Column, ...]
    cells: Callable[[Obj], Row]


def _columns(text: str) -> tuple[Column, ...]:
    """Read columns: comma-separated, ``#`` marks an integer, ``+`` one for ``-o wide``."""
    columns = []
    for word in text.split(", "):
        name = word.strip("#+")
        columns.append(
            Column(
                name,
                "integer" if "#" in word else "string",
                "name" if name == "Name" else "",
                1 if "+" in word else 0,
            )
        )
    return tuple(columns)


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def _created(obj: Obj) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _status(obj: Obj) -> Obj:
    return obj.get("status") or {}


def _containers(spec: Obj) -> Row:
    containers = spec.get("containers") or ()
    return [joined(c["name"] for c in containers), joined(c.get("image", "") for c in containers)]


def _template(obj: Obj) -> Row:
    return [*_containers(obj["spec"]["template"]["spec"]), format_selector(obj["spec"].get("selector"))]


def _pod(pod: Obj) -> Row:
    summary = summarize(pod)
    status = _status(pod)
    gates = pod["spec"].get("readinessGates") or ()
    passed = {c["type"] for c in status.get("conditions") or () if c["status"] == "True"}
    return [
        _name(pod),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        summary.restarts,
        _created(pod),
        status.get("podIP") or NONE,
        pod["spec"].get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{sum(g['conditionType'] in passed for g in gates)}/{len(gates)}" if gates else NONE,
    ]


def _service(service: Obj) -> Row:
    spec = service["spec"]
    ports = joined(
        f"{p['port']}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p.get('protocol', 'TCP')}"
        for p in spec.get("ports") or ()
    )
    kind = spec.get("type", "ClusterIP")
    addresses = (spec.get("clusterIPs") or [spec.get("clusterIP")])[:1]
    return [
        _name(service),
        kind,
        joined(filter(None, addresses)),
        _external_ip(service, kind),
        ports,
        _created(service),
        format_labels(spec.get("selector")),
    ]


def _external_ip(service: Obj, kind: str) -> str:
    external = service["spec"].get("externalIPs") or []
    if kind == "ExternalName":
        return str(service["spec"].get("externalName") or NONE)
    if kind != "LoadBalancer":
        return joined(external)
    ingress = (_status(service).get("loadBalancer") or {}).get("ingress") or ()
    given = ",".join([i.get("ip") or i.get("hostname") or "" for i in ingress])
    if len(given) > _LOAD_BALANCER_WIDTH:
        given = given[: _LOAD_BALANCER_WIDTH - 3] + "..."
    return ",".join(filter(None, [given, *external])) or "<pending>"


def _endpoints(endpoints: Obj) -> Row:
    shown, count = [], 0
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or [{}]:
            for address in subset.get("addresses") or ():
                count += 1
                shown.append(f"{address['ip']}:{port['port']}" if port else address["ip"])
    more = f" + {count - 3} more..." if count > 3 else ""
    return [_name(endpoints), joined(shown[:3]) + more, _created(endpoints)]


def _endpoint_slice(endpoint_slice: Obj) -> Row:
    ports = [str(port["port"]) if port.get("port") else "*" for port in endpoint_slice.get("ports") or ()]
    addresses = [a for e in endpoint_slice.get("endpoints") or () for a in e.get("addresses") or ()]
    return [
        _name(endpoint_slice),
        endpoint_slice.get("addressType", ""),
        _some(ports, UNSET),
        _some(addresses, UNSET),
        _created(endpoint_slice),
    ]


def _some(values: list[str], empty: str) -> str:
    more = f" + {len(values) - 3} more..." if len(values) > 3 else ""
    return ",".join(values[:3]) + more if values else empty


def _node(node: Obj) -> Row:
    status = _status(node)
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    words = ["Unknown"] if "Ready" not in conditions else []
    if "Ready" in conditions:
        words = ["Ready" if conditions["Ready"] == "True" else "NotReady"]
    if node.get("spec", {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    roles = sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix))
    addresses = {a["type"]: a["address"] for a in status.get("addresses") or ()}
    info = status.get("nodeInfo") or {}
    return [
        _name(node),
        joined(words),
        joined(roles),
        _created(node),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _event(event: Obj) -> Row:
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = event.get("lastTimestamp") or first
    count = event.get("count") or 1
    involved = event.get("involvedObject") or {}
    source = event.get("source") or {}
    where = source.get("component") or event.get("reportingComponent") or ""
    if source.get("host"):
        where += f", {source['host']}"
    seen = age(last)
    if count > 1:
        seen = f"{age(last)} (x{count} over {age(first)})"
    return [
        seen,
        event.get("type", ""),
        event.get("reason", ""),
        f"{involved.get('kind', '').lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        where,
        str(event.get("message", "")).strip(),
        age(first),
        count,
        _name(event),
    ]


def _deployment(deployment: Obj) -> Row:
    status = _status(deployment)
    desired = deployment["spec"].get("replicas", 1)
    ready = f"{status.get('readyReplicas', 0)}/{desired}"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    return [_name(deployment), ready, updated, available, _created(deployment), *_template(deployment)]


def _replica_set(replica_set: Obj) -> Row:
    status = _status(replica_set)
    return [
        _name(replica_set),
        replica_set["spec"].get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _created(replica_set),
        *_template(replica_set),
    ]


def _stateful_set(stateful_set: Obj) -> Row:
    ready = f"{_status(stateful_set).get('readyReplicas', 0)}/{stateful_set['spec'].get('replicas', 1)}"
    return [_name(stateful_set), ready, _created(stateful_set), *_template(stateful_set)[:2]]


def _job(job: Obj) -> Row:
    status, spec = _status(job), job["spec"]
    done = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    else:
        parallel = spec.get("parallelism") or 0
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    duration = ""
    if status.get("startTime"):
        start = status["startTime"]
        duration = age(start)
        if status.get("completionTime"):
            lasted = parse_time(status["completionTime"]) - parse_time(start)
            duration = human_duration(lasted.total_seconds())
    return [_name(job), _job_state(job), completions, duration, _created(job), *_template(job)]


def _job_state(job: Obj) -> str:
    true = {c["type"] for c in _status(job).get("conditions") or () if c["status"] == "True"}
    for condition, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if condition in true:
            return word
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for condition in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if condition in true:
            return condition
    return "Running"


def _claim(claim: Obj) -> Row:
    status, spec = _status(claim), claim["spec"]
    phase = "Terminating" if claim["metadata"].get("deletionTimestamp") else status.get("phase", "")
    short = {
        "ReadWriteOnce": "RWO",
        "ReadOnlyMany": "ROX",
        "ReadWriteMany": "RWX",
        "ReadWriteOncePod": "RWOP",
    }
    modes = ",".join(short.get(mode, mode) for mode in status.get("accessModes") or ())
    return [
        _name(claim),
        phase,
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", ""),
        modes,
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        _created(claim),
        spec.get("volumeMode", "Filesystem"),
    ]


def _quota(quota: Obj) -> Row:
    status = _status(quota)
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        (limits if name.startswith("limits.") else requests).append(
            f"{name}: {used.get(name, '0')}/{hard[name]}"
        )
    return [_name(quota), ", ".join(requests), ", ".join(limits), _created(quota)]


def _role(role: Obj) -> Row:
    return [_name(role), role["metadata"].get("creationTimestamp", "")]


def _binding(binding: Obj) -> Row:
    by_kind: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in binding.get("subjects") or ():
        place = f"{subject['namespace']}/" if subject.get("namespace") else ""
        by_kind.setdefault(subject["kind"], []).append(place + subject["name"])
    users, groups, accounts = (
        ", ".join(by_kind[kind]) for kind in ("User", "Group", "ServiceAccount")
    )  # empty cells, not <none>
    role = binding["roleRef"]
    return [_name(binding), f"{role['kind']}/{role['name']}", _created(binding), users, groups, accounts]


def _secret(secret: Obj) -> Row:
    return [_name(secret), secret.get("type", "Opaque"), len(secret.get("data") or {}), _created(secret)]


def _config_map(config_map: Obj) -> Row:
    count = len(config_map.get("data") or {}) + len(config_map.get("binaryData") or {})
    return [_name(config_map), count, _created(config_map)]


def _cnpg_cluster(cluster: Obj) -> Row:
    status = _status(cluster)
    return [
        _name(cluster),
        _created(cluster),
        cluster["spec"].get("instances"),
        status.get("readyInstances"),
        status.get("phase"),
        status.get("currentPrimary"),
    ]


_TEMPLATE = "Containers+, Images+, Selector+"

LAYOUTS: dict[str, Layout] = {
    plural: Layout(_columns(columns), cells)
    for plural, columns, cells in (
        (
            "pods",
            "Name, Ready, Status, Restarts, Age, IP+, Node+, Nominated Node+, Readiness Gates+",
            _pod,
        ),
        ("services", "Name, Type, Cluster-IP, External-IP, Port(s), Age, Selector+", _service),
        ("endpoints", "Name, Endpoints, Age", _endpoints),
        ("endpointslices", "Name, AddressType, Ports, Endpoints, Age", _endpoint_slice),
        (
            "nodes",
            (
                "Name, Status, Roles, Age, Version, Internal-IP+, External-IP+, OS-Image+, Kernel-Version+, "
                "Container-Runtime+"
            ),
            _node,
        ),
        (
            "events",
            "Last Seen, Type, Reason, Object, Subobject+, Source+, Message, First Seen+, #Count+, Name+",
            _event,
        ),
        ("namespaces", "Name, Status, Age", lambda o: [_name(o), _status(o).get("phase", ""), _created(o)]),
        ("secrets", "Name, Type, #Data, Age", _secret),
        ("configmaps", "Name, #Data, Age", _config_map),
        (
            "serviceaccounts",
            "Name, #Secrets, Age",
            lambda o: [_name(o), len(o.get("secrets") or ()), _created(o)],
        ),
        ("deployments", f"Name, Ready, #Up-to-date, #Available, Age, {_TEMPLATE}", _deployment),
        ("replicasets", f"Name, #Desired, #Current, #Ready, Age, {_TEMPLATE}", _replica_set),
        ("statefulsets", "Name, Ready, Age, Containers+, Images+", _stateful_set),
        ("jobs", f"Name, Status, Completions, Duration, Age, {_TEMPLATE}", _job),
        (
            "persistentvolumeclaims",
            "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode+",
            _claim,
        ),
        ("resourcequotas", "Name, Request, Limit, Age", _quota),
        (
            "networkpolicies",
            "Name, Pod-Selector, Age",
            lambda o: [_name(o), format_selector(o["spec"].get("podSelector")), _created(o)],
        ),
        ("roles", "Name, Created At", _role),
        ("clusterroles", "Name, Created At", _role),
        ("rolebindings", "Name, Role, Age, Users+, Groups+, ServiceAccounts+", _binding),
        ("clusterrolebindings", "Name, Role, Age, Users+, Groups+, ServiceAccounts+", _binding),
        ("clusters", "Name, Age, #Instances, #Ready, Status, Primary", _cnpg_cluster),
    )
}
