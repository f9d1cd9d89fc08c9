"""What sharing would do, before anything is done: the shares, the objects, the SQL, and what is to be known.

A plan is a value. `--dry-run` shows it, with passwords masked, and `opening` carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import yaml

from sspcloud_magics.cluster import inventory, objects
from sspcloud_magics.cluster.identity import Cluster
from sspcloud_magics.cluster.resources import NETWORK_POLICIES, ROLE_BINDINGS
from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.errors import Forbidden, UsageProblem
from sspcloud_magics.secret import HIDDEN, Secret
from sspcloud_magics.sharing import grants, manifests, policies
from sspcloud_magics.sharing.colleagues import DEFAULT_PREFIX, Colleague, learn_prefix, parse_colleague
from sspcloud_magics.sharing.grants import Grant, Statements
from sspcloud_magics.sharing.manifests import Manifest, Share

WEEK = timedelta(days=7)
_CNPG = "cnpg.io/cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the owner asks for.

    Parameters
    ----------
    colleagues
        As they were typed.
    read_write
        Whether they may write.
    schemas
        The schemas to open; all that hold users' objects where empty.
    lasts
        For how long.
    network
        Whether to let the colleagues' namespaces reach the port directly, too.
    for_kubectl
        Whether to grant what ``kubectl port-forward`` needs.
    reason
        Why, for whoever looks at it later.
    prefix
        What the server puts before the names of users; learnt from the namespace where None.
    """

    colleagues: tuple[str, ...]
    read_write: bool = False
    schemas: tuple[str, ...] = ()
    lasts: timedelta = WEEK
    network: bool = False
    for_kubectl: bool = False
    reason: str = ""
    prefix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is going to be made.

    Parameters
    ----------
    database
        Which database.
    shares
        One for each colleague.
    grants
        The rights of each of them, in the same order.
    schemas
        All schemas of the database: rights in those that are not shared are taken back.
    network
        Whether a NetworkPolicy is made too.
    notes
        What the owner ought to know, one sentence each.
    """

    database: Database
    shares: tuple[Share, ...]
    grants: tuple[Grant, ...]
    schemas: tuple[str, ...]
    network: bool
    notes: tuple[str, ...]

    def manifests(self, share: Share, password: Secret, ca: str | None, job_uid: str) -> list[Manifest]:
        """Return the objects of one share that its Job owns."""
        made = [
            manifests.secret(share, password, ca, job_uid),
            manifests.role(share, job_uid),
            manifests.role_binding(share, job_uid),
        ]
        return [*made, manifests.network_policy(share, job_uid)] if self.network else made

    def statements(self, number: int, verifier: str, *, exists: bool, idle_timeout: bool) -> Statements:
        """Return the SQL of the share of that number."""
        share, grant = self.shares[number], self.grants[number]
        made = grants.login(
            share.role,
            verifier,
            share.until,
            exists=exists,
            read_write=share.read_write,
            idle_timeout=idle_timeout,
        )
        if exists:
            made += grants.revoke_before_grant(grant, self.schemas)
        return made + grants.grant(grant)

    def _yaml(self) -> str:
        shown: list[Manifest] = []
        for share in self.shares:
            masked = self.manifests(share, Secret(""), "…", "…")
            shown += [manifests.job(share), *map(manifests.masked, masked)]
        return yaml.safe_dump_all(shown, sort_keys=False, allow_unicode=True)

    def _sql(self) -> str:
        lines = [
            statement.as_string(None) + ";"
            for number in range(len(self.shares))
            for statement in self.statements(number, HIDDEN, exists=False, idle_timeout=True)
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        notes = "\n".join(f"- {note}" for note in self.notes)
        return f"# Nothing was done. This would be:\n\n{self._yaml()}\n-- SQL\n{self._sql()}\n\n{notes}"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return (
            "<div><strong>Nothing was done.</strong> This would be:"
            f"<details open><summary>Objects in the cluster</summary><pre>{escape(self._yaml())}</pre></details>"
            f"<details open><summary>SQL</summary><pre>{escape(self._sql())}</pre></details>"
            f"<ul>{notes}</ul></div>"
        )


def make_plan(cluster: Cluster, database: Database, connection: DatabaseConnection, wish: Wish) -> Plan:
    """Return what the wish comes to, for this database as it is now.

    Parameters
    ----------
    cluster
        Where, and as whom.
    database
        The owner's database.
    connection
        The superuser's connection to it.
    wish
        What the owner asks for.

    Raises
    ------
    UsageProblem
        If a colleague or a schema cannot be what was typed.
    """
    prefix = wish.prefix
    notes: list[str] = []
    if prefix is None:
        prefix = _learn_prefix(cluster, database.namespace)
        if prefix is None:
            prefix = DEFAULT_PREFIX
            notes.append(f"How the server names users could not be learnt here; {prefix!r} is assumed.")
    colleagues = _colleagues(wish.colleagues, prefix, database.namespace)
    session = connection.psycopg
    every = tuple(name for (name,) in session.execute(grants.SCHEMAS).fetchall())
    schemas = _schemas(wish.schemas, every)
    owners = tuple(
        name for (name,) in session.execute(grants.OWNERS, [list(schemas), list(schemas)]).fetchall()
    )
    labels, pods = _pods(cluster, database)
    until = datetime.now(UTC).replace(microsecond=0) + wish.lasts
    shares = tuple(
        Share(
            database=database.name,
            namespace=database.namespace,
            colleague=colleague,
            service=database.service,
            port=database.port,
            pods=pods,
            dbname=connection.dbname,
            schemas=schemas,
            lasts=wish.lasts,
            until=until,
            role=role_name(colleague),
            read_write=wish.read_write,
            reason=wish.reason,
            for_kubectl=wish.for_kubectl,
            selector=_selector(labels, database),
        )
        for colleague in colleagues
    )
    notes += _public(session.execute(grants.PUBLIC_RIGHTS).fetchone(), read_write=wish.read_write)
    notes += _network(cluster, database, labels)
    if wish.for_kubectl:
        notes.append(
            f"For kubectl, every pod of {database.namespace} may be listed by name, with its labels and "
            "environment variables: the rights of kubectl cannot be made narrower."
        )
    names = ", ".join(one.name for one in colleagues)
    notes.append(f"Nothing here tells whether an account exists: check the spelling of {names}.")
    return Plan(
        database=database,
        shares=shares,
        grants=tuple(
            Grant(
                role=share.role,
                dbname=share.dbname,
                schemas=schemas,
                owners=owners,
                read_write=share.read_write,
            )
            for share in shares
        ),
        schemas=every,
        network=wish.network,
        notes=tuple(notes),
    )


def role_name(colleague: Colleague) -> str:
    """Return the name of a colleague's Postgres role: ``share_bob``."""
    return f"share_{colleague.name}"


