"""A database with a client of its own: the lines of ``%connect_db``, and ``ssp.endpoint``."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Iterator

import pytest

from sspcloud_magics import session
from sspcloud_magics.cluster.api.resources import SECRETS, SERVICES
from sspcloud_magics.cluster.requests.object_writes import apply_object, delete_object
from tests.magics.conftest import Notebook
from tests.testbed import Sandbox

RELEASE, PASSWORD = "elastic-650118", "CANARY-elastic"
SECRET = f"discoverable-{RELEASE}"
LABELS = {"app.kubernetes.io/name": "elasticsearch", "app.kubernetes.io/instance": RELEASE}


def encode(values: dict[str, str]) -> dict[str, str]:
    return {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}


@pytest.fixture
def elastic(notebook: Notebook, sandbox: Sandbox) -> Iterator[Notebook]:
    """Alice's notebook, and a service as the chart of Elasticsearch makes it; mon-api stands in for the server."""
    notebook.run(f"%config SSPCloud.kubeconfig = '{sandbox.kubeconfig('alice')}'")
    cluster = session.current_cluster()
    metadata = {"namespace": "user-alice", "labels": LABELS}
    login = {"elastic-service": "x.example.org", "elastic-username": "elastic", "elastic-password": PASSWORD}
    objects = {
        SECRETS: {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**metadata, "name": SECRET, "annotations": {"onyxia/discovery": "elastic"}},
            "data": encode(login),
        },
        SERVICES: {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**metadata, "name": "elastic-elasticsearch"},
            "spec": {"selector": {"app": "mon-api"}, "ports": [{"port": 9200, "targetPort": 8000}]},
        },
    }
    for resource, body in objects.items():
        apply_object(cluster, resource, body)
    yield notebook
    for resource, body in objects.items():
        delete_object(cluster, resource, body["metadata"]["name"], "user-alice")


def test_lines_of_another_client_are_the_answer(elastic: Notebook) -> None:
    listed = elastic.run("%databases")
    assert listed.set_index("name").loc[RELEASE, ["kind", "service", "port"]].tolist() == [
        "elastic",
        "elastic-elasticsearch",
        9200,
    ]
    elastic.run(f"guide = %connect_db {RELEASE}")
    code = elastic.shell.user_ns["guide"].code
    assert "endpoint = ssp.endpoint('user-alice/elastic-650118')" in code
    assert PASSWORD not in code


def test_endpoint_has_port_and_hidden_login(elastic: Notebook) -> None:
    elastic.run(f"import sspcloud_magics as ssp; endpoint = ssp.endpoint('{RELEASE}')")
    found = elastic.shell.user_ns["endpoint"]
    with urllib.request.urlopen(f"http://127.0.0.1:{found.port}/health") as answer:
        assert answer.status == 200
    assert found.login == ("elastic", PASSWORD)
    elastic.run("endpoint")
    assert PASSWORD not in elastic.printed
    elastic.run("endpoint.login")
    assert "elastic" in elastic.printed
    assert PASSWORD not in elastic.printed
    assert PASSWORD not in str(found.login) + repr(found) + f"{found.login}"


def test_database_without_a_login_in_a_secret(elastic: Notebook) -> None:
    delete_object(session.current_cluster(), SECRETS, SECRET, "user-alice")
    elastic.run(f"import sspcloud_magics as ssp; endpoint = ssp.endpoint('{RELEASE}')")
    assert "getpass" in str(elastic.fail("endpoint.login"))
