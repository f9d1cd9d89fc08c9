"""The rows of the charts of the catalogue, from the Secrets and Services that each of them makes."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from sspcloud_magics.cluster.requests.object_reads import SecretObject
from sspcloud_magics.cluster.workloads.inventory import Pod, Service
from sspcloud_magics.databases.discovery import Evidence, find_databases
from sspcloud_magics.secret import Secret

NAMESPACE = "user-alice"
CHARTS = yaml.safe_load(Path(__file__).with_name("catalogue.yaml").read_text("utf-8"))
LISTED = [chart for chart in CHARTS if chart["row"]]
each_chart = pytest.mark.parametrize("chart", CHARTS, ids=[chart["chart"] for chart in CHARTS])
each_listed_chart = pytest.mark.parametrize("chart", LISTED, ids=[chart["chart"] for chart in LISTED])


def labels(chart, service):
    found = {"app.kubernetes.io/name": service["app"], "app.kubernetes.io/instance": chart["release"]}
    if component := service.get("component"):
        found["app.kubernetes.io/component"] = component
    return found | {"app.kubernetes.io/managed-by": "Helm"}


def make_service(chart, service):
    selector = {key: value for key, value in labels(chart, service).items() if not key.endswith("managed-by")}
    return Service.from_object(
        {
            "metadata": {"name": service["name"], "namespace": NAMESPACE, "labels": labels(chart, service)},
            "spec": {
                "clusterIP": "None" if service.get("headless") else "10.43.0.1",
                "selector": selector,
                "ports": [{"port": port} for port in service["ports"]],
            },
        }
    )


def make_pod(chart, service):
    return Pod.from_object(
        {
            "metadata": {
                "name": f"{service['name']}-0",
                "namespace": NAMESPACE,
                "labels": labels(chart, service),
            },
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
    )


def make_secret(chart, secret, *, helm=True):
    text = {name: base64.b64encode(value.encode()).decode() for name, value in secret["text"].items()}
    release = {"meta.helm.sh/release-name": chart["release"]} if helm else {}
    return SecretObject(
        name=secret["name"],
        namespace=NAMESPACE,
        labels={},
        annotations={"onyxia/discovery": secret["discovery"], **release},
        type="Opaque",
        raw={name: Secret(value) for name, value in {**text, **secret.get("raw", {})}.items()},
    )


def services(*charts):
    return [make_service(chart, each) for chart in charts for each in chart["services"]]


def pods(*charts):
    return [make_pod(chart, each) for chart in charts for each in chart["services"]]


def secrets(*charts, helm=True):
    return [make_secret(chart, each, helm=helm) for chart in charts for each in chart.get("secrets", ())]


def rows(evidence):
    return [
        (each.name, each.kind, each.service, each.port, each.database, each.state)
        for each in find_databases(evidence)
    ]


def list_rows(chart, *, state="running", **changed):
    if chart["row"] is None:
        return []
    row = chart["row"] | changed
    return [(chart["release"], row["kind"], row["service"], row["port"], row["database"], state)]


@each_chart
def test_release_has_one_row(chart):
    evidence = Evidence(services=services(chart), pods=pods(chart), secrets=secrets(chart))
    assert rows(evidence) == list_rows(chart)


@each_chart
def test_viewer_sees_the_same_service(chart):
    """The role `view` reads no Secret, so it does not know the database inside."""
    assert rows(Evidence(services=services(chart), pods=pods(chart))) == list_rows(chart, database=None)


@pytest.mark.parametrize(
    "chart",
    [chart for chart in CHARTS if not chart["release"].startswith("trino")],
    ids=lambda chart: chart["chart"],
)
def test_secret_without_helm_annotation(chart):
    """Only Trino's Secrets need it: their names are the release and a database, and their address is an ingress."""
    evidence = Evidence(services=services(chart), pods=pods(chart), secrets=secrets(chart, helm=False))
    assert rows(evidence) == list_rows(chart)


@each_listed_chart
def test_secrets_alone_name_no_ingress(chart):
    for _name, kind, service, port, _database, state in rows(Evidence(secrets=secrets(chart))):
        assert (kind, service, port) == tuple(chart["row"][key] for key in ("kind", "service", "port"))
        assert state == "unknown"


def test_whole_catalogue_in_one_namespace():
    once = {chart["release"]: chart for chart in CHARTS}.values()
    found = rows(Evidence(services=services(*once), pods=pods(*once), secrets=secrets(*once)))
    assert found == sorted(row for chart in once for row in list_rows(chart))


@each_listed_chart
def test_release_without_pods_is_suspended(chart):
    evidence = Evidence(services=services(chart), pods=[], secrets=secrets(chart))
    assert rows(evidence) == list_rows(chart, state="suspended")


def test_annotation_that_is_no_name_names_nothing():
    [chart] = [each for each in CHARTS if each["release"].startswith("kafka")]
    forged = make_secret(chart | {"release": "x') or import os"}, chart["secrets"][0])
    [row] = rows(Evidence(secrets=[forged]))
    assert row[0] == "kafka"


def test_suspended_release_without_service():
    """Onyxia's charts remove the Service of a suspended release, and leave its Secret."""
    [chart] = [each for each in CHARTS if each["release"].startswith("spark")]
    assert rows(Evidence(services=[], pods=[], secrets=secrets(chart))) == list_rows(chart, state="suspended")
