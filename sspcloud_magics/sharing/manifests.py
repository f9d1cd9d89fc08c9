"""The objects of one share as JSON manifests: a Job that owns a Secret, a Role and a RoleBinding.

All of them have the same name, derived from the database and the colleague: a colleague who may read one Secret and
list nothing must know its name. The Job never runs a pod (``parallelism: 0``). It fails at ``activeDeadlineSeconds``
and is deleted at once (``ttlSecondsAfterFinished: 0``), and the garbage collector deletes the objects that it owns.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sspcloud_magics import share_keys
from sspcloud_magics.databases.discovery import CNPG
from sspcloud_magics.secret import HIDDEN, Secret
from sspcloud_magics.sharing.colleagues import Colleague
from sspcloud_magics.sharing.handover import Handover
from sspcloud_magics.sharing.pods import HARDENED_CONTAINER, HARDENED_POD, IMAGE
from sspcloud_magics.sharing.role_sql import Privileges

Manifest: TypeAlias = dict[str, Any]

_REPLACEMENTS = 32
"""Instances of a CNPG database whose pods a share names ahead: each replacement has the next number."""
_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShare:
    """The planned share of one colleague: its objects in the cluster, and its role in the database.

    Parameters
    ----------
    database
        The name of the release, such as ``postgresql-cnpg-951239``.
    namespace
        The owner's namespace.
    colleague
        The colleague.
    service, port
        The database's service and its port.
    pods
        The names that the database's pods have now or will have after replacements.
    privileges
        The privileges of the Postgres role.
    duration, until
        The duration, and the expiry with its time zone.
    reason
        The owner's reason; may be empty.
    for_kubectl
        Whether to grant the permissions that ``kubectl port-forward`` needs.
    forward
        Whether the colleague may forward to the pod, which opens all of its ports.
    selector
        The labels by which a NetworkPolicy selects the database's pods.
    exists
        Whether the role exists already, and is altered.
    own_schema
        Whether the role has its own schema, from this share or an earlier one.
    handover
        The handover of the role's objects when the share becomes read-only; None if it owns nothing.
    kind
        The kind of database.
    """

    database: str
    namespace: str
    colleague: Colleague
    service: str
    port: int
    pods: tuple[str, ...]
    privileges: Privileges
    duration: timedelta
    until: datetime
    reason: str = ""
    for_kubectl: bool = False
    forward: bool = True
    selector: Mapping[str, str] = field(default_factory=dict)
    exists: bool = False
    own_schema: bool = False
    handover: Handover | None = None
    kind: str = "postgres"

    @property
    def name(self) -> str:
        """The name of all objects of the share."""
        return share_keys.share_name(self.database, self.colleague.name)

    @property
    def role(self) -> str:
        """The name of the colleague's Postgres role."""
        return self.privileges.role


def future_pods(database: str) -> tuple[str, ...]:
    """Return the names of the pods of a CNPG database, now and after replacements."""
    return tuple(f"{database}-{serial}" for serial in range(1, _REPLACEMENTS + 1))


def share_labels(share: PlannedShare) -> dict[str, str]:
    """Return the labels by which later sessions find the share."""
    return {
        share_keys.MANAGED_BY: share_keys.OWNER,
        share_keys.DATABASE: share.database,
        share_keys.COLLEAGUE: share.colleague.name,
    }


def share_annotations(share: PlannedShare) -> dict[str, str]:
    """Return the annotations that describe the share, for later sessions and for readers of its objects."""
    annotations = {
        share_keys.UNTIL: share.until.isoformat(timespec="seconds"),
        share_keys.ACCESS: share_keys.READ_WRITE if share.privileges.read_write else share_keys.READ_ONLY,
        share_keys.SCHEMAS: json.dumps(share.privileges.schemas, ensure_ascii=False),
        share_keys.ROLE: share.role,
        share_keys.CREATE: json.dumps(share.privileges.create),
    }
    if share.kind != "postgres":
        annotations[share_keys.KIND] = share.kind
    return annotations | ({share_keys.REASON: share.reason} if share.reason else {})


