"""What an owner ought to know of a share before it is made: one sentence each, of this database as it is now.

Some of it cannot be granted or taken from one role alone (what PUBLIC may do), some cannot be known (whether an
account exists), and some surprises those who have read the name of a policy and not its selector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from sspcloud_magics.cluster import inventory, objects
from sspcloud_magics.cluster.identity import Cluster
from sspcloud_magics.cluster.resources import NETWORK_POLICIES
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.sharing import grants, policies
from sspcloud_magics.sharing.answers import listed
from sspcloud_magics.sharing.colleagues import Colleague

CNPG = "cnpg.io/cluster"
"""The label of the operator's pods."""

_NAMED = 5
"""So many things are named; of more, their number is said."""


def spelling(colleagues: Sequence[Colleague]) -> str:
    """Return that nobody can tell whether an account exists."""
    names = listed([each.name for each in colleagues])
    return (
        f"Nothing here tells whether an account or a namespace exists: check the spelling of {names}. "
        "%unshare takes back what went to a wrong name."
    )


def ending(session: psycopg.Connection[Any]) -> list[str]:
    """Return how a share ends, as far as the owner may be surprised."""
    said = ["At its end no new login and no new tunnel is possible."]
    said.append(
        "A session that is open at the end may live on, and the Postgres role does, until your next %share_db or "
        "%unshare; %shares shows them."
    )
    if session.pgconn.server_version >= grants.IDLE_TIMEOUT_SINCE:
        hours = f"{grants.IDLE_TIMEOUT.total_seconds() / 3600:g} h"
        said.append(
            f"A session that does nothing for {hours} is ended by the server, unless the colleague has switched that off "
            "(idle_session_timeout)."
        )
    return said


def schemas(every: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Return what becomes of schemas that are made later, where all of today's are shared."""
    if set(every) != set(chosen):
        return []
    return ["A schema that is made later is not shared before you give the same command again."]


def public(session: psycopg.Connection[Any], shared: Sequence[str], *, read_write: bool) -> list[str]:
    """Return what PUBLIC may do in the database, and thus a colleague too, whatever was granted.

    Parameters
    ----------
    session
        The superuser's, in that database.
    shared
        The schemas that are opened.
    read_write
        Whether the colleague may write: then there is little to be surprised at.
    """
    said = []
    others = [name for (name,) in session.execute(grants.OTHER_DATABASES).fetchall()]
    if others:
        said.append(
            f"PUBLIC may connect to the other databases of this server ({listed(others)}); nothing is granted in them."
        )
    if read_write:
        return said
    temporary, create = session.execute(grants.PUBLIC_RIGHTS).fetchone() or (False, False)
    if temporary:
        said.append(
            "PUBLIC may make temporary tables and large objects; the role's transactions begin read-only, which the "
            "colleague could switch off. The rights on your tables hold all the same."
        )
    if create:
        said.append(
            "PUBLIC may create tables in the schema public, as before PostgreSQL 15, and that cannot be taken from "
            "one role alone: REVOKE CREATE ON SCHEMA public FROM PUBLIC takes it from everybody."
        )
    written = [name for (name,) in session.execute(grants.PUBLIC_WRITES, [list(shared)]).fetchall()]
    if written:
        said.append(
            f"PUBLIC may write to {_some(written, 'tables')}, and so may the colleague, who could switch off read-only: "
            "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON … FROM PUBLIC takes it from everybody."
        )
    acting = [name for (name,) in session.execute(grants.PUBLIC_DEFINERS, [list(shared)]).fetchall()]
    if acting:
        said.append(
            f"PUBLIC may call {_some(acting, 'functions')}, which act with the rights of their owner (SECURITY DEFINER), "
            "and so may the colleague: REVOKE EXECUTE ON FUNCTION … FROM PUBLIC takes it from everybody."
        )
    return said


def _some(names: Sequence[str], noun: str) -> str:
    return listed(names) if len(names) <= _NAMED else f"{len(names)} {noun}, such as {names[0]}"


def network(
    cluster: Cluster, database: Database, labels: Mapping[str, str], admitted: Sequence[str]
) -> list[str]:
    """Return what is true of the network today, and what a policy changes.

    Parameters
    ----------
    cluster, database
        Where, and which.
    labels
        Those of the database's pod.
    admitted
        The namespaces that are to be let in; none where no policy is made.
    """
    try:
        found = objects.list_objects(cluster, NETWORK_POLICIES, database.namespace)
        pods = [pod.labels for pod in inventory.pods(cluster, database.namespace)]
    except Forbidden:
        return []
    said = policies.observations(policies.about(found, labels, database.name), labels, pods)
    if not admitted:
        return said
    if any(policies.selects(policy, labels) for policy in found):
        said.append(f"The policy of this share lets {listed(admitted)} in as well, and takes nothing away.")
    else:
        kept = [database.namespace, *(["the operator"] if CNPG in labels else []), *admitted]
        said.append(
            f"From now on the network admits {listed(kept)} to it, and nobody else: the policy of a share is the first "
            "that selects it. With the last of such shares the policy goes, and the port is open as before."
        )
    return said
