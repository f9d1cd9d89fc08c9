"""What sharing would do, before anything is done: the shares, the objects, the SQL, and what is to be known.

A plan is a value. `--dry-run` shows it, with passwords masked, and `opening` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from sspcloud_magics.cluster import inventory, objects, permissions
from sspcloud_magics.cluster.failures import reading, relaunch_link
from sspcloud_magics.cluster.identity import Cluster
from sspcloud_magics.cluster.inventory import TargetPort
from sspcloud_magics.cluster.resources import NETWORK_POLICIES, ROLE_BINDINGS, ROLES, SECRETS, Attempt
from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.errors import Forbidden, UsageProblem
from sspcloud_magics.secret import HIDDEN, Secret
from sspcloud_magics.share_keys import role_name
from sspcloud_magics.sharing import answers, grants, manifests, remarks
from sspcloud_magics.sharing.colleagues import DEFAULT_PREFIX, Colleague, learn_prefix, parse_colleague
from sspcloud_magics.sharing.grants import Grant, Statements
from sspcloud_magics.sharing.handover import Handover, hand_over, list_owned, make_archive
from sspcloud_magics.sharing.manifests import Manifest, Share
from sspcloud_magics.sharing.narrowing import Excess, find_excess
from sspcloud_magics.sharing.shares import StandingShare
from sspcloud_magics.spelling import nearest

WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
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
    lasts
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
    read_write: bool = False
    create: bool = False
    schemas: tuple[str, ...] = ()
    lasts: timedelta = WEEK
    network: bool = False
    forward: bool = True
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
        What the owner ought to know, one sentence each, the most important first.
    existing
        The roles that the server has already: they are renewed.
    colleagues
        Who else shares the database, as `grants.COLLEAGUES` answers.
    own_schemas
        The roles that have a schema of their own.
    handovers
        What the roles own that shall only read from now on, and what becomes of it.
    leaving
        The shares that have ended, of which what is left goes first: each with the SQL that removes its role.
    archive
        What makes the role that keeps the colleagues' own schemas, where a superuser owns the database and it is not there.
    excess
        What colleagues hold beyond their shares, which is taken back first.
    creators
        The roles that may create in the shared schemas once the plan is carried out.
    idle_timeout
        Whether the server can end idle sessions.
    """

    database: Database
    shares: tuple[Share, ...]
    grants: tuple[Grant, ...]
    schemas: tuple[str, ...]
    network: bool
    notes: tuple[str, ...]
    existing: frozenset[str] = frozenset()
    colleagues: tuple[tuple[str, bool], ...] = ()
    own_schemas: frozenset[str] = frozenset()
    handovers: Mapping[str, Handover] = field(default_factory=dict)
    leaving: tuple[tuple[StandingShare, str], ...] = ()
    archive: tuple[sql.Composed, ...] = ()
    excess: Excess = field(default_factory=Excess)
    creators: frozenset[str] = frozenset()
    idle_timeout: bool = True

    @property
    def line(self) -> str:
        """The line to send to the colleagues afterwards; it holds no secret."""
        return answers.line_to_send(self.shares)

    @property
    def granted(self) -> str:
        """What the colleagues would be allowed, and until when, in one sentence."""
        return answers.granted(self.shares)

    def yaml(self) -> str:
        """Return the objects that would be made, as YAML; what a Secret holds is masked.

        What would be removed is said in comments.
        """
        removed = [f"# Removed first, as it has ended: all of {share.name}.\n" for share, _ in self.leaving]
        removed += [
            f"# Removed, where there is one: NetworkPolicy {share.name}.\n"
            for share in self.shares
            if share.role in self.existing and not self.network
        ]
        shown: list[Manifest] = []
        for share in self.shares:
            masked = self.manifests(share, Secret(""), "…", "…")
            shown += [manifests.job(share), *map(manifests.masked, masked)]
        return "".join(removed) + answers.as_yaml(shown)

    def sql(self) -> str:
        """Return the statements that would run, in their order; passwords are masked."""
        parts = [
            f"-- What is left of the share with {share.colleague}\n{text}"
            for share, text in self.leaving
            if text
        ]
        if self.excess.statements:
            parts.append(
                f"-- What colleagues hold beyond their shares\n{grants.as_text(self.excess.statements)}"
            )
        if self.archive:
            parts.append(f"-- The role that keeps what no owner inherits\n{grants.as_text(self.archive)}")
        colleagues = list(self.colleagues)
        for number, share in enumerate(self.shares):
            statements = self.statements(
                number, HIDDEN, exists=share.role in self.existing, handover=self.handovers.get(share.role)
            )
            statements += grants.between_colleagues(colleagues, self.grants[number])
            others = [each for each in colleagues if each[0] != share.role]
            colleagues = [*others, (share.role, share.read_write)]
            before = self.handovers[share.role].steps[:-1] if share.role in self.handovers else ()
            texts = [*map(grants.as_text, before), grants.as_text(statements)]
            parts.append("\n".join([f"-- The share with {share.colleague.name}", *texts]))
        return "\n".join(parts)

    def manifests(self, share: Share, password: Secret, ca: str | None, job_uid: str) -> list[Manifest]:
        """Return the objects of one share that its Job owns."""
        made = [
            manifests.secret(share, password, ca, job_uid),
            manifests.role(share, job_uid),
            manifests.role_binding(share, job_uid),
        ]
        return [*made, manifests.network_policy(share, job_uid)] if self.network else made

    def statements(
        self, number: int, verifier: str, *, exists: bool, handover: Handover | None = None
    ) -> Statements:
        """Return the SQL of the share of that number.

        Parameters
        ----------
        number
            Which share.
        verifier
            The SCRAM verifier of the password.
        exists
            Whether the server has the role already.
        handover
            What becomes of what the role owns, where it shall only read from now on: the last step is a part of these.
        """
        share, grant = self.shares[number], self.grants[number]
        made = grants.login(
            share.role,
            verifier,
            share.until,
            exists=exists,
            read_write=share.read_write,
            idle_timeout=self.idle_timeout,
        )
        own_schema = share.role in self.own_schemas
        if handover is not None:
            made += handover.steps[-1]
        elif exists:
            # A writer owns what is in their own schema, and keeps all rights on it.
            own = () if share.read_write or not own_schema else (share.role,)
            made += grants.revoke_before_grant(grant, (*self.schemas, *own))
        return made + grants.grant(grant, own_schema=own_schema)

    def after(self, notes: Sequence[str]) -> Plan:
        """Return the plan with what was done before it is carried out."""
        return replace(self, notes=(*notes, *self.notes))

    @property
    def _answer(self) -> answers.Answer:
        return answers.Answer(
            granted=self.granted, line=self.line, notes=self.notes, objects=self.yaml(), statements=self.sql()
        )

    def __repr__(self) -> str:
        return self._answer.as_text()

    def _repr_html_(self) -> str:
        return self._answer.as_html()


