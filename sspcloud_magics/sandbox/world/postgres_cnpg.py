"""A release of the catalogue's chart ``postgresql-cnpg``: what the chart makes; the operator makes the rest.

One thing is as it is in the chart, odd as it looks: the NetworkPolicy that is to admit only the same namespace
selects ``cnpg.io/cluster: postgresql-cnpg``, a label that no pod of the release has: it protects nothing.
"""

from __future__ import annotations

from sspcloud_magics.sandbox.controllers.cnpg import HIBERNATION, IMAGE, encoded, reconcile
from sspcloud_magics.sandbox.controllers.objects import create
from sspcloud_magics.sandbox.store import Store
from sspcloud_magics.sandbox.world.databases import Guest, Plan
from sspcloud_magics.sandbox.world.discovery import discovery_secret
from sspcloud_magics.sandbox.world.objects import helm, make
from sspcloud_magics.sandbox.world.seed import Seed

CHART = "postgresql-cnpg"
DATABASE = "defaultdb"


def plan(
    seed: Seed, namespace: str, release: str, *, survey: bool = False, guests: tuple[Guest, ...] = ()
) -> Plan:
    """Return what the database of a release holds: the superuser's password is the user's, as in the chart."""
    password = seed.secret(f"{namespace}/project")
    return Plan(
        superuser_password=password,
        database=DATABASE,
        owner=namespace.removeprefix("user-"),
        owner_password=password,
        app_password=seed.secret(f"{namespace}/{release}/app"),
        survey=survey,
        guests=guests,
    )


def install(store: Store, namespace: str, release: str, content: Plan, *, hibernated: bool = False) -> None:
    """Make the objects of the chart, for a database that holds `content`."""
    labels = helm(release, CHART, "1.4.2")
    login = {"username": content.owner, "password": content.owner_password}
    superuser = {"username": "postgres", "password": content.superuser_password}
    basic = "kubernetes.io/basic-auth"
    for name, values in ((release, login), (f"{release}-user", login), (f"{release}-superuser", superuser)):
        create(store, make("v1", "Secret", namespace, name, labels=labels, type=basic, data=encoded(values)))
    app = {"username": "app", "user": "app", "password": content.app_password or "", "dbname": "app"}
    app |= {"host": f"{release}-rw", "port": "5432"}
    app["uri"] = f"postgresql://app:{content.app_password}@{release}-rw.{namespace}:5432/app"
    app["pgpass"] = f"{release}-rw:5432:app:app:{content.app_password}\n"
    app_labels = {"cnpg.io/cluster": release, "cnpg.io/reload": "true"}
    create(
        store,
        make("v1", "Secret", namespace, f"{release}-app", labels=app_labels, type=basic, data=encoded(app)),
    )
    create(store, discovery_secret(namespace, release, f"{release}-rw", content, labels))
    policy = {
        "podSelector": {"matchLabels": {"cnpg.io/cluster": CHART}},
        "ingress": [{"from": [{"podSelector": {}}]}],
        "policyTypes": ["Ingress"],
    }
    create(
        store,
        make(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            namespace,
            f"{release}-isolation",
            labels=labels,
            spec=policy,
        ),
    )
    spec = {
        "instances": 1,
        "imageName": IMAGE,
        "enableSuperuserAccess": True,
        "superuserSecret": {"name": f"{release}-superuser"},
        "bootstrap": {
            "initdb": {
                "database": content.database,
                "owner": content.owner,
                "secret": {"name": f"{release}-user"},
            }
        },
        "managed": {"services": {"disabledDefaultServices": ["ro", "r"]}},
        "storage": {"size": "10Gi"},
        "resources": {
            "limits": {"cpu": "3", "memory": "8Gi"},
            "requests": {"cpu": "100m", "memory": "512Mi"},
        },
    }
    create(
        store,
        make(
            "postgresql.cnpg.io/v1",
            "Cluster",
            namespace,
            release,
            labels=labels,
            annotations={HIBERNATION: "on" if hibernated else "off"},
            spec=spec,
        ),
    )
    # The operator's secrets, at once: whoever invites a colleague needs the CA.
    reconcile(store, (namespace, release))
