"""A share that stands from the start: Bob may query Alice's database.

It is made of what the product's own shares are made of, so that it is listed and revoked like one: a Job that runs no
pod and whose deadline ends it, and which owns a Secret for Bob, a Role and a RoleBinding. He may read that one
Secret and the endpoints of the service, and forward to the database's pods: ``F-1`` to ``F-32``, so that the right
follows when the pod is replaced under the next name. In Postgres he is a role that only reads.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.cnpg import encoded
from sspcloud_magics.sandbox.controllers.objects import create, owner_reference
from sspcloud_magics.sandbox.store import Obj, Store
from sspcloud_magics.sandbox.world.databases import Guest
from sspcloud_magics.sandbox.world.objects import make
from sspcloud_magics.sandbox.world.people import RBAC, namespace_of, user_of
from sspcloud_magics.sandbox.world.seed import Seed

INSTANCES = 32
LASTS = timedelta(days=30)
US = "sspcloud-magics"


def guest(seed: Seed, person: str) -> Guest:
    """Return the Postgres role of a colleague."""
    return Guest(f"share_{person}", seed.secret(f"share/{person}"))


def invite(store: Store, namespace: str, release: str, *, database: str, person: str, login: Guest) -> None:
    """Let `person` read the database of `release`; the operator must have made its certificates."""
    name = f"{release}-share-{person}"
    labels = {
        "app.kubernetes.io/managed-by": US,
        f"{US}/database": release,
        f"{US}/colleague": person,
    }
    about: Obj = {
        "labels": labels,
        "annotations": {
            f"{US}/until": (datetime.now(UTC) + LASTS).isoformat(timespec="seconds"),
            f"{US}/access": "read-only",
            f"{US}/schemas": '["public"]',
            f"{US}/postgres-role": login.name,
            f"{US}/reason": "the practice share that the sandbox begins with",
        },
    }
    job = create(store, make("batch/v1", "Job", namespace, name, **about, spec=_spec(labels)))
    about["owner"] = owner_reference(job, controller=False)
    ca = store.get(kinds.SECRETS, namespace, f"{release}-ca")["data"]["ca.crt"]
    values = {
        "host": f"{release}-rw.{namespace}.svc",
        "port": "5432",
        "database": database,
        "user": login.name,
        "password": login.password,
    }
    data = encoded(values) | {"ca.crt": ca}
    create(store, make("v1", "Secret", namespace, name, **about, type="Opaque", data=data))
    rules = [
        _rule("secrets", ["get"], [name]),
        _rule("endpoints", ["get", "list", "watch"], [f"{release}-rw"]),
        _rule("pods/portforward", ["get", "create"], [f"{release}-{n}" for n in range(1, INSTANCES + 1)]),
    ]
    create(store, make(f"{RBAC}/v1", "Role", namespace, name, **about, rules=rules))
    group = f"system:serviceaccounts:{namespace_of(person)}"
    binding: Obj = {
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [
            {"apiGroup": RBAC, "kind": "User", "name": user_of(person)},
            {"apiGroup": RBAC, "kind": "Group", "name": group},
        ],
    }
    create(store, make(f"{RBAC}/v1", "RoleBinding", namespace, name, **about, **binding))


def _spec(labels: dict[str, str]) -> Obj:
    resources = {"cpu": "10m", "memory": "16Mi"}
    container = {
        "name": "never-runs",
        "image": "alpine/socat:1.8.0.3",
        "resources": {"requests": resources, "limits": resources},
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534},
        "containers": [container],
    }
    return {
        "parallelism": 0,
        "backoffLimit": 0,
        "activeDeadlineSeconds": int(LASTS.total_seconds()),
        "ttlSecondsAfterFinished": 0,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }


def _rule(resource: str, verbs: list[str], names: list[str]) -> Obj:
    return {"apiGroups": [""], "resources": [resource], "resourceNames": names, "verbs": verbs}
