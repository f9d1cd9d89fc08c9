"""The objects of a new sandbox.

============ ===========================================================================================
namespace    workloads
============ ===========================================================================================
user-alice   ``postgresql-cnpg-951239`` with the practice data, shared with Bob; ``postgresql-cnpg-204871``,
             hibernated; ``mon-api``
user-bob     none
user-carol   ``postgresql-439617``, of the older chart
============ ===========================================================================================

With ``SSPCLOUD_SANDBOX_MARIADB`` (`sandbox.mariadb`), user-alice also has ``mariadb-310842``, which is empty.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

from sspcloud_magics.sandbox import mariadb
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers import cnpg
from sspcloud_magics.sandbox.controllers.writes import install
from sspcloud_magics.sandbox.scenario import people
from sspcloud_magics.sandbox.scenario.databases import DatabasePlan, Guest
from sspcloud_magics.sandbox.scenario.seed import Seed
from sspcloud_magics.sandbox.store import Store

ALICE, CAROL = people.namespace_of("alice"), people.namespace_of("carol")
PODS = 3
"""Number of pods in the scenario."""
SHARED, HIBERNATED, OLDER = "postgresql-cnpg-951239", "postgresql-cnpg-204871", "postgresql-439617"
MARIADB = "mariadb-310842"
SHARE_LASTS = timedelta(days=30)


def plans(seed: Seed) -> dict[tuple[str, str], DatabasePlan]:
    """Return the content of the scenario's databases, by namespace and release."""
    bob = Guest("share_bob", seed.secret("share/bob"))

    def plan(namespace: str, superuser: str = "", **rest: object) -> DatabasePlan:
        password = seed.secret(f"{namespace}/project")
        owner = namespace.removeprefix("user-")
        # In the newer chart, the superuser has the password of the user.
        return DatabasePlan(superuser or password, "defaultdb", owner, password, **rest)  # type: ignore[arg-type]

    apps = {release: seed.secret(f"{ALICE}/{release}/app") for release in (SHARED, HIBERNATED)}
    return {
        (ALICE, SHARED): plan(ALICE, app_password=apps[SHARED], survey=True, guests=(bob,)),
        (ALICE, HIBERNATED): plan(ALICE, app_password=apps[HIBERNATED]),
        (CAROL, OLDER): plan(CAROL, seed.secret(f"{CAROL}/{OLDER}/superuser")),
    }


def create(store: Store, seed: Seed) -> None:
    """Create all objects."""
    people.settle(store)
    contents = plans(seed)
    for (namespace, release), plan in contents.items():
        values = {
            "release": release,
            "namespace": namespace,
            "owner": plan.owner,
            "password": plan.owner_password,
            "superuser": plan.superuser_password,
            "database": plan.database,
        }
        if plan.app_password is None:
            install(store, "postgresql", **values)
            continue
        hibernation = "on" if release == HIBERNATED else "off"
        install(store, "postgresql-cnpg", **values, app=plan.app_password, hibernation=hibernation)
        # Create the operator's Secrets now: the share below needs the CA.
        cnpg.reconcile(store, (namespace, release))
    install(store, "mon-api", namespace=ALICE, deployment=str(uuid.uuid4()), replica_set=str(uuid.uuid4()))
    _share(store, ALICE, SHARED, contents[ALICE, SHARED], "bob")
    if mariadb.find_programs() is not None:
        project = seed.secret(f"{ALICE}/project")
        values = {"release": MARIADB, "namespace": ALICE, "owner": "alice", "database": "defaultdb"}
        root = seed.secret(f"{ALICE}/{MARIADB}/root")
        install(store, "mariadb", **values, password=project, superuser=root)


def _share(store: Store, namespace: str, release: str, plan: DatabasePlan, person: str) -> None:
    """Share the database of a release with `person`, in the form of the package's shares, so that it can be revoked."""
    (guest,) = plan.guests
    install(
        store,
        "share",
        release=release,
        namespace=namespace,
        person=person,
        user=people.user_of(person),
        job=str(uuid.uuid4()),
        until=(datetime.now(UTC) + SHARE_LASTS).isoformat(timespec="seconds"),
        seconds=int(SHARE_LASTS.total_seconds()),
        database=plan.database,
        login=guest.name,
        password=guest.password,
        ca=store.get(kinds.SECRETS, namespace, f"{release}-ca")["data"]["ca.crt"],
        pods=json.dumps([f"{release}-{number}" for number in range(1, 33)]),
    )
