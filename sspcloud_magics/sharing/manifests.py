"""The objects of one share as JSON manifests: a Job that owns a Secret, a Role and a RoleBinding.

All of them have the same name, derived from the database and the colleague: a colleague who may read one Secret and
list nothing must know its name. The Job never runs a pod (``parallelism: 0``). It fails at ``activeDeadlineSeconds``
and is deleted at once (``ttlSecondsAfterFinished: 0``), and the garbage collector deletes the objects that it owns.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
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
class PlannedObjects(ABC):
    """The planned objects in the cluster of a share with one colleague."""

    namespace: str  # the owner's namespace
    colleague: Colleague
    # The shared service and its port.
    service: str
    port: int
    pods: tuple[str, ...]  # the names that its pods have now or will have after replacements
    # The duration, and the expiry with its time zone.
    duration: timedelta
    until: datetime
    reason: str = ""  # the owner's reason; may be empty
    for_kubectl: bool = False  # whether to grant the permissions that ``kubectl port-forward`` needs
    forward: bool = True  # whether the colleague may forward to the pod, which opens all of its ports
    # The labels by which a NetworkPolicy selects the pods.
    selector: Mapping[str, str] = field(default_factory=dict)

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of all objects of the share."""

    @property
    @abstractmethod
    def labels(self) -> dict[str, str]:
        """The labels by which later sessions find the share."""

    @property
    @abstractmethod
    def annotations(self) -> dict[str, str]:
        """The annotations that describe the share, for later sessions and for readers of its objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShare(PlannedObjects):
    """The planned share of a database with one colleague: its objects in the cluster, and its role in the database."""

    database: str  # the name of the release, such as ``postgresql-cnpg-951239``
    privileges: Privileges  # the privileges of the Postgres role
    exists: bool = False  # whether the role exists already, and is altered
    own_schema: bool = False  # whether the role has its own schema, from this share or an earlier one
    # The handover of the role's objects when the share becomes read-only; None if it owns nothing.
    handover: Handover | None = None
    kind: str = "postgres"  # the kind of database

    @property
    def name(self) -> str:
        """The name of all objects of the share."""
        return share_keys.share_name(self.database, self.colleague.name)

    @property
    def role(self) -> str:
        """The name of the colleague's Postgres role."""
        return self.privileges.role

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which later sessions find the share."""
        return {
            share_keys.MANAGED_BY: share_keys.OWNER,
            share_keys.DATABASE: self.database,
            share_keys.COLLEAGUE: self.colleague.name,
        }

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations that describe the share, for later sessions and for readers of its objects."""
        annotations = {
            share_keys.UNTIL: self.until.isoformat(timespec="seconds"),
            share_keys.ACCESS: share_keys.READ_WRITE if self.privileges.read_write else share_keys.READ_ONLY,
            share_keys.SCHEMAS: json.dumps(self.privileges.schemas, ensure_ascii=False),
            share_keys.ROLE: self.role,
            share_keys.CREATE: json.dumps(self.privileges.create),
        }
        if self.kind != "postgres":
            annotations[share_keys.KIND] = self.kind
        return annotations | ({share_keys.REASON: self.reason} if self.reason else {})


def future_pods(database: str) -> tuple[str, ...]:
    """Return the names of the pods of a CNPG database, now and after replacements."""
    return tuple(f"{database}-{serial}" for serial in range(1, _REPLACEMENTS + 1))


def make_manifest(
    version: str, kind: str, share: PlannedObjects, job_uid: str | None, **parts: Any
) -> Manifest:
    """Build an object of a share; the Job with `job_uid` owns it."""
    metadata: Manifest = {
        "name": share.name,
        "namespace": share.namespace,
        "labels": share.labels,
        "annotations": share.annotations,
    }
    if job_uid is not None:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": share.name, "uid": job_uid}
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def job(share: PlannedObjects) -> Manifest:
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
        "template": {"metadata": {"labels": share.labels}, "spec": pod},
    }
    return make_manifest("batch/v1", "Job", share, None, spec=spec)


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
    return make_manifest("v1", "Secret", share, job_uid, type="Opaque", data=data)


def role(share: PlannedObjects, job_uid: str | None) -> Manifest:
    """Build the Role: the permissions that this package's client needs, each by name.

    The endpoints name the ready pod, so the client needs no permission on pods except the forward itself.
    """
    rules = [_rule("secrets", ("get",), share.name)] if isinstance(share, PlannedShare) else []
    rules.append(_rule("endpoints", ("get", "list", "watch"), share.service))
    if share.forward:
        rules.append(_rule("pods/portforward", ("get", "create"), *share.pods))
    if share.forward and share.for_kubectl:
        rules += [
            _rule("services", ("get",), share.service),
            _rule("pods", ("get",), *share.pods),
            _rule("pods", ("list",)),
        ]
    return make_manifest(f"{_RBAC}/v1", "Role", share, job_uid, rules=rules)


def _rule(resource: str, verbs: Sequence[str], *names: str) -> Manifest:
    rule: Manifest = {"apiGroups": [""], "resources": [resource], "verbs": list(verbs)}
    return rule | ({"resourceNames": list(names)} if names else {})


def role_binding(share: PlannedObjects, job_uid: str | None) -> Manifest:
    """Build the RoleBinding: the colleague on a laptop, and every notebook of their namespace."""
    role_ref = {"apiGroup": _RBAC, "kind": "Role", "name": share.name}
    subjects = [subject.to_manifest() for subject in share.colleague.subjects]
    return make_manifest(f"{_RBAC}/v1", "RoleBinding", share, job_uid, roleRef=role_ref, subjects=subjects)


def network_policy(share: PlannedShare, job_uid: str | None) -> Manifest:
    """Build the NetworkPolicy that admits the colleague's namespace to the port, and those who need it anyway.

    The first policy that selects a pod isolates it, so this one also admits the pods of the same namespace and, for
    a CNPG database, its operator.
    """
    port = {"protocol": "TCP", "port": share.port}
    ingress: list[Manifest] = [
        {"from": [{"podSelector": {}}]},
        {"from": [select_namespace(share.colleague.namespace)], "ports": [port]},
    ]
    if CNPG in share.selector:
        operator = [{"protocol": "TCP", "port": 8000}, {"protocol": "TCP", "port": 5432}]
        ingress.append({"from": [select_namespace("cnpg-system")], "ports": operator})
    spec = {
        "podSelector": {"matchLabels": dict(share.selector)},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }
    return make_manifest("networking.k8s.io/v1", "NetworkPolicy", share, job_uid, spec=spec)


def select_namespace(name: str) -> Manifest:
    """Return the peer of a NetworkPolicy that is a namespace."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def mask_manifest(manifest: Manifest) -> Manifest:
    """Mask the values of a Secret's manifest, so that it can be shown."""
    if manifest["kind"] != "Secret":
        return manifest
    return {**manifest, "data": dict.fromkeys(manifest["data"], HIDDEN)}
