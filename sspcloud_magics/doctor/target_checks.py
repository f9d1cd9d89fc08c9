"""Checks of the route from the cluster to the target: the target, its pods, the tunnel and the database."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sspcloud_magics.cluster.api.api_errors import NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import ENDPOINTS, EVENTS, PODS, SERVICES
from sspcloud_magics.cluster.platform import services_page
from sspcloud_magics.cluster.requests.object_reads import get_object, list_objects
from sspcloud_magics.cluster.workloads.resolve import RESOURCES, resolve
from sspcloud_magics.databases import credentials
from sspcloud_magics.databases.discovery import QUERYABLE, Database, require_usable
from sspcloud_magics.databases.route import ROUTE_NAMES
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Finding, fine, look, make_broken, not_needed
from sspcloud_magics.errors import (
    DatabaseNotFound,
    DatabaseUnavailable,
    Forbidden,
    SspcloudError,
    TargetError,
)
from sspcloud_magics.i18n import _, _n, format_bytes, format_number, format_seconds
from sspcloud_magics.share_keys import colleague_name
from sspcloud_magics.sharing.route_selection import RouteRequest, open_by_route
from sspcloud_magics.target import PortText, Target, parse_target
from sspcloud_magics.tunnel.pod_selection import not_ready_words, pod_is_ready, pods_behind, selector_text

if TYPE_CHECKING:
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.session.search_path import pin_search_path

# Of each connection, in seconds.
_TIMEOUT = 15.0
# Enough to measure the throughput, and less than a second on a slow connection.
_PROBE_BYTES = 2 * 2**20
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


def target(context: DoctorContext) -> Iterator[Finding]:
    """Find the target or the database, and check that it has a ready pod."""
    step, cluster, wanted = "Target", context.get_cluster(), context.wanted or ""
    typed = parse_target(wanted)
    database = None if typed.kind else _database(context, wanted)
    if database is not None:
        context.database = database
        context.personal |= {database.namespace.partition("-")[2]} - {""}
        require_usable(database)
        context.target = Target(database.namespace, "service", database.service)
        context.port = database.port
        yield fine(
            step,
            _("{path} is a {kind} database.", path=database.path, kind=database.kind),
            _("known from: {source}", source=database.describe_source()),
            database.describe_state(),
        )
    else:
        named = typed if typed.namespace or not context.namespace else None
        found = resolve(cluster, wanted if named else f"{context.namespace}/{wanted}")
        context.target = found.target
        ports = [port for port in found.ports if port.protocol == "TCP"]
        context.port = ports[0].number if ports else None
        known = ", ".join(map(str, found.ports)) or _("none known")
        yield fine(
            step,
            _("{target} exists.", target=found.target),
            _("ports: {ports}", ports=known),
            found.status and _("it is {status}", status=found.status),
        )
    yield from _pods(context, context.target)


def _database(context: DoctorContext, wanted: str) -> Database | None:
    try:
        return credentials.locate(context.get_cluster(), wanted, context.namespace)[0]
    except (DatabaseNotFound, Forbidden):
        return None


def _pods(context: DoctorContext, found: Target) -> Iterator[Finding]:
    check = {"pod": _pod_itself, "service": _pods_of_service}.get(found.kind, _pods_of_workload)
    try:
        yield from check(context, found)
    except (Forbidden, NotFound) as error:
        yield not_needed(
            "Pods", _("Its pods cannot be read ({what}); the tunnel will show.", what=error.what)
        )


def _pods_of_service(context: DoctorContext, found: Target) -> Iterator[Finding]:
    endpoints = get_object(context.get_cluster(), ENDPOINTS, found.name, found.namespace)
    with report_malformed(context.get_cluster()):
        subsets = endpoints.get("subsets") or []
        ready = [_pod(address) for subset in subsets for address in subset.get("addresses") or ()]
        waiting = [_pod(address) for subset in subsets for address in subset.get("notReadyAddresses") or ()]
    not_ready = _("not ready: {pods}", pods=", ".join(waiting)) if waiting else ""
    if ready:
        yield _make_ready(ready, not_ready)
    else:
        yield make_broken(
            "Pods",
            _("{found} has no ready pod.", found=found),
            _why_not_ready(context, found) or not_ready or _("it has no pods"),
            hint=_(
                "%k8s_pods -n {namespace}   shows their status\n"
                "a service that is suspended has no pod: its owner resumes it on {services_page}",
                namespace=found.namespace,
                services_page=services_page(),
            ),
        )


def _pod_itself(context: DoctorContext, found: Target) -> Iterator[Finding]:
    try:
        pod = get_object(context.get_cluster(), PODS, found.name, found.namespace)
    except (Forbidden, NotFound):
        return  # the tunnel will show
    with report_malformed(context.get_cluster()):
        is_ready = pod_is_ready(pod)
        why = "" if is_ready else not_ready_words(pods_behind([pod], ()))
    if not is_ready:
        yield make_broken(
            "Pods",
            _("The pod {name} is not ready.", name=found.name),
            why,
            hint=_("%k8s_pods -n {namespace}   shows its status", namespace=found.namespace),
        )


def _pods_of_workload(context: DoctorContext, found: Target) -> Iterator[Finding]:
    """Check the pods of a Deployment or another controller, or report why it has none."""
    workload = get_object(context.get_cluster(), RESOURCES[found.kind], found.name, found.namespace)
    with report_malformed(context.get_cluster()):
        selector = selector_text((workload.get("spec") or {}).get("selector") or {})
    pods = _list_selected(context, found, selector)
    with report_malformed(context.get_cluster()):
        ready = [pod["metadata"]["name"] for pod in pods if pod_is_ready(pod)]
        why = "" if ready else not_ready_words(pods_behind(pods, ()))
    if ready:
        yield _make_ready(ready)
        return
    yield make_broken(
        "Pods",
        _("{found} has no ready pod.", found=found),
        why or _why_no_pod(context, found, workload),
        hint=_("%k8s_pods -n {namespace}   shows their status", namespace=found.namespace),
    )


def _make_ready(ready: list[str], *evidence: str) -> Finding:
    what = _n("It has a ready pod.", "It has {count} ready pods.", len(ready))
    return fine("Pods", what, _("ready: {pods}", pods=", ".join(ready)), *evidence)


def _list_selected(context: DoctorContext, found: Target, selector: str) -> list[dict[str, Any]]:
    """List the pods that a target selects; an empty selector selects none."""
    if not selector:
        return []
    return list_objects(context.get_cluster(), PODS, found.namespace, label_selector=selector)


def _why_no_pod(context: DoctorContext, found: Target, workload: dict[str, Any]) -> str:
    """Return the reason why a controller has no pod, as the cluster reports it."""
    with report_malformed(context.get_cluster()):
        if (workload.get("spec") or {}).get("replicas") == 0:
            return _("It is scaled to zero: it has no pods until its replicas are raised.")
        for condition in (workload.get("status") or {}).get("conditions") or ():
            failed = (
                condition.get("type") in ("ReplicaFailure", "Failed") and condition.get("status") == "True"
            )
            if failed and condition.get("message"):
                return _("The cluster says: {words}", words=condition["message"])
    field = f"involvedObject.name={found.name},reason=FailedCreate"
    try:
        events = list_objects(context.get_cluster(), EVENTS, found.namespace, field_selector=field)
    except (Forbidden, NotFound):
        events = []
    with report_malformed(context.get_cluster()):
        messages = [event.get("message") for event in events if event.get("message")]
    return _("The cluster says: {words}", words=messages[-1]) if messages else _("It has no pods.")


def _why_not_ready(context: DoctorContext, found: Target) -> str:
    """Return why the pods of a service are not ready; empty if they cannot be read."""
    try:
        service = get_object(context.get_cluster(), SERVICES, found.name, found.namespace)
        with report_malformed(context.get_cluster()):
            selector = (service.get("spec") or {}).get("selector") or {}
            labels = ",".join(f"{key}={value}" for key, value in selector.items())
        pods = _list_selected(context, found, labels)
    except (Forbidden, NotFound):
        return ""
    with report_malformed(context.get_cluster()):
        return not_ready_words(pods_behind(pods, ()))


def _ask_to_share(context: DoctorContext, found: Database) -> str:
    me = colleague_name(context.get_cluster().namespace)
    return _("ask its owner to share it with you: %share_db {name} --with {me}", name=found.name, me=me)


def _pod(address: dict[str, Any]) -> str:
    return str((address.get("targetRef") or {}).get("name") or address.get("ip"))


def tunnel(context: DoctorContext) -> Iterator[Finding]:
    """Open a forward on a free port, which also proves that the pod listens."""
    step = "Tunnel"
    if context.target is None or context.port is None:
        yield not_needed(step, _("No port of the target is known: name one with %forward TARGET PORT."))
        return
    began = time.perf_counter()
    try:
        context.lease = context.manager().lease(
            context.get_cluster(), context.target, PortText(context.port, 0), timeout=_TIMEOUT
        )
    except Forbidden as error:
        if context.database is None or context.database.namespace == context.get_cluster().namespace:
            raise
        raise Forbidden(error.what, why=error.why, hint=_ask_to_share(context, context.database)) from None
    opened = context.lease.forward
    took = _("opened in {time}", time=format_seconds(time.perf_counter() - began))
    seen = [
        _("the pod {pod} answers for port {port}", pod=opened.pod, port=context.port),
        took if context.lease.is_new else _("it was open already"),
    ]
    began = time.perf_counter()
    with contextlib.suppress(OSError):
        socket.create_connection(("localhost", opened.local_port), _TIMEOUT).close()
        seen.append(_("a connection is accepted in {time}", time=format_seconds(time.perf_counter() - began)))
    what = _("A tunnel to {target} opens ({protocol}).", target=context.target, protocol=opened.protocol)
    if opened.protocol == "channels":
        yield look(
            step, what, *seen,
            _("the server, or a proxy in front of it, refused SPDY, also inside a WebSocket: the older protocol is used"),
            hint=_("add the server to NO_PROXY for a faster tunnel, or do nothing"),
        )  # fmt: skip
    else:
        yield fine(step, what, *seen)


def database(context: DoctorContext) -> Iterator[Finding]:
    """Log in to the database by the route that %connect_db takes, and check it from inside."""
    found = context.database
    if found is None:
        yield not_needed("Database", _("The target is not a database."))
        return
    if found.kind not in QUERYABLE:
        yield not_needed(
            "Database",
            _("Only PostgreSQL, MariaDB and MongoDB are checked, and this is {kind}.", kind=found.kind),
        )
        return
    _unused, login = credentials.find_credentials(context.get_cluster(), found.path)
    context.credentials = login
    context.personal |= {login.user}
    journey = RouteRequest(
        cluster=context.get_cluster(),
        manager=context.manager(),
        database=found,
        credentials=login,
        timeout=_TIMEOUT,
    )
    connection, failures = _open_first_route(journey)
    try:
        yield fine("Route", _("The database is reached by {route}.", route=connection.route), *failures)
        if found.kind == "postgres":
            yield from _check_inside(connection, login.source)
            return
        yield fine(
            "Login",
            _("{user} is logged in to {dbname}.", user=connection.user, dbname=connection.dbname),
            _("password from {source}", source=login.source),
            _("protection: {protection}", protection=connection.protection),
        )
    finally:
        connection.close()


def _open_first_route(journey: RouteRequest) -> tuple[Any, list[str]]:
    """Connect by the first route that works and creates no object; return the connection, and the earlier failures."""
    failures: list[str] = []
    last: SspcloudError | None = None
    for route in ("direct", "forward"):
        try:
            return open_by_route(journey, route), failures
        except (Forbidden, TargetError, DatabaseUnavailable) as error:
            failures.append(_("{route}: {reason}", route=_(ROUTE_NAMES[route]), reason=error.what))
            last = error
    assert last is not None  # noqa: S101 - the loop ran
    raise type(last)(
        last.what,
        why="\n".join([last.why, *failures]).strip(),
        hint="\n".join((last.hint, _("%connect_db also tries a relay, a pod of yours"))).strip(),
    )


def _check_inside(connection: DatabaseConnection, source: str) -> Iterator[Finding]:
    session = connection.psycopg
    with pin_search_path(session):
        began = time.perf_counter()
        session.execute("SELECT 1").fetchone()
        latency = time.perf_counter() - began
        began = time.perf_counter()
        session.execute(_PROBE, (_PROBE_BYTES,)).fetchone()
        rate = _PROBE_BYTES / (time.perf_counter() - began)
        total, readable, writable = session.execute(_TABLES).fetchone() or (0, 0, 0)
        most, used, limit, mine = session.execute(_ROOM).fetchone() or (0, 0, -1, 0)
    yield fine(
        "Login",
        _("{user} is logged in to {dbname}.", user=connection.user, dbname=connection.dbname),
        _("password from {source}", source=source),
        _("protection: {protection}", protection=connection.protection),
        _("a query takes {time}", time=format_seconds(latency)),
        _(
            "{size} arrived at {rate}/s",
            size=format_bytes(_PROBE_BYTES),
            rate=format_bytes(rate),
        ),
    )
    words = _(
        "You may read {readable} of {total} tables, and write {writable}.",
        readable=format_number(readable),
        total=format_number(total),
        writable=format_number(writable),
    )
    if total and not readable:
        yield look("Tables", words, hint=_("ask the owner of the database for the privilege to read them"))
    else:
        yield fine("Tables", words)
    left = most - used if limit < 0 else min(most - used, limit - mine)
    seen = [
        _("{used} of {most} are in use", used=used, most=most),
        _("you have {mine} of {limit}", mine=mine, limit=limit)
        if limit >= 0
        else _("you have {mine}", mine=mine),
    ]
    if left > 2:
        what = _n("{count} connection is free.", "{count} connections are free.", left)
        yield fine("Connections", what, *seen)
    else:
        what = _n("Only {count} connection is free.", "Only {count} connections are free.", left)
        hint = _("close unused connections: other notebooks, DBeaver, psql")
        yield look("Connections", what, *seen, hint=hint)
