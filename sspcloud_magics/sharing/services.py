"""Shares of any service: what Kubernetes itself can grant, by the network or by a forward, until an expiry.

A share adds access and takes none away.

- *network*: a NetworkPolicy admits the colleagues' namespaces to one port of the pods. It is only added if another policy
  isolates the pods: the first policy that selects a pod closes it to all others, so alone it would cut off the owner's
  ingress. A pod that no policy selects is open to the cluster already.
- *forward*: a Role permits forwards to the pods, by their exact names. RBAC knows no wildcard for names, so a Deployment's
  pods cannot be granted. A forward leads to the pod's own loopback, and opens each of its ports.

A share grants the address and no login: the service does for a colleague what it does for anyone who reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sspcloud_magics import share_keys
from sspcloud_magics.cluster.api.api_errors import NotFound, relaunch_link, report_malformed
from sspcloud_magics.cluster.api.resources import (
    JOBS,
    NETWORK_POLICIES,
    ROLE_BINDINGS,
    ROLES,
    SERVICES,
    Attempt,
)
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads, object_writes, permissions
from sspcloud_magics.cluster.workloads import inventory
from sspcloud_magics.cluster.workloads.inventory import Pod, Service
from sspcloud_magics.errors import Forbidden, PortNotFound, TargetNotFound, UsageProblem
from sspcloud_magics.i18n import _, _n, format_datetime, format_duration, format_list
from sspcloud_magics.sharing import advisories, manifests, rendering, revoke
from sspcloud_magics.sharing.apply import apply_owned, ensure_job
from sspcloud_magics.sharing.colleagues import find_colleague
from sspcloud_magics.sharing.inventory import Share
from sspcloud_magics.sharing.manifests import Manifest, PlannedObjects
from sspcloud_magics.sharing.network_policies import selects
from sspcloud_magics.sharing.plan import find_colleagues
from sspcloud_magics.sharing.rendering import Risk
from sspcloud_magics.sharing.revoke import RevokeResult
from sspcloud_magics.target import TargetText, parse_target

_OURS = f"{share_keys.MANAGED_BY}={share_keys.OWNER},{share_keys.SERVICE}"
_FIXED_NAMES = ("", "StatefulSet")
"""The kinds of controllers whose pods keep their names; a pod without a controller keeps its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedServiceShare(PlannedObjects):
    """The planned share of a service with one colleague."""

    target_port: int | str  # the port of the pods, as the service names it
    pod_port: int  # the number of that port in the pods

    @property
    def name(self) -> str:
        """The name of all objects of the share."""
        return share_keys.share_name(f"svc-{self.service}", self.colleague.name)

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which later sessions find the share."""
        return {
            share_keys.MANAGED_BY: share_keys.OWNER,
            share_keys.SERVICE: self.service,
            share_keys.COLLEAGUE: self.colleague.name,
        }

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations that describe the share, for later sessions and for readers of its objects."""
        annotations = {
            share_keys.UNTIL: self.until.isoformat(timespec="seconds"),
            share_keys.ACCESS: share_keys.FORWARD if self.forward else share_keys.NETWORK,
            share_keys.SERVICE_PORT: str(self.port),
        }
        return annotations | ({share_keys.REASON: self.reason} if self.reason else {})

    def manifests(self, job_uid: str | None) -> list[Manifest]:
        """Build the objects that the Job owns."""
        if self.forward:
            return [manifests.role(self, job_uid), manifests.role_binding(self, job_uid)]
        rule = {
            "from": [manifests.select_namespace(self.colleague.namespace)],
            "ports": [{"protocol": "TCP", "port": self.target_port}],
        }
        spec = {
            "podSelector": {"matchLabels": dict(self.selector)},
            "policyTypes": ["Ingress"],
            "ingress": [rule],
        }
        return [manifests.make_manifest("networking.k8s.io/v1", "NetworkPolicy", self, job_uid, spec=spec)]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ServiceShare(rendering.ShareDisplay):
    """The share of a service, or its plan, as shown to the owner.

    Parameters
    ----------
    shares
        One share for each colleague.
    notes
        Notes for the owner, one sentence each, the most important first.
    is_open
        Whether the service is open to every namespace already, so that nothing is created.
    is_plan
        Whether nothing was done yet.
    """

    shares: tuple[PlannedServiceShare, ...]  # type: ignore[assignment]  # a share of another kind
    notes: tuple[str, ...]
    is_open: bool = False
    is_plan: bool = False

    @property
    def line(self) -> str:
        """The line to send to the colleagues; it contains no secret."""
        first = self.shares[0]
        # Who may only forward reads the Endpoints, which have the ports of the pods.
        port = first.pod_port if first.forward else first.port
        return f"%forward {first.namespace}/svc/{first.service} {port}"  # not translated: a command

    @property
    def granted(self) -> str:
        """The colleagues' access and its expiry in one sentence."""
        first = self.shares[0]
        values = {
            "names": format_list([share.colleague.name for share in self.shares]),
            "service": f"svc/{first.service}",
            "port": first.port,
            "duration": format_duration(first.duration),
            "moment": format_datetime(first.until),
        }
        if self.is_open:
            return _(
                "{service} is open to every namespace of the cluster: {names} may use it already.", **values
            )
        if first.forward:
            return _("{names} may forward to the pods of {service} for {duration}, until {moment}.", **values)
        return _("{names} may reach port {port} of {service} for {duration}, until {moment}.", **values)

    def yaml(self) -> str:
        """Format the objects to create as YAML."""
        if self.is_open:
            return ""
        shown = [each for share in self.shares for each in (manifests.job(share), *share.manifests("…"))]
        return rendering.as_yaml(shown)

    @property
    def _answer(self) -> rendering.Answer:
        objects = self.yaml() if self.is_plan else ""
        return rendering.Answer(granted=self.granted, line=self.line, notes=self.notes, objects=objects)


