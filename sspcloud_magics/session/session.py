"""The session itself: the cluster of the moment, what is open, logging in, and closing it all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from sspcloud_magics import fork_hooks, log_file
from sspcloud_magics.errors import ClusterError
from sspcloud_magics.user_files import user_path

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
    from sspcloud_magics.forwards import Forward, ForwardManager
    from sspcloud_magics.forwards.saved_forwards import ForwardsFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterChoice:
    """Which cluster to use, and as whom, as far as somebody said so.

    Parameters
    ----------
    kubeconfig, context
        A kubeconfig file, and the context in it.
    server, token_file, ca_file, insecure_skip_tls_verify
        A server's URL and a file with a bearer token, instead of a kubeconfig.
    credentials_without_tls
        Whether credentials are sent also to a server whose address begins with ``http://``.
    namespace
        The namespace to use instead of the configuration's own.
    """

    kubeconfig: str | None = None
    context: str | None = None
    server: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    insecure_skip_tls_verify: bool = False
    credentials_without_tls: bool = False
    namespace: str | None = None

    def fill_from(self, below: ClusterChoice) -> ClusterChoice:
        """Return this choice, with what it leaves open taken from `below`.

        A kubeconfig and a server exclude each other, so naming one drops the other of `below`.
        """
        named = {name: value for name in self.__slots__ if (value := getattr(self, name))}
        if self.kubeconfig or self.context:
            below = replace(below, server=None, token_file=None, ca_file=None, insecure_skip_tls_verify=False)
        if self.kubeconfig:
            below = replace(below, context=None)
        if self.server:
            below = replace(below, kubeconfig=None, context=None)
        return replace(below, **named)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDefaults:
    """What holds for all queries, as far as somebody said so.

    Parameters
    ----------
    search_path, time_zone
        Set in each session of a database; the server's own where None.
    memory_share
        A result that is expected to take more of the free memory than this share is warned of.
    """

    search_path: str | None = None
    time_zone: str | None = None
    memory_share: float = 0.5


@dataclass(slots=True)
class Session:
    """What one process has open; the functions of this package work on `session`."""

    configured: ClusterChoice = field(default_factory=ClusterChoice)
    cluster: Cluster | None = None
    manager: ForwardManager | None = None
    forwards_file: ForwardsFile | None = None
    connections: list[DatabaseConnection] = field(default_factory=list)
    last_database: str = ""  # what was connected last, for the words where nothing is any more
    relay_image: str | None = None
    queries: QueryDefaults = field(default_factory=QueryDefaults)
    uses: int = 0
    namespaces: dict[str, None] = field(default_factory=dict)
    watchers: tuple[Callable[[], None], ...] = ()
    lock: threading.RLock = field(default_factory=threading.RLock)


session = Session()
log_file.set_level(log_file.level_of())


def _begin_in_child() -> None:
    """Watch nothing for the parent process in a child that was just forked, and wait for none of its threads."""
    session.lock = threading.RLock()
    session.watchers = ()


fork_hooks.in_child(_begin_in_child)


def configure(choice: ClusterChoice) -> None:
    """Set what holds where `login` says nothing, as ``%config SSPCloud.…`` does.

    Parameters
    ----------
    choice
        The whole configuration. The cluster is looked for again at its next use; what is open stays.
    """
    with session.lock:
        if choice != session.configured:
            session.configured = choice
            set_cluster(None)


def configure_relay(image: str | None) -> None:
    """Set the image of relays that holds where none is named, as ``%config SSPCloud.relay_image`` does.

    Parameters
    ----------
    image
        An image whose entry point is socat; the usual ``alpine/socat`` where it is None.
    """
    session.relay_image = image


def configure_queries(defaults: QueryDefaults) -> None:
    """Set what holds for all queries, as ``%config SSPCloud.…`` does.

    Parameters
    ----------
    defaults
        Connections that are open take it with their next query outside of a transaction.
    """
    with session.lock:
        session.queries = defaults
    for each in open_connections():
        prefer(each)


def prefer(connection: DatabaseConnection) -> None:
    """Have a connection's sessions set up as it is configured."""
    from sspcloud_magics.databases.postgres.session.session_settings import Preferences  # noqa: PLC0415 - at first use

    defaults = session.queries
    connection.settings.prefer(Preferences(defaults.search_path, defaults.time_zone))


def current_cluster(namespace: str | None = None) -> Cluster:
    """Return the cluster of the moment; find it where there is none yet.

    Parameters
    ----------
    namespace
        The namespace that is going to be used, where it is not one's own: `recent_use` tells of it.

    Raises
    ------
    NotLoggedIn
        If no configuration says which cluster, or as whom.
    KubeconfigInvalid
        If a configuration is there and cannot be used.
    """
    from sspcloud_magics.cluster.cluster import find_cluster  # noqa: PLC0415 - at first use

    with session.lock:
        if session.cluster is None:
            set_cluster(find_cluster(**find_arguments(session.configured)))
        found = cast("Cluster", session.cluster)
        session.uses += 1
        session.namespaces |= {namespace or found.namespace: None}
        return found


