"""Choosing the way to a database, the cheapest first: direct, forward, relay.

Each is probed, not assumed: a service that the network policies hide looks like one that hangs, and what one may
forward to is the server's to say.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.databases.credentials import DatabaseCredentials
from sspcloud_magics.databases.discovery import SERVICES_PAGE, Database
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection, open_connection
from sspcloud_magics.databases.route import Route
from sspcloud_magics.errors import DatabaseUnavailable, Forbidden, PodNotReady, TargetError, UsageProblem
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.sharing.pods import IMAGE
from sspcloud_magics.sharing.relay import close_relay, end_with_its_forward, open_relay
from sspcloud_magics.target import PortText, Target

PROBE_TIMEOUT = 2.0
"""In seconds, for each step."""

RELAY_TIMEOUT = 5.0
"""How long a database may take to answer through a relay that is ready, in seconds: it does at once, or never."""

# The manual's "Message Formats": a server answers with one byte, S or N.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_ANSWERS = (b"S", b"N")

ROUTES = ("direct", "forward", "relay")
"""The cheapest first."""


def host_of(database: Database) -> str:
    """Return the name of a database's service, as pods of any namespace know it."""
    return f"{database.service}.{database.namespace}.svc.cluster.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteResult:
    """What every way needs to know.

    Parameters
    ----------
    cluster, manager
        Where, as whom, and who makes forwards.
    database, credentials
        Where to, and who logs in there.
    dbname
        The database inside the server; what the credentials say where None.
    image
        The image of a relay.
    timeout
        How long each step may take, in seconds.
    progress
        Is told what is tried.
    """

    cluster: Cluster
    manager: ForwardManager
    database: Database
    credentials: DatabaseCredentials
    dbname: str | None = None
    image: str = IMAGE
    timeout: float = 30.0
    progress: Callable[[str], None] = lambda _: None

    def connect(self, route: Route) -> DatabaseConnection:
        """Connect by that way."""
        return open_connection(
            self.cluster,
            self.manager,
            self.database,
            self.credentials,
            dbname=self.dbname,
            timeout=self.timeout,
            route=route,
        )


def open_by_route(journey: RouteResult, forced: str | None = None) -> DatabaseConnection:
    """Connect to a database by the first way that leads there.

    Raises
    ------
    UsageProblem
        If `forced` is none of the three.
    DatabaseUnavailable
        If none leads there: it says what each met.
    LoginRefused
        If the server is reached and does not let one in.
    """
    if forced is not None and forced not in ROUTES:
        raise UsageProblem(f"{forced!r} is not a route.", hint=f"use one of: {', '.join(ROUTES)}")
    met: list[str] = []
    for name in (forced,) if forced else ROUTES:
        try:
            return _WAYS[name](journey)
        except PodNotReady as error:
            if forced or name != "forward":
                raise
            raise DatabaseUnavailable(
                f"{journey.database.path} has no pod that answers.",
                why=error.why,
                hint=f"if it is paused, its owner resumes it on {SERVICES_PAGE}\n"
                "a pod that is just being replaced is back in a moment: then connect again",
            ) from None
        except (Forbidden, TargetError, DatabaseUnavailable) as error:
            if forced:
                raise
            met.append(f"{name}: {error.what} {error.why}".strip())
    database, me = journey.database, journey.cluster.namespace.removeprefix("user-")
    raise DatabaseUnavailable(
        f"No route leads to {database.path}.",
        why="\n".join(met),
        hint=f"ask its owner to share it with you: %share_db {database.name} --with {me}\n"
        f"%k8s_doctor {database.path}   looks into each step of the way",
    )


def _by_direct(journey: RouteResult) -> DatabaseConnection:
    address = _probe(journey)
    why = "the network lets this machine reach the service"
    return journey.connect(Route("direct", why, address=address))


def _by_forward(journey: RouteResult) -> DatabaseConnection:
    database = journey.database
    target = Target(database.namespace, "service", database.service)
    return journey.connect(Route("forward", "your rights there allow a port-forward", target, database.port))


def _by_relay(journey: RouteResult) -> DatabaseConnection:
    database = journey.database
    relay = open_relay(
        journey.cluster,
        host_of(database),
        database.port,
        image=journey.image,
        progress=journey.progress,
    )
    route = Route("relay", "the network is open to a pod of yours", relay.pod, relay.port)
    end_with_its_forward(journey.manager, journey.cluster, relay)
    try:
        # Held until the connection has a lease of its own.
        port = PortText(relay.port)
        with journey.manager.lease(journey.cluster, relay.pod, port, timeout=journey.timeout) as lease:
            lease.forward.destination = f"{host_of(database)}:{database.port}"
            journey.progress(f"asking {database.name} through the relay")
            _ask_relay(journey, lease.forward.local_port)
            return journey.connect(route)
    except BaseException:
        close_relay(journey.cluster, relay)
        raise


def _ask_relay(journey: RouteResult, port: int) -> None:
    """Find out at once whether a PostgreSQL answers: its own patience with a login is much longer."""
    try:
        answer, _ = _ask("127.0.0.1", port, min(journey.timeout, RELAY_TIMEOUT))
    except TimeoutError:
        why = (
            "Nothing answers it: a network policy lets nothing through from there, or the database is paused."
        )
    except OSError as error:
        why = f"{error.strerror or error}."
    else:
        if answer in _ANSWERS:
            return
        why = "What answers is no PostgreSQL." if answer else "It ends the connection at once."
    raise DatabaseUnavailable(
        f"A relay in {journey.cluster.namespace} does not reach {journey.database.path}.",
        why=why,
        hint=_open_the_network(journey),
    )


_WAYS: dict[str, Callable[[RouteResult], DatabaseConnection]] = {
    "direct": _by_direct,
    "forward": _by_forward,
    "relay": _by_relay,
}


def _probe(journey: RouteResult) -> str:
    """Return the address at which a PostgreSQL answers under the database's name.

    Not the connection but an answer counts: what stands between may accept what it cannot pass on.
    """
    host, port = host_of(journey.database), journey.database.port
    hint = _open_the_network(journey)
    try:
        answer, address = _ask(host, port, PROBE_TIMEOUT)
    except socket.gaierror:
        why = "The service's name is not known here: this machine is outside the cluster."
        hint = f"%connect_db {journey.database.path}   finds another way: a forward, or a relay"
    except TimeoutError:
        why = "Nothing answers: a network policy lets nothing through from here, or the database is paused."
    except OSError as error:
        why = f"{error.strerror or error}."
    else:
        if answer in _ANSWERS:
            return address
        why = "What answers is no PostgreSQL."
    raise DatabaseUnavailable(f"{host} cannot be reached directly.", why=why, hint=hint)


def _ask(host: str, port: int, timeout: float) -> tuple[bytes, str]:
    """Return what a server answers to PostgreSQL's first question, and its address."""
    with socket.create_connection((host, port), timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(_SSL_REQUEST)
        return connection.recv(1), str(connection.getpeername()[0])


def _open_the_network(journey: RouteResult) -> str:
    """Return what opens the network to one's namespace."""
    me = journey.cluster.namespace.removeprefix("user-")
    return f"ask its owner to open the network to you: %share_db {journey.database.name} --with {me} --via network"
