"""Selection of the route to a database, the cheapest first: direct, forward, relay.

Each route is probed, not assumed: a service behind a network policy looks like one that hangs, and only the server knows
whether you may forward to a pod.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.platform import services_page
from sspcloud_magics.databases import kinds
from sspcloud_magics.databases.connection import Connection
from sspcloud_magics.databases.credentials import DatabaseCredentials
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.route import Route
from sspcloud_magics.errors import (
    DatabaseUnavailable,
    Forbidden,
    PodNotReady,
    TargetError,
    UsageProblem,
)
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.share_keys import colleague_name
from sspcloud_magics.sharing.pods import IMAGE
from sspcloud_magics.sharing.relay import close_relay, open_relay, remove_with_forward
from sspcloud_magics.target import PortText, Target

PROBE_TIMEOUT = 2.0
"""Longest wait for each step of the probe of the direct route, in seconds."""

RELAY_TIMEOUT = 5.0
"""Longest wait for a database's answer through a ready relay, in seconds: it answers at once, or never."""

_FIRST_BYTES = 32
"""The bytes of an answer that a probe looks at."""

ROUTES = ("direct", "forward", "relay")
"""The cheapest first."""


def service_host(database: Database) -> str:
    """Return the DNS name of a database's service."""
    return f"{database.service}.{database.namespace}.svc.cluster.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequest:
    """The arguments of a connection by any route."""

    # The cluster, and the manager of this process's forwards.
    cluster: Cluster
    manager: ForwardManager
    # The database, and the login.
    database: Database
    credentials: DatabaseCredentials
    dbname: str | None = None  # the database inside the server; the one in the credentials if None
    image: str = IMAGE  # the image of a relay
    timeout: float = 30.0  # how long each step may take, in seconds
    progress: Callable[[str], None] = lambda _unused: None  # called with a description of each step

    def connect(self, route: Route) -> Connection:
        """Connect by a route."""
        return kinds.get(self.database.kind).open_connection(
            self.cluster,
            self.manager,
            self.database,
            self.credentials,
            dbname=self.dbname,
            timeout=self.timeout,
            route=route,
        )


def open_by_route(request: RouteRequest, forced: str | None = None) -> Connection:
    """Connect to a database by the first route that leads there.

    Raises
    ------
    UsageProblem
        If `forced` is not in `ROUTES`.
    DatabaseUnavailable
        If no route leads there; says why each one failed.
    LoginRefused
        If the server is reached but refuses the login.
    """
    if forced is not None and forced not in ROUTES:
        raise UsageProblem(
            _("{forced!r} is not a route.", forced=forced),
            hint=_("use one of: {routes}", routes=", ".join(ROUTES)),
        )
    kinds.get(request.database.kind)  # its library is missing: say so before a relay is made
    failures: list[str] = []
    for name in (forced,) if forced else ROUTES:
        try:
            return _CONNECT_BY[name](request)
        except PodNotReady as error:
            if forced or name != "forward":
                raise
            raise DatabaseUnavailable(
                _("{path} has no ready pod.", path=request.database.path),
                why=error.why,
                hint=_(
                    "if it is paused, ask its owner to resume it on {services_page}\n"
                    "if its pod is being replaced, connect again in a moment",
                    services_page=services_page(),
                ),
            ) from None
        except (Forbidden, TargetError, DatabaseUnavailable) as error:
            if forced:
                raise
            failures.append(f"{name}: {error.what} {error.why}".strip())
    database, me = request.database, colleague_name(request.cluster.namespace)
    raise DatabaseUnavailable(
        _("No route leads to {path}.", path=database.path),
        why="\n".join(failures),
        hint=_(
            "ask its owner to share it with you: %share_db {name} --with {me}\n"
            "%k8s_doctor {path}   checks each step of the route",
            name=database.name,
            me=me,
            path=database.path,
        ),
    )


