"""The results of earlier checks, which later checks use."""

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
    """The input of the checks, and what they have found so far."""

    find: Callable[[], Cluster]  # finds the cluster
    manager: Callable[[], ForwardManager]  # returns the manager of the forwards; called only to open a tunnel
    wanted: str | None  # the target or the database; None to check only the route to the cluster
    namespace: str | None  # the namespace of the target, if it was given by an option
    # The environment variables.
    environ: Mapping[str, str] = field(repr=False)  # it holds secrets of other programs
    # Set by the checks of the cluster.
    cluster: Cluster | None = None
    identity: Identity | None = None
    server_answers: bool = False
    # Set by the checks of the target.
    database: Database | None = None
    credentials: DatabaseCredentials | None = None
    target: Target | None = None
    port: int | str | None = None
    lease: Lease | None = None  # released at the end: a forward that was open before stays open
    # Names of people and machines, which a redacted report hides; added by all checks.
    personal: set[str] = field(default_factory=set)

    def get_cluster(self) -> Cluster:
        """Return the cluster; called only by checks that need one."""
        if self.cluster is None:
            raise LookupError("no cluster was found")  # not translated: an internal error
        return self.cluster
