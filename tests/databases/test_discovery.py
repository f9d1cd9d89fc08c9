"""The evidence for databases, of which some may not be readable."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from sspcloud_magics.cluster.requests.object_reads import SecretObject
from sspcloud_magics.cluster.workloads.inventory import Pod, Service
from sspcloud_magics.databases.discovery import (
    Database,
    Evidence,
    database_table,
    find,
    find_databases,
    require_usable,
    split_name,
)
from sspcloud_magics.errors import DatabaseHibernated, DatabaseNotFound, UsageProblem
from sspcloud_magics.secret import Secret
from tests.support.database import DATABASE as F

NAMESPACE = "user-alice"


def service(name, labels=None, ports=(5432,), cluster_ip="10.43.0.1", selector=None):
    return Service.from_object(
        {
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels or {}},
            "spec": {
                "clusterIP": cluster_ip,
                "selector": selector or {},
                "ports": [{"port": port} for port in ports],
            },
        }
    )


def pod(name, labels, *, ready=True):
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return Pod.from_object(
        {
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "status": {"conditions": conditions},
        }
    )


def discovery_secret(name, kind, values, raw=None):
    encoded = {key: Secret(base64.b64encode(value.encode()).decode()) for key, value in values.items()}
    return SecretObject(
        name=name,
        namespace=NAMESPACE,
        labels={},
        annotations={"onyxia/discovery": kind},
        type="Opaque",
        raw=encoded | {key: Secret(value) for key, value in (raw or {}).items()},
    )


def cnpg_services():
    return [service(f"{F}-{suffix}", {"cnpg.io/cluster": F}) for suffix in ("r", "ro", "rw")]


SECRET = discovery_secret(
    f"discoverable-{F}",
    "postgres",
    {
        "postgres-service": f"{F}-rw",
        "postgres-database": "defaultdb",
        "postgres-username": "alice",
        "password": "x",
    },
    {"postgres-port": "5432"},
)
POD = pod(f"{F}-1", {"cnpg.io/cluster": F, "cnpg.io/instanceRole": "primary"})
CLUSTER = {
    "metadata": {"name": F, "namespace": NAMESPACE, "annotations": {}},
    "spec": {"bootstrap": {"initdb": {"database": "defaultdb"}}},
}


def only(evidence) -> Database:
    [database] = find_databases(evidence)
    return database


@pytest.mark.parametrize(
    ("evidence", "name_inside"),
    [
        (Evidence(services=cnpg_services(), pods=[POD], secrets=[SECRET], clusters=[CLUSTER]), "defaultdb"),
        (Evidence(services=cnpg_services(), pods=[POD], secrets=[SECRET]), "defaultdb"),
        (Evidence(services=cnpg_services(), pods=[POD], clusters=[CLUSTER]), "defaultdb"),
        (Evidence(services=cnpg_services(), pods=[POD]), None),
        (Evidence(pods=[POD], clusters=[CLUSTER]), "defaultdb"),
    ],
    ids=["everything", "no clusters", "no secrets", "a viewer", "clusters alone"],
)
def test_cnpg_release_is_found_once_by_any_right(evidence, name_inside):
    database = only(evidence)
    assert (database.name, database.kind, database.service, database.port) == (F, "postgres", f"{F}-rw", 5432)
    assert (database.database, database.state) == (name_inside, "running")


def test_without_pods_to_read_the_state_is_unknown():
    assert only(Evidence(services=cnpg_services(), secrets=[SECRET])).state == "unknown"
    assert only(Evidence(secrets=[SECRET])).state == "unknown"


def test_a_cnpg_release_without_a_pod_hibernates():
    assert only(Evidence(services=cnpg_services(), pods=[], secrets=[SECRET])).state == "hibernated"
    asleep = CLUSTER | {"metadata": CLUSTER["metadata"] | {"annotations": {"cnpg.io/hibernation": "on"}}}
    assert only(Evidence(services=cnpg_services(), pods=[POD], clusters=[asleep])).state == "hibernated"


def test_a_pod_that_is_not_ready_is_starting():
    starting = pod(f"{F}-1", {"cnpg.io/cluster": F}, ready=False)
    assert only(Evidence(services=cnpg_services(), pods=[starting])).state == "starting"


@pytest.mark.parametrize("raw", ["5433", "NTQzMw=="], ids=["raw digits", "base64"])
def test_a_port_is_read_as_digits_or_as_base64(raw):
    secret = discovery_secret("discoverable-x", "postgres", {"postgres-service": "x"}, {"postgres-port": raw})
    assert only(Evidence(secrets=[secret])).port == 5433


def test_the_older_chart_is_found_by_its_labels():
    labels = {"app.kubernetes.io/name": "postgresql", "app.kubernetes.io/instance": "postgresql-439617"}
    services = [
        service("postgresql-439617-hl", labels, cluster_ip="None", selector=labels),
        service("postgresql-439617", labels, selector=labels),
    ]
    database = only(Evidence(services=services, pods=[pod("postgresql-439617-0", labels)]))
    assert (database.service, database.name, database.state) == (
        "postgresql-439617",
        "postgresql-439617",
        "running",
    )
    assert only(Evidence(services=services, pods=[])).state == "suspended"


def test_other_kinds_are_found_too():
    labels = {"app.kubernetes.io/name": "mongodb", "app.kubernetes.io/instance": "mongodb-1"}
    headless = service("mongodb-headless", labels, ports=(27017,), cluster_ip="None", selector=labels)
    secret = discovery_secret(
        "discoverable-mongodb-1",
        "mongodb",
        {"mongodb-service": "mongodb-0.mongodb-headless", "mongodb-database": "d"},
    )
    database = only(Evidence(services=[headless], secrets=[secret]))
    assert (database.kind, database.service, database.port, database.database) == (
        "mongodb",
        "mongodb-headless",
        27017,
        "d",
    )
    maria = service("mariadb-2", {"app.kubernetes.io/name": "mariadb"}, ports=(3306,))
    assert only(Evidence(services=[maria])).kind == "mariadb"


def test_service_on_postgres_port_is_a_database():
    assert only(Evidence(services=[service("mine")])).source == "the port of PostgreSQL"
    assert find_databases(Evidence(services=[service("web", ports=(80,))])) == []


def test_a_secret_that_says_no_service_is_passed_over():
    broken = discovery_secret("discoverable-x", "postgres", {"postgres-port": "5432"})
    assert find_databases(Evidence(secrets=[broken])) == []


def test_name_is_found_whole_by_service_or_prefix():
    listed = [
        Database(name, NAMESPACE, "postgres", f"{name}-rw", 5432) for name in ("pg-1", "pg-12", "other")
    ]
    assert find(listed, "pg-1", NAMESPACE).name == "pg-1"
    assert find(listed, "pg-12-rw", NAMESPACE).name == "pg-12"
    assert find(listed, "oth", NAMESPACE).name == "other"
    with pytest.raises(DatabaseNotFound, match="begin with 'pg'") as raised:
        find(listed, "pg", NAMESPACE)
    assert "pg-1, pg-12" in raised.value.hint
    with pytest.raises(DatabaseNotFound, match="no database 'nope'") as raised:
        find(listed, "nope", NAMESPACE)
    assert "other, pg-1, pg-12" in raised.value.why


@pytest.mark.parametrize("text", ["", "/", "a/", "a/b/c"])
def test_what_is_no_name_is_said(text):
    with pytest.raises(UsageProblem, match="not the name of a database"):
        split_name(text, NAMESPACE)


def test_what_cannot_be_queried_is_said():
    with pytest.raises(DatabaseHibernated, match="hibernated") as raised:
        require_usable(Database(F, NAMESPACE, "postgres", f"{F}-rw", 5432, state="hibernated"))
    assert "my-services" in raised.value.hint
    with pytest.raises(UsageProblem, match="is a redis") as raised:
        require_usable(Database("m", NAMESPACE, "redis", "m", 6379))
    assert "%forward user-alice/svc/m 6379" in raised.value.hint


def test_the_table_is_a_dataframe_that_says_the_state():
    listed = find_databases(Evidence(services=cnpg_services(), pods=[], secrets=[SECRET]))
    frame = database_table(listed)
    assert frame.loc[0, ["name", "state", "port"]].tolist() == [F, "hibernated", 5432]
    assert "hibernated" in repr(frame)
    assert "hibernated" in frame._repr_html_()
    empty = database_table([], NAMESPACE)
    assert empty.dtypes.astype(str).equals(frame.dtypes.astype(str))
    assert repr(empty) == "No databases found in user-alice namespace."


def test_colleagues_database_is_named_with_its_end():
    until = datetime(2026, 12, 1, 12, tzinfo=UTC)
    mine = Database("mine", "user-bob", "postgres", "mine-rw", 5432)
    shared = Database("db", "user-alice", "postgres", "db-rw", 5432, access="read-only", until=until)
    frame = database_table([mine, shared], "user-bob", "user-bob")
    heading, own, colleagues = repr(frame).splitlines()
    assert heading.split()[-2:] == ["SHARED", "UNTIL"]
    assert own.startswith("mine ")
    assert own.endswith("yours")
    assert colleagues.startswith("user-alice/db ")
    assert f"read-only   {until.astimezone():%Y-%m-%d %H:%M}" in colleagues
    assert frame["until"].isna().tolist() == [True, False]
    alone = repr(database_table([mine], "user-bob", "user-bob"))
    assert "SHARED" not in alone
    assert "%databases -n user-NAME" in repr(database_table([], "user-bob", "user-bob"))
