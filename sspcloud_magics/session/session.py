"""The state of this process's session: its cluster, its open forwards and connections, and its settings."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from sspcloud_magics import fork_hooks, i18n, log_file, platforms
from sspcloud_magics.errors import ClusterError, SspcloudError
from sspcloud_magics.user_files import user_path

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.databases.connection import Connection
    from sspcloud_magics.forwards import Forward, ForwardManager
    from sspcloud_magics.forwards.saved_forwards import ForwardsFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterChoice:
    """The settings that choose a cluster and an identity; empty ones are left to the defaults."""

    # A kubeconfig file, and a context in it.
    kubeconfig: str | None = None
    context: str | None = None
    # A server's URL and a file with a bearer token, instead of a kubeconfig.
    server: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    insecure_skip_tls_verify: bool = False
    credentials_without_tls: bool = False  # whether to send credentials also to an ``http://`` address
    namespace: str | None = None  # the namespace to use instead of the configuration's own

    def fill_from(self, below: ClusterChoice) -> ClusterChoice:
        """Fill the empty settings of this choice from `below`.

        A kubeconfig and a server exclude each other, so setting one removes the other from `below`.
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
    """Defaults of all queries."""

    # Set in each session of a database; the server's own if None.
    search_path: str | None = None
    time_zone: str | None = None
    memory_share: float = 0.5  # the share of free memory above which an expected result causes a warning


@dataclass(slots=True)
class Session:
    """The state of one process; the functions of this package work on `session`."""

    # Set by %config; holds where `login` sets nothing.
    configured: ClusterChoice = field(default_factory=ClusterChoice)
    # The current cluster; None until its first use, and after `close` or `configure`.
    cluster: Cluster | None = None
    # Created by the first forward; None after `close`.
    manager: ForwardManager | None = None
    # Saves the manager's forwards for a later process.
    forwards_file: ForwardsFile | None = None
    # Open connections and those that have closed since, the current one last.
    connections: list[Connection] = field(default_factory=list)
    # The path of the latest database, for the hint after all connections have closed.
    last_database: str = ""
    # Set by `configure_relay` and `configure_queries`.
    relay_image: str | None = None
    queries: QueryDefaults = field(default_factory=QueryDefaults)
    # Calls of `current_cluster` so far.
    uses: int = 0
    # Used namespaces of the current cluster, in the order of their first use; a dict serves as an ordered set.
    namespaces: dict[str, None] = field(default_factory=dict)
    # Callbacks of `watch_forwards`; replaced, never changed, because other threads iterate over it.
    watchers: tuple[Callable[[], None], ...] = ()
    # Guards all attributes; re-entrant, because its holder calls other functions of this module.
    lock: threading.RLock = field(default_factory=threading.RLock)


session = Session()
log_file.set_level(log_file.level_of())


def _reset_in_child() -> None:
    """Drop the parent's watchers in a forked child, and its lock, which a parent's thread may hold."""
    session.lock = threading.RLock()
    session.watchers = ()


fork_hooks.call_in_child(_reset_in_child)


def configure(choice: ClusterChoice) -> None:
    """Set the defaults of `login`, as ``%config SSPCloud.…`` does.

    Parameters
    ----------
    choice
        The whole configuration. The next use finds the cluster again; open forwards and connections stay.
    """
    with session.lock:
        if choice != session.configured:
            session.configured = choice
            set_cluster(None)


def configure_relay(image: str | None) -> None:
    """Set the default image of relays, as ``%config SSPCloud.relay_image`` does.

    Parameters
    ----------
    image
        An image whose entry point is socat; ``alpine/socat`` if None.
    """
    session.relay_image = image


def configure_queries(defaults: QueryDefaults) -> None:
    """Set the defaults of all queries, as ``%config SSPCloud.…`` does.

    Parameters
    ----------
    defaults
        Open connections apply them with their next query outside a transaction.
    """
    with session.lock:
        session.queries = defaults
    for each in open_connections():
        apply_defaults(each)


def apply_defaults(connection: Connection) -> None:
    """Apply the defaults of queries to a connection's sessions."""
    connection.apply_defaults(session.queries.search_path, session.queries.time_zone)