def _colleagues(typed: Sequence[str], prefix: str, namespace: str) -> tuple[Colleague, ...]:
    found: dict[str, Colleague] = {}
    for text in typed:
        colleague = parse_colleague(text, prefix=prefix, owner=namespace)
        found[colleague.name] = colleague
    if not found:
        raise UsageProblem("Nobody was named to share with.", mend="--with bob carol")
    return tuple(found.values())


def _schemas(typed: Sequence[str], every: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in typed if name not in every]
    if unknown:
        raise UsageProblem(
            f"There is no schema {unknown[0]!r} in this database.", mend=f"there is: {', '.join(every)}"
        )
    return tuple(dict.fromkeys(typed)) or tuple(every)


def _learn_prefix(cluster: Cluster, namespace: str) -> str | None:
    try:
        return learn_prefix(namespace, objects.list_objects(cluster, ROLE_BINDINGS, namespace))
    except Forbidden:
        return None


def _pods(cluster: Cluster, database: Database) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the labels of the database's pod, and the names that it has or may come to have."""
    services = {service.name: service for service in inventory.services(cluster, database.namespace)}
    selector = dict(services[database.service].selector) if database.service in services else {}
    listed = inventory.pods(cluster, database.namespace)
    behind = [pod for pod in listed if selector and selector.items() <= pod.labels.items()]
    labels = dict(behind[0].labels) if behind else selector
    if _CNPG in labels:
        return labels, manifests.future_pods(database.name)
    return labels, tuple(pod.name for pod in behind) or (f"{database.name}-0",)


def _selector(labels: dict[str, str], database: Database) -> dict[str, str]:
    if _CNPG in labels:
        return {_CNPG: labels[_CNPG]}
    wanted = ("app.kubernetes.io/instance", "app.kubernetes.io/name")
    return {key: labels[key] for key in wanted if key in labels} or {"app": database.name}


def _public(rights: Any, *, read_write: bool) -> list[str]:
    temporary, create = rights
    said = []
    if temporary and not read_write:
        said.append(
            "PUBLIC may make temporary tables here; the role's transactions are read-only by default."
        )
    if create and not read_write:
        said.append(
            "PUBLIC may create tables in the schema public, as before PostgreSQL 15, and that cannot be taken from "
            "one role alone: REVOKE CREATE ON SCHEMA public FROM PUBLIC takes it from everybody."
        )
    return said


def _network(cluster: Cluster, database: Database, labels: dict[str, str]) -> list[str]:
    try:
        found = objects.list_objects(cluster, NETWORK_POLICIES, database.namespace)
        pods = [pod.labels for pod in inventory.pods(cluster, database.namespace)]
    except Forbidden:
        return []
    about = [
        policy
        for policy in found
        if policies.selects(policy, labels) or policy["metadata"]["name"].startswith(database.name)
    ]
    return policies.observations(about, labels, pods)
