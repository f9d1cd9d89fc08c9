"""What is in the databases: from a release's passwords to a data directory.

The databases of the world are prepared once in the life of a home and copied at each start, which takes a tenth of
the time. Any other that somebody makes in the sandbox is initialised as its operator would do it, from its
secrets.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sspcloud_magics.sandbox import postgres
from sspcloud_magics.sandbox.controllers.cnpg import CLUSTER
from sspcloud_magics.sandbox.controllers.objects import CLUSTERS, SECRETS, find, labels_of, namespace_of
from sspcloud_magics.sandbox.store import Obj, Store
from sspcloud_magics.sandbox.world import dataset

DATA_VERSION = 1
"""Raised when the same plan is to make other data: what homes have prepared is then made anew."""

INSTANCE = "app.kubernetes.io/instance"


@dataclass(frozen=True, slots=True)
class Guest:
    """A role that may read everything and write nothing."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"Guest({self.name!r})"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a data directory is to hold.

    Parameters
    ----------
    superuser_password
        Of ``postgres``.
    database, owner, owner_password
        The database that is made for the user, who owns it.
    app_password
        Of the role ``app`` with its own database ``app``, which the CloudNativePG operator makes; None for none.
    survey
        Whether the practice data is in it.
    guests
        Roles that may read.
    """

    superuser_password: str
    database: str
    owner: str
    owner_password: str
    app_password: str | None = None
    survey: bool = False
    guests: tuple[Guest, ...] = ()

    def __repr__(self) -> str:
        return f"Plan({self.database!r}, {self.owner!r})"

    def digest(self) -> str:
        """Return a name for what this plan makes."""
        guests = [(guest.name, guest.password) for guest in self.guests]
        facts = (self.superuser_password, self.database, self.owner, self.owner_password, self.app_password)
        text = repr((DATA_VERSION, postgres.MAJOR_VERSION, postgres.SETTINGS, facts, self.survey, guests))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class DatabaseVolumes:
    """Says what belongs into a claim's volume.

    Parameters
    ----------
    store
        Where the databases and their secrets are.
    prepared
        Where the data of `plans` is kept between two starts.
    plans
        The databases of the world, by namespace and release.
    """

    def __init__(self, store: Store, prepared: Path, plans: Mapping[tuple[str, str], Plan]) -> None:
        self._store = store
        self._prepared = prepared
        self._plans = plans
        prepared.mkdir(mode=0o711, exist_ok=True)
        wanted = {plan.digest() for plan in plans.values()}
        for found in prepared.iterdir():
            if found.name not in wanted:
                shutil.rmtree(found, ignore_errors=True)

    def __call__(self, claim: Obj) -> Callable[[Path], None]:
        """Return what fills the volume of `claim`; an ordinary volume begins empty."""
        labels = labels_of(claim)
        release = labels.get(CLUSTER) or labels.get(INSTANCE, "")
        plan = self._plans.get((namespace_of(claim), release))
        if plan is not None:
            return partial(_copy, self._prepared / plan.digest(), plan)
        if CLUSTER in labels:
            return partial(build, plan_of(self._store, namespace_of(claim), release))
        return _leave_empty


def plan_of(store: Store, namespace: str, name: str) -> Plan:
    """Return the plan that follows from a CloudNativePG ``Cluster`` and its secrets."""
    cluster = store.get(CLUSTERS, namespace, name)
    initdb = (cluster["spec"].get("bootstrap") or {}).get("initdb") or {}
    app = _secret(store, namespace, f"{name}-app")
    superuser = (cluster["spec"].get("superuserSecret") or {}).get("name", f"{name}-superuser")
    owner = initdb.get("owner", "app")
    login = _secret(store, namespace, (initdb.get("secret") or {}).get("name", f"{name}-app"))
    return Plan(
        superuser_password=_secret(store, namespace, superuser)["password"],
        database=initdb.get("database", "app"),
        owner=owner,
        owner_password=login["password"],
        app_password=None if owner == "app" else app["password"],
    )


def build(plan: Plan, volume: Path) -> None:
    """Make the directory ``pgdata`` in `volume`, as `plan` says."""
    data = volume / "pgdata"
    quoted = postgres.literal
    postgres.initialise(data, plan.superuser_password)
    roles = [f'CREATE ROLE "{plan.owner}" LOGIN PASSWORD {quoted(plan.owner_password)}']
    databases = [f'CREATE DATABASE "{plan.database}" OWNER "{plan.owner}" STRATEGY file_copy']
    if plan.app_password is not None:
        roles.append(f"CREATE ROLE app LOGIN PASSWORD {quoted(plan.app_password)}")
        databases.append("CREATE DATABASE app OWNER app STRATEGY file_copy")
    roles += [
        f'CREATE ROLE "{guest.name}" LOGIN PASSWORD {quoted(guest.password)} CONNECTION LIMIT 20'
        for guest in plan.guests
    ]
    roles += [f'ALTER ROLE "{guest.name}" SET default_transaction_read_only = on' for guest in plan.guests]
    postgres.execute(data, "postgres", roles + databases)
    content = [f'SET ROLE "{plan.owner}"'] if plan.survey or plan.guests else []
    with tempfile.TemporaryDirectory(dir=volume) as scratch:
        if plan.survey:
            # COPY FROM is the superuser's; the tables are the owner's.
            tables = dataset.statements(Path(scratch))
            dataset.write(Path(scratch))
            postgres.give(Path(scratch))
            for statement in tables:
                loads = statement.startswith("COPY ")
                content += ["RESET ROLE", statement, content[0]] if loads else [statement]
        for guest in plan.guests:
            content += [
                f'GRANT CONNECT ON DATABASE "{plan.database}" TO "{guest.name}"',
                f'GRANT USAGE ON SCHEMA public TO "{guest.name}"',
                f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{guest.name}"',
                f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO "{guest.name}"',
            ]
        if content:
            postgres.execute(data, plan.database, [*content, "RESET ROLE", "VACUUM (FREEZE, ANALYZE)"])


def _leave_empty(volume: Path) -> None:
    del volume


def _copy(kept: Path, plan: Plan, volume: Path) -> None:
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            # The one that loses a race finds the directory there, and throws its own away.
            made = Path(scratch) / "made"
            made.mkdir()
            made.parent.chmod(0o711)
            build(plan, made)
            if not kept.exists():
                made.rename(kept)
    shutil.copytree(kept / "pgdata", volume / "pgdata", symlinks=True)
    (volume / "pgdata").chmod(0o700)
    postgres.give(volume / "pgdata")


def _secret(store: Store, namespace: str, name: str) -> dict[str, str]:
    found = find(store, SECRETS, namespace, name)
    if found is None:
        raise postgres.PostgresFailed(f"the secret {namespace}/{name} is missing")
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
