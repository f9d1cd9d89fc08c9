"""The way from the cluster to what is wanted: the target, its pods, the tunnel, and the database behind it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sspcloud_magics.cluster.api.api_errors import NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import ENDPOINTS, EVENTS, PODS, SERVICES
from sspcloud_magics.cluster.requests.object_reads import get_object, list_objects
from sspcloud_magics.cluster.workloads.resolve import RESOURCES, resolve
from sspcloud_magics.databases import credentials
from sspcloud_magics.databases.discovery import SERVICES_PAGE, Database, require_usable
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Finding, fine, look, make_broken, not_needed
from sspcloud_magics.errors import (
    DatabaseNotFound,
    DatabaseUnavailable,
    Forbidden,
    SspcloudError,
    TargetError,
)
from sspcloud_magics.sharing.route_selection import RouteRequest, open_by_route
from sspcloud_magics.target import PortText, Target, parse_target
from sspcloud_magics.tunnel.pod_selection import not_ready_words, pod_is_ready, pods_behind, selector_text

if TYPE_CHECKING:
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.session.search_path import pin_search_path

_TIMEOUT = 15.0
_PROBE_BYTES = 2_000_000
_PROBE = "SELECT repeat('x', %s)"
_ROOM = (
    "SELECT current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity), "
    "(SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), "
    "(SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)"
)
_TABLES = (
    "SELECT count(*), count(*) FILTER (WHERE has_table_privilege(c.oid, 'SELECT')), "
    "count(*) FILTER (WHERE has_table_privilege(c.oid, 'INSERT')) FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
)


def target(patient: DoctorContext) -> Iterator[Finding]:
    """Find what is wanted, and whether something ready stands behind it."""
    step, cluster, wanted = "Target", patient.get_cluster(), patient.wanted or ""
    typed = parse_target(wanted)
    database = None if typed.kind else _database(patient, wanted)
    if database is not None:
        patient.database = database
        patient.personal |= {database.namespace.partition("-")[2]} - {""}
        require_usable(database)
        patient.target = Target(database.namespace, "service", database.service)
        patient.port = database.port
        state = "" if database.state == "unknown" else f"it is {database.state}"
        yield fine(
            step, f"{database.path} is a {database.kind} database.", f"known from: {database.source}", state
        )
    else:
        named = typed if typed.namespace or not patient.namespace else None
        found = resolve(cluster, wanted if named else f"{patient.namespace}/{wanted}")
        patient.target = found.target
        ports = [port for port in found.ports if port.protocol == "TCP"]
        patient.port = ports[0].number if ports else None
        said = ", ".join(map(str, found.ports)) or "none that are known"
        yield fine(
            step, f"{found.target} is there.", f"ports: {said}", found.status and f"it is {found.status}"
        )
    yield from _pods(patient, patient.target)


def _database(patient: DoctorContext, wanted: str) -> Database | None:
    try:
        return credentials.locate(patient.get_cluster(), wanted, patient.namespace)[0]
    except (DatabaseNotFound, Forbidden):
        return None


def _pods(patient: DoctorContext, found: Target) -> Iterator[Finding]:
    if found.kind == "pod":
        yield from _pod_itself(patient, found)
    elif found.kind != "service":
        yield from _pods_of_workload(patient, found)
    if found.kind != "service":
        return
    try:
        endpoints = get_object(patient.get_cluster(), ENDPOINTS, found.name, found.namespace)
    except (Forbidden, NotFound) as error:
        yield not_needed("Pods", f"The pods behind it cannot be seen ({error.what}); the tunnel will tell.")
        return
    with report_malformed(patient.get_cluster()):
        subsets = endpoints.get("subsets") or []
        ready = [_pod(address) for subset in subsets for address in subset.get("addresses") or ()]
        waiting = [_pod(address) for subset in subsets for address in subset.get("notReadyAddresses") or ()]
    if ready:
        stand = "A ready pod stands" if len(ready) == 1 else f"{len(ready)} ready pods stand"
        yield fine("Pods", f"{stand} behind it.", f"ready: {', '.join(ready)}",
                   (waiting and f"not ready: {', '.join(waiting)}") or "")  # fmt: skip
    else:
        yield make_broken(
            "Pods",
            f"No ready pod stands behind {found}.",
            _why_not_ready(patient, found)
            or (f"not ready: {', '.join(waiting)}" if waiting else "there is none at all"),
            hint=f"%k8s_pods -n {found.namespace}   says what they are doing\n"
            f"a service that is suspended has no pod: its owner resumes it on {SERVICES_PAGE}",
        )


def _pod_itself(patient: DoctorContext, found: Target) -> Iterator[Finding]:
    try:
        pod = get_object(patient.get_cluster(), PODS, found.name, found.namespace)
    except (Forbidden, NotFound):
        return  # the tunnel will tell
    with report_malformed(patient.get_cluster()):
        is_ready = pod_is_ready(pod)
        why = "" if is_ready else not_ready_words(pods_behind([pod], ()))
    if not is_ready:
        yield make_broken(
            "Pods",
            f"The pod {found.name} is not ready.",
            why,
            hint=f"%k8s_pods -n {found.namespace}   says what it is doing",
        )


def _pods_of_workload(patient: DoctorContext, found: Target) -> Iterator[Finding]:
    """Look at the pods that a Deployment or another controller has made; or say why it has made none."""
    try:
        workload = get_object(patient.get_cluster(), RESOURCES[found.kind], found.name, found.namespace)
        with report_malformed(patient.get_cluster()):
            selector = selector_text((workload.get("spec") or {}).get("selector") or {})
        pods = (
            list_objects(patient.get_cluster(), PODS, found.namespace, label_selector=selector)
            if selector
            else []
        )
    except (Forbidden, NotFound) as error:
        yield not_needed("Pods", f"The pods behind it cannot be seen ({error.what}); the tunnel will tell.")
        return
    with report_malformed(patient.get_cluster()):
        ready = [pod["metadata"]["name"] for pod in pods if pod_is_ready(pod)]
        why = "" if ready else not_ready_words(pods_behind(pods, ()))
    if ready:
        stand = "A ready pod stands" if len(ready) == 1 else f"{len(ready)} ready pods stand"
        yield fine("Pods", f"{stand} behind it.", f"ready: {', '.join(ready)}")
        return
    yield make_broken(
        "Pods",
        f"No ready pod stands behind {found}.",
        why or _why_no_pod(patient, found, workload),
        hint=f"%k8s_pods -n {found.namespace}   says what they are doing",
    )


def _why_no_pod(patient: DoctorContext, found: Target, workload: dict[str, Any]) -> str:
    """Return why a controller has no pod, in the cluster's words where it says any."""
    with report_malformed(patient.get_cluster()):
        if (workload.get("spec") or {}).get("replicas") == 0:
            return "It is scaled to zero: it has no pods until you or others raise its replicas."
        for condition in (workload.get("status") or {}).get("conditions") or ():
            failed = (
                condition.get("type") in ("ReplicaFailure", "Failed") and condition.get("status") == "True"
            )
            if failed and condition.get("message"):
                return f"The cluster says: {condition['message']}"
    field = f"involvedObject.name={found.name},reason=FailedCreate"
    try:
        events = list_objects(patient.get_cluster(), EVENTS, found.namespace, field_selector=field)
    except (Forbidden, NotFound):
        events = []
    with report_malformed(patient.get_cluster()):
        said = [event.get("message") for event in events if event.get("message")]
    return f"The cluster says: {said[-1]}" if said else "It has no pods."


