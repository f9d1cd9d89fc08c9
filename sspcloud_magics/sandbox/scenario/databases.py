"""What is in the databases: from a release's passwords to a data directory.

The databases of the world are prepared once, without any password, as templates that all sandboxes of a user share; a
start copies them and sets the passwords of its home, which takes a tenth of the time. Any other database that
somebody makes in the sandbox is initialised as its operator would do it, from its secrets.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

from sspcloud_magics.sandbox import postgres
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.cnpg import CLUSTER
from sspcloud_magics.sandbox.controllers.objects import find, labels_of, namespace_of
from sspcloud_magics.sandbox.scenario import dataset
from sspcloud_magics.sandbox.store import Obj, Store

DATA_VERSION = 3
"""Raised when the same plan is to make other data: templates are then made anew."""

_UNUSED_SECONDS = 30 * 24 * 3600
_making: dict[Path, Lock] = {}

INSTANCE = "app.kubernetes.io/instance"


@dataclass(frozen=True, slots=True)
class Guest:
    """A role that may read everything and write nothing."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"Guest({self.name!r})"


@dataclass(frozen=True, slots=True)
class DatabasePlan:
    """What a data directory is to hold."""

    superuser_password: str  # of ``postgres``
    database: str  # the database that is made for the user, who owns it
    owner: str
    owner_password: str
    # Of the role ``app`` with its own database ``app``, which the CloudNativePG operator makes; None for
    # none.
    app_password: str | None = None
    survey: bool = False  # whether the practice data is in it
    guests: tuple[Guest, ...] = ()  # roles that may read

    def __repr__(self) -> str:
        return f"Plan({self.database!r}, {self.owner!r})"

    def digest(self) -> str:
        """Return a name for what this plan makes, whatever the passwords."""
        guests = [guest.name for guest in self.guests]
        app = self.app_password is not None
        text = repr((_version(), self.database, self.owner, app, self.survey, guests))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class DatabaseVolumes:
    """Says what belongs into a claim's volume."""

    def __init__(self, store: Store, templates: Path, plans: Mapping[tuple[str, str], DatabasePlan]) -> None:
        self._store = store
        self._templates = templates
        self._plans = plans

    def __call__(self, claim: Obj) -> Callable[[Path], None]:
        """Return what fills the volume of `claim`; an ordinary volume begins empty."""
        labels = labels_of(claim)
        release = labels.get(CLUSTER) or labels.get(INSTANCE, "")
        plan = self._plans.get((namespace_of(claim), release))
        if plan is not None:
            return partial(self._fill, plan, keep=True)
        if CLUSTER in labels:
            return partial(self._fill, plan_of(self._store, namespace_of(claim), release), keep=False)
        return _leave_empty

    def _fill(self, plan: DatabasePlan, volume: Path, *, keep: bool) -> None:
        """Make the data directory of `plan`, from a template that is kept if it is one of the world."""
        data = volume / "pgdata"
        if keep:
            _copy(_keep(self._templates / plan.digest(), partial(self._make, plan)), data)
        else:
            self._make(plan, data)
        postgres.execute(data, "postgres", _passwords(plan))

    def _make(self, plan: DatabasePlan, data: Path) -> None:
        make(_keep(self._templates / f"blank-{_version()}", postgres.initialise), plan, data)


def plan_of(store: Store, namespace: str, name: str) -> DatabasePlan:
    """Return the plan that follows from a CloudNativePG ``Cluster`` and its secrets."""
    cluster = store.get(kinds.CLUSTERS, namespace, name)
    initdb = (cluster["spec"].get("bootstrap") or {}).get("initdb") or {}
    app = _secret(store, namespace, f"{name}-app")
    superuser = (cluster["spec"].get("superuserSecret") or {}).get("name", f"{name}-superuser")
    owner = initdb.get("owner", "app")
    login = _secret(store, namespace, (initdb.get("secret") or {}).get("name", f"{name}-app"))
    return DatabasePlan(
        superuser_password=_secret(store, namespace, superuser)["password"],
        database=initdb.get("database", "app"),
        owner=owner,
        owner_password=login["password"],
        app_password=None if owner == "app" else app["password"],
    )


