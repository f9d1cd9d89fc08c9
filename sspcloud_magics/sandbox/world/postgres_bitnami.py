"""A release of the older chart ``postgresql``, Bitnami's: a StatefulSet, and no TLS."""

from __future__ import annotations

from sspcloud_magics.sandbox.controllers.cnpg import encoded
from sspcloud_magics.sandbox.controllers.objects import create
from sspcloud_magics.sandbox.store import Store
from sspcloud_magics.sandbox.world.databases import Plan
from sspcloud_magics.sandbox.world.discovery import discovery_secret
from sspcloud_magics.sandbox.world.objects import helm, make
from sspcloud_magics.sandbox.world.seed import Seed

CHART = "postgresql"
IMAGE = "bitnamilegacy/postgresql:17.5.0"


def plan(seed: Seed, namespace: str, release: str) -> Plan:
    """Return what the database of a release holds."""
    return Plan(
        superuser_password=seed.secret(f"{namespace}/{release}/superuser"),
        database="defaultdb",
        owner=namespace.removeprefix("user-"),
        owner_password=seed.secret(f"{namespace}/project"),
    )


def install(store: Store, namespace: str, release: str, content: Plan) -> None:
    """Make the objects of the chart, for a database that holds `content`."""
    labels = helm(release, CHART, "11.9.13") | {"app.kubernetes.io/component": "primary"}
    selector = {key: labels[f"app.kubernetes.io/{key}"] for key in ("instance", "name", "component")}
    selector = {f"app.kubernetes.io/{key}": value for key, value in selector.items()}
    passwords = {"password": content.owner_password, "postgres-password": content.superuser_password}
    create(
        store, make("v1", "Secret", namespace, release, labels=labels, type="Opaque", data=encoded(passwords))
    )
    create(store, discovery_secret(namespace, release, release, content, labels))
    port = {"name": "tcp-postgresql", "port": 5432, "protocol": "TCP", "targetPort": "tcp-postgresql"}
    for name, headless in ((release, False), (f"{release}-hl", True)):
        spec: dict[str, object] = {"selector": selector, "ports": [port]}
        if headless:
            spec |= {"clusterIP": "None", "publishNotReadyAddresses": True}
        create(store, make("v1", "Service", namespace, name, labels=labels, spec=spec))
    reference = {"name": release, "key": "password"}
    container = {
        "name": "postgresql",
        "image": IMAGE,
        "env": [
            {"name": "POSTGRES_USER", "value": content.owner},
            {"name": "POSTGRES_DB", "value": content.database},
            {"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": reference}},
        ],
        "ports": [{"name": "tcp-postgresql", "containerPort": 5432, "protocol": "TCP"}],
        "readinessProbe": {
            "exec": {"command": ["/bin/sh", "-c", "-e", "exec pg_isready -h 127.0.0.1 -p 5432"]}
        },
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/bitnami/postgresql"}],
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "8Gi"}},
            "storageClassName": "local-path",
        },
    }
    pod_spec = {
        "containers": [container],
        "terminationGracePeriodSeconds": 30,
    }
    spec = {
        "replicas": 1,
        "serviceName": f"{release}-hl",
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": labels}, "spec": pod_spec},
        "volumeClaimTemplates": [claim],
    }
    create(store, make("apps/v1", "StatefulSet", namespace, release, labels=labels, spec=spec))
