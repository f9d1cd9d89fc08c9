"""Pod selection: pure functions that choose a pod and its ports from Kubernetes objects.

| target                  | the pods                                                  | a port is                         |
|-------------------------|-----------------------------------------------------------|-----------------------------------|
| service                 | the addresses in its Endpoints; otherwise its selector's  | the service's, by number or name  |
| deployment, job, …      | its selector's                                            | the container's, by number or name|
| pod                     | the pod; when it is gone, the others of its controller    | the container's, by number or name|

`sspcloud_magics.tunnel.pod_watcher` fetches the objects, and calls these functions again after each change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sspcloud_magics.errors import PortNotFound
from sspcloud_magics.i18n import N_, _

Object: TypeAlias = Mapping[str, Any]

_POD_OWN_LABELS = (
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
)
# Of the states of unusable pods, name this many; of a pod's message, quote this many characters.
_MAX_STATES = 5
_MAX_TROUBLE = 300
# The state of a pod that Endpoints list as not ready, without a state in kubectl's words.
_NOT_READY = "not ready"  # not translated: a key
# The sentences about a missing port, by the kind of its owner.
_NO_PORT = {
    "pod": N_("The pod {name} has no port {port}."),
    "service": N_("The service {name} has no port {port}."),
}
_ONLY_UDP = {
    "pod": N_("The pod {name} has the port {port} for UDP only."),
    "service": N_("The service {name} has the port {port} for UDP only."),
}
_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod behind a target."""

    # The pod; the uid is empty if it is not known.
    name: str
    uid: str
    ports: tuple[int, ...]  # the pod's port numbers, in the order of the requested ports
    usable: bool  # whether it takes connections: it is ready, or it runs and the user named this very pod
    # The state in kubectl's words, and the cluster's message about it.
    state: str = ""
    trouble: str = ""
    over: bool = False  # whether its programs have ended for good

    def is_same(self, other: Candidate) -> bool:
        """Return whether both are the same pod, perhaps at different times."""
        return (self.name, self.uid) == (other.name, other.uid)


def choose(candidates: Sequence[Candidate], current: Candidate | None) -> Candidate | None:
    """Return the pod to use: the current one while it is usable, otherwise the first usable one."""
    usable = [candidate for candidate in candidates if candidate.usable]
    if current is not None:
        for candidate in usable:
            if candidate.is_same(current):
                return candidate
    return usable[0] if usable else None


def not_ready_words(candidates: Sequence[Candidate]) -> str:
    """Describe why no candidate is usable: first those that may still become ready, with one sentence per state."""
    alike: dict[tuple[bool, str], list[Candidate]] = {}
    for candidate in candidates:
        alike.setdefault((candidate.over, candidate.state), []).append(candidate)
    words = []
    for (_unused, state), them in sorted(alike.items(), key=lambda entry: entry[0][0])[:_MAX_STATES]:
        if len(them) > 1:
            count, name = len(them), them[0].name
            if state == _NOT_READY:
                words.append(_("{count} pods are not ready, such as {name}.", count=count, name=name))
            else:
                words.append(
                    _("{count} pods are {state}, such as {name}.", count=count, state=state, name=name)
                )
            continue
        words.append(_describe_state(them[0].name, state))
        trouble = them[0].trouble.rstrip(".")[:_MAX_TROUBLE]
        if trouble:
            words[-1] = _("{sentence}: {trouble}.", sentence=words[-1].rstrip("."), trouble=trouble)
    return " ".join(words)


def _describe_state(name: str, state: str) -> str:
    if state == "Running":
        return _("The pod {name} is Running and not ready.", name=name)
    if state == _NOT_READY:
        return _("The pod {name} is not ready.", name=name)
    return _("The pod {name} is {state}.", name=name, state=state)


# Pods.


def pod_state(pod: Object) -> str:
    """Return the state of a pod as ``kubectl get pods`` shows it."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for kind, details in _list_stopped(pod):
        reason = details.get("reason")
        if reason and not (kind == "terminated" and reason == "Completed" and _is_running(pod)):
            return str(reason)
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _is_running(pod: Object) -> bool:
    """Return whether a container still runs."""
    return any("running" in _state(container) for container in _statuses(pod, "containerStatuses"))


def pod_trouble(pod: Object) -> str:
    """Return the cluster's message about a pod that is not ready; empty if there is none."""
    for _unused, details in _list_stopped(pod):
        if details.get("message"):
            return " ".join(str(details["message"]).split())
    for condition in _conditions(pod):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or "")
    return str((pod.get("status") or {}).get("message") or "")