def current_cluster(namespace: str | None = None) -> Cluster:
    """Return the current cluster; find it at its first use.

    Parameters
    ----------
    namespace
        The namespace to be used, if it is not the cluster's own; `recent_use` returns it.

    Raises
    ------
    NotLoggedIn
        If no configuration names a cluster and credentials.
    KubeconfigInvalid
        If a configuration is unusable.
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
    """Make a cluster the current one; with None, the next use finds one."""
    session.cluster = cluster
    session.namespaces = {}
    platforms.learn("")
    if cluster is not None:
        with suppress(SspcloudError):  # the platform stays unknown
            platforms.learn(cluster.server)


@dataclass(frozen=True, slots=True)
class Use:
    """The recent use of the cluster, for completion.

    Parameters
    ----------
    cluster
        The current cluster; None before its first use.
    namespaces
        The used namespaces, in the order of their first use.
    count
        The number of calls that used the cluster; it only grows.
    """

    cluster: Cluster | None
    namespaces: tuple[str, ...]
    count: int


def recent_use() -> Use:
    """Return the recent use of the cluster, without finding one or sending a request."""
    with session.lock:
        return Use(session.cluster, tuple(session.namespaces), session.uses)


def open_forwards() -> list[Forward]:
    """Return the forwards of this process, without starting a manager."""
    return [] if session.manager is None else list(session.manager.forwards())


def watch_forwards(callback: Callable[[], None]) -> Callable[[], None]:
    """Call a function after every change of any forward, including later ones.

    Parameters
    ----------
    callback
        Called on several threads, possibly at the same time. It must return quickly and must not print.

    Returns
    -------
    Callable
        Unsubscribes; idempotent.
    """
    with session.lock:
        session.watchers = (*session.watchers, callback)

    def end() -> None:
        with session.lock:
            session.watchers = tuple(each for each in session.watchers if each is not callback)

    return end


def _notify_watchers() -> None:
    for callback in session.watchers:
        callback()


def open_connections() -> list[Connection]:
    """Return the open connections to databases; the last one is the current one."""
    return [each for each in session.connections if not each.closed]


def leave(server: str) -> bool:
    """Close the forwards and connections to a cluster that has stopped, and forget the identity there.

    Parameters
    ----------
    server
        The URL of its API server. Forwards to other servers stay.

    Returns
    -------
    bool
        Whether it was the current cluster.
    """
    manager = session.manager
    forwards = [each for each in open_forwards() if manager is not None and manager.server_of(each) == server]
    with session.lock:
        connections = [each for each in session.connections if each.forward in forwards]
        session.connections = [each for each in session.connections if each not in connections]
    for connected in connections:
        connected.close()
    for forward in forwards:
        forward.stop()
    cluster = session.cluster
    try:
        if cluster is None or cluster.server != server:
            return False
    except ClusterError:  # a cluster whose credentials cannot be read has not been used
        return False
    set_cluster(None)
    cluster.close()
    return True


def close() -> None:
    """Close all connections and forwards of this process, and its helper process.

    The end of the process does the same. You can use the session again: the next call starts a new one.

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
    if lake := sys.modules.get("sspcloud_magics.lake.instance"):  # imported by the first use of DuckDB
        lake.close()
    for connected in connections:
        connected.close()
    if manager is not None:
        manager.close()
    if cluster is not None:
        cluster.close()


def find_arguments(choice: ClusterChoice) -> dict[str, Any]:
    """Return the keyword arguments of `find_cluster`."""
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
    """Set the log's level; if it is empty, to ``SSPCLOUD_LOG``."""
    log_file.set_level(level or log_file.level_of())
    if session.manager is not None:
        session.manager.set_log()


def _pass_language(_language: str) -> None:
    """Set the language of the forwards' helper."""
    if session.manager is not None:
        session.manager.set_language()


i18n.on_change(_pass_language)


def manager() -> ForwardManager:
    """Return the manager of this process's forwards; the first call creates it."""
    from sspcloud_magics.forwards import ForwardManager  # noqa: PLC0415 - at first use
    from sspcloud_magics.forwards.saved_forwards import ForwardsFile  # noqa: PLC0415

    with session.lock:
        if session.manager is None:
            session.manager = ForwardManager()
            session.forwards_file = ForwardsFile()
            session.forwards_file.follow(session.manager)
            session.manager.subscribe(lambda _forward: _notify_watchers())
        return session.manager
