"""``mon-api``: the Deployment that a student debugs through a port-forward.

Its first pod is called ``mon-api-abcdef-12345``, as in the course; those that replace it get names that nobody can foretell.
"""

from __future__ import annotations

import copy

from sspcloud_magics.sandbox.controllers.deployments import HASH, REVISION
from sspcloud_magics.sandbox.controllers.objects import create, owner_reference, pod_from
from sspcloud_magics.sandbox.store import Obj, Store
from sspcloud_magics.sandbox.world.objects import make

NAME = "mon-api"
IMAGE = "ghcr.io/ensai/mon-api:1.0"
FIRST_POD = "mon-api-abcdef-12345"


def install(store: Store, namespace: str) -> None:
    """Make the Deployment with its first ReplicaSet and pod, and the service before it."""
    labels = {"app": NAME}
    deployment = create(
        store,
        make("apps/v1", "Deployment", namespace, NAME, labels=labels, annotations={REVISION: "1"})
        | {
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": _template(),
            }
        },
    )
    _, digest, ending = FIRST_POD.rsplit("-", 2)
    template = copy.deepcopy(deployment["spec"]["template"])
    template["metadata"]["labels"][HASH] = digest
    replica_set = make(
        "apps/v1",
        "ReplicaSet",
        namespace,
        f"{NAME}-{digest}",
        labels={**labels, HASH: digest},
        annotations={REVISION: "1"},
        spec={
            "replicas": 1,
            "selector": {"matchLabels": {**labels, HASH: digest}},
            "template": template,
        },
    )
    replica_set["metadata"]["ownerReferences"] = [owner_reference(deployment)]
    owner = create(store, replica_set)
    create(store, pod_from(template, owner, f"{NAME}-{digest}-{ending}"))
    port = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}
    service = make("v1", "Service", namespace, NAME, labels=labels)
    create(store, service | {"spec": {"selector": labels, "ports": [port]}})


def _template() -> Obj:
    container = {
        "name": NAME,
        "image": IMAGE,
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": "/health", "port": "http"},
            "periodSeconds": 1,
        },
        "resources": {
            "limits": {"cpu": "500m", "memory": "256Mi"},
            "requests": {"cpu": "50m", "memory": "64Mi"},
        },
    }
    return {
        "metadata": {"labels": {"app": NAME}},
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": 5,
        },
    }
