"""What lets Bob query Alice's database before anybody has shared anything: a narrow Role, and a Secret for him.

He may read that one Secret and the endpoints of the service, and forward to the database's pods: ``F-1`` to ``F-32``,
so that the right follows when the pod is replaced under the next name. In Postgres he is a role that only reads.
"""

from __future__ import annotations

from sspcloud_magics.sandbox.controllers.cnpg import encoded
from sspcloud_magics.sandbox.controllers.objects import SECRETS, create
from sspcloud_magics.sandbox.store import Store
from sspcloud_magics.sandbox.world.databases import Guest
from sspcloud_magics.sandbox.world.objects import make
from sspcloud_magics.sandbox.world.people import RBAC, namespace_of, user_of
from sspcloud_magics.sandbox.world.seed import Seed

INSTANCES = 32
MANAGED = {"app.kubernetes.io/managed-by": "sspcloud-magics"}


def guest(seed: Seed, person: str) -> Guest:
    """Return the Postgres role of a colleague."""
    return Guest(f"share_{person}", seed.secret(f"share/{person}"))


def invite(store: Store, namespace: str, release: str, *, database: str, person: str, login: Guest) -> None:
    """Let `person` read the database of `release`; the operator must have made its certificates."""
    name = f"{release}-share-{person}"
    ca = store.get(SECRETS, namespace, f"{release}-ca")["data"]["ca.crt"]
    values = {
        "host": f"{release}-rw.{namespace}.svc",
        "port": "5432",
        "database": database,
        "user": login.name,
        "password": login.password,
    }
    data = encoded(values) | {"ca.crt": ca}
    create(store, make("v1", "Secret", namespace, name, labels=MANAGED, type="Opaque", data=data))
    pods = [f"{release}-{number}" for number in range(1, INSTANCES + 1)]
    rules = [
        _rule("endpoints", ["get", "list", "watch"], [f"{release}-rw"]),
        _rule("pods/portforward", ["get", "create"], pods),
        _rule("secrets", ["get"], [name]),
    ]
    create(store, make(f"{RBAC}/v1", "Role", namespace, name, labels=MANAGED, rules=rules))
    group = f"system:serviceaccounts:{namespace_of(person)}"
    subjects = [
        {"apiGroup": RBAC, "kind": "User", "name": user_of(person)},
        {"apiGroup": RBAC, "kind": "Group", "name": group},
    ]
    reference = {"apiGroup": RBAC, "kind": "Role", "name": name}
    create(
        store,
        make(
            f"{RBAC}/v1",
            "RoleBinding",
            namespace,
            name,
            labels=MANAGED,
            roleRef=reference,
            subjects=subjects,
        ),
    )


def _rule(resource: str, verbs: list[str], names: list[str]) -> dict[str, list[str]]:
    return {"apiGroups": [""], "resources": [resource], "resourceNames": names, "verbs": verbs}
