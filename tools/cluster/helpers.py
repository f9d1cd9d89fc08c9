"""The helper pods of a testbed on the cluster (see ``tests/testbed.py``), and the files that describe it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes import client

from sspcloud_magics.sharing import relay
from tools.cluster.identities import NAMESPACE, PERSON, Identities
from tools.cluster.images import write_image
from tools.cluster.node import PAUSE, Node, is_ready

HELPERS = {"source": 9000, "sink": 9001, "echo": 9002}
_HELPER = "docker.io/cluster/helper:1"
_POSTGRES = "docker.io/cluster/postgres:1"
_RELAY = f"docker.io/{relay.IMAGE}"
_ROLE = "rbac.authorization.k8s.io"
_SERVE = """set -e
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
cd /tmp
initdb --pgdata=data --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 --pwfile=<(echo "$PASSWORD")
echo "host all all all scram-sha-256" >> data/pg_hba.conf
install --mode=600 /etc/ssl/private/ssl-cert-snakeoil.key data/server.key
install /etc/ssl/certs/ssl-cert-snakeoil.pem data/server.crt
exec postgres -D data -c listen_addresses='*' -c ssl=on -c max_connections=200 -c unix_socket_directories=/tmp
"""


def write_images(folder: Path, helper: Path, postgres: Path, socat: Mapping[str, Path]) -> list[Path]:
    """Write the images of the helpers, the relays and the pause container, and return their archives."""
    pause, helpers, database, relays = (
        folder / f"{name}.tar" for name in ("pause", "helpers", "postgres", "relay")
    )
    write_image(pause, PAUSE, {"helper": helper}, {"Entrypoint": ["/helper", "pause"]})
    write_image(helpers, _HELPER, {"helper": helper}, {"Entrypoint": ["/helper"]})
    write_image(
        database, _POSTGRES, {".": postgres}, {"User": "postgres", "Entrypoint": ["bash", "-c", _SERVE]}
    )
    write_image(relays, _RELAY, socat, {"Entrypoint": ["socat"]})
    return [pause, helpers, database, relays]


def make_helpers(node: Node, api: client.CoreV1Api, identities: Identities) -> list[Path]:
    """Create the user's namespace with the helpers; return the files that describe the testbed, one per address."""
    api.create_namespace({"metadata": {"name": NAMESPACE}})
    client.RbacAuthorizationV1Api(api.api_client).create_namespaced_role_binding(
        NAMESPACE,
        {
            "metadata": {"name": PERSON},
            "roleRef": {"apiGroup": _ROLE, "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"apiGroup": _ROLE, "kind": "User", "name": PERSON}],
        },
    )
    node.wait_until("the namespace", lambda: bool(api.read_namespaced_service_account("default", NAMESPACE)))
    password = secrets.token_hex(12)
    for name, port in HELPERS.items():
        api.create_namespaced_pod(NAMESPACE, _pod(name, port, {"image": _HELPER, "args": [name, str(port)]}))
    environment = [{"name": "PASSWORD", "value": password}]
    api.create_namespaced_pod(NAMESPACE, _pod("postgres", 5432, {"image": _POSTGRES, "env": environment}))
    api.create_namespaced_service(
        NAMESPACE,
        {
            "metadata": {"name": "postgres"},
            "spec": {"selector": {"app": "postgres"}, "ports": [{"port": 5432}]},
        },
    )
    names = {f"{name}-0" for name in (*HELPERS, "postgres")}
    node.wait_until("the helpers", lambda: names <= _ready_pods(api))
    described: dict[str, Any] = {name: {"pod": f"{name}-0", "port": port} for name, port in HELPERS.items()}
    described["postgres"] = {
        "service": "postgres",
        "port": 5432,
        "database": "postgres",
        "user": "postgres",
        "password": password,
    }
    described["restarter"] = os.getpid()
    files = []
    for name, kubeconfig in (
        ("testbed", identities.person),
        ("testbed-at-front", identities.person_at_front),
    ):
        file = identities.folder / f"{name}.json"
        file.write_text(json.dumps({"kubeconfig": kubeconfig.name, "namespace": NAMESPACE, **described}))
        file.chmod(0o600)
        files.append(file)
    return files


def _pod(name: str, port: int, container: dict[str, Any]) -> dict[str, Any]:
    described = {
        "name": name,
        "imagePullPolicy": "Never",
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
    }
    return {
        "metadata": {"name": f"{name}-0", "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [described | container],
            "terminationGracePeriodSeconds": 1,
        },
    }


def _ready_pods(api: client.CoreV1Api) -> set[str]:
    return {pod.metadata.name for pod in api.list_namespaced_pod(NAMESPACE).items if is_ready(pod)}
