"""Share plans: the shares, objects, SQL and advisories that a request leads to, before anything is done.

A plan is a value. ``--dry-run`` shows it, with passwords masked, and `apply` executes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from sspcloud_magics import platforms
from sspcloud_magics.cluster.api.api_errors import relaunch_link, report_malformed
from sspcloud_magics.cluster.api.resources import NETWORK_POLICIES, ROLE_BINDINGS, ROLES, SECRETS, Attempt
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads, permissions
from sspcloud_magics.cluster.workloads import inventory
from sspcloud_magics.cluster.workloads.inventory import TargetPort
from sspcloud_magics.databases.discovery import CNPG, Database
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import Forbidden, UsageProblem
from sspcloud_magics.i18n import _, format_list
from sspcloud_magics.secret import HIDDEN, Secret
from sspcloud_magics.share_keys import role_name
from sspcloud_magics.sharing import advisories, manifests, rendering, revoke, role_sql
from sspcloud_magics.sharing.colleagues import Colleague, learn_prefix, parse_colleague
from sspcloud_magics.sharing.excess_privileges import ExcessPrivileges, find_excess
from sspcloud_magics.sharing.handover import Handover, hand_over, list_owned, make_archive
from sspcloud_magics.sharing.inventory import EndedShare, Inventory
from sspcloud_magics.sharing.manifests import Manifest, PlannedShare
from sspcloud_magics.sharing.role_sql import Privileges, Statements
from sspcloud_magics.spelling import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRequest:
    """A share request as the owner typed it."""

    colleagues: tuple[str, ...]  # the colleagues' names, as typed
    read_write: bool  # whether they may change rows, and create in a schema of their own
    create: bool  # whether they may also create in the shared schemas
    schemas: tuple[str, ...]  # the schemas to share; all of the users' schemas if empty
    duration: timedelta  # the duration of the share
    network: bool  # whether to let the colleagues' namespaces reach the port directly
    forward: bool  # whether to let them forward to the pod
    for_kubectl: bool  # whether to grant what ``kubectl port-forward`` needs
    reason: str  # a reason, for later readers
    prefix: str | None  # the server's prefix of user names; read from the namespace if None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ClusterPlan(rendering.ShareDisplay, ABC):
    """The cluster's half of a plan, which is the same for each kind of database."""

    database: Database
    shares: tuple[PlannedShare, ...]  # one share for each colleague
    # All schemas of the database, or all databases of a server of MariaDB: privileges in those that are not
    # shared are revoked.
    schemas: tuple[str, ...]
    network: bool  # whether to create a NetworkPolicy
    notes: tuple[str, ...]  # advisories, one sentence each, the most important first
    ended: tuple[EndedShare, ...]  # the ended shares whose remains are removed first

    @abstractmethod
    def sql(self) -> str:
        """Format the statements to run, in order, with passwords masked."""

    def yaml(self) -> str:
        """Format the objects to create as YAML, with Secrets masked; comments name the objects to remove."""
        removed = [
            _("# Removed first, because it has ended: {name}.", name=each.share.name) for each in self.ended
        ]
        removed += [
            _("# Removed if it exists: NetworkPolicy {name}.", name=share.name)
            for share in self.shares
            if share.exists and not self.network
        ]
        shown: list[Manifest] = []
        for share in self.shares:
            masked = self.manifests(share, Secret(""), "…", "…")
            shown += [manifests.job(share), *map(manifests.mask_manifest, masked)]
        return "".join(f"{line}\n" for line in removed) + rendering.as_yaml(shown)

    def manifests(
        self, share: PlannedShare, password: Secret, ca: str | None, job_uid: str | None
    ) -> list[Manifest]:
        """Build the objects of one share; its Job owns them, if it has one."""
        made = [
            manifests.secret(share, password, ca, job_uid),
            manifests.role(share, job_uid),
            manifests.role_binding(share, job_uid),
        ]
        return [*made, manifests.network_policy(share, job_uid)] if self.network else made

    @property
    def _answer(self) -> rendering.Answer:
        return rendering.Answer(
            granted=self.granted,
            line=self.line,
            notes=self.notes,
            objects=self.yaml(),
            statements=self.sql(),
            is_mariadb=self.database.kind == "mariadb",
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SharePlan(ClusterPlan):
    """The objects and SQL to remove and to create.

    Parameters
    ----------
    creators
        The roles that may create in the shared schemas after the plan is applied.
    idle_timeout
        Whether the server has ``idle_session_timeout``.
    excess, archive, colleagues
        Filled in by `add_preview`: the excess privileges to revoke first; the statements that create the archive, if a
        superuser owns the database and the archive does not exist; and the rows of `role_sql.COLLEAGUES`.
    """

    creators: frozenset[str]
    idle_timeout: bool
    excess: ExcessPrivileges = field(default_factory=ExcessPrivileges)
    archive: tuple[sql.Composed, ...] = ()
    colleagues: tuple[tuple[str, bool], ...] = ()

    def sql(self) -> str:
        """Format the statements to run, in order, with passwords masked."""
        parts = [
            _("-- The remains of the share with {colleague}", colleague=each.share.colleague)
            + f"\n{each.sql}"
            for each in self.ended
            if each.sql
        ]
        if self.excess.statements:
            parts += [
                _("-- Excess privileges of colleagues"),
                role_sql.format_statements(self.excess.statements),
            ]
        if self.archive:
            parts += [
                _("-- The archive, which keeps what no owner inherits"),
                role_sql.format_statements(self.archive),
            ]
        colleagues = dict(self.colleagues)
        for share in self.shares:
            statements = self.statements(share, HIDDEN, colleagues.items())
            colleagues[share.role] = share.privileges.read_write
            before = share.handover.steps[:-1] if share.handover else ()
            texts = [*map(role_sql.format_statements, before), role_sql.format_statements(statements)]
            parts.append("\n".join([_("-- The share with {name}", name=share.colleague.name), *texts]))
        return "\n".join(parts)

    def statements(
        self, share: PlannedShare, verifier: str, colleagues: Iterable[tuple[str, bool]]
    ) -> Statements:
        """Build the SQL of one share; it includes the last step of a handover.

        Parameters
        ----------
        share
            The share, with the current state of its role.
        verifier
            The SCRAM verifier of the password.
        colleagues
            The rows of `role_sql.COLLEAGUES`.
        """
        privileges = share.privileges
        made = role_sql.create_role(
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
            # A writer owns the objects in their own schema, and keeps all privileges on them.
            own = () if privileges.read_write or not share.own_schema else (share.role,)
            made += role_sql.revoke_before_grant(privileges, (*self.schemas, *own))
        made += role_sql.grant(privileges, own_schema=share.own_schema)
        return made + role_sql.grant_between_colleagues(colleagues, privileges)


def make_plan(
    cluster: Cluster, connection: DatabaseConnection, request: ShareRequest, inventory: Inventory
) -> SharePlan:
    """Plan a request, for this database as it is once the ended shares are removed.

    Raises
    ------
    UsageProblem
        If a colleague's name or a schema is invalid, or a role of that name exists that no share created.
    """
    database, ended = inventory.database, inventory.ended
    colleagues, notes = find_colleagues(cluster, request.colleagues, request.prefix, database.namespace)
    notes.append(advisories.warn_spelling(colleagues))
    session = connection.psycopg
    heir = role_sql.find_heir(session)
    roles = [role_name(colleague.name) for colleague in colleagues]
    _refuse_unmarked_roles(session, roles)
    gone = {each.share.role for each in ended}
    own_schemas = _find_own_schemas(
        session, {*roles, *gone}, gone & {role.name for role in inventory.roles}, heir
    )
    found = {name for (name,) in session.execute(role_sql.SCHEMAS).fetchall()}
    # When a role is dropped, its schema becomes one of the heir's.
    left = {name for name, owner in own_schemas.items() if name in gone and owner != role_sql.ARCHIVE}
    every = tuple(sorted(found | left))
    schemas = _choose_schemas(request.schemas, every)
    owners = session.execute(role_sql.OWNERS, {"schemas": list(every)}).fetchall()
    existing = _list_existing(session, roles) - gone
    handovers = {} if request.read_write else _plan_handovers(session, existing, heir)
    privileges = Privileges(
        role="",
        dbname=connection.dbname,
        schemas=schemas,
        owners=tuple(name for (name,) in owners if name not in gone),
        schema_owner=heir or role_sql.ARCHIVE,
        read_write=request.read_write,
        create=request.create,
    )
    planned, more = plan_shares(
        cluster, request, inventory, colleagues, existing=existing, privileges=privileges
    )
    shares = tuple(
        replace(share, own_schema=share.role in own_schemas, handover=handovers.get(share.role))
        for share in planned
    )
    notes += more
    notes += [advisories.describe_handover(role, given) for role, given in handovers.items()]
    notes += advisories.warn_ending(session)
    if request.read_write:
        notes += advisories.warn_writing(roles, schemas, create=request.create)
    notes += [] if request.schemas else advisories.warn_later_schemas(every, schemas)
    notes += advisories.warn_public(session, schemas, gone, read_write=request.read_write)
    if request.for_kubectl:
        notes.append(
            rendering.Risk(
                _(
                    "For kubectl, they may list every pod of {namespace}, with labels and environment variables: "
                    "kubectl does not work with narrower permissions.",
                    namespace=database.namespace,
                )
            )
        )
    return SharePlan(
        database=database,
        shares=shares,
        schemas=every,
        network=request.network,
        notes=rendering.sort_notes(notes),
        ended=tuple(ended),
        creators=inventory.creators - set(roles) | (set(roles) if request.create else set()),
        idle_timeout=session.pgconn.server_version >= role_sql.IDLE_TIMEOUT_SINCE,
    )


def plan_shares(
    cluster: Cluster,
    request: ShareRequest,
    inventory: Inventory,
    colleagues: Sequence[Colleague],
    *,
    existing: AbstractSet[str],
    privileges: Privileges,
) -> tuple[tuple[PlannedShare, ...], list[str]]:
    """Plan one share for each colleague, with notes on the cluster's half.

    Parameters
    ----------
    cluster, request, inventory, colleagues
        The cluster, and who receives which share of which database.
    existing
        The logins that exist already, and are altered.
    privileges
        The privileges that all of them receive.
    """
    database = inventory.database
    labels, pods, ports = find_pods(cluster, database)
    until = datetime.now(UTC).replace(microsecond=0) + request.duration
    shares = tuple(
        PlannedShare(
            database=database.name,
            namespace=database.namespace,
            colleague=colleague,
            service=database.service,
            port=database.port,
            pods=pods,
            privileges=replace(privileges, role=role),
            duration=request.duration,
            until=until,
            reason=request.reason,
            for_kubectl=request.for_kubectl,
            forward=request.forward,
            selector=select_labels(labels, database),
            exists=role in existing,
            kind=database.kind,
        )
        for colleague in colleagues
        for role in [role_name(colleague.name)]
    )
    again = [share.colleague.name for share in shares if share.exists]
    notes = [advisories.describe_renewal(again, len(shares))] * bool(again)
    if request.forward:
        notes += advisories.warn_ports(cluster, database, labels, ports)
    admitted = [one.namespace for one in colleagues] if request.network else []
    gone = [each.share.name for each in inventory.ended]
    return shares, notes + advisories.describe_network(cluster, database, labels, admitted, gone)


def add_preview(plan: SharePlan, connection: DatabaseConnection, opener: revoke.Opener) -> SharePlan:
    """Fill in the parts of a plan that only its preview needs; `apply` reads them again from the server."""
    session, share = connection.psycopg, plan.shares[0].privileges
    gone = {each.share.role for each in plan.ended}
    handed_over = {share.role for share in plan.shares if share.handover}
    makes_archive = share.read_write and share.schema_owner == role_sql.ARCHIVE
    return replace(
        plan,
        ended=tuple(
            replace(each, sql=revoke.removal_sql(connection, each.share.role, opener)) for each in plan.ended
        ),
        # A role that is handed over has no privileges left to revoke.
        excess=find_excess(session, {*plan.creators, *gone, *handed_over}),
        archive=tuple(make_archive(session)) if makes_archive else (),
        colleagues=tuple(
            row for row in session.execute(role_sql.COLLEAGUES).fetchall() if row[0] not in gone
        ),
    )


def require_rights(cluster: Cluster, namespace: str, *, network: bool) -> None:
    """Check for the permissions to create the share's objects.

    Raises
    ------
    Forbidden
        If one is missing: names it, and the link that relaunches a notebook service with it.
    """
    needed = [ROLES, ROLE_BINDINGS, SECRETS, *([NETWORK_POLICIES] if network else [])]
    missing = [each for each in needed if not permissions.may(cluster, "create", each, namespace)]
    if not missing:
        return
    names = format_list([each.plural for each in missing])
    raise Forbidden(
        _("You may not create {names} in {namespace}.", names=names, namespace=namespace),
        why=_("Sharing needs that permission."),
        hint=_(
            "relaunch the service with a role that allows it: {relaunch_link}",
            relaunch_link=relaunch_link(Attempt("create", missing[0], namespace)),
        )
        if cluster.in_service
        else _(
            "ask the cluster's administrator or the owner of {namespace} for that permission",
            namespace=namespace,
        ),
    )


def find_colleagues(
    cluster: Cluster, names: Sequence[str], prefix: str | None, namespace: str
) -> tuple[tuple[Colleague, ...], list[str]]:
    """Return the colleagues of these names, and notes for the owner; without a prefix, it is read from the namespace.

    Raises
    ------
    UsageProblem
        If a name is invalid, or none is given.
    """
    notes: list[str] = []
    if prefix is None:
        prefix = read_prefix(cluster, namespace)
        if prefix is None:
            prefix = platforms.current().accounts
            notes.append(
                _(
                    "The server's prefix of user names could not be read here; {prefix!r} is assumed.",
                    prefix=prefix,
                )
            )
    return _parse_colleagues(names, prefix, namespace), notes


def _parse_colleagues(typed: Sequence[str], prefix: str, namespace: str) -> tuple[Colleague, ...]:
    found: dict[str, Colleague] = {}
    for text in (name for words in typed for name in words.split(",") if name.strip()):
        colleague = parse_colleague(text, prefix=prefix, owner=namespace)
        found[colleague.name] = colleague
    if not found:
        raise UsageProblem(_("No colleague was named."), hint=_("name one or several: --with bob carol"))
    return tuple(found.values())


def _choose_schemas(typed: Sequence[str], every: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in typed if name not in every]
    if unknown:
        near = nearest(unknown[0], every)
        raise UsageProblem(
            _("There is no schema {unknown!r} in this database.", unknown=unknown[0]),
            hint=_("did you mean {near}?", near=near)
            if near
            else _("choose from: {every}", every=", ".join(every)),
        )
    return tuple(dict.fromkeys(typed)) or tuple(every)


def _find_own_schemas(
    session: psycopg.Connection[Any], roles: AbstractSet[str], gone: AbstractSet[str], heir: str | None
) -> dict[str, str]:
    """Return the roles that have their own schema, and its owner, as they will be after `gone` roles are dropped."""
    found = dict(session.execute(role_sql.OWN_SCHEMAS, [list(roles)]).fetchall())
    for role in gone & found.keys():
        if hand_over(session, role, heir, leaves=True).drops_schema:
            del found[role]
        elif found[role] in gone:
            found[role] = heir or role_sql.ARCHIVE
    return found


def _plan_handovers(
    session: psycopg.Connection[Any], roles: Iterable[str], heir: str | None
) -> dict[str, Handover]:
    """Plan the handovers of roles that own objects and become read-only."""
    owning = [role for role in sorted(roles) if list_owned(session, role)]
    return {role: hand_over(session, role, heir, leaves=False) for role in owning}


def _list_existing(session: psycopg.Connection[Any], roles: list[str]) -> frozenset[str]:
    found = session.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [roles]).fetchall()
    return frozenset(name for (name,) in found)


def read_prefix(cluster: Cluster, namespace: str) -> str | None:
    """Return the prefix of user names on this server; None if it cannot be read."""
    try:
        bindings = object_reads.list_objects(cluster, ROLE_BINDINGS, namespace)
    except Forbidden:
        return None
    with report_malformed(cluster):
        return learn_prefix(namespace, bindings)


def find_pods(
    cluster: Cluster, database: Database
) -> tuple[dict[str, str], tuple[str, ...], tuple[TargetPort, ...]]:
    """Return the labels of the database's pod, its names now and after replacements, and its ports."""
    services = {service.name: service for service in inventory.services(cluster, database.namespace)}
    selector = dict(services[database.service].selector) if database.service in services else {}
    listed = inventory.pods(cluster, database.namespace)
    behind = [pod for pod in listed if selector and selector.items() <= pod.labels.items()]
    labels = dict(behind[0].labels) if behind else selector
    ports = behind[0].ports if behind else ()
    if CNPG in labels:
        return labels, manifests.future_pods(database.name), ports
    return labels, tuple(pod.name for pod in behind) or (f"{database.name}-0",), ports


def select_labels(labels: dict[str, str], database: Database) -> dict[str, str]:
    """Return the labels by which a NetworkPolicy selects the database's pods."""
    if CNPG in labels:
        return {CNPG: labels[CNPG]}
    wanted = ("app.kubernetes.io/instance", "app.kubernetes.io/name")
    return {key: labels[key] for key in wanted if key in labels} or {"app": database.name}


def _refuse_unmarked_roles(session: psycopg.Connection[Any], roles: list[str]) -> None:
    """Refuse to take over a role of that name that no share created: other users may need it."""
    found = session.execute(role_sql.UNMARKED_ROLES, [roles, role_sql.COMMENT]).fetchall()
    if found:
        raise UsageProblem(
            _("The database already has a role {found} that no share created.", found=found[0][0]),
            why=_("A share would change its password, and drop it at the end."),
            hint=_(
                "rename it (ALTER ROLE … RENAME TO …) or drop it, then share again\n"
                "if a share created it, mark it: COMMENT ON ROLE {found} IS '{comment}'",
                found=found[0][0],
                comment=role_sql.COMMENT,
            ),
        )
