"""What sharing would do, before anything is done: the shares, the objects, the SQL, and what is to be known.

A plan is a value. `--dry-run` shows it, with passwords masked, and `apply` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from sspcloud_magics.cluster.api.api_errors import relaunch_link, report_malformed
from sspcloud_magics.cluster.api.resources import NETWORK_POLICIES, ROLE_BINDINGS, ROLES, SECRETS, Attempt
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads, permissions
from sspcloud_magics.cluster.workloads import inventory
from sspcloud_magics.cluster.workloads.inventory import TargetPort
from sspcloud_magics.databases.discovery import CNPG, Database
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import Forbidden, UsageProblem
from sspcloud_magics.secret import HIDDEN, Secret
from sspcloud_magics.share_keys import role_name
from sspcloud_magics.sharing import advisories, manifests, rendering, revoke, role_sql
from sspcloud_magics.sharing.colleagues import DEFAULT_PREFIX, Colleague, learn_prefix, parse_colleague
from sspcloud_magics.sharing.excess_privileges import ExcessPrivileges, find_excess
from sspcloud_magics.sharing.handover import Handover, hand_over, list_owned, make_archive
from sspcloud_magics.sharing.inventory import EndedShare, Inventory
from sspcloud_magics.sharing.manifests import Manifest, PlannedShare
from sspcloud_magics.sharing.role_sql import Privileges, Statements
from sspcloud_magics.spelling import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRequest:
    """What the owner asks for.

    Parameters
    ----------
    colleagues
        As they were typed.
    read_write
        Whether they may change rows, and create in a schema of their own.
    create
        Whether they may also create in the shared schemas.
    schemas
        The schemas to open; all that hold users' objects where empty.
    duration
        For how long.
    network
        Whether to let the colleagues' namespaces reach the port directly.
    forward
        Whether to let them forward to the pod.
    for_kubectl
        Whether to grant what ``kubectl port-forward`` needs.
    reason
        Why, for whoever looks at it later.
    prefix
        What the server puts before the names of users; learnt from the namespace where None.
    """

    colleagues: tuple[str, ...]
    read_write: bool
    create: bool
    schemas: tuple[str, ...]
    duration: timedelta
    network: bool
    forward: bool
    for_kubectl: bool
    reason: str
    prefix: str | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SharePlan(rendering.Shown):
    """What is going to be removed and made.

    Parameters
    ----------
    database
        Which database.
    shares
        One for each colleague.
    schemas
        All schemas of the database: rights in those that are not shared are taken back.
    network
        Whether a NetworkPolicy is made too.
    notes
        What the owner ought to know, one sentence each, the most important first.
    ended
        The shares that have ended, of which what is left is removed first.
    creators
        The roles that may create in the shared schemas once the plan is carried out.
    idle_timeout
        Whether the server can end idle sessions.
    excess, archive, colleagues
        Filled in by `add_preview`: what colleagues hold beyond their shares, which is taken back first; what makes the role
        that keeps the colleagues' own schemas, where a superuser owns the database and it is not there; and who else shares
        the database, as `role_sql.COLLEAGUES` answers.
    """

    database: Database
    shares: tuple[PlannedShare, ...]
    schemas: tuple[str, ...]
    network: bool
    notes: tuple[str, ...]
    ended: tuple[EndedShare, ...]
    creators: frozenset[str]
    idle_timeout: bool
    excess: ExcessPrivileges = field(default_factory=ExcessPrivileges)
    archive: tuple[sql.Composed, ...] = ()
    colleagues: tuple[tuple[str, bool], ...] = ()

    def yaml(self) -> str:
        """Return the objects that would be made, as YAML; what a Secret holds is masked.

        What would be removed is said in comments.
        """
        removed = [f"# Removed first, as it has ended: all of {each.share.name}.\n" for each in self.ended]
        removed += [
            f"# Removed, where there is one: NetworkPolicy {share.name}.\n"
            for share in self.shares
            if share.exists and not self.network
        ]
        shown: list[Manifest] = []
        for share in self.shares:
            masked = self.manifests(share, Secret(""), "…", "…")
            shown += [manifests.job(share), *map(manifests.mask_manifest, masked)]
        return "".join(removed) + rendering.as_yaml(shown)

    def sql(self) -> str:
        """Return the statements that would run, in their order; passwords are masked."""
        parts = [
            f"-- What is left of the share with {each.share.colleague}\n{each.sql}"
            for each in self.ended
            if each.sql
        ]
        if self.excess.statements:
            parts.append(
                f"-- What colleagues hold beyond their shares\n{role_sql.as_text(self.excess.statements)}"
            )
        if self.archive:
            parts.append(f"-- The role that keeps what no owner inherits\n{role_sql.as_text(self.archive)}")
        colleagues = dict(self.colleagues)
        for share in self.shares:
            statements = self.statements(share, HIDDEN, colleagues.items())
            colleagues[share.role] = share.privileges.read_write
            before = share.handover.steps[:-1] if share.handover else ()
            texts = [*map(role_sql.as_text, before), role_sql.as_text(statements)]
            parts.append("\n".join([f"-- The share with {share.colleague.name}", *texts]))
        return "\n".join(parts)

    def manifests(
        self, share: PlannedShare, password: Secret, ca: str | None, job_uid: str | None
    ) -> list[Manifest]:
        """Return the objects of one share; its Job owns them, where there is one."""
        made = [
            manifests.secret(share, password, ca, job_uid),
            manifests.role(share, job_uid),
            manifests.role_binding(share, job_uid),
        ]
        return [*made, manifests.network_policy(share, job_uid)] if self.network else made

    def statements(
        self, share: PlannedShare, verifier: str, colleagues: Iterable[tuple[str, bool]]
    ) -> Statements:
        """Return the SQL of one share; of a handover, the last step is a part of it.

        Parameters
        ----------
        share
            Which, as it stands on the server.
        verifier
            The SCRAM verifier of the password.
        colleagues
            Who else shares the database, as `role_sql.COLLEAGUES` answers.
        """
        privileges = share.privileges
        made = role_sql.login(
            share.role,
            verifier,
            share.until,
            exists=share.exists,
            read_write=privileges.read_write,
            idle_timeout=self.idle_timeout,
        )
        if share.handover is not None:
            made += share.handover.steps[-1]
        elif share.exists:
            # A writer owns what is in their own schema, and keeps all rights on it.
            own = () if privileges.read_write or not share.own_schema else (share.role,)
            made += role_sql.revoke_before_grant(privileges, (*self.schemas, *own))
        made += role_sql.grant(privileges, own_schema=share.own_schema)
        return made + role_sql.between_colleagues(colleagues, privileges)

    @property
    def _answer(self) -> rendering.Answer:
        return rendering.Answer(
            granted=self.granted, line=self.line, notes=self.notes, objects=self.yaml(), statements=self.sql()
        )


def make_plan(
    cluster: Cluster, connection: DatabaseConnection, request: ShareRequest, inventory: Inventory
) -> SharePlan:
    """Return what the request comes to, for this database once what has ended is removed.

    Raises
    ------
    UsageProblem
        If a colleague or a schema cannot be what was typed, or a role of such a name is somebody else's.
    """
    database, ended = inventory.database, inventory.ended
    prefix = request.prefix
    notes: list[str] = []
    if prefix is None:
        prefix = _learn_prefix(cluster, database.namespace)
        if prefix is None:
            prefix = DEFAULT_PREFIX
            notes.append(f"How the server names users could not be learnt here; {prefix!r} is assumed.")
    colleagues = _colleagues(request.colleagues, prefix, database.namespace)
    notes.append(advisories.warn_spelling(colleagues))
    session = connection.psycopg
    heir = role_sql.heir_of_database(session)
    roles = [role_name(colleague.name) for colleague in colleagues]
    _refuse_strangers(session, roles)
    gone = {each.share.role for each in ended}
    own_schemas = _own_schemas(session, {*roles, *gone}, gone & {role.name for role in inventory.roles}, heir)
    found = {name for (name,) in session.execute(role_sql.SCHEMAS).fetchall()}
    # The schema of a role that goes is one of the heir's then.
    left = {name for name, owner in own_schemas.items() if name in gone and owner != role_sql.ARCHIVE}
    every = tuple(sorted(found | left))
    schemas = _schemas(request.schemas, every)
    owners = session.execute(role_sql.OWNERS, {"schemas": list(every)}).fetchall()
    labels, pods, ports = _pods(cluster, database)
    until = datetime.now(UTC).replace(microsecond=0) + request.duration
    existing = _list_existing(session, roles) - gone
    handovers = {} if request.read_write else _handovers(session, existing, heir)
    shares = tuple(
        PlannedShare(
            database=database.name,
            namespace=database.namespace,
            colleague=colleague,
            service=database.service,
            port=database.port,
            pods=pods,
            privileges=Privileges(
                role=role,
                dbname=connection.dbname,
                schemas=schemas,
                owners=tuple(name for (name,) in owners if name not in gone),
                keeper=heir or role_sql.ARCHIVE,
                read_write=request.read_write,
                create=request.create,
            ),
            duration=request.duration,
            until=until,
            reason=request.reason,
            for_kubectl=request.for_kubectl,
            forward=request.forward,
            selector=_selector(labels, database),
            exists=role in existing,
            own_schema=role in own_schemas,
            handover=handovers.get(role),
        )
        for colleague, role in zip(colleagues, roles, strict=True)
    )
    again = [share.colleague.name for share in shares if share.exists]
    notes += [
        f"{rendering.join_names(again)} had a share of it: it is changed to this, with the same password."
    ] * bool(again)
    notes += [advisories.describe_handover(role, given) for role, given in handovers.items()]
    notes += advisories.warn_ending(session)
    if request.read_write:
        notes += advisories.warn_writing(roles, schemas, create=request.create)
    if request.forward:
        notes += advisories.ports(cluster, database, labels, ports)
    notes += [] if request.schemas else advisories.schemas(every, schemas)
    notes += advisories.public(session, schemas, gone, read_write=request.read_write)
    admitted = [one.namespace for one in colleagues] if request.network else []
    notes += advisories.network(cluster, database, labels, admitted, [each.share.name for each in ended])
    if request.for_kubectl:
        notes.append(
            f"For kubectl, every pod of {database.namespace} may be listed by name, with its labels and "
            "environment variables: the rights of kubectl cannot be made narrower."
        )
    return SharePlan(
        database=database,
        shares=shares,
        schemas=every,
        network=request.network,
        notes=tuple(notes),
        ended=tuple(ended),
        creators=inventory.creators - set(roles) | (set(roles) if request.create else set()),
        idle_timeout=session.pgconn.server_version >= role_sql.IDLE_TIMEOUT_SINCE,
    )


def add_preview(plan: SharePlan, connection: DatabaseConnection, opener: revoke.Opener) -> SharePlan:
    """Return a plan with what only its preview needs; carrying it out asks the server again, at that moment."""
    session, share = connection.psycopg, plan.shares[0].privileges
    gone = {each.share.role for each in plan.ended}
    handed_over = {share.role for share in plan.shares if share.handover}
    makes_archive = share.read_write and share.keeper == role_sql.ARCHIVE
    return replace(
        plan,
        ended=tuple(
            replace(each, sql=revoke.removal_sql(connection, each.share.role, opener)) for each in plan.ended
        ),
        # What is handed over leaves nothing to be narrowed.
        excess=find_excess(session, {*plan.creators, *gone, *handed_over}),
        archive=tuple(make_archive(session)) if makes_archive else (),
        colleagues=tuple(
            row for row in session.execute(role_sql.COLLEAGUES).fetchall() if row[0] not in gone
        ),
    )


def require_rights(cluster: Cluster, namespace: str, *, network: bool) -> None:
    """Raise before anything is made, where a right to make it is missing.

    Raises
    ------
    Forbidden
        Names what is missing, and the link that relaunches a notebook service with it.
    """
    needed = [ROLES, ROLE_BINDINGS, SECRETS, *([NETWORK_POLICIES] if network else [])]
    missing = [each for each in needed if not permissions.may(cluster, "create", each, namespace)]
    if not missing:
        return
    names = " and ".join(each.plural for each in missing)
    raise Forbidden(
        f"Sharing needs the right to create {names} in {namespace}, and you do not have it.",
        hint=f"relaunch the service with a role that allows it: {relaunch_link(Attempt('create', missing[0], namespace))}"
        if cluster.in_service
        else f"ask whoever runs the cluster, or whoever owns {namespace}, for that right",
    )


def _colleagues(typed: Sequence[str], prefix: str, namespace: str) -> tuple[Colleague, ...]:
    found: dict[str, Colleague] = {}
    for text in (name for words in typed for name in words.split(",") if name.strip()):
        colleague = parse_colleague(text, prefix=prefix, owner=namespace)
        found[colleague.name] = colleague
    if not found:
        raise UsageProblem("Nobody was named to share with.", hint="--with bob carol")
    return tuple(found.values())


def _schemas(typed: Sequence[str], every: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in typed if name not in every]
    if unknown:
        near = nearest(unknown[0], every)
        raise UsageProblem(
            f"There is no schema {unknown[0]!r} in this database.",
            hint=f"did you mean {near}?" if near else f"there is: {', '.join(every)}",
        )
    return tuple(dict.fromkeys(typed)) or tuple(every)


def _own_schemas(
    session: psycopg.Connection[Any], roles: AbstractSet[str], gone: AbstractSet[str], heir: str | None
) -> dict[str, str]:
    """Return which roles have a schema of their own, and its owner, once the roles that go are gone."""
    found = dict(session.execute(role_sql.OWN_SCHEMAS, [list(roles)]).fetchall())
    for role in gone & found.keys():
        if hand_over(session, role, heir, leaves=True).drops_schema:
            del found[role]
        elif found[role] in gone:
            found[role] = heir or role_sql.ARCHIVE
    return found


def _handovers(
    session: psycopg.Connection[Any], roles: Iterable[str], heir: str | None
) -> dict[str, Handover]:
    """Return what becomes of what roles own that shall only read from now on."""
    owning = [role for role in sorted(roles) if list_owned(session, role)]
    return {role: hand_over(session, role, heir, leaves=False) for role in owning}


def _list_existing(session: psycopg.Connection[Any], roles: list[str]) -> frozenset[str]:
    found = session.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [roles]).fetchall()
    return frozenset(name for (name,) in found)


def _learn_prefix(cluster: Cluster, namespace: str) -> str | None:
    try:
        bindings = object_reads.list_objects(cluster, ROLE_BINDINGS, namespace)
    except Forbidden:
        return None
    with report_malformed(cluster):
        return learn_prefix(namespace, bindings)


def _pods(
    cluster: Cluster, database: Database
) -> tuple[dict[str, str], tuple[str, ...], tuple[TargetPort, ...]]:
    """Return the labels of the database's pod, the names that it has or may come to have, and its ports."""
    services = {service.name: service for service in inventory.services(cluster, database.namespace)}
    selector = dict(services[database.service].selector) if database.service in services else {}
    listed = inventory.pods(cluster, database.namespace)
    behind = [pod for pod in listed if selector and selector.items() <= pod.labels.items()]
    labels = dict(behind[0].labels) if behind else selector
    ports = behind[0].ports if behind else ()
    if CNPG in labels:
        return labels, manifests.future_pods(database.name), ports
    return labels, tuple(pod.name for pod in behind) or (f"{database.name}-0",), ports


def _selector(labels: dict[str, str], database: Database) -> dict[str, str]:
    if CNPG in labels:
        return {CNPG: labels[CNPG]}
    wanted = ("app.kubernetes.io/instance", "app.kubernetes.io/name")
    return {key: labels[key] for key in wanted if key in labels} or {"app": database.name}


def _refuse_strangers(session: psycopg.Connection[Any], roles: list[str]) -> None:
    """Refuse to take over a role of that name which no share has made: it may be somebody's."""
    found = session.execute(role_sql.STRANGERS, [roles, role_sql.COMMENT]).fetchall()
    if found:
        raise UsageProblem(
            f"The database has a role {found[0][0]} already, which no share has made.",
            why="A share would change its password, and drop it in the end.",
            hint=f"rename it (ALTER ROLE … RENAME TO …), or drop it, then share again\n"
            f"if it is of a share, say so: COMMENT ON ROLE {found[0][0]} IS '{role_sql.COMMENT}'",
        )