def parse_service(text: str) -> TargetText:
    """Parse ``svc/NAME`` or ``NAMESPACE/svc/NAME``.

    Raises
    ------
    UsageProblem
        If the text names something else.
    """
    found = parse_target(text)
    if found.kind != "service":
        raise UsageProblem(
            _("{text!r} is not a service.", text=text),
            hint=_(
                "%share svc/NAME --with COLLEAGUE   shares a service\n"
                "%share_db NAME --with COLLEAGUE   shares a database, with a login of their own"
            ),
        )
    return found


def plan_share(
    cluster: Cluster,
    service: str,
    port: str | int | None,
    colleagues: Sequence[str],
    *,
    duration: timedelta,
    via: str = share_keys.NETWORK,
    reason: str = "",
    prefix: str | None = None,
) -> ServiceShare:
    """Plan the share of a service.

    Raises
    ------
    UsageProblem, TargetNotFound, PortNotFound
        If the service, its port or a colleague's name is wrong, or its pods have no fixed names for a forward.
    Forbidden
        If a permission is missing.
    """
    target = parse_service(service)
    namespace = target.namespace or cluster.namespace
    _require_rights(cluster, namespace, via)
    found = _read_service(cluster, target.name, namespace)
    number, pods_port = _choose_port(found, port)
    pods = inventory.pods(cluster, namespace, label_selector=_join_labels(found.selector))
    people, notes = find_colleagues(cluster, colleagues, prefix, namespace)
    notes.append(
        _(
            "The share grants the address and no login: the service accepts a colleague as it accepts anyone who reaches it."
        )
    )
    is_open = False
    if via == share_keys.FORWARD:
        notes += _check_forward(found, pods)
    else:
        is_open = not _list_isolating(cluster, found, pods, namespace)
        notes += _describe_network(found, pods_port, is_open=is_open)
    until = datetime.now(UTC).replace(microsecond=0) + duration
    shares = tuple(
        PlannedServiceShare(
            namespace=namespace,
            colleague=colleague,
            service=found.name,
            port=number,
            target_port=pods_port,
            pod_port=_number_port(pods_port, pods, number),
            pods=tuple(pod.name for pod in pods),
            duration=duration,
            until=until,
            reason=reason,
            forward=via == share_keys.FORWARD,
            selector=found.selector,
        )
        for colleague in people
    )
    notes.append(advisories.warn_spelling(people))
    return ServiceShare(shares=shares, notes=rendering.sort_notes(notes), is_open=is_open, is_plan=True)


