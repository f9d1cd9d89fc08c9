"""The CloudNativePG operator, as far as a database of one instance goes.

A ``Cluster`` F becomes a claim and a pod ``F-1``, the service ``F-rw`` and the secrets ``F-superuser``, ``F-app``, ``F-ca`` and
``F-server``. A pod that goes comes back under the same name on the same claim. Where the claim has gone as
well, the next instance is ``F-2``: its data is the old one's, as if a standby had been promoted. With the annotation
``cnpg.io/hibernation: on`` there is a claim and no pod.

Source: CloudNativePG 1.27, "Labels and annotations", "Declarative hibernation".
"""

from __future__ import annotations

import base64
import copy
import secrets
from collections.abc import Iterator, Mapping

from sspcloud_magics.sandbox import certificates
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.loop import Controller, Key
from sspcloud_magics.sandbox.controllers.objects import (
    create,
    delete_pod,
    find,
    is_bound,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    pod_ready,
    reconcile_kind,
    set_condition,
    terminating,
)
from sspcloud_magics.sandbox.pods import pod_over
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Change, Obj, Store, now

CLUSTER = "cnpg.io/cluster"
HIBERNATION = "cnpg.io/hibernation"
IMAGE = "ghcr.io/cloudnative-pg/postgresql:18.0-system-trixie"

_ROLES = {"rw": {"cnpg.io/instanceRole": "primary"}, "ro": {"cnpg.io/instanceRole": "replica"}, "r": {}}


def keys(_store: Store, change: Change) -> Iterator[Key]:
    """Yield the Clusters that a change concerns."""
    namespace = namespace_of(change.object)
    if change.resource == kinds.CLUSTERS:
        yield namespace, name_of(change.object)
    elif change.resource in (kinds.PODS, kinds.CLAIMS, kinds.SECRETS, kinds.SERVICES) and (
        name := labels_of(change.object).get(CLUSTER)
    ):
        yield namespace, name


@reconcile_kind(kinds.CLUSTERS)
def reconcile(store: Store, cluster: Obj) -> None:
    """Take one database a step further."""
    _account(store, cluster)
    _secrets(store, cluster)
    _services(store, cluster)
    pods = _members(store, kinds.PODS, cluster)
    claims = [claim for claim in _members(store, kinds.CLAIMS, cluster) if not terminating(claim)]
    hibernated = (cluster["metadata"].get("annotations") or {}).get(HIBERNATION) == "on"
    serial = int((cluster.get("status") or {}).get("latestGeneratedNode", 0))
    for pod in pods:
        if hibernated or pod_over(pod):
            delete_pod(store, pod)
    if not claims and not pods:
        serial += 1
        claims = [create(store, claim_of(cluster, serial))]
    bound = [claim for claim in claims if is_bound(claim)]
    if bound and not pods and not hibernated:
        create(store, instance(cluster, name_of(bound[-1])))
    _report(store, cluster, serial, hibernated=hibernated)


def claim_of(cluster: Obj, serial: int) -> Obj:
    """Return the claim of an instance."""
    name = f"{name_of(cluster)}-{serial}"
    storage = cluster["spec"].get("storage") or {}
    spec: Obj = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.get("size", "1Gi")}},
        "storageClassName": storage.get("storageClass", "local-path"),
        "volumeMode": "Filesystem",
    }
    claim = _owned(cluster, "v1", "PersistentVolumeClaim", name)
    claim["metadata"]["labels"] |= _instance_labels(name) | {"cnpg.io/pvcRole": "PG_DATA"}
    claim["metadata"]["annotations"] = {"cnpg.io/nodeSerial": str(serial), "cnpg.io/pvcStatus": "ready"}
    return claim | {"spec": spec, "status": {"phase": "Pending"}}


def instance(cluster: Obj, name: str) -> Obj:
    """Return the pod of an instance; its claim has the same name."""
    f = name_of(cluster)
    pod = _owned(cluster, "v1", "Pod", name)
    pod["metadata"]["labels"] |= _instance_labels(name) | {
        "cnpg.io/podRole": "instance",
        "role": "primary",
        "app.kubernetes.io/component": "database",
        "app.kubernetes.io/managed-by": "cloudnative-pg",
        "app.kubernetes.io/name": "postgresql",
        "app.kubernetes.io/instance": f,
    }
    pod["metadata"]["annotations"] = {
        "cnpg.io/nodeSerial": name.rpartition("-")[2],
        "cnpg.io/operatorVersion": "1.27.1",
    }
    mount = "/var/lib/postgresql/data"
    environment = {
        "PGDATA": f"{mount}/pgdata",
        "POD_NAME": name,
        "NAMESPACE": namespace_of(cluster),
        "CLUSTER_NAME": f,
        "PGPORT": "5432",
    }
    container: Obj = {
        "name": "postgres",
        "image": cluster["spec"].get("imageName", IMAGE),
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "ports": [
            {"name": "postgresql", "containerPort": 5432, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9187, "protocol": "TCP"},
            {"name": "status", "containerPort": 8000, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8000}},
        "resources": cluster["spec"].get("resources") or {},
        "volumeMounts": [{"name": "pgdata", "mountPath": mount}],
    }
    pod["spec"] = {
        "containers": [container],
        "hostname": name,
        "restartPolicy": "Always",
        "serviceAccountName": f,
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "pgdata", "persistentVolumeClaim": {"claimName": name}}],
    }
    return pod