def _connect_directly(request: RouteRequest) -> Connection:
    address = _probe(request)
    why = _("the network lets this machine reach the service")
    return request.connect(Route("direct", why, address=address))


def _connect_by_forward(request: RouteRequest) -> Connection:
    database = request.database
    target = Target(database.namespace, "service", database.service)
    return request.connect(
        Route("forward", _("your permissions there allow a port-forward"), target, database.port)
    )


def _connect_by_relay(request: RouteRequest) -> Connection:
    database = request.database
    relay = open_relay(
        request.cluster,
        service_host(database),
        database.port,
        image=request.image,
        progress=request.progress,
    )
    route = Route("relay", _("the network is open to a pod of yours"), relay.pod, relay.port)
    remove_with_forward(request.manager, request.cluster, relay)
    try:
        # This lease lasts until the connection has its own.
        port = PortText(relay.port)
        with request.manager.lease(request.cluster, relay.pod, port, timeout=request.timeout) as lease:
            lease.forward.destination = f"{service_host(database)}:{database.port}"
            request.progress(_("contacting {name} through the relay", name=database.name))
            _probe_relay(request, lease.forward.local_port)
            return request.connect(route)
    except BaseException:
        close_relay(request.cluster, relay)
        raise


def _probe_relay(request: RouteRequest, port: int) -> None:
    """Check that the database answers, because a login that gets no answer would wait much longer."""
    probe = kinds.PROBES[request.database.kind]
    try:
        answer, _address = _ask(probe, "127.0.0.1", port, min(request.timeout, RELAY_TIMEOUT))
    except TimeoutError:
        why = _("Nothing answers: a network policy blocks the relay, or the database is paused.")
    except OSError as error:
        why = system_reason(error)
    else:
        if probe.answers(answer):
            return
        why = (
            _("The server that answers is not {kind}.", kind=probe.name)
            if answer
            else _("The server closes the connection at once.")
        )
    raise DatabaseUnavailable(
        _(
            "A relay in {namespace} does not reach {path}.",
            namespace=request.cluster.namespace,
            path=request.database.path,
        ),
        why=why,
        hint=_hint_network(request),
    )


_CONNECT_BY: dict[str, Callable[[RouteRequest], Connection]] = {
    "direct": _connect_directly,
    "forward": _connect_by_forward,
    "relay": _connect_by_relay,
}


def _probe(request: RouteRequest) -> str:
    """Return the address at which the database answers under the database's name.

    Only an answer counts: a proxy in between may accept connections that it cannot pass on.
    """
    host, port = service_host(request.database), request.database.port
    hint, probe = _hint_network(request), kinds.PROBES[request.database.kind]
    try:
        answer, address = _ask(probe, host, port, PROBE_TIMEOUT)
    except socket.gaierror:
        why = _("The service's name does not resolve here: this machine is outside the cluster.")
        hint = _("%connect_db {path}   finds another route: a forward or a relay", path=request.database.path)
    except TimeoutError:
        why = _("Nothing answers: a network policy blocks this machine, or the database is paused.")
    except OSError as error:
        why = system_reason(error)
    else:
        if probe.answers(answer):
            return address
        why = _("The server that answers is not {kind}.", kind=probe.name)
    raise DatabaseUnavailable(_("{host} cannot be reached directly.", host=host), why=why, hint=hint)


def _ask(probe: kinds.Probe, host: str, port: int, timeout: float) -> tuple[bytes, str]:
    """Return the first bytes of a server's answer to a probe, and its address."""
    with socket.create_connection((host, port), timeout) as connection:
        connection.settimeout(timeout)
        if probe.request:
            connection.sendall(probe.request)
        return connection.recv(_FIRST_BYTES), str(connection.getpeername()[0])


def _hint_network(request: RouteRequest) -> str:
    """Return the hint that asks for a share which opens the network."""
    me = colleague_name(request.cluster.namespace)
    return _(
        "ask its owner to open the network to you: %share_db {name} --with {me} --via network",
        name=request.database.name,
        me=me,
    )
