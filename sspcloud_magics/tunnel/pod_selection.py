"""Which pod stands behind a target, and on which port: pure functions from Kubernetes objects to a choice.

| target                  | the pods                                             | a port is                         |
|-------------------------|------------------------------------------------------|-----------------------------------|
| service                 | the addresses of its Endpoints; else its selector's  | the service's, by number or name  |
| deployment, job, …      | the selector's                                       | the container's, by number or name|
| pod                     | the pod; when it is gone, its controller's others    | the container's, by number or name|

`sspcloud_magics.tunnel.pod_watcher` fetches the objects and calls this again whenever one of them changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sspcloud_magics.errors import PortNotFound

Object: TypeAlias = Mapping[str, Any]

_POD_OWN_LABELS = (
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
)
_MOST_STATES = 5
_LONGEST_TROUBLE = 300
_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that stands behind a target.

    Parameters
    ----------
    name, uid
        The pod; the uid is empty where it cannot be known.
    ports
        The pod's port numbers, in the order in which the ports were asked for.
    usable
        Whether it takes connections: it is ready, or, where the user named the very pod, it runs.
    state, trouble
        What there is to say about it, in kubectl's words and in the cluster's own.
    over
        Whether its programs have ended for good.
    """

    name: str
    uid: str
    ports: tuple[int, ...]
    usable: bool
    state: str = ""
    trouble: str = ""
    over: bool = False

    def is_same(self, other: Candidate) -> bool:
        """Return whether both are the same pod, which may have changed meanwhile."""
        return (self.name, self.uid) == (other.name, other.uid)


def choose(candidates: Sequence[Candidate], current: Candidate | None) -> Candidate | None:
    """Return the pod to use: the current one as long as it is usable, else the first that is."""
    usable = [candidate for candidate in candidates if candidate.usable]
    if current is not None:
        for candidate in usable:
            if candidate.is_same(current):
                return candidate
    return usable[0] if usable else None


def not_ready_words(candidates: Sequence[Candidate]) -> str:
    """Return why no candidate can be used: what may still become ready first, and the like in one sentence."""
    alike: dict[tuple[bool, str], list[Candidate]] = {}
    for candidate in candidates:
        alike.setdefault((candidate.over, candidate.state), []).append(candidate)
    words = []
    for (_, state), them in sorted(alike.items(), key=lambda entry: entry[0][0])[:_MOST_STATES]:
        if len(them) > 1:
            words.append(f"{len(them)} pods are {state}, such as {them[0].name}.")
            continue
        state_words = f"{state} and not ready" if state == "Running" else state
        trouble = them[0].trouble.rstrip(".")
        trouble = f": {trouble[:_LONGEST_TROUBLE]}" if trouble else ""
        words.append(f"The pod {them[0].name} is {state_words}{trouble}.")
    return " ".join(words)


# Pods.


def pod_state(pod: Object) -> str:
    """Return the state of a pod as ``kubectl get pods`` words it."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for container in _statuses(pod, "initContainerStatuses", "containerStatuses"):
        for kind in ("waiting", "terminated"):
            reason = (_state(container).get(kind) or {}).get("reason")
            if reason and not (kind == "terminated" and reason == "Completed" and _goes_on(pod)):
                return str(reason)
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _goes_on(pod: Object) -> bool:
    """Return whether containers run, so that one that has completed is no news."""
    return any("running" in _state(container) for container in _statuses(pod, "containerStatuses"))


def pod_trouble(pod: Object) -> str:
    """Return what the cluster says of a pod that is not ready, in its own words; empty where it says nothing."""
    for container in _statuses(pod, "initContainerStatuses", "containerStatuses"):
        for kind in ("waiting", "terminated"):
            message = (_state(container).get(kind) or {}).get("message")
            if message:
                return " ".join(str(message).split())
    for condition in _conditions(pod):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or "")
    return str((pod.get("status") or {}).get("message") or "")


def pod_is_over(pod: Object) -> bool:
    """Return whether the programs of a pod have ended for good, as those of one that was evicted."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def pod_is_ready(pod: Object) -> bool:
    """Return whether a pod is ready and stays."""
    return not pod["metadata"].get("deletionTimestamp") and any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in _conditions(pod)
    )


def pod_serves(pod: Object, wanted: Sequence[int | str], *, named: bool = False) -> bool:
    """Return whether a pod stays and the containers that have the ports take connections.

    Of a pod that was named, it is enough that they run: the user may want to see why it is not ready. Of any other,
    they are ready, whatever another container of the pod does. A port that no container declares may be of any.
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


def _state(container: Object) -> Object:
    found: Object = container.get("state") or {}
    return found


def _conditions(pod: Object) -> Iterable[Object]:
    found: Iterable[Object] = (pod.get("status") or {}).get("conditions") or ()
    return found


def _ports(pod: Object) -> Iterable[tuple[Object, Object]]:
    """Yield the ports of a pod, each with its container: those of sidecars after the containers'."""
    spec = pod.get("spec") or {}
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for port in container.get("ports") or ():
            yield container, port


def _names(port: Object) -> tuple[Any, Any]:
    return port.get("name"), port["containerPort"]


def runs_for(pod: Object, date: str) -> float | None:
    """Return for how many seconds all containers of a pod have run; None where that cannot be told.

    Parameters
    ----------
    date
        The time by the server's clock, as HTTP writes it.
    """
    running = (_state(container).get("running") or {} for container in _statuses(pod, "containerStatuses"))
    started = [one["startedAt"] for one in running if one.get("startedAt")]
    try:
        now = datetime.strptime(date, _HTTP_DATE).replace(tzinfo=UTC)
        return (now - max(map(datetime.fromisoformat, started))).total_seconds()
    except (TypeError, ValueError):
        return None


