"""What the doctor knows so far: each step adds to it, and the next ones build on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sspcloud_magics.target import Target

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.cluster.requests.permissions import Identity
    from sspcloud_magics.databases.credentials import DatabaseCredentials
    from sspcloud_magics.databases.discovery import Database
    from sspcloud_magics.forwards.lease import Lease
    from sspcloud_magics.forwards.manager import ForwardManager


@dataclass(slots=True)
class DoctorContext:
    """Who is examined.

    Parameters
    ----------
    find
        Finds the cluster.
    manager
        Gives the manager of the forwards; it is asked only where a tunnel is tried.
    wanted
        The target or the database; None where only the way to the cluster is walked.
    namespace
        The namespace of what is wanted, where it is said apart.
    environ
        The environment.
    """

    find: Callable[[], Cluster]
    manager: Callable[[], ForwardManager]
    wanted: str | None
    namespace: str | None
    environ: Mapping[str, str] = field(repr=False)  # it holds other programs' secrets
    cluster: Cluster | None = None
    identity: Identity | None = None
    server_answers: bool = False
    database: Database | None = None
    credentials: DatabaseCredentials | None = None
    target: Target | None = None
    port: int | str | None = None
    lease: Lease | None = None  # the doctor's own: a forward that was open before stays open
    personal: set[str] = field(default_factory=set)

    def get_cluster(self) -> Cluster:
        """Return the cluster; the steps that need it come after the one that finds it."""
        if self.cluster is None:
            raise LookupError("no cluster was found")
        return self.cluster
