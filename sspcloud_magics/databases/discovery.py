"""Discovery of the databases in a namespace, from the objects that you may read there.

There are three kinds of evidence for a database. RBAC may forbid any of them.

- **Discovery secrets** of Onyxia (``discoverable-F``, annotation ``onyxia/discovery``) hold the kind, the service,
  the port and the name of the database. The port may be raw digits instead of base64. Instead of the service, some
  charts write the host of an ingress: the service is then that of the same release.
- **Services** with the labels of CloudNativePG (``cnpg.io/cluster``) or of a well-known chart
  (``app.kubernetes.io/name``) are enough on their own, and the view role can read them.
  A service on PostgreSQL's default port counts too. Of several services of a release, clients dial one.
- **Cluster objects** of CloudNativePG say which databases hibernate.

The pods show whether a database runs. A CloudNativePG release without a pod hibernates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from sspcloud_magics import platforms
from sspcloud_magics.cluster.api.api_errors import NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import CNPG_CLUSTERS, ENDPOINTS
from sspcloud_magics.cluster.platform import services_page
from sspcloud_magics.cluster.requests import object_reads
from sspcloud_magics.cluster.requests.object_reads import SecretObject
from sspcloud_magics.cluster.workloads import inventory
from sspcloud_magics.cluster.workloads.inventory import Pod, Service
from sspcloud_magics.databases.charts import (
    CHARTS_BY_KIND,
    CHARTS_BY_NAME,
    POSTGRES_PORT,
    SECONDARY_COMPONENTS,
    Chart,
)
from sspcloud_magics.databases.clients import CLIENTS, ClientGuide
from sspcloud_magics.errors import DatabaseHibernated, DatabaseNotFound, Forbidden, UsageProblem
from sspcloud_magics.i18n import N_, _
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.cluster.workloads.tables import ResourceTable

CNPG = "cnpg.io/cluster"
"""The label on the operator's pods and services; its value is the release."""
QUERYABLE = frozenset({"postgres", "mariadb", "mongodb"})
"""The kinds of databases that queries run on."""

_HIBERNATION = "cnpg.io/hibernation"
_DISCOVERY = "onyxia/discovery"
_INSTANCE = "app.kubernetes.io/instance"
_CHART = "app.kubernetes.io/name"

_COMPONENT = "app.kubernetes.io/component"
# Helm writes this annotation on each object of a release.
_RELEASE = "meta.helm.sh/release-name"

# A host and a port, as in `mongodb-0.mongodb-headless:27017,mongodb-1.mongodb-headless:27017`.
_ADDRESS = re.compile(r"(?:\w+://)?([-\w.]+)(?::(\d+))?", re.ASCII)
_LAST_PORT = 65535
_PORT = re.compile(r"[1-9]\d{0,4}", re.ASCII)

_NAME = re.compile(r"[-\w.]+", re.ASCII)

_Listed = TypeVar("_Listed")

_Group: TypeAlias = tuple[str, str, str]
"""Namespace, release and kind of database."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database of the cluster.

    Parameters
    ----------
    name
        The release: ``postgresql-cnpg-951239``.
    namespace
        The namespace that it runs in.
    kind
        ``postgres``, ``mariadb``, ``mongodb`` …
    service, port
        The service that it listens on, and the port.
    database
        The database inside the server; None if no readable object says it.
    state
        ``running``, ``starting``, ``hibernated``, ``suspended`` or ``unknown``.
    source
        The evidence for it, as text.
    secret
        The discovery Secret; empty if none was read.
    access, until
        For a database that is shared with you: ``read-only`` or ``read-write``, and the expiry of the share.
    """

    name: str
    namespace: str
    kind: str
    service: str
    port: int
    database: str | None = None
    state: str = "unknown"
    source: str = ""
    secret: str = ""
    access: str = ""
    until: datetime | None = None

    @property
    def path(self) -> str:
        """The name to type for it in a magic: ``NAMESPACE/NAME``."""
        return f"{self.namespace}/{self.name}"

    def describe_source(self) -> str:
        """Return the evidence in the language of the reader."""
        return ", ".join(_(part) for part in self.source.split(", "))

    def describe_state(self) -> str:
        """Return a clause about the state; empty if it is unknown."""
        return "" if self.state == "unknown" else _(_STATES[self.state])