def container_port(pod: Object, wanted: int | str) -> int:
    """Return the number of a pod's port.

    Raises
    ------
    PortNotFound
        If no container has a port of that name, or it is one for UDP.
    """
    ports = [port for _, port in _ports(pod)]
    matching = [port for port in ports if wanted in _names(port)]
    if any(_is_tcp(port) for port in matching):
        return next(int(port["containerPort"]) for port in matching if _is_tcp(port))
    if isinstance(wanted, int) and not matching:
        return wanted  # a container may listen on a port that it does not declare
    named = f"the pod {pod['metadata']['name']}"
    offered = [(port.get("name"), port["containerPort"], port) for port in ports]
    raise _no_port(named, wanted, offered, udp=bool(matching))


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
        Only pods whose controller has this uid, beside the one that was named.

    Raises
    ------
    PortNotFound
        If pods could be used, and none of them has the ports.
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
    """Return the reference to the object that replaces a pod when it goes; empty if nothing does."""
    for reference in pod["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Object = reference
            return found
    return {}


def labels_of_siblings(pod: Object) -> str:
    """Return a selector for the pods like this one: by its labels, without those that are its own only."""
    labels = pod["metadata"].get("labels") or {}
    return ",".join(f"{key}={value}" for key, value in labels.items() if key not in _POD_OWN_LABELS)


def selector_text(selector: Object) -> str:
    """Return a ``LabelSelector`` in the form that the API takes in a query."""
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
    """Return the ports of a service that were asked for, as they stand in its spec.

    Raises
    ------
    PortNotFound
        If it has no such port, or it is one for UDP.
    """
    ports = service["spec"].get("ports", ())
    found = []
    for one in wanted:
        matching = [port for port in ports if one in (port.get("name"), port["port"])]
        tcp = [port for port in matching if _is_tcp(port)]
        if not tcp and not matching and isinstance(one, int):
            # Not what the service calls it; but many know the number of the container instead.
            tcp = [port for port in ports if _is_tcp(port) and port.get("targetPort") == one]
        if not tcp:
            named = f"the service {service['metadata']['name']}"
            offered = [(port.get("name"), port["port"], port) for port in ports]
            raise _no_port(named, one, offered, udp=bool(matching))
        found.append(tcp[0])
    return tuple(found)


def pods_of_endpoints(
    endpoints: Object, wanted: Sequence[int | str], ports: Sequence[Object] | None
) -> list[Candidate]:
    """Return the pods that an Endpoints object names.

    Parameters
    ----------
    wanted
        The ports that were asked for.
    ports
        The same, as they stand in the service; None where the service may not be read. Then a number is
        the pod's.

    Raises
    ------
    PortNotFound
        If a ready pod stands behind the service, and has no such port.
    """
    found: list[Candidate] = []
    for subset in endpoints.get("subsets") or ():
        for kind, usable in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(kind) or ():
                reference = address.get("targetRef") or {}
                if reference.get("kind") != "Pod":
                    continue
                numbers = _numbers_in(endpoints, subset, wanted, ports) if usable else ()
                state = "Ready" if usable else "not ready"
                found.append(Candidate(reference["name"], reference.get("uid", ""), numbers, usable, state))
    found.sort(key=lambda candidate: candidate.name)
    return found


def _numbers_in(
    endpoints: Object, subset: Object, wanted: Sequence[int | str], ports: Sequence[Object] | None
) -> tuple[int, ...]:
    offered = subset.get("ports") or ()
    numbers = []
    for position, one in enumerate(wanted):
        if ports is None:
            matching = [port for port in offered if one in (port.get("name"), port["port"])]
        else:
            name = ports[position].get("name") or ""
            matching = [port for port in offered if (port.get("name") or "") == name]
        tcp = [port for port in matching if _is_tcp(port)]
        if not tcp:
            named = f"the service {endpoints['metadata']['name']}"
            listed = [(port.get("name"), port["port"], port) for port in offered]
            raise _no_port(named, one, listed, udp=bool(matching))
        numbers.append(int(tcp[0]["port"]))
    return tuple(numbers)


def target_ports(ports: Sequence[Object]) -> tuple[int | str, ...]:
    """Return what the ports of a service are called in the pods."""
    return tuple(port.get("targetPort") or port["port"] for port in ports)


def _is_tcp(port: Object) -> bool:
    return bool(port.get("protocol", "TCP") == "TCP")


def _no_port(
    named: str, wanted: int | str, offered: Sequence[tuple[str | None, int, Object]], *, udp: bool
) -> PortNotFound:
    words = []
    for name, number, port in offered:
        protocol = "" if _is_tcp(port) else f" ({port['protocol']})"
        words.append((f"{number} ({name})" if name else str(number)) + protocol)
    what = f"{named[0].upper()}{named[1:]} has no port {wanted}"
    if udp:
        return PortNotFound(
            f"{named[0].upper()}{named[1:]} has the port {wanted} for UDP only.",
            why="A port-forward carries TCP, and nothing else.",
            hint=f"its ports are: {', '.join(words)}",
        )
    return PortNotFound(
        f"{what}.", hint=f"its ports are: {', '.join(words)}" if words else "it declares no ports"
    )