def apply_share(cluster: Cluster, plan: ServiceShare, progress: Callable[[str], None]) -> ServiceShare:
    """Create or renew the shares of a plan; without the Job that ends it, nothing is created."""
    for share in () if plan.is_open else plan.shares:
        progress(
            _("sharing {service} with {name}", service=f"svc/{share.service}", name=share.colleague.name)
        )
        ensure = partial(ensure_job, cluster, share)
        apply_owned(cluster, share, ensure(), share.manifests, ensure)
        # An earlier share of this service may have granted the other access.
        left = [NETWORK_POLICIES] if share.forward else [ROLE_BINDINGS, ROLES]
        for resource in left:
            with suppress(Forbidden):  # who may not delete them could not create them either
                object_writes.delete_object(cluster, resource, share.name, share.namespace)
    return ServiceShare(shares=plan.shares, notes=plan.notes, is_open=plan.is_open)


def list_service_shares(cluster: Cluster, namespace: str | None = None) -> list[Share]:
    """List the shares of services in a namespace, by service and colleague.

    Raises
    ------
    Forbidden
        If you may not list Jobs.
    """
    jobs = object_reads.list_objects(cluster, JOBS, namespace or cluster.namespace, label_selector=_OURS)
    with report_malformed(cluster):
        shares = [_read_job(job) for job in jobs if not job["metadata"].get("deletionTimestamp")]
    return sorted(shares, key=lambda share: (share.database, share.colleague))


def revoke_service_shares(
    cluster: Cluster, service: str, colleagues: Iterable[str] | None
) -> list[RevokeResult]:
    """Revoke the shares of a service with these colleagues, or all of them if None.

    Raises
    ------
    TargetNotFound
        If it is not shared with one of them.
    """
    target = parse_service(service)
    shown = f"svc/{target.name}"
    shares = [each for each in list_service_shares(cluster, target.namespace) if each.database == shown]
    known = {share.colleague for share in shares}
    wanted = known if colleagues is None else {find_colleague(name, known) for name in colleagues}
    if missing := sorted(wanted - known):
        raise TargetNotFound(
            _("{database} is not shared with {names}.", database=shown, names=format_list(missing, "or")),
            hint="\n".join(
                _("%unshare {database} {name}", database=shown, name=name) for name in sorted(known)
            )
            or "%shares",
        )
    return [revoke.revoke_in_cluster(cluster, share, "") for share in shares if share.colleague in wanted]


def _read_job(job: Mapping[str, Any]) -> Share:
    metadata = job["metadata"]
    annotations = metadata.get("annotations") or {}
    until = annotations.get(share_keys.UNTIL)
    access = annotations.get(share_keys.ACCESS, share_keys.NETWORK)
    return Share(
        database=f"svc/{metadata['labels'][share_keys.SERVICE]}",
        namespace=metadata["namespace"],
        colleague=metadata["labels"].get(share_keys.COLLEAGUE, ""),
        access=f"{access}:{annotations.get(share_keys.SERVICE_PORT, '')}",
        schemas=(),
        until=datetime.fromisoformat(until) if until else datetime.max.replace(tzinfo=UTC),
        reason=annotations.get(share_keys.REASON, ""),
        role="",
        name=metadata["name"],
        has_job=True,
        complete=True,
    )


def _require_rights(cluster: Cluster, namespace: str, via: str) -> None:
    needed = [JOBS, *([ROLES, ROLE_BINDINGS] if via == share_keys.FORWARD else [NETWORK_POLICIES])]
    missing = [each for each in needed if not permissions.may(cluster, "create", each, namespace)]
    if missing:
        names = format_list([each.plural for each in missing])
        link = relaunch_link(Attempt("create", missing[-1], namespace))
        raise Forbidden(
            _("You may not create {names} in {namespace}.", names=names, namespace=namespace),
            why=_("Sharing needs that permission."),
            hint=_("relaunch the service with a role that allows it: {relaunch_link}", relaunch_link=link)
            if cluster.in_service
            else _(
                "ask the cluster's administrator or the owner of {namespace} for that permission",
                namespace=namespace,
            ),
        )


