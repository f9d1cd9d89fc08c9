"""The content of databases: data directories from plans.

The databases of the scenario are created once, without passwords, as templates that all sandboxes of a user share.
A start copies them and sets the passwords of its home, in a tenth of the time. Other databases are initialised from
their Secrets, as by their operator.
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
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

from sspcloud_magics.sandbox import postgres
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers.cnpg import CLUSTER
from sspcloud_magics.sandbox.objects import find, labels_of, namespace_of
from sspcloud_magics.sandbox.scenario import dataset
from sspcloud_magics.sandbox.store import Obj, Store

DATA_VERSION = 3
"""Increase it when the same plan creates different data: templates are then created again."""

# Seconds after which an unused template is deleted.
_UNUSED_SECONDS = 30 * 24 * 3600
# A lock per template, so that each is created once in this process.
_locks: dict[Path, Lock] = {}

INSTANCE = "app.kubernetes.io/instance"


@dataclass(frozen=True, slots=True)
class Guest:
    """A role that may read everything and write nothing."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class DatabasePlan:
    """The content of a data directory."""

    superuser_password: str  # of ``postgres``
    database: str  # the user's database
    owner: str
    owner_password: str
    # Of the role ``app``, which the CloudNativePG operator creates with a database ``app``; None for no such role.
    app_password: str | None = None
    survey: bool = False  # whether the database has the practice data
    guests: tuple[Guest, ...] = ()

    def digest(self) -> str:
        """Return a digest of this plan without its passwords."""
        guests = [guest.name for guest in self.guests]
        app = self.app_password is not None
        text = repr((_version(), self.database, self.owner, app, self.survey, guests))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class DatabaseVolumes:
    """The `Filler` of database volumes."""

    def __init__(self, store: Store, templates: Path, plans: Mapping[tuple[str, str], DatabasePlan]) -> None:
        self._store = store
        self._templates = templates
        self._plans = plans

    def __call__(self, claim: Obj) -> Callable[[Path], None]:
        """Return the function that fills the volume of `claim`; volumes without a database stay empty."""
        labels = labels_of(claim)
        release = labels.get(CLUSTER) or labels.get(INSTANCE, "")
        plan = self._plans.get((namespace_of(claim), release))
        if plan is not None:
            return partial(self._fill, plan, keep=True)
        if CLUSTER in labels:
            return partial(self._fill, plan_of(self._store, namespace_of(claim), release), keep=False)
        return _leave_empty

    def _fill(self, plan: DatabasePlan, volume: Path, *, keep: bool) -> None:
        """Create the data directory of `plan`; `keep`: from a template that is kept."""
        data = volume / "pgdata"
        if keep:
            _copy(_keep(self._templates / plan.digest(), partial(self._make, plan)), data)
        else:
            self._make(plan, data)
        postgres.execute(data, "postgres", _passwords(plan))

    def _make(self, plan: DatabasePlan, data: Path) -> None:
        make(_keep(self._templates / f"blank-{_version()}", postgres.initialise), plan, data)


def plan_of(store: Store, namespace: str, name: str) -> DatabasePlan:
    """Return the plan of a CloudNativePG ``Cluster``, from its spec and Secrets."""
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
    """Create the data directory `data` of `plan` without its passwords: no login works yet."""
    with tempfile.TemporaryDirectory(dir=data.parent) as scratch, ThreadPoolExecutor(1) as executor:
        survey = executor.submit(dataset.write, Path(scratch)) if plan.survey else None
        _copy(blank, data)
        postgres.execute(data, "postgres", _roles_and_databases(plan))
        content = _grants(plan)
        if survey:
            survey.result()
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
    """Return the statements that load the practice data: only the superuser may COPY FROM a file.

    A transaction that creates a table and fills it can write frozen rows, and no WAL.
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
    """Return `place`; if it is missing, create it atomically with `fill`, once in this process."""
    with _locks.setdefault(place, Lock()):
        if place.exists():
            os.utime(place)
            return place
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="making-") as scratch:
            Path(scratch).chmod(0o711)
            fill(Path(scratch) / "made")
            with contextlib.suppress(OSError):  # another process was faster
                (Path(scratch) / "made").rename(place)
        for old in place.parent.iterdir():
            # Scratch directories of other threads and processes can disappear at any time.
            with contextlib.suppress(FileNotFoundError):
                if old.stat().st_mtime < time.time() - _UNUSED_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
    return place


def _copy(source: Path, target: Path) -> None:
    """Copy a data directory with its owner; cp is faster than a thousand calls from Python."""
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