def _why_not_ready(patient: DoctorContext, found: Target) -> str:
    """Return what the pods that a service selects are waiting for; empty where they may not be seen."""
    try:
        service = get_object(patient.get_cluster(), SERVICES, found.name, found.namespace)
        with report_malformed(patient.get_cluster()):
            selector = (service.get("spec") or {}).get("selector") or {}
            labels = ",".join(f"{key}={value}" for key, value in selector.items())
        pods = (
            list_objects(patient.get_cluster(), PODS, found.namespace, label_selector=labels)
            if labels
            else []
        )
    except (Forbidden, NotFound):
        return ""
    with report_malformed(patient.get_cluster()):
        return not_ready_words(pods_behind(pods, ()))


def _ask_to_share(patient: DoctorContext, found: Database) -> str:
    me = patient.get_cluster().namespace.removeprefix("user-")
    return f"ask its owner to share it with you: %share_db {found.name} --with {me}"


def _pod(address: dict[str, Any]) -> str:
    return str((address.get("targetRef") or {}).get("name") or address.get("ip"))


def tunnel(patient: DoctorContext) -> Iterator[Finding]:
    """Open a forward on a free port: its dial proves that something listens."""
    step = "Tunnel"
    if patient.target is None or patient.port is None:
        yield not_needed(step, "No port of the target is known: name one with %forward TARGET PORT.")
        return
    began = time.perf_counter()
    try:
        patient.lease = patient.manager().lease(
            patient.get_cluster(), patient.target, PortText(patient.port, 0), timeout=_TIMEOUT
        )
    except Forbidden as error:
        if patient.database is None or patient.database.namespace == patient.get_cluster().namespace:
            raise
        raise Forbidden(error.what, why=error.why, hint=_ask_to_share(patient, patient.database)) from None
    opened = patient.lease.forward
    took = f"opened in {1000 * (time.perf_counter() - began):.0f} ms"
    seen = [
        f"the pod {opened.pod} answers for port {patient.port}",
        took if patient.lease.is_new else "it was open already",
    ]
    began = time.perf_counter()
    with contextlib.suppress(OSError):
        socket.create_connection(("localhost", opened.local_port), _TIMEOUT).close()
        seen.append(f"a connection is taken in {1000 * (time.perf_counter() - began):.1f} ms")
    what = f"A tunnel to {patient.target} opens ({opened.protocol})."
    if opened.protocol == "channels":
        yield look(
            step, what, *seen,
            "the server, or a proxy before it, refused SPDY, also inside a WebSocket: the older protocol is used",
            hint="nothing has to be done; without such a proxy it is faster",
        )  # fmt: skip
    else:
        yield fine(step, what, *seen)