# `source` and `state` are values of a DataFrame, so they stay English there.
_NOT_RUNNING = "not running"  # not translated: a value of a DataFrame
_STATES = {
    "running": N_("it is running"),
    "starting": N_("it is starting"),
    "hibernated": N_("it is hibernated"),
    "suspended": N_("it is suspended"),
    _NOT_RUNNING: N_("it is not running"),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Objects of a namespace; None for each kind that you may not list."""

    # The objects of that kind.
    services: Sequence[Service] | None = None
    pods: Sequence[Pod] | None = None
    secrets: Sequence[SecretObject] | None = None
    clusters: Sequence[dict[str, Any]] | None = None  # the Cluster objects of CloudNativePG


def databases(cluster: Cluster, namespace: str | None = None) -> list[Database]:
    """Return the databases of a namespace, sorted by namespace and name.

    None stands for the cluster's current namespace, and ``*`` for all namespaces.

    Raises
    ------
    Forbidden
        If you may list none of the kinds of evidence.
    ClusterError
        If the API server cannot be reached.
    """
    refused: list[Forbidden] = []
    evidence = Evidence(
        services=_list_if_allowed(lambda: inventory.services(cluster, namespace), refused),
        secrets=_list_if_allowed(lambda: object_reads.secrets(cluster, namespace), refused),
        clusters=_list_if_allowed(
            lambda: object_reads.list_objects(cluster, CNPG_CLUSTERS, namespace), refused
        ),
        pods=_list_if_allowed(lambda: inventory.pods(cluster, namespace), []),
    )
    if evidence.services is None and evidence.secrets is None and not evidence.clusters:
        raise refused[0]
    with report_malformed(cluster):
        return find_databases(evidence)


def _list_if_allowed(
    listing: Callable[[], list[_Listed]], refused: list[Forbidden]
) -> Sequence[_Listed] | None:
    try:
        return listing()
    except Forbidden as error:
        refused.append(error)
    except NotFound:
        pass  # the cluster does not have this kind: its operator is not installed
    return None


def find_databases(evidence: Evidence) -> list[Database]:
    """Return the databases for which there is evidence, one for each release."""
    found: dict[tuple[str, str], Database] = {}
    for database in (*_find_in_secrets(evidence), *_find_in_clusters(evidence), *_find_in_services(evidence)):
        key = database.namespace, database.service
        known = found.get(key)
        if known is None:
            found[key] = database
            continue
        if known.secret and database.secret:  # Trino has one Secret for each database inside
            same = known.database == database.database
            found[key] = replace(known, database=known.database if same else None)
            continue
        source = f"{known.source}, {database.source}"
        found[key] = replace(known, database=known.database or database.database, source=source)
    # The PostgreSQL server in a release of another kind is its storage: no client connects to it.
    other_kinds = {(each.namespace, each.name) for each in found.values() if each.kind != "postgres"}
    states = _States(evidence)
    complete = [
        replace(database, state=states.get_state(database))
        for database in found.values()
        if database.kind != "postgres" or (database.namespace, database.name) not in other_kinds
    ]
    return sorted(complete, key=lambda database: (database.namespace, database.name))


def _find_in_secrets(evidence: Evidence) -> Iterable[Database]:
    groups = _group_services(evidence)
    for secret in evidence.secrets or ():
        kind = secret.annotations.get(_DISCOVERY)
        if not kind:
            continue
        chart = CHARTS_BY_KIND.get(kind, Chart(kind, kind, 0))
        hosts, port = _parse_addresses(secret, chart)
        title = secret.name.removeprefix("discoverable-")
        release = secret.annotations.get(_RELEASE, "")
        if not _NAME.fullmatch(release):  # an annotation is any text, and this one becomes a name to type
            release = ""
        named = _find_named(evidence, secret.namespace, (*hosts, title))
        own = (_release_of(named) if named else "", release)
        service = next(
            (groups[group] for each in own if (group := (secret.namespace, each, kind)) in groups), named
        )
        if service is not None:
            name, address = service.name, _choose_port(service, port, chart.port)
            release = _release_of(service)
        elif hosts:
            name = chart.service or next(filter(None, hosts), "") or release or title
            address = port or chart.port
        else:
            continue
        if address:
            yield Database(
                name=release or title,
                namespace=secret.namespace,
                kind=kind,
                service=name,
                port=address,
                database=_value(secret, f"{chart.prefix}-database"),
                source=N_("discovery secret"),
                secret=secret.name,
            )


def _parse_addresses(secret: SecretObject, chart: Chart) -> tuple[list[str], int]:
    """Return the names that may be services in a Secret's addresses, and the port; an ingress gives an empty name."""
    names: list[str] = []
    port = 0
    for host, number in _ADDRESS.findall(_value(secret, f"{chart.prefix}-service") or ""):
        parts = host.split(".")
        if len(parts) > 2 and "svc" not in parts:
            return [""], 0
        names += parts[:2]
        port = port or _parse_port(number)
    return names, _parse_port(_value(secret, f"{chart.prefix}-port") or "") or port


def _parse_port(text: str) -> int:
    number = int(text) if _PORT.fullmatch(text) else 0
    return number if number <= _LAST_PORT else 0


def _find_named(evidence: Evidence, namespace: str, names: Iterable[str]) -> Service | None:
    services = {each.name: each for each in evidence.services or () if each.namespace == namespace}
    return next((services[name] for name in names if name in services), None)


def _choose_port(service: Service, *wanted: int) -> int:
    numbers = [
        port.number for port in service.ports if port.protocol == "TCP" and isinstance(port.number, int)
    ]
    return next((port for port in wanted if port in numbers), numbers[0] if numbers else 0)


def _value(secret: SecretObject, key: str) -> str | None:
    """Return the text of a key; charts write some values, such as ports, without base64."""
    raw = secret.raw.get(key)
    # Four digits are valid base64 too, but the three bytes that they encode mean nothing.
    if raw is not None and raw.reveal().isdecimal():
        return raw.reveal()
    value = secret.value(key)
    return value.reveal() or None if value is not None else None


def _find_in_clusters(evidence: Evidence) -> Iterable[Database]:
    for item in evidence.clusters or ():
        metadata = item["metadata"]
        bootstrap = (item.get("spec") or {}).get("bootstrap") or {}
        yield Database(
            name=metadata["name"],
            namespace=metadata["namespace"],
            kind="postgres",
            service=f"{metadata['name']}-rw",
            port=POSTGRES_PORT,
            database=(bootstrap.get("initdb") or {}).get("database"),
            source="CloudNativePG",
        )


def _find_in_services(evidence: Evidence) -> Iterable[Database]:
    for (namespace, release, kind), service in _group_services(evidence).items():
        chart = CHARTS_BY_NAME.get(service.labels.get(_CHART, ""))
        source = N_("chart labels") if chart else N_("the port of PostgreSQL")
        yield Database(
            name=release,
            namespace=namespace,
            kind=kind,
            service=service.name,
            port=_choose_port(service, chart.port if chart else POSTGRES_PORT),
            source="CloudNativePG" if CNPG in service.labels else source,
        )


def _group_services(evidence: Evidence) -> dict[_Group, Service]:
    """Return the service that a client dials, for each release and kind of database."""
    groups: dict[_Group, list[Service]] = {}
    for service in evidence.services or ():
        numbers = [
            port.number for port in service.ports if port.protocol == "TCP" and isinstance(port.number, int)
        ]
        chart = CHARTS_BY_NAME.get(service.labels.get(_CHART, ""))
        cnpg = service.labels.get(CNPG)
        if cnpg is not None:
            if service.name != f"{cnpg}-rw":
                continue
            kind = "postgres"
        elif chart is not None and numbers:
            kind = chart.kind
        elif POSTGRES_PORT in numbers:
            kind = "postgres"
        else:
            continue
        groups.setdefault((service.namespace, _release_of(service), kind), []).append(service)
    return {group: min(services, key=_rank_service) for group, services in groups.items()}


def _rank_service(service: Service) -> tuple[bool, bool, bool, int]:
    """Order the services of a release: the one that a client dials is the first."""
    chart = CHARTS_BY_NAME.get(service.labels.get(_CHART, ""))
    return (
        chart is not None and chart.port not in {port.number for port in service.ports},
        service.labels.get(_COMPONENT, "") in SECONDARY_COMPONENTS,
        service.cluster_ip == "None",
        len(service.name),
    )


def _release_of(service: Service) -> str:
    return service.labels.get(CNPG) or service.labels.get(_INSTANCE) or service.name


class _States:
    """The states of databases, from their pods and from CloudNativePG's annotations."""

    def __init__(self, evidence: Evidence) -> None:
        self._pods = evidence.pods
        self._clusters = {
            (item["metadata"]["namespace"], item["metadata"]["name"]): item
            for item in evidence.clusters or ()
        }
        self._lists_services = evidence.services is not None
        self._services = {(service.namespace, service.name): service for service in evidence.services or ()}

    def get_state(self, database: Database) -> str:
        item = self._clusters.get((database.namespace, database.name))
        annotations = (item["metadata"].get("annotations") or {}) if item else {}
        if annotations.get(_HIBERNATION) == "on":
            return "hibernated"
        service = self._services.get((database.namespace, database.service))
        if service is None and item is None and self._lists_services:
            return "suspended"  # the charts of Onyxia remove the service and leave the Secret
        cnpg = item is not None or (service is not None and CNPG in service.labels)
        selector = {CNPG: database.name} if cnpg else (service.selector if service else {})
        if self._pods is None or not selector:
            return "unknown"
        pods = [
            pod
            for pod in self._pods
            if pod.namespace == database.namespace and selector.items() <= pod.labels.items()
        ]
        if not pods:
            return "hibernated" if cnpg else "suspended"
        return "running" if any(pod.is_ready for pod in pods) else "starting"


def split_name(text: str, namespace: str) -> tuple[str, str]:
    """Return the namespace and the name in ``NAME`` or ``NAMESPACE/NAME``.

    Raises
    ------
    UsageProblem
        If the text has neither form.

    Examples
    --------
    >>> split_name("user-alice/db", "user-bob")
    ('user-alice', 'db')
    """
    parts = text.strip().split("/")
    if len(parts) > 2 or not all(map(_NAME.fullmatch, parts)):
        raise UsageProblem(
            _("{text!r} is not the name of a database.", text=text),
            hint=_("write NAME or NAMESPACE/NAME, such as user-alice/postgresql-cnpg-951239"),
        )
    return (parts[0], parts[1]) if len(parts) == 2 else (namespace, parts[0])


def find(candidates: Sequence[Database], name: str, namespace: str) -> Database:
    """Return the database with this name, or the only one whose name begins with it.

    Parameters
    ----------
    candidates
        The databases of the namespace.
    name
        The release, its service, or a prefix of the release.
    namespace
        The namespace, for the error.

    Raises
    ------
    DatabaseNotFound
        If no database matches, or if several names begin with the prefix.
    """
    exact = [one for one in candidates if name in (one.name, one.service)]
    begin = exact or [one for one in candidates if one.name.startswith(name)]
    if len(begin) == 1:
        return begin[0]
    names = ", ".join(sorted({one.name for one in begin or candidates}))
    if begin:
        raise DatabaseNotFound(
            _("Several databases in {namespace} begin with {name!r}.", namespace=namespace, name=name),
            hint=_("type one of: {names}", names=names),
        )
    near = nearest(name, [one.name for one in candidates])
    raise DatabaseNotFound(
        _("There is no database {name!r} in {namespace}.", name=name, namespace=namespace),
        why=_("The namespace has: {names}.", names=names) if names else _("The namespace has no database."),
        hint=_("did you mean {near}?", near=near)
        if near
        else _("{name} is a namespace: list its databases with %databases -n {name}", name=name)
        if platforms.current().is_namespace(name)
        else _("for a colleague's database type NAMESPACE/NAME; %databases -n NAMESPACE lists them"),
    )


def assume_database(cluster: Cluster, name: str, namespace: str) -> Database:
    """Return a PostgreSQL database of this name without listing anything, where listing is forbidden."""
    services = [name] if name.endswith("-rw") else [f"{name}-rw", name]
    seen = [service for service in services if _answers(cluster, service, namespace)]
    likely = services[0] if "cnpg" in name else services[-1]
    return Database(
        name=name.removesuffix("-rw"),
        namespace=namespace,
        kind="postgres",
        service=seen[0] if seen else likely,
        port=POSTGRES_PORT,
        source=N_("its name"),
    )


def read_state(cluster: Cluster, database: Database) -> str:
    """Return ``running`` or ``not running``; ``unknown`` if you may not read the endpoints."""
    try:
        endpoints = object_reads.get_object(cluster, ENDPOINTS, database.service, database.namespace)
    except (Forbidden, NotFound):
        return "unknown"
    with report_malformed(cluster):
        ready = any(subset.get("addresses") for subset in endpoints.get("subsets") or ())
    return "running" if ready else _NOT_RUNNING


def _answers(cluster: Cluster, service: str, namespace: str) -> bool:
    """Whether you may read the endpoints of a service; a share allows it for one service."""
    try:
        object_reads.get_object(cluster, ENDPOINTS, service, namespace)
    except (Forbidden, NotFound):
        return False
    return True


def require_usable(database: Database) -> None:
    """Refuse a database of a kind that queries do not run on, or one that is paused.

    Raises
    ------
    ClientGuide
        If it has a client of its own, with the lines that connect it.
    DatabaseHibernated
        If it is hibernated or suspended.
    UsageProblem
        If its kind is not in `QUERYABLE`.
    """
    require_running(database)
    if database.kind in CLIENTS:
        raise ClientGuide(
            database.path,
            database.kind,
            service=database.service,
            namespace=database.namespace,
            port=database.port,
        )
    if database.kind not in QUERYABLE:
        raise UsageProblem(
            _(
                "{path} is a {kind} database, and queries run on PostgreSQL, MariaDB and MongoDB only.",
                path=database.path,
                kind=database.kind,
            ),
            hint=_(
                "open a port to it: %forward {namespace}/svc/{service} {port}",
                namespace=database.namespace,
                service=database.service,
                port=database.port,
            ),
        )


def require_running(database: Database) -> None:
    """Refuse a database that is paused.

    Raises
    ------
    DatabaseHibernated
        If it is hibernated or suspended.
    """
    if database.state in ("hibernated", "suspended"):
        raise DatabaseHibernated(
            _("{path} is hibernated: it has no running pod.", path=database.path)
            if database.state == "hibernated"
            else _("{path} is suspended: it has no running pod.", path=database.path),
            hint=_(
                "ask its owner to resume it on {services_page}, then connect again",
                services_page=services_page(),
            ),
        )


def database_table(listed: Sequence[Database], namespace: str = "", mine: str = "") -> ResourceTable:
    """Return databases as a DataFrame.

    Parameters
    ----------
    listed
        The result of `databases`.
    namespace
        The namespace that was searched, for the text shown when there is none.
    mine
        Your own namespace. A database of another namespace is shown as NAMESPACE/NAME, which ``%connect_db`` accepts.

    Returns
    -------
    ResourceTable
        One row per database: ``name``, ``namespace``, ``kind``, ``state``, ``service``, ``database``, ``source`` and
        ``access`` as str, ``port`` int64, ``until`` datetime64[us, UTC]. ``access`` and ``until`` are set for shares.
    """
    from sspcloud_magics.cluster.workloads.tables import Row, TableColumn, TableView, Tone, table  # noqa: PLC0415 - importing pandas takes 0.3 s, and completion does not need it

    def path(row: Row) -> str:
        return str(row["name"]) if row["namespace"] in ("", mine) else f"{row['namespace']}/{row['name']}"

    def show_until(row: Row) -> str:
        moment: datetime = row["until"].to_pydatetime()
        return f"{moment.astimezone():%Y-%m-%d %H:%M}"

    tones = {"running": Tone.GOOD, "starting": Tone.WAITING}
    dtypes = dict.fromkeys(("name", "namespace", "kind", "state", "service"), "str")
    dtypes |= {"port": "int64", "database": "str", "source": "str"}
    dtypes |= {"access": "str", "until": "datetime64[us, UTC]"}
    columns = (
        TableColumn("name", "NAME", path),
        TableColumn("kind", "KIND"),
        TableColumn("state", "STATE", tone=lambda row: tones.get(str(row["state"]), Tone.OVER)),
        TableColumn("service", "SERVICE", lambda row: f"{row['service']}:{row['port']}"),
        TableColumn("database", "DATABASE"),
        TableColumn("access", "SHARED", lambda row: row["access"] or _("yours")),
        TableColumn("until", "UNTIL", show_until),
    )
    apart = {"namespace", "port", "source"}
    if not any(one.access for one in listed):
        apart |= {"access", "until"}
    nothing = (
        _("No databases found in {namespace} namespace.", namespace=namespace)
        if namespace
        else _("No databases found.")
    )
    if namespace == mine != "":
        nothing += " " + _(
            "To see a database that a colleague shares with you, name their namespace: %databases -n {prefix}NAME, "
            "or run the %connect_db line that they sent you.",
            prefix=platforms.current().users,
        )
    rows = ({name: getattr(one, name) for name in dtypes} for one in listed)
    return table(rows, dtypes, TableView(columns, "database", nothing, frozenset(apart), paths=True))