def _manifest(version: str, kind: str, share: PlannedShare, job_uid: str | None, **parts: Any) -> Manifest:
    metadata: Manifest = {
        "name": share.name,
        "namespace": share.namespace,
        "labels": share_labels(share),
        "annotations": share_annotations(share),
    }
    if job_uid is not None:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": share.name, "uid": job_uid}
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def job(share: PlannedShare) -> Manifest:
    """Build the Job that is the share."""
    resources = {"cpu": "10m", "memory": "16Mi"}
    container = {
        "name": "never-runs",
        "image": IMAGE,
        "resources": {"requests": resources, "limits": resources},
        "securityContext": HARDENED_CONTAINER,
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": HARDENED_POD,
        "containers": [container],
    }
    spec = {
        "parallelism": 0,
        "backoffLimit": 0,
        "activeDeadlineSeconds": max(1, int(share.duration.total_seconds())),
        "ttlSecondsAfterFinished": 0,
        "template": {"metadata": {"labels": share_labels(share)}, "spec": pod},
    }
    return _manifest("batch/v1", "Job", share, None, spec=spec)


def secret(share: PlannedShare, password: Secret, ca: str | None, job_uid: str | None) -> Manifest:
    """Build the Secret that the colleague reads: the only manifest with a password, which is wrapped."""
    values = {
        share_keys.HOST: Secret(f"{share.service}.{share.namespace}.svc"),
        share_keys.PORT: Secret(str(share.port)),
        share_keys.DBNAME: Secret(share.privileges.dbname),
        share_keys.USER: Secret(share.role),
        share_keys.PASSWORD: password,
    }
    if ca:
        values[share_keys.CA] = Secret(ca)
    data = {key: Secret(base64.b64encode(value.reveal().encode()).decode()) for key, value in values.items()}
    return _manifest("v1", "Secret", share, job_uid, type="Opaque", data=data)


def role(share: PlannedShare, job_uid: str | None) -> Manifest:
    """Build the Role: the permissions that this package's client needs, each by name.

    The endpoints name the ready pod, so the client needs no permission on pods except the forward itself.
    """
    rules: list[Manifest] = [
        _rule("secrets", ("get",), share.name),
        _rule("endpoints", ("get", "list", "watch"), share.service),
    ]
    if share.forward:
        rules.append(_rule("pods/portforward", ("get", "create"), *share.pods))
    if share.forward and share.for_kubectl:
        rules += [
            _rule("services", ("get",), share.service),
            _rule("pods", ("get",), *share.pods),
            _rule("pods", ("list",)),
        ]
    return _manifest(f"{_RBAC}/v1", "Role", share, job_uid, rules=rules)


def _rule(resource: str, verbs: Sequence[str], *names: str) -> Manifest:
    rule: Manifest = {"apiGroups": [""], "resources": [resource], "verbs": list(verbs)}
    return rule | ({"resourceNames": list(names)} if names else {})


def role_binding(share: PlannedShare, job_uid: str | None) -> Manifest:
    """Build the RoleBinding: the colleague on a laptop, and every notebook of their namespace."""
    role_ref = {"apiGroup": _RBAC, "kind": "Role", "name": share.name}
    subjects = [subject.to_manifest() for subject in share.colleague.subjects]
    return _manifest(f"{_RBAC}/v1", "RoleBinding", share, job_uid, roleRef=role_ref, subjects=subjects)


def network_policy(share: PlannedShare, job_uid: str | None) -> Manifest:
    """Build the NetworkPolicy that admits the colleague's namespace to the port, and those who need it anyway.

    The first policy that selects a pod isolates it, so this one also admits the pods of the same namespace and, for
    a CNPG database, its operator.
    """
    port = {"protocol": "TCP", "port": share.port}
    ingress: list[Manifest] = [
        {"from": [{"podSelector": {}}]},
        {"from": [_namespace(share.colleague.namespace)], "ports": [port]},
    ]
    if CNPG in share.selector:
        operator = [{"protocol": "TCP", "port": 8000}, {"protocol": "TCP", "port": 5432}]
        ingress.append({"from": [_namespace("cnpg-system")], "ports": operator})
    spec = {
        "podSelector": {"matchLabels": dict(share.selector)},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }
    return _manifest("networking.k8s.io/v1", "NetworkPolicy", share, job_uid, spec=spec)


def _namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def mask_manifest(manifest: Manifest) -> Manifest:
    """Mask the values of a Secret's manifest, so that it can be shown."""
    if manifest["kind"] != "Secret":
        return manifest
    return {**manifest, "data": dict.fromkeys(manifest["data"], HIDDEN)}