def _read_service(cluster: Cluster, name: str, namespace: str) -> Service:
    try:
        item = object_reads.get_object(cluster, SERVICES, name, namespace)
    except NotFound:
        raise TargetNotFound(
            _("There is no service {name!r} in {namespace}.", name=name, namespace=namespace),
            hint=_("%k8s_services   lists the services"),
        ) from None
    with report_malformed(cluster):
        found = Service.from_object(item)
    if not found.selector:
        raise UsageProblem(
            _("svc/{name} has no pods of its own, so it cannot be shared.", name=name),
            why=_("It has no selector: it leads to addresses outside its namespace's pods."),
        )
    return found


def _choose_port(service: Service, wanted: str | int | None) -> tuple[int, int | str]:
    """Return the number of a service's port, and the port of its pods."""
    ports = [port for port in service.ports if port.protocol == "TCP"]
    fitting = [port for port in ports if wanted is None or str(wanted) in (str(port.number), port.name)]
    if len(fitting) == 1:
        return fitting[0].number, fitting[0].target or fitting[0].number
    known = ", ".join(map(str, ports))
    raise PortNotFound(
        _("svc/{name} has no port {port}.", name=service.name, port=wanted)
        if wanted is not None
        else _n(
            "svc/{name} has {count} port: name one.",
            "svc/{name} has {count} ports: name one.",
            len(ports),
            name=service.name,
        ),
        why=_("Its ports: {map}.", map=known),
        hint=_(
            "%share svc/{name} {port} --with COLLEAGUE",
            name=service.name,
            port=ports[0].number if ports else "PORT",
        ),
    )


def _number_port(port: int | str, pods: Sequence[Pod], otherwise: int) -> int:
    """Return the number of a pod's port that may be named."""
    if isinstance(port, int):
        return port
    return next((each.number for pod in pods for each in pod.ports if each.name == port), otherwise)


def _join_labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _list_isolating(
    cluster: Cluster, service: Service, pods: Sequence[Pod], namespace: str
) -> list[Mapping[str, Any]]:
    """Return the policies that select the pods of a service; without pods, those that would select them."""
    policies = object_reads.list_objects(cluster, NETWORK_POLICIES, namespace)
    labels = [pod.labels for pod in pods] or [service.selector]
    return [policy for policy in policies if any(selects(policy, each) for each in labels)]


def _describe_network(service: Service, port: int | str, *, is_open: bool) -> list[str]:
    if is_open:
        return [
            Risk(
                _(
                    "No network policy restricts the pods of svc/{name}: nothing was created, and the end of a share would "
                    "close nothing.",
                    name=service.name,
                )
            )
        ]
    return [
        _(
            "Pods in their namespaces reach port {port} of these pods, and no other port. The line opens a relay in "
            "their own namespace.",
            port=port,
        ),
        _("At the end, new connections are refused; those that are open then may continue."),
    ]


def _check_forward(service: Service, pods: Sequence[Pod]) -> list[str]:
    controlled = sorted({pod.owner for pod in pods if pod.owner.partition("/")[0] not in _FIXED_NAMES})
    if controlled or not pods:
        raise UsageProblem(
            _(
                "The pods of svc/{name} have no fixed names, so no forward to them can be granted.",
                name=service.name,
            ),
            why=_("They belong to {owners}.", owners=format_list(controlled))
            if controlled
            else _("It has no pod now."),
            hint=_("share the network: %share svc/{name} --with COLLEAGUE", name=service.name),
        )
    return [
        Risk(
            _(
                "A forward opens every port of the pods {pods}, also those that listen only inside the pod.",
                pods=format_list([pod.name for pod in pods]),
            )
        ),
        _("At the end, new tunnels are refused; those that are open then may continue."),
    ]