def make(blank: Path, plan: DatabasePlan, data: Path) -> None:
    """Make the data directory `data` as `plan` says, without its passwords: no login works yet."""
    with tempfile.TemporaryDirectory(dir=data.parent) as scratch, ThreadPoolExecutor(1) as beside:
        invented = beside.submit(dataset.write, Path(scratch)) if plan.survey else None
        _copy(blank, data)
        postgres.execute(data, "postgres", _roles_and_databases(plan))
        content = _grants(plan)
        if invented:
            invented.result()
            postgres.give(Path(scratch))
            content = _survey(plan, Path(scratch)) + content
        if content:
            postgres.execute(data, plan.database, content)


def _roles_and_databases(plan: DatabasePlan) -> list[str]:
    found = [
        f'CREATE ROLE "{plan.owner}" LOGIN',
        f'CREATE DATABASE "{plan.database}" OWNER "{plan.owner}" STRATEGY file_copy',
    ]
    if plan.app_password is not None:
        found += ["CREATE ROLE app LOGIN", "CREATE DATABASE app OWNER app STRATEGY file_copy"]
    for guest in plan.guests:
        found += [
            f'CREATE ROLE "{guest.name}" LOGIN CONNECTION LIMIT 10',
            f"COMMENT ON ROLE \"{guest.name}\" IS 'made by sspcloud-magics for a share'",
            f'ALTER ROLE "{guest.name}" SET default_transaction_read_only = on',
            f"ALTER ROLE \"{guest.name}\" SET idle_session_timeout = '1h'",
        ]
    return found


def _passwords(plan: DatabasePlan) -> list[str]:
    known = {"postgres": plan.superuser_password, plan.owner: plan.owner_password}
    if plan.app_password is not None:
        known["app"] = plan.app_password
    known |= {guest.name: guest.password for guest in plan.guests}
    return [f'ALTER ROLE "{role}" PASSWORD {postgres.literal(word)}' for role, word in known.items()]


def _survey(plan: DatabasePlan, files: Path) -> list[str]:
    """Return what loads the practice data: COPY FROM a file is the superuser's, the tables are the owner's.

    One transaction that makes a table and fills it may write frozen rows, and no log.
    """
    found = ["BEGIN"]
    for statement in dataset.statements(files):
        role = "RESET ROLE" if statement.startswith("COPY ") else f'SET ROLE "{plan.owner}"'
        found += [role, statement]
    return [*found, "RESET ROLE", "COMMIT", "ANALYZE"]


def _grants(plan: DatabasePlan) -> list[str]:
    found = []
    for guest in plan.guests:
        role, future = f'"{guest.name}"', f'ALTER DEFAULT PRIVILEGES FOR ROLE "{plan.owner}" IN SCHEMA public'
        found += [
            f'GRANT CONNECT ON DATABASE "{plan.database}" TO {role}',
            f"GRANT USAGE ON SCHEMA public TO {role}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
            f"{future} GRANT SELECT ON TABLES TO {role}",
            f"{future} GRANT SELECT ON SEQUENCES TO {role}",
        ]
    return found


def _keep(place: Path, fill: Callable[[Path], None]) -> Path:
    """Return `place`, made by `fill` where it is missing: whole or not at all, and once in this process."""
    with _making.setdefault(place, Lock()):
        if place.exists():
            os.utime(place)
            return place
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="making-") as scratch:
            Path(scratch).chmod(0o711)
            fill(Path(scratch) / "made")
            with contextlib.suppress(OSError):  # another process was faster
                (Path(scratch) / "made").rename(place)
        for old in place.parent.iterdir():
            # Another thread's or process's scratch directory may go at any moment.
            with contextlib.suppress(FileNotFoundError):
                if old.stat().st_mtime < time.time() - _UNUSED_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
    return place


def _copy(source: Path, target: Path) -> None:
    """Copy a data directory with its owner; cp does in a moment what a thousand calls from here would."""
    subprocess.run(["cp", "-Rp", str(source), str(target)], check=True, stdin=subprocess.DEVNULL)  # noqa: S607


def _version() -> str:
    facts = (DATA_VERSION, postgres.MAJOR_VERSION, postgres.SETTINGS, postgres.HOST_BASED_AUTHENTICATION)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _leave_empty(volume: Path) -> None:
    del volume


def _secret(store: Store, namespace: str, name: str) -> dict[str, str]:
    found = find(store, kinds.SECRETS, namespace, name)
    if found is None:
        raise postgres.PostgresFailed(f"the secret {namespace}/{name} is missing")
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