def pod_is_over(pod: Object) -> bool:
    """Return whether the programs of a pod have ended for good, as after an eviction."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def pod_is_ready(pod: Object) -> bool:
    """Return whether a pod is ready and is not being deleted."""
    return not pod["metadata"].get("deletionTimestamp") and any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in _conditions(pod)
    )


def pod_serves(pod: Object, wanted: Sequence[int | str], *, named: bool = False) -> bool:
    """Return whether a pod is not being deleted, and the containers with the ports take connections.

    In a pod that the user named, these containers only have to run: the user may want to see why it is not ready. In
    any other pod they must be ready, whatever its other containers do. An undeclared port may be any container's.
    """
    if pod["metadata"].get("deletionTimestamp") or pod_is_over(pod):
        return False
    if pod_is_ready(pod):
        return True
    statuses = {
        status.get("name"): status for status in _statuses(pod, "initContainerStatuses", "containerStatuses")
    }
    for port in wanted:
        owners = [container.get("name") for container, one in _ports(pod) if port in _names(one)]
        found = [statuses.get(name) or {} for name in owners]
        if not found:
            found = list(_statuses(pod, "containerStatuses"))
        if not any("running" in _state(one) and (named or one.get("ready")) for one in found):
            return False
    return bool(wanted)


def _statuses(pod: Object, *kinds: str) -> Iterable[Object]:
    status = pod.get("status") or {}
    return [container for kind in kinds for container in status.get(kind) or ()]


def _list_stopped(pod: Object) -> Iterable[tuple[str, Object]]:
    """Yield the details of the containers that do not run, with ``waiting`` or ``terminated``."""
    for container in _statuses(pod, "initContainerStatuses", "containerStatuses"):
        for kind in ("waiting", "terminated"):
            yield kind, _state(container).get(kind) or {}


def _state(container: Object) -> Object:
    found: Object = container.get("state") or {}
    return found


def _conditions(pod: Object) -> Iterable[Object]:
    found: Iterable[Object] = (pod.get("status") or {}).get("conditions") or ()
    return found


def _ports(pod: Object) -> Iterable[tuple[Object, Object]]:
    """Yield each port of a pod with its container: sidecars come last."""
    spec = pod.get("spec") or {}
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for port in container.get("ports") or ():
            yield container, port


def _names(port: Object) -> tuple[Any, Any]:
    return port.get("name"), port["containerPort"]


def runs_for(pod: Object, date: str) -> float | None:
    """Return for how many seconds all containers of a pod have run; None if that is unknown.

    Parameters
    ----------
    date
        The time of the server's clock, as an HTTP date.
    """
    running = (_state(container).get("running") or {} for container in _statuses(pod, "containerStatuses"))
    started = [one["startedAt"] for one in running if one.get("startedAt")]
    try:
        now = datetime.strptime(date, _HTTP_DATE).replace(tzinfo=UTC)
        return (now - max(map(datetime.fromisoformat, started))).total_seconds()
    except (TypeError, ValueError):
        return None


def container_port(pod: Object, wanted: int | str) -> int:
    """Return the number of a pod's port; raise `PortNotFound` for an unknown name or a port for UDP."""
    ports = [port for _unused, port in _ports(pod)]
    matching = [port for port in ports if wanted in _names(port)]
    if isinstance(wanted, int) and not matching:
        return wanted  # a container may listen on a port that it does not declare
    return int(
        _find_tcp(("pod", pod["metadata"]["name"]), wanted, matching, ports, "containerPort")["containerPort"]
    )


def pods_behind(
    pods: Iterable[Object], wanted: Sequence[int | str], *, named: str | None = None, owner: str | None = None
) -> list[Candidate]:
    """Return the candidates among `pods`, the best first.

    Parameters
    ----------
    wanted
        The ports of the containers.
    named
        The pod that the user named; it comes first, and need not be ready.
    owner
        If given, only pods whose controller has this uid, and the named pod.

    Raises
    ------
    PortNotFound
        If pods would be usable, but none of them has the ports.
    """
    found = []
    ready: dict[str, bool] = {}
    lacking: PortNotFound | None = None
    for pod in pods:
        name = pod["metadata"]["name"]
        if name != named and owner is not None and controller(pod).get("uid") != owner:
            continue
        ports: tuple[int, ...] = ()
        ready[name] = pod_is_ready(pod)
        usable = pod_serves(pod, wanted, named=name == named)
        if usable:
            try:
                ports = tuple(container_port(pod, port) for port in wanted)
            except PortNotFound as error:
                usable, lacking = False, error
        found.append(
            Candidate(
                name,
                pod["metadata"].get("uid", ""),
                ports,
                usable,
                pod_state(pod),
                pod_trouble(pod),
                over=pod_is_over(pod),
            )
        )
    if lacking is not None and not any(candidate.usable for candidate in found):
        raise lacking
    found.sort(key=lambda candidate: (candidate.name != named, not ready[candidate.name], candidate.name))
    return found