def make_plan(
    cluster: Cluster,
    database: Database,
    connection: DatabaseConnection,
    wish: Wish,
    *,
    leaving: Sequence[tuple[StandingShare, str]] = (),
    creators: Iterable[str] = (),
) -> Plan:
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
    leaving
        The shares that have ended, which are removed before the plan is carried out, each with the SQL that does so.
    creators
        The roles that may create in the shared schemas so far.

    Raises
    ------
    UsageProblem
        If a colleague or a schema cannot be what was typed, or a role of such a name is somebody else's.
    """
    prefix = wish.prefix
    notes: list[str] = []
    if prefix is None:
        prefix = _learn_prefix(cluster, database.namespace)
        if prefix is None:
            prefix = DEFAULT_PREFIX
            notes.append(f"How the server names users could not be learnt here; {prefix!r} is assumed.")
    colleagues = _colleagues(wish.colleagues, prefix, database.namespace)
    notes.append(remarks.spelling(colleagues))
    session = connection.psycopg
    every = tuple(name for (name,) in session.execute(grants.SCHEMAS).fetchall())
    schemas = _schemas(wish.schemas, every)
    gone = {share.role for share, _ in leaving}
    owners = tuple(
        name
        for (name,) in session.execute(grants.OWNERS, {"schemas": list(every)}).fetchall()
        if name not in gone
    )
    heir = grants.heir_of_database(session)
    _refuse_strangers(session, [role_name(colleague.name) for colleague in colleagues])
    labels, pods, ports = _pods(cluster, database)
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
            role=role_name(colleague.name),
            read_write=wish.read_write,
            create=wish.create,
            reason=wish.reason,
            for_kubectl=wish.for_kubectl,
            forward=wish.forward,
            selector=_selector(labels, database),
        )
        for colleague in colleagues
    )
    existing = _existing(session, [share.role for share in shares]) - gone
    asked = {share.role for share in shares}
    allowed = frozenset(creators) - asked | (asked if wish.create else frozenset())
    handovers = {} if wish.read_write else _handovers(session, existing, heir)
    again = [share.colleague.name for share in shares if share.role in existing]
    notes += [
        f"{answers.listed(again)} had a share of it: it is changed to this, with the same password."
    ] * bool(again)
    notes += [remarks.handed_over(role, given) for role, given in handovers.items()]
    notes += remarks.ending(session)
    if wish.read_write:
        notes += remarks.writing([share.role for share in shares], schemas, create=wish.create)
    if wish.forward:
        notes += remarks.ports(cluster, database, labels, ports)
    notes += [] if wish.schemas else remarks.schemas(every, schemas)
    notes += remarks.public(session, schemas, read_write=wish.read_write)
    admitted = [one.namespace for one in colleagues] if wish.network else []
    notes += remarks.network(cluster, database, labels, admitted)
    if wish.for_kubectl:
        notes.append(
            f"For kubectl, every pod of {database.namespace} may be listed by name, with its labels and "
            "environment variables: the rights of kubectl cannot be made narrower."
        )
    return Plan(
        database=database,
        shares=shares,
        grants=tuple(
            Grant(
                role=share.role,
                dbname=share.dbname,
                schemas=schemas,
                owners=owners,
                keeper=heir or grants.ARCHIVE,
                read_write=share.read_write,
                create=share.create,
            )
            for share in shares
        ),
        schemas=every,
        network=wish.network,
        notes=tuple(notes),
        existing=existing,
        colleagues=tuple(
            (role, writes)
            for role, writes in session.execute(grants.COLLEAGUES).fetchall()
            if role not in gone
        ),
        own_schemas=_own_schemas(session, [share.role for share in shares]),
        handovers=handovers,
        archive=tuple(make_archive(session)) if wish.read_write and heir is None else (),
        leaving=tuple(leaving),
        # What is handed over leaves nothing to be narrowed.
        excess=find_excess(session, {*allowed, *gone, *handovers}),
        creators=allowed,
        idle_timeout=session.pgconn.server_version >= grants.IDLE_TIMEOUT_SINCE,
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
        mend=f"relaunch the service with a role that allows it: {relaunch_link(Attempt('create', missing[0], namespace))}"
        if cluster.in_service
        else f"ask whoever runs the cluster, or whoever owns {namespace}, for that right",
    )


def _colleagues(typed: Sequence[str], prefix: str, namespace: str) -> tuple[Colleague, ...]:
    found: dict[str, Colleague] = {}
    for text in (name for words in typed for name in words.split(",") if name.strip()):
        colleague = parse_colleague(text, prefix=prefix, owner=namespace)
        found[colleague.name] = colleague
    if not found:
        raise UsageProblem("Nobody was named to share with.", mend="--with bob carol")
    return tuple(found.values())


def _schemas(typed: Sequence[str], every: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in typed if name not in every]
    if unknown:
        near = nearest(unknown[0], every)
        raise UsageProblem(
            f"There is no schema {unknown[0]!r} in this database.",
            mend=f"did you mean {near}?" if near else f"there is: {', '.join(every)}",
        )
    return tuple(dict.fromkeys(typed)) or tuple(every)


def _own_schemas(session: psycopg.Connection[Any], roles: list[str]) -> frozenset[str]:
    found = session.execute(grants.OWN_SCHEMAS, [roles]).fetchall()
    return frozenset(name for (name,) in found)


def _handovers(
    session: psycopg.Connection[Any], roles: Iterable[str], heir: str | None
) -> dict[str, Handover]:
    """Return what becomes of what roles own that shall only read from now on."""
    owning = [role for role in sorted(roles) if list_owned(session, role)]
    return {role: hand_over(session, role, heir, leaves=False) for role in owning}


def _existing(session: psycopg.Connection[Any], roles: list[str]) -> frozenset[str]:
    found = session.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [roles]).fetchall()
    return frozenset(name for (name,) in found)


def _learn_prefix(cluster: Cluster, namespace: str) -> str | None:
    try:
        bindings = objects.list_objects(cluster, ROLE_BINDINGS, namespace)
    except Forbidden:
        return None
    with reading(cluster):
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
    if remarks.CNPG in labels:
        return labels, manifests.future_pods(database.name), ports
    return labels, tuple(pod.name for pod in behind) or (f"{database.name}-0",), ports


def _selector(labels: dict[str, str], database: Database) -> dict[str, str]:
    if remarks.CNPG in labels:
        return {remarks.CNPG: labels[remarks.CNPG]}
    wanted = ("app.kubernetes.io/instance", "app.kubernetes.io/name")
    return {key: labels[key] for key in wanted if key in labels} or {"app": database.name}


def _refuse_strangers(session: psycopg.Connection[Any], roles: list[str]) -> None:
    """Refuse to take over a role of that name which no share has made: it may be somebody's."""
    found = session.execute(grants.STRANGERS, [roles, grants.COMMENT]).fetchall()
    if found:
        raise UsageProblem(
            f"The database has a role {found[0][0]} already, which no share has made.",
            why="A share would change its password, and drop it in the end.",
            mend=f"rename it (ALTER ROLE … RENAME TO …), or drop it, then share again\n"
            f"if it is of a share, say so: COMMENT ON ROLE {found[0][0]} IS '{grants.COMMENT}'",
        )