def database(patient: DoctorContext) -> Iterator[Finding]:
    """Log in to the database by the way that %connect_db would take, and look around."""
    found = patient.database
    if found is None:
        yield not_needed("Database", "What is wanted is no database.")
        return
    if found.kind != "postgres":
        yield not_needed("Database", f"Only PostgreSQL is looked into, and this is {found.kind}.")
        return
    _, login = credentials.find_credentials(patient.get_cluster(), found.path)
    patient.credentials = login
    patient.personal |= {login.user}
    journey = RouteRequest(
        cluster=patient.get_cluster(),
        manager=patient.manager(),
        database=found,
        credentials=login,
        timeout=_TIMEOUT,
    )
    connection, met = _first_way(journey)
    try:
        yield fine("Route", f"The database is reached by {connection.route}.", *met)
        yield from _check_inside(connection, login.source)
    finally:
        connection.close()


def _first_way(journey: RouteRequest) -> tuple[DatabaseConnection, list[str]]:
    """Return a connection by the first way that makes no object in the cluster, and what the others met."""
    met: list[str] = []
    failure: SspcloudError | None = None
    for way in ("direct", "forward"):
        try:
            return open_by_route(journey, way), met
        except (Forbidden, TargetError, DatabaseUnavailable) as error:
            met.append(f"{way}: {error.what}")
            failure = error
    assert failure is not None  # noqa: S101 - the loop ran
    raise type(failure)(failure.what, why="\n".join([failure.why, *met]).strip(), hint=(
        f"{failure.hint}\n%connect_db tries a relay, a pod of yours, as well").strip())  # fmt: skip


def _check_inside(connection: DatabaseConnection, source: str) -> Iterator[Finding]:
    session = connection.psycopg
    with pin_search_path(session):
        began = time.perf_counter()
        session.execute("SELECT 1").fetchone()
        latency = time.perf_counter() - began
        began = time.perf_counter()
        session.execute(_PROBE, (_PROBE_BYTES,)).fetchone()
        rate = _PROBE_BYTES / (time.perf_counter() - began) / 1e6
        total, readable, writable = session.execute(_TABLES).fetchone() or (0, 0, 0)
        most, used, limit, mine = session.execute(_ROOM).fetchone() or (0, 0, -1, 0)
    yield fine(
        "Login",
        f"{connection.user} is logged in to {connection.dbname}.",
        f"the password is of {source}",
        f"protection: {connection.protection}",
        f"a question is answered in {1000 * latency:.1f} ms",
        f"{_PROBE_BYTES / 1e6:.0f} MB came at {rate:.0f} MB/s",
    )
    words = f"{readable} of {total} tables may be read, {writable} written."
    if total and not readable:
        yield look("Tables", words, hint="ask the owner of the database for the right to read them")
    else:
        yield fine("Tables", words)
    left = most - used if limit < 0 else min(most - used, limit - mine)
    seen = [f"{used} of {most} are used", f"you have {mine} of {limit}" if limit >= 0 else f"you have {mine}"]
    if left > 2:
        yield fine("Connections", f"{left} connections are left.", *seen)
    else:
        yield look("Connections", f"Only {left} connections are left.", *seen,
                   hint="close connections that nobody uses: other notebooks, DBeaver, psql")  # fmt: skip