def set_cluster(cluster: Cluster | None) -> None:
    """Make a cluster the current one; None where the next use is to find it."""
    session.cluster = cluster
    session.namespaces = {}


@dataclass(frozen=True, slots=True)
class Use:
    """What has been used of the cluster so far, for completion.

    Parameters
    ----------
    cluster
        The cluster of the moment; None as long as it has not been used.
    namespaces
        The namespaces that were used, in the order of their first use.
    count
        How many calls used it; grows only.
    """

    cluster: Cluster | None
    namespaces: tuple[str, ...]
    count: int


def recent_use() -> Use:
    """Return what has been used of the cluster; looks for none, and asks nothing."""
    with session.lock:
        return Use(session.cluster, tuple(session.namespaces), session.uses)


def open_forwards() -> list[Forward]:
    """Return the forwards of this process; starts nothing where there are none."""
    return [] if session.manager is None else list(session.manager.forwards())


def watch_forwards(callback: Callable[[], None]) -> Callable[[], None]:
    """Call a function after every change of any forward, also of those that are opened later.

    Parameters
    ----------
    callback
        It is called on several threads, possibly at once: it must return soon, and must not print.

    Returns
    -------
    Callable
        Ends it; idempotent.
    """
    with session.lock:
        session.watchers = (*session.watchers, callback)

    def end() -> None:
        with session.lock:
            session.watchers = tuple(each for each in session.watchers if each is not callback)

    return end


def _tell_watchers() -> None:
    for callback in session.watchers:
        callback()


def open_connections() -> list[DatabaseConnection]:
    """Return the connections to databases that are open; the last one is that of the moment."""
    return [each for each in session.connections if not each.closed]


def leave(server: str) -> bool:
    """Let go of a cluster that has ended: its forwards, their connections, and who one was there.

    Parameters
    ----------
    server
        The URL of its API server. What goes to another one stays.

    Returns
    -------
    bool
        Whether it was the cluster of the moment.
    """
    manager = session.manager
    there = [each for each in open_forwards() if manager is not None and manager.server_of(each) == server]
    with session.lock:
        connections = [each for each in session.connections if each.forward in there]
        session.connections = [each for each in session.connections if each not in connections]
    for connected in connections:
        connected.close()
    for forward in there:
        forward.stop()
    cluster = session.cluster
    try:
        if cluster is None or cluster.server != server:
            return False
    except ClusterError:  # its credentials cannot be read: it is not one that has just been used
        return False
    set_cluster(None)
    cluster.close()
    return True


def close() -> None:
    """Close all that this process has open: connections, forwards, and the helper that carries them.

    The end of the process does the same. The session can be used again: the next call begins anew.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.close()
    """
    with session.lock:
        connections, session.connections = session.connections, []
        manager, session.manager = session.manager, None
        cluster = session.cluster
        set_cluster(None)
    for connected in connections:
        connected.close()
    if manager is not None:
        manager.close()
    if cluster is not None:
        cluster.close()


def find_arguments(choice: ClusterChoice) -> dict[str, Any]:
    """Return the keywords of `find_cluster`."""
    return {
        "kubeconfig": user_path(choice.kubeconfig) if choice.kubeconfig else None,
        "context": choice.context,
        "server": choice.server,
        "token_file": user_path(choice.token_file) if choice.token_file else None,
        "namespace": choice.namespace,
        "ca_file": user_path(choice.ca_file) if choice.ca_file else None,
        "insecure_skip_tls_verify": choice.insecure_skip_tls_verify,
        "credentials_without_tls": choice.credentials_without_tls,
    }


def configure_log(level: str = "") -> None:
    """Write the log from this level on; where none is named, as ``SSPCLOUD_LOG`` says."""
    log_file.set_level(level or log_file.level_of())
    if session.manager is not None:
        session.manager.set_log()


def manager() -> ForwardManager:
    """Return the manager of this process' forwards; the first call makes it."""
    from sspcloud_magics.forwards import ForwardManager  # noqa: PLC0415 - at first use
    from sspcloud_magics.forwards.saved_forwards import ForwardsFile  # noqa: PLC0415

    with session.lock:
        if session.manager is None:
            session.manager = ForwardManager()
            session.forwards_file = ForwardsFile()
            session.forwards_file.follow(session.manager)
            session.manager.subscribe(lambda _forward: _tell_watchers())
        return session.manager
