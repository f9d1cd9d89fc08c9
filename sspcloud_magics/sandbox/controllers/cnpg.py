"""The CloudNativePG operator, for databases with one instance.

A ``Cluster`` F gets a claim and a pod ``F-1``, the service ``F-rw`` and the Secrets ``F-superuser``, ``F-app``,
``F-ca`` and ``F-server``. A deleted pod is replaced under the same name, on the same claim. If the claim was
deleted too, the next instance is ``F-2`` with the same data, as if a standby had been promoted. With the annotation
``cnpg.io/hibernation: on`` there is a claim and no pod.

Source: CloudNativePG 1.27, "Labels and annotations", "Declarative hibernation".
"""

from __future__ import annotations

import base64
import copy
import json
import secrets
from collections.abc import Iterator

from sspcloud_magics.sandbox import certificates
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.loop import Controller, Key, reconcile_kind
from sspcloud_magics.sandbox.controllers.writes import delete_pod, install, set_condition, set_status
from sspcloud_magics.sandbox.objects import find, labels_of, name_of, namespace_of
from sspcloud_magics.sandbox.pods import is_bound, is_terminating, pod_over, pod_ready
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Change, Obj, Store, now

CLUSTER = "cnpg.io/cluster"
HIBERNATION = "cnpg.io/hibernation"
IMAGE = "ghcr.io/cloudnative-pg/postgresql:18.0-system-trixie"

# The selector of each service, by the suffix of its name.
_ROLES = {
    "rw": ("cnpg.io/instanceRole", "primary"),
    "ro": ("cnpg.io/instanceRole", "replica"),
    "r": ("cnpg.io/podRole", "instance"),
}


def keys(_store: Store, change: Change) -> Iterator[Key]:
    """Yield the Clusters affected by a change."""
    namespace = namespace_of(change.object)
    if change.resource == kinds.CLUSTERS:
        yield namespace, name_of(change.object)
    elif change.resource in (kinds.PODS, kinds.CLAIMS, kinds.SECRETS, kinds.SERVICES) and (
        name := labels_of(change.object).get(CLUSTER)
    ):
        yield namespace, name


@reconcile_kind(kinds.CLUSTERS)
def reconcile(store: Store, cluster: Obj) -> None:
    """Reconcile a Cluster."""
    f, namespace, spec = name_of(cluster), namespace_of(cluster), cluster["spec"]
    if find(store, kinds.SERVICE_ACCOUNTS, namespace, f) is None:
        _make(store, cluster, "account", f)
    _secrets(store, cluster)
    for kind, (role, value) in _ROLES.items():
        disabled = ((spec.get("managed") or {}).get("services") or {}).get("disabledDefaultServices") or ()
        if kind not in disabled and find(store, kinds.SERVICES, namespace, f"{f}-{kind}") is None:
            _make(store, cluster, "service", f"{f}-{kind}", role=role, value=value)
    pods = _members(store, kinds.PODS, cluster)
    hibernated = (cluster["metadata"].get("annotations") or {}).get(HIBERNATION) == "on"
    serial = int((cluster.get("status") or {}).get("latestGeneratedNode", 0))
    for pod in pods:
        if hibernated or pod_over(pod):
            delete_pod(store, pod)
    claims = [claim for claim in _members(store, kinds.CLAIMS, cluster) if not is_terminating(claim)]
    if not claims and not pods:
        serial += 1
        storage = spec.get("storage") or {}
        size, storage_class = storage.get("size", "1Gi"), storage.get("storageClass", "local-path")
        name = f"{f}-{serial}"
        _make(store, cluster, "claim", name, serial=serial, size=size, storage_class=storage_class)
    bound = [claim for claim in claims if is_bound(claim)]
    if bound and not pods and not hibernated:
        name = name_of(bound[-1])
        resources = json.dumps(spec.get("resources") or {})
        image = spec.get("imageName", IMAGE)
        _make(store, cluster, "pod", name, serial=name.rpartition("-")[2], image=image, resources=resources)
    _report(store, cluster, serial, hibernated=hibernated)


def _make(store: Store, cluster: Obj, what: str, name: str, **values: str | int) -> None:
    """Create an object owned by a Cluster."""
    about = {
        "cluster": name_of(cluster),
        "namespace": namespace_of(cluster),
        "uid": cluster["metadata"]["uid"],
    }
    install(store, f"cnpg-{what}", name=name, **about, **values)


def _secrets(store: Store, cluster: Obj) -> None:
    f, namespace = name_of(cluster), namespace_of(cluster)

    def make(name: str, kind: str, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        _make(store, cluster, "secret", f"{f}-{name}", type=kind, data=json.dumps(data))

    password = secrets.token_urlsafe(24)
    if find(store, kinds.SECRETS, namespace, f"{f}-superuser") is None:
        make("superuser", "kubernetes.io/basic-auth", username="postgres", password=secrets.token_urlsafe(24))
    if find(store, kinds.SECRETS, namespace, f"{f}-app") is None:
        login = {"username": "app", "user": "app", "password": password, "dbname": "app", "port": "5432"}
        login |= {"host": f"{f}-rw", "uri": f"postgresql://app:{password}@{f}-rw.{namespace}:5432/app"}
        make("app", "kubernetes.io/basic-auth", **login, pgpass=f"{f}-rw:5432:app:app:{password}\n")
    if find(store, kinds.SECRETS, namespace, f"{f}-server") is None:
        made = certificates.database(f, namespace)
        if find(store, kinds.SECRETS, namespace, f"{f}-ca"):
            store.delete(kinds.SECRETS, namespace, f"{f}-ca")
        make("ca", "Opaque", **{"ca.crt": made.ca, "ca.key": made.ca_key})
        make("server", "kubernetes.io/tls", **{"tls.crt": made.certificate, "tls.key": made.key})


def _members(store: Store, resource: Resource, cluster: Obj) -> list[Obj]:
    return [
        obj
        for obj in store.list_objects(resource, namespace_of(cluster))
        if labels_of(obj).get(CLUSTER) == name_of(cluster)
    ]


def _report(store: Store, cluster: Obj, serial: int, *, hibernated: bool) -> None:
    status = copy.deepcopy(cluster.get("status") or {})
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
        "image": cluster["spec"].get("imageName", IMAGE),
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
    set_status(store, cluster, status)


CONTROLLER = Controller("cnpg", keys, reconcile)
