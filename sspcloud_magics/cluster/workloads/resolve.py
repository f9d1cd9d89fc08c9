"""Resolve a typed target to an object in the cluster, with its ports.

An exact name has priority over a unique prefix; otherwise an error lists similar names. A bare name is tried as a pod,
a service, a deployment and a statefulset, in this order.

Permissions may be narrow: a colleague with one shared database may read the service's Endpoints and forward to
its pods, but list nothing. So if reading is forbidden, an exact name is accepted if the server allows a
port-forward there. `ResolvedTarget.ports_known` is then false, and any port number is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sspcloud_magics.cluster.api.api_errors import NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import (
    DAEMONSETS,
    DEPLOYMENTS,
    ENDPOINTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICASETS,
    SERVICES,
    STATEFULSETS,
    Resource,
)
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.object_reads import get_object, list_objects
from sspcloud_magics.cluster.requests.permissions import may
from sspcloud_magics.cluster.workloads.inventory import TargetPort, container_ports, service_ports
from sspcloud_magics.cluster.workloads.pod_status import pod_status
from sspcloud_magics.errors import AmbiguousTarget, Forbidden, PodNotReady, PortNotFound, TargetNotFound
from sspcloud_magics.i18n import N_, _, _n, format_list
from sspcloud_magics.target import (
    SHORT_KIND,
    PortText,
    Target,
    TargetText,
    parse_target,
    service_without_pods,
)

RESOURCES: Mapping[str, Resource] = {
    "pod": PODS,
    "service": SERVICES,
    "deployment": DEPLOYMENTS,
    "statefulset": STATEFULSETS,
    "replicaset": REPLICASETS,
    "daemonset": DAEMONSETS,
    "job": JOBS,
}

_BARE = ("pod", "service", "deployment", "statefulset")
"""The kinds of a bare name, in the order of the attempts."""

_SEVERAL = {
    "pod": N_("{count} pods in {namespace} begin with {name!r}."),
    "service": N_("{count} services in {namespace} begin with {name!r}."),
    "deployment": N_("{count} deployments in {namespace} begin with {name!r}."),
    "statefulset": N_("{count} statefulsets in {namespace} begin with {name!r}."),
    "replicaset": N_("{count} replicasets in {namespace} begin with {name!r}."),
    "daemonset": N_("{count} daemonsets in {namespace} begin with {name!r}."),
    "job": N_("{count} jobs in {namespace} begin with {name!r}."),
}
"""The sentences for several candidates, by kind."""

MOST_NAMED = 12
"""Maximum number of candidates in an error."""

_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """A target that exists, or that the user may forward to without being allowed to read it."""

    target: Target  # the object
    ports: tuple[TargetPort, ...] = ()  # the ports that it declares
    # Whether `ports` is complete; False if the permissions do not allow reading the object.
    ports_known: bool = True
    status: str = ""  # for a pod, kubectl's status (``Running``, ``CrashLoopBackOff``, …); else empty


def resolve(cluster: Cluster, text: str | TargetText) -> ResolvedTarget:
    """Find the target that the user means.

    Parameters
    ----------
    cluster
        The cluster; its default namespace applies if `text` has none.
    text
        ``[NAMESPACE/][KIND/]NAME``; NAME may be a unique prefix.

    Returns
    -------
    ResolvedTarget
        The target and its ports.

    Raises
    ------
    UsageProblem
        If `text` has another form.
    TargetNotFound
        If nothing has that name; lists similar names.
    AmbiguousTarget
        If several names begin with it; lists them.
    PodNotReady
        If it is a pod that has ended; a pod that is not ready yet is returned.
    TargetError
        If it is an ExternalName service, an alias of a host outside the cluster.
    Forbidden
        If both reading and forwarding are forbidden.

    Examples
    --------
    ``resolve(cluster, "user-alice/svc/postgresql-cnpg-951239-rw").ports``
    """
    typed = parse_target(text) if isinstance(text, str) else text
    namespace = typed.namespace or cluster.namespace
    kinds = [typed.kind] if typed.kind else _BARE
    if typed.name[-1] in "-.":  # not the end of a complete name
        return _by_prefix(cluster, typed, namespace, kinds)
    refusals: dict[str, Forbidden] = {}
    for kind in kinds:
        target = Target(namespace, kind, typed.name)
        try:
            item = get_object(cluster, RESOURCES[kind], typed.name, namespace)
        except NotFound:
            continue
        except Forbidden as refusal:
            refusals[kind] = refusal
            if kind == "service" and (found := _by_endpoints(cluster, target)):
                return found
            continue
        with report_malformed(cluster):
            return _describe_object(target, item)
    if refusals:
        return _accept_unseen_target(cluster, typed, namespace, refusals)
    return _by_prefix(cluster, typed, namespace, kinds)


def _describe_object(target: Target, item: Mapping[str, Any]) -> ResolvedTarget:
    spec = item.get("spec") or {}
    if target.kind == "service":
        if spec.get("type") == "ExternalName":
            raise service_without_pods(target, spec)
        return ResolvedTarget(target, service_ports(spec))
    if target.kind == "pod":
        if _is_over(item):
            raise PodNotReady(
                _("The pod {name} has ended ({status}).", name=target.name, status=pod_status(item).status),
                why=_("Its containers have ended, and will not be started again."),
                hint=_("%k8s_pods -n {namespace} shows what runs", namespace=target.namespace),
            )
        return ResolvedTarget(target, container_ports(spec), status=pod_status(item).status)
    template = (spec.get("template") or {}).get("spec") or {}
    return ResolvedTarget(target, container_ports(template))


def _is_over(item: Mapping[str, Any]) -> bool:
    """Whether an object is a pod whose containers have ended for good."""
    return (item.get("status") or {}).get("phase") in _OVER


def _by_endpoints(cluster: Cluster, target: Target) -> ResolvedTarget | None:
    """Return a service by its Endpoints; None if they cannot be read either."""
    try:
        endpoints = get_object(cluster, ENDPOINTS, target.name, target.namespace)
    except (Forbidden, NotFound):
        return None
    with report_malformed(cluster):
        ports = {
            TargetPort(port["port"], port.get("name") or "", port.get("protocol") or "TCP")
            for subset in endpoints.get("subsets") or ()
            for port in subset.get("ports") or ()
        }
        # These are the ports of the pods. Those of the service may differ, so any number is accepted.
        return ResolvedTarget(target, tuple(sorted(ports, key=lambda port: port.number)), ports_known=False)


def _accept_unseen_target(
    cluster: Cluster, typed: TargetText, namespace: str, refusals: Mapping[str, Forbidden]
) -> ResolvedTarget:
    """Return a target that cannot be read, if the user may forward to it."""
    kind = typed.kind or "pod"
    # For other kinds, the pods are only known when the tunnel is opened.
    name = typed.name if kind == "pod" else ""
    # The protocol and the server's version decide which of the two verbs is required.
    if any(
        may(cluster, verb, PODS, namespace, name=name, subresource="portforward")
        for verb in ("create", "get")
    ):
        return ResolvedTarget(Target(namespace, kind, typed.name), ports_known=False)
    refusal = next(iter(refusals.values()))
    what = _(
        "You may neither see {name} in the namespace {namespace} nor forward to it.",
        name=typed.name,
        namespace=namespace,
    )
    raise Forbidden(what, why=refusal.why, hint=refusal.hint)


def _by_prefix(cluster: Cluster, typed: TargetText, namespace: str, kinds: Sequence[str]) -> ResolvedTarget:
    known: list[Target] = []
    for kind in kinds:
        items = {
            item["metadata"]["name"]: item for item in _list_if_allowed(cluster, RESOURCES[kind], namespace)
        }
        begin = [name for name in items if name.startswith(typed.name)]
        # An evicted pod stays in the list, with the same prefix as its replacement.
        begin = [name for name in begin if not _is_over(items[name])] or begin
        if len(begin) == 1:
            with report_malformed(cluster):
                return _describe_object(Target(namespace, kind, begin[0]), items[begin[0]])
        if begin:
            candidates = [Target(namespace, kind, name) for name in sorted(begin)]
            raise AmbiguousTarget(
                _(_SEVERAL[kind], count=len(begin), namespace=namespace, name=typed.name),
                why=_describe_candidates(candidates, cluster),
                hint=_("write more of the name"),
            )
        known += [Target(namespace, kind, name) for name in sorted(items)]
    raise _not_found(cluster, typed, namespace, known)


def _list_if_allowed(cluster: Cluster, resource: Resource, namespace: str) -> list[dict[str, Any]]:
    try:
        return list_objects(cluster, resource, namespace)
    except (Forbidden, NotFound):
        return []


def _not_found(
    cluster: Cluster, typed: TargetText, namespace: str, known: Sequence[Target]
) -> TargetNotFound:
    if not known and not _namespace_exists(cluster, namespace):
        return TargetNotFound(
            _("There is no namespace {namespace}.", namespace=namespace),
            hint=_("check the spelling, or leave it out: {namespace} is yours", namespace=cluster.namespace),
        )
    kind = typed.kind or _("pod, service, deployment or statefulset")
    names = sorted({target.name for target in known})
    close = get_close_matches(typed.name, names, n=5, cutoff=0.5)
    near = [short(target, cluster) for name in close for target in known if target.name == name]
    if near:
        hint = _("did you mean {names}?", names=format_list(near, "or"))
    else:
        hint = _(
            "%k8s_pods -n {namespace} and %k8s_services -n {namespace} show what runs", namespace=namespace
        )
    what = _("There is no {kind} {name!r} in {namespace}.", kind=kind, name=typed.name, namespace=namespace)
    return TargetNotFound(what, why=_describe_candidates(known, cluster), hint=hint)


def _namespace_exists(cluster: Cluster, namespace: str) -> bool:
    try:
        get_object(cluster, NAMESPACES, namespace)
    except NotFound:
        return False
    except Forbidden:
        return True  # unknown: report the object as not found
    return True


def _describe_candidates(targets: Sequence[Target], cluster: Cluster) -> str:
    if not targets:
        return ""
    names = ", ".join(short(target, cluster) for target in targets[:MOST_NAMED])
    if len(targets) > MOST_NAMED:
        more = len(targets) - MOST_NAMED
        return _n(
            "There are: {names}, and {count} more.",
            "There are: {names}, and {count} more.",
            more,
            names=names,
        )
    return _("There are: {names}.", names=names)


def check_ports(resolved: ResolvedTarget, ports: Sequence[PortText]) -> tuple[PortText, ...]:
    """Return the requested ports, or the only port of the target if none was requested.

    Raises
    ------
    PortNotFound
        If the target does not have a port, a port is not TCP, or none was named and there are several.

    Notes
    -----
    A service has only the ports that it declares. A program in a pod may listen on an undeclared
    port, so any number is accepted there.
    """
    if not ports:
        tcp = [port for port in resolved.ports if port.protocol == "TCP"]
        if len(tcp) == 1:
            return (PortText(tcp[0].number),)
        example = tcp[0].number if tcp else 8000
        raise PortNotFound(
            _("{target} has {count} ports: name one.", target=resolved.target, count=len(tcp))
            if tcp
            else _("{target} has no known port: name one.", target=resolved.target),
            why=_ports_in_words(resolved),
            hint=f"%forward {resolved.target} {example}",  # not translated: a command
        )
    for port in ports:
        _check(resolved, port)
    return tuple(ports)


def _check(resolved: ResolvedTarget, port: PortText) -> None:
    found = [known for known in resolved.ports if port.remote in (known.number, known.name)]
    if any(known.protocol == "TCP" for known in found):
        return
    if found:
        raise PortNotFound(
            _(
                "Port {port} of {target} is {protocol}.",
                port=port.remote,
                target=resolved.target,
                protocol=found[0].protocol,
            ),
            why=_("Kubernetes forwards only TCP."),
            hint=_ports_in_words(resolved),
        )
    declared_only = resolved.target.kind == "service" and resolved.ports_known
    if isinstance(port.remote, str) and (resolved.ports_known or resolved.ports):
        declared_only = True
    if declared_only:
        raise PortNotFound(
            _("{target} has no port {port}.", target=resolved.target, port=port.remote),
            why=_ports_in_words(resolved),
            hint=_nearest_port(resolved, port),
        )


def _nearest_port(resolved: ResolvedTarget, port: PortText) -> str:
    behind = [known for known in resolved.ports if known.target == port.remote]
    if behind:
        return _(
            "use {number}, the port of the service: {other} is the port of its pods",
            number=behind[0].number,
            other=port.remote,
        )
    names = [known.name for known in resolved.ports if known.name]
    near = get_close_matches(str(port.remote), names, n=1)
    if near:
        return _("did you mean {names}?", names=near[0])
    if len(resolved.ports) == 1:
        return _("use {number}", number=resolved.ports[0].number)
    return _("use one of these") if resolved.ports else ""


def _ports_in_words(resolved: ResolvedTarget) -> str:
    if not resolved.ports:
        return _("It declares no ports.")
    return _("Its ports: {ports}.", ports=", ".join(map(str, resolved.ports)))


def short(target: Target, cluster: Cluster) -> str:
    """Return the target as the user can type it, without the default namespace."""
    kind = "" if target.kind == "pod" else f"{SHORT_KIND[target.kind]}/"
    prefix = "" if target.namespace == cluster.namespace else f"{target.namespace}/"
    return f"{prefix}{kind or ('pod/' if prefix else '')}{target.name}"