def controller(pod: Object) -> Object:
    """Return the owner reference of the controller that replaces a deleted pod; empty if there is none."""
    for reference in pod["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Object = reference
            return found
    return {}


def labels_of_siblings(pod: Object) -> str:
    """Return a selector for a pod's siblings: its labels, without those that only this pod has."""
    labels = pod["metadata"].get("labels") or {}
    return ",".join(f"{key}={value}" for key, value in labels.items() if key not in _POD_OWN_LABELS)


def selector_text(selector: Object) -> str:
    """Return a ``LabelSelector`` as the text for a query of the API."""
    parts = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for expression in selector.get("matchExpressions", ()):
        key, values = expression["key"], ",".join(expression.get("values", ()))
        parts.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[expression["operator"]]
        )
    return ",".join(parts)


# Services.


def service_ports(service: Object, wanted: Sequence[int | str]) -> tuple[Object, ...]:
    """Return the wanted ports of a service, as its spec has them; raise `PortNotFound` for an unknown one or one for UDP."""
    ports = service["spec"].get("ports", ())
    owner = "service", service["metadata"]["name"]
    found = []
    for one in wanted:
        matching = [port for port in ports if one in (port.get("name"), port["port"])]
        if not matching and isinstance(one, int):
            # Not a port of the service, but many users know the container's number instead.
            matching = [port for port in ports if _is_tcp(port) and port.get("targetPort") == one]
        found.append(_find_tcp(owner, one, matching, ports))
    return tuple(found)


def pods_of_endpoints(
    endpoints: Object, wanted: Sequence[int | str], ports: Sequence[Object] | None
) -> list[Candidate]:
    """Return the pods in an Endpoints object.

    Parameters
    ----------
    wanted
        The requested ports.
    ports
        The same ports from the service's spec; None if the service may not be read, so that a number means the
        pod's port.

    Raises
    ------
    PortNotFound
        If a ready pod behind the service has no such port.
    """
    found: list[Candidate] = []
    for subset in endpoints.get("subsets") or ():
        for kind, usable in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(kind) or ():
                reference = address.get("targetRef") or {}
                if reference.get("kind") != "Pod":
                    continue
                numbers = _numbers_in(endpoints, subset, wanted, ports) if usable else ()
                state = "Ready" if usable else _NOT_READY
                found.append(Candidate(reference["name"], reference.get("uid", ""), numbers, usable, state))
    found.sort(key=lambda candidate: candidate.name)
    return found


def _numbers_in(
    endpoints: Object, subset: Object, wanted: Sequence[int | str], ports: Sequence[Object] | None
) -> tuple[int, ...]:
    offered = subset.get("ports") or ()
    owner = "service", endpoints["metadata"]["name"]
    numbers = []
    for position, one in enumerate(wanted):
        if ports is None:
            matching = [port for port in offered if one in (port.get("name"), port["port"])]
        else:
            name = ports[position].get("name") or ""
            matching = [port for port in offered if (port.get("name") or "") == name]
        numbers.append(int(_find_tcp(owner, one, matching, offered)["port"]))
    return tuple(numbers)


def target_ports(ports: Sequence[Object]) -> tuple[int | str, ...]:
    """Return the names or numbers that the ports of a service have in the pods."""
    return tuple(port.get("targetPort") or port["port"] for port in ports)


def _is_tcp(port: Object) -> bool:
    return bool(port.get("protocol", "TCP") == "TCP")


def _find_tcp(
    owner: tuple[str, str],
    wanted: int | str,
    matching: Sequence[Object],
    offered: Iterable[Object],
    number: str = "port",
) -> Object:
    """Return the first TCP port of `matching`; raise `PortNotFound` with the `offered` ports if there is none.

    The `owner` of the ports is its kind, ``pod`` or ``service``, and its name.
    """
    for port in matching:
        if _is_tcp(port):
            return port
    words = []
    for port in offered:
        name = f" ({port['name']})" if port.get("name") else ""
        words.append(f"{port[number]}{name}" + ("" if _is_tcp(port) else f" ({port['protocol']})"))
    hint = _("choose one of its ports: {ports}", ports=", ".join(words)) if words else ""
    kind, name = owner
    if matching:
        why = _("A port-forward carries only TCP.")
        raise PortNotFound(_(_ONLY_UDP[kind], name=name, port=wanted), why=why, hint=hint)
    why = "" if words else _("It declares no ports.")
    raise PortNotFound(_(_NO_PORT[kind], name=name, port=wanted), why=why, hint=hint)
