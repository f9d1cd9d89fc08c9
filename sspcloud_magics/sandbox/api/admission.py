"""Admission of new objects: changes and checks that depend on other objects.

The namespace must exist and must not be terminating. A Service gets a free address, a pod its service account
with a mounted token.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

import uuid
from ipaddress import IPv4Network

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api import status
from sspcloud_magics.sandbox.api.call import Call
from sspcloud_magics.sandbox.names import suffix
from sspcloud_magics.sandbox.store import NotFound, Obj, Store

SERVICE_NETWORK = IPv4Network("10.43.0.0/16")
TOKEN_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 -- a path


def admit(call: Call, obj: Obj) -> None:
    """Complete a new object in place; raise `ApiError` if it is refused."""
    if call.resource.namespaced:
        _check_namespace(call, obj)
    match call.resource.kind:
        case "Pod":
            complete_pod(call.store, call.namespace, obj)
        case "Service":
            give_cluster_ip(call.store, obj)
        case "Job":
            _give_selector(obj)


def give_cluster_ip(store: Store, service: Obj) -> None:
    """Give a Service a free address, unless it has one, is headless or an external name."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName" or spec.get("clusterIP"):
        return
    taken = {other["spec"].get("clusterIP") for other in store.peek_all(kinds.SERVICES)}
    free = (str(address) for address in SERVICE_NETWORK.hosts())
    next(free)  # the address of the API server
    spec["clusterIP"] = next(address for address in free if address not in taken)
    spec["clusterIPs"] = [spec["clusterIP"]]


def _check_namespace(call: Call, obj: Obj) -> None:
    name = call.namespace
    namespace = call.store.peek(kinds.NAMESPACES, "", name)
    if namespace["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {name} because it is being terminated"
        raise status.make_forbidden(
            call.resource.group, call.resource.plural, obj["metadata"].get("name", ""), why
        )


def complete_pod(store: Store, namespace: str, pod: Obj) -> None:
    """Set a pod's service account, and mount its token; raise `ApiError` if the account does not exist."""
    spec = pod["spec"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    try:
        account = store.peek(kinds.SERVICE_ACCOUNTS, namespace, name)
    except NotFound:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise status.make_forbidden("", "pods", pod["metadata"].get("name", ""), why) from None
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        _mount_token(spec)


def _mount_token(spec: Obj) -> None:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    bare = [
        c
        for c in containers
        if all(m.get("mountPath") != TOKEN_DIRECTORY for m in c.get("volumeMounts") or ())
    ]
    if not bare:
        return
    volume = "kube-api-access-" + suffix()
    for container in bare:
        mount = {"name": volume, "readOnly": True, "mountPath": TOKEN_DIRECTORY}
        container.setdefault("volumeMounts", []).append(mount)
    reference = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": reference}]}},
    ]
    projected = {"name": volume, "projected": {"sources": sources, "defaultMode": 0o644}}
    spec.setdefault("volumes", []).append(projected)


def _give_selector(job: Obj) -> None:
    """Set the selector of a Job, and the labels of its pods, to its UID."""
    if job["spec"].get("manualSelector"):
        return
    uid = job["metadata"].setdefault("uid", str(uuid.uuid4()))
    name = job["metadata"]["name"]
    job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    labels = job["spec"]["template"]["metadata"].setdefault("labels", {})
    for prefix in ("batch.kubernetes.io/", ""):
        labels |= {f"{prefix}controller-uid": uid, f"{prefix}job-name": name}