def service(cluster: Obj, kind: str) -> Obj:
    """Return the service ``F-rw``, ``F-ro`` or ``F-r`` of a database."""
    found = _owned(cluster, "v1", "Service", f"{name_of(cluster)}-{kind}")
    selector = {CLUSTER: name_of(cluster), **(_ROLES[kind] or {"cnpg.io/podRole": "instance"})}
    port = {"name": "postgres", "port": 5432, "protocol": "TCP", "targetPort": 5432}
    return found | {"spec": {"selector": selector, "ports": [port]}}


def encoded(values: Mapping[str, str]) -> dict[str, str]:
    """Return values as the ``data`` of a Secret."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


def _secrets(store: Store, cluster: Obj) -> None:
    f, namespace = name_of(cluster), namespace_of(cluster)
    if find(store, kinds.SECRETS, namespace, f"{f}-superuser") is None:
        values = {"username": "postgres", "password": secrets.token_urlsafe(24)}
        _secret(store, cluster, f"{f}-superuser", values, "kubernetes.io/basic-auth")
    if find(store, kinds.SECRETS, namespace, f"{f}-app") is None:
        values = {"username": "app", "password": secrets.token_urlsafe(24), "dbname": "app"}
        values |= {"user": "app", "host": f"{f}-rw", "port": "5432"}
        values["uri"] = f"postgresql://app:{values['password']}@{f}-rw.{namespace}:5432/app"
        values["pgpass"] = f"{f}-rw:5432:app:app:{values['password']}\n"
        _secret(store, cluster, f"{f}-app", values, "kubernetes.io/basic-auth")
    if find(store, kinds.SECRETS, namespace, f"{f}-server") is None:
        made = certificates.database(f, namespace)
        if find(store, kinds.SECRETS, namespace, f"{f}-ca"):
            store.delete(kinds.SECRETS, namespace, f"{f}-ca")
        _secret(store, cluster, f"{f}-ca", {"ca.crt": made.ca, "ca.key": made.ca_key}, "Opaque")
        values = {"tls.crt": made.certificate, "tls.key": made.key}
        _secret(store, cluster, f"{f}-server", values, "kubernetes.io/tls")


def _secret(store: Store, cluster: Obj, name: str, values: Mapping[str, str], kind: str) -> None:
    create(store, _owned(cluster, "v1", "Secret", name) | {"type": kind, "data": encoded(values)})


def _services(store: Store, cluster: Obj) -> None:
    managed = (cluster["spec"].get("managed") or {}).get("services") or {}
    for kind in _ROLES:
        name = f"{name_of(cluster)}-{kind}"
        disabled = kind in (managed.get("disabledDefaultServices") or ())
        if not disabled and find(store, kinds.SERVICES, namespace_of(cluster), name) is None:
            create(store, service(cluster, kind))


def _account(store: Store, cluster: Obj) -> None:
    if find(store, kinds.SERVICE_ACCOUNTS, namespace_of(cluster), name_of(cluster)) is None:
        create(store, _owned(cluster, "v1", "ServiceAccount", name_of(cluster)))


def _members(store: Store, resource: Resource, cluster: Obj) -> list[Obj]:
    return [
        obj
        for obj in store.list_objects(resource, namespace_of(cluster))
        if labels_of(obj).get(CLUSTER) == name_of(cluster)
    ]


def _report(store: Store, cluster: Obj, serial: int, *, hibernated: bool) -> None:
    fresh = store.get(kinds.CLUSTERS, namespace_of(cluster), name_of(cluster))
    status = copy.deepcopy(fresh.get("status") or {})
    pods = _members(store, kinds.PODS, cluster)
    claims = [name_of(claim) for claim in _members(store, kinds.CLAIMS, cluster)]
    ready = sum(pod_ready(pod) for pod in pods)
    f = name_of(cluster)
    status |= {
        "instances": len(claims),
        "readyInstances": ready,
        "instanceNames": claims,
        "pvcCount": len(claims),
        "latestGeneratedNode": serial,
        "writeService": f"{f}-rw",
        "readService": f"{f}-r",
        "image": fresh["spec"].get("imageName", IMAGE),
        "phase": "Cluster in healthy state" if ready or hibernated else "Setting up primary",
    }
    if claims:
        status |= {"currentPrimary": claims[-1], "targetPrimary": claims[-1]}
        status.setdefault("currentPrimaryTimestamp", now())
    if hibernated:
        gone = ("True", "Hibernated", "Cluster has been hibernated")
        going = ("False", "WaitingPodsDeletion", "Hibernation is in progress")
        set_condition(status, HIBERNATION, *(going if pods else gone))
    else:
        kept = [one for one in status.get("conditions") or () if one["type"] != HIBERNATION]
        status["conditions"] = kept
    is_ready = ("True", "ClusterIsReady", "Cluster is Ready")
    not_ready = ("False", "ClusterIsNotReady", "Cluster Is Not Ready")
    set_condition(status, "Ready", *(is_ready if ready else not_ready))
    fresh["status"] = status
    store.update(fresh)


def _owned(cluster: Obj, api_version: str, kind: str, name: str) -> Obj:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace_of(cluster),
            "labels": {CLUSTER: name_of(cluster)},
            "ownerReferences": [owner_reference(cluster)],
        },
    }


def _instance_labels(name: str) -> dict[str, str]:
    return {"cnpg.io/instanceName": name, "cnpg.io/instanceRole": "primary"}


CONTROLLER = Controller("cnpg", keys, reconcile)
