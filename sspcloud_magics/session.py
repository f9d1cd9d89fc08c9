"""What this process is connected to, and the Python API that works on it.

A notebook's kernel, or a script, has one *session*: the cluster of the moment, the manager of its
forwards, and the database connection of the moment. The functions here are the package's API
(``import sspcloud_magics as ssp``); the magics are skins over them. What is needed is found at first use:
nobody has to log in where a configuration is there, and nothing is imported before it is needed.

A failed call changes nothing: whatever was open, and whoever one was, stays.
"""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from sspcloud_magics.errors import NotConnected, TargetNotFound, UsageProblem
from sspcloud_magics.target import PortText, TargetText, parse_port, parse_target

if TYPE_CHECKING:
    import pandas as pd
    import psycopg

    from sspcloud_magics.cluster.identity import Cluster
    from sspcloud_magics.cluster.permissions import Identity
    from sspcloud_magics.cluster.resolve import ResolvedTarget
    from sspcloud_magics.databases.connection import DatabaseConnection
    from sspcloud_magics.forwards import Forward, ForwardManager
    from sspcloud_magics.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which cluster to use, and as whom, as far as somebody said so.

    Parameters
    ----------
    kubeconfig, context
        A kubeconfig file, and the context in it.
    server, token_file, ca_file, insecure_skip_tls_verify
        A server's URL and a file with a bearer token, instead of a kubeconfig.
    namespace
        The namespace to use instead of the configuration's own.
    """

    kubeconfig: str | None = None
    context: str | None = None
    server: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    insecure_skip_tls_verify: bool = False
    namespace: str | None = None

    def over(self, below: Choice) -> Choice:
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


@dataclass(slots=True)
class _Session:
    configured: Choice = field(default_factory=Choice)
    cluster: Cluster | None = None
    manager: ForwardManager | None = None
    connections: list[DatabaseConnection] = field(default_factory=list)
    uses: int = 0
    namespaces: dict[str, None] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


_session = _Session()


def configure(choice: Choice) -> None:
    """Set what holds where `login` says nothing, as ``%config SSPCloud.…`` does.

    Parameters
    ----------
    choice
        The whole configuration. The cluster is looked for again at its next use; what is open stays.
    """
    with _session.lock:
        if choice != _session.configured:
            _session.configured = choice
            _set_cluster(None)


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
    from sspcloud_magics.cluster.identity import find_cluster  # noqa: PLC0415 - at first use

    with _session.lock:
        if _session.cluster is None:
            _set_cluster(find_cluster(**_arguments(_session.configured)))
        found = cast("Cluster", _session.cluster)
        _session.uses += 1
        _session.namespaces |= {namespace or found.namespace: None}
        return found


def _set_cluster(cluster: Cluster | None) -> None:
    _session.cluster = cluster
    _session.namespaces = {}


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
    with _session.lock:
        return Use(_session.cluster, tuple(_session.namespaces), _session.uses)


def open_forwards() -> list[Forward]:
    """Return the forwards of this process; starts nothing where there are none."""
    return [] if _session.manager is None else list(_session.manager.forwards())


def leave(server: str) -> bool:
    """Let go of a cluster that has ended: its forwards, its connection, and who one was there.

    Parameters
    ----------
    server
        The URL of its API server. Nothing happens where the cluster of the moment is another one.

    Returns
    -------
    bool
        Whether it was the cluster of the moment.
    """
    cluster = _session.cluster
    if cluster is None or cluster.server != server:
        return False
    close()
    return True


def close() -> None:
    """Close all that this process has open: connections, forwards, and the helper that carries them.

    The end of the process does the same. The session can be used again: the next call begins anew.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.close()
    """
    with _session.lock:
        connections, _session.connections = _session.connections, []
        manager, _session.manager = _session.manager, None
        cluster = _session.cluster
        _set_cluster(None)
    for connected in connections:
        connected.close()
    if manager is not None:
        manager.close()
    if cluster is not None:
        cluster.close()


def _arguments(choice: Choice) -> dict[str, Any]:
    """Return the keywords of `find_cluster`."""
    return {
        "kubeconfig": Path(choice.kubeconfig).expanduser() if choice.kubeconfig else None,
        "context": choice.context,
        "server": choice.server,
        "token_file": Path(choice.token_file).expanduser() if choice.token_file else None,
        "namespace": choice.namespace,
        "ca_file": Path(choice.ca_file).expanduser() if choice.ca_file else None,
        "insecure_skip_tls_verify": choice.insecure_skip_tls_verify,
    }


def _manager() -> ForwardManager:
    from sspcloud_magics.forwards import ForwardManager  # noqa: PLC0415 - at first use

    with _session.lock:
        if _session.manager is None:
            _session.manager = ForwardManager()
        return _session.manager


def login(
    *,
    kubeconfig: str | Path | None = None,
    context: str | None = None,
    server: str | None = None,
    token_file: str | Path | None = None,
    ca_file: str | Path | None = None,
    insecure_skip_tls_verify: bool = False,
    namespace: str | None = None,
) -> Identity:
    """Choose the cluster, and prove that it takes one's credentials.

    Nobody has to call this where there is a mounted service-account token (a notebook service of
    SSPCloud) or a kubeconfig. Forwards and connections that are open stay as they are.

    Parameters
    ----------
    kubeconfig
        A kubeconfig file; the mounted token, then ``KUBECONFIG``, then ``~/.kube/config`` where it is None.
    context
        A context of the kubeconfig; its current one where it is None.
    server, token_file
        A server's URL and a file that holds a bearer token, where there is no kubeconfig.
    ca_file
        Certificates to trust in PEM, with `server`; the system's where it is None.
    insecure_skip_tls_verify
        Do not verify the server's certificate, with `server`.
    namespace
        The namespace to work in; the configuration's own where it is None.

    Returns
    -------
    Identity
        Who one is for the server.

    Raises
    ------
    NotLoggedIn, KubeconfigInvalid
        If no usable configuration is found. The cluster of before stays the current one.
    TokenExpired, ServerUnreachable, CertificateNotTrusted
        If the server does not answer, or not to these credentials.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.login(context="alice")  # doctest: +SKIP
    """
    from sspcloud_magics.cluster.identity import find_cluster  # noqa: PLC0415 - at first use
    from sspcloud_magics.cluster.permissions import who_am_i  # noqa: PLC0415

    choice = Choice(
        kubeconfig=None if kubeconfig is None else str(kubeconfig),
        context=context,
        server=server,
        token_file=None if token_file is None else str(token_file),
        ca_file=None if ca_file is None else str(ca_file),
        insecure_skip_tls_verify=insecure_skip_tls_verify,
        namespace=namespace,
    )
    found = find_cluster(**_arguments(choice.over(_session.configured)))
    identity = who_am_i(found)
    with _session.lock:
        before = _session.cluster
        _set_cluster(found)
    if before is not None:
        before.close()
    return identity


def whoami() -> Identity:
    """Say who one is for the cluster, and where.

    Returns
    -------
    Identity
        The user, the groups, the namespace, the server, and which configuration said so.

    Raises
    ------
    ClusterError
        If there is no configuration, or the server does not accept it.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.whoami().user  # doctest: +SKIP
    'oidc-bob'
    """
    from sspcloud_magics.cluster.permissions import who_am_i  # noqa: PLC0415 - at first use

    return who_am_i(current_cluster())


def pods(
    pattern: str | None = None, *, namespace: str | None = None, all_namespaces: bool = False
) -> pd.DataFrame:
    """List the pods, as ``kubectl get pods`` words them.

    Parameters
    ----------
    pattern
        Only pods whose name holds this text, or matches it where it has ``*``, ``?`` or ``[``.
    namespace
        The namespace; one's own where it is None.
    all_namespaces
        All namespaces, where one may.

    Returns
    -------
    DataFrame
        One row a pod; `sspcloud_magics.cluster.tables` documents the columns.

    Raises
    ------
    Forbidden
        If one may not list pods there.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.pods("mon-api*", namespace="user-alice")  # doctest: +SKIP
    """
    scope = _scope(namespace, all_namespaces=all_namespaces)
    from sspcloud_magics.cluster import inventory, tables  # noqa: PLC0415 - at first use

    found = inventory.pods(current_cluster(namespace), scope)
    return tables.pod_table(_named(found, pattern))


def services(
    pattern: str | None = None, *, namespace: str | None = None, all_namespaces: bool = False
) -> pd.DataFrame:
    """List the services.

    Parameters
    ----------
    pattern, namespace, all_namespaces
        As for `pods`.

    Returns
    -------
    DataFrame
        One row a service; `sspcloud_magics.cluster.tables` documents the columns.

    Raises
    ------
    Forbidden
        If one may not list services there.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.services()  # doctest: +SKIP
    """
    scope = _scope(namespace, all_namespaces=all_namespaces)
    from sspcloud_magics.cluster import inventory, tables  # noqa: PLC0415 - at first use

    found = inventory.services(current_cluster(namespace), scope)
    return tables.service_table(_named(found, pattern))


def databases(*, namespace: str | None = None) -> pd.DataFrame:
    """List the databases of a namespace, whatever chart they come from.

    Parameters
    ----------
    namespace
        The namespace; one's own where it is None.

    Returns
    -------
    DataFrame
        One row a database: its name, kind, state, service and port.

    Raises
    ------
    Forbidden
        If one may list nothing there that tells of a database.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.databases(namespace="user-alice")  # doctest: +SKIP
    """
    from sspcloud_magics.databases import discovery  # noqa: PLC0415 - at first use

    return discovery.database_table(discovery.databases(current_cluster(namespace), namespace))


def forward(
    target: str,
    *ports: str | int,
    namespace: str | None = None,
    address: str = "localhost",
    timeout: float = 30.0,
) -> Forward:
    """Open a local port that leads to a pod, a service, a deployment or a statefulset.

    Returns when the port listens and one dial to the target has succeeded. The forward heals by itself
    when its pod is replaced, and ends with the process, with `Forward.stop`, or with its ``with`` block.

    Parameters
    ----------
    target
        ``NAME``, ``KIND/NAME`` or ``NAMESPACE/KIND/NAME``; the beginning of a name is enough where one
        thing only has it.
    ports
        ``REMOTE``, ``LOCAL:REMOTE`` or ``:REMOTE``, REMOTE being a number or a port's name. A LOCAL that is
        written is used or refused; without one the same number is taken where it is free. Without any
        port, the only one that the target has.
    namespace
        Where the target is, if its text does not say; one's own where it is None.
    address
        Where to listen: ``localhost`` is both loopback families.
    timeout
        How long to wait for the first dial, in seconds.

    Returns
    -------
    Forward
        Live: its state, local ports and counters.

    Raises
    ------
    UsageProblem
        If the target or a port is not of that form.
    TargetNotFound, AmbiguousTarget, PortNotFound, PodNotReady
        If the target is not there, not unique, without that port, or not ready.
    PortTaken
        If something listens on the local port that was written.
    DialFailed, TunnelLost, Forbidden
        If nothing answers there, or one may not.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> api = ssp.forward("mon-api-abcdef-12345", "1500:8000")  # doctest: +SKIP
    """
    wanted = _in_namespace(parse_target(target), namespace)
    asked = [parse_port(port) for port in ports]
    from sspcloud_magics.cluster import resolve  # noqa: PLC0415 - at first use

    cluster = current_cluster(wanted.namespace)
    found = resolve.resolve(cluster, wanted)
    checked = [_numbered(port, found) for port in resolve.check_ports(found, asked)]
    return _manager().forward(cluster, found.target, checked, address=address, timeout=timeout)


def forwards() -> pd.DataFrame:
    """List the forwards of this process.

    Returns
    -------
    DataFrame
        One row a forward: its state, where it listens, where it leads, and what it has carried.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> len(ssp.forwards())
    0
    """
    from sspcloud_magics.forwards.table import forward_table  # noqa: PLC0415 - at first use

    return forward_table(open_forwards())


def unforward(which: str | int | None = None, *, everything: bool = False) -> list[Forward]:
    """Stop forwards.

    Parameters
    ----------
    which
        A local port, or a target as it was given to `forward`; the beginning of its name is enough where
        one target only has it.
    everything
        Stop all of them instead.

    Returns
    -------
    list of Forward
        Those that were stopped.

    Raises
    ------
    TargetNotFound
        If no forward is like that.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.unforward(everything=True)
    []
    """
    there = open_forwards()
    if everything == (which is not None):
        raise UsageProblem(
            "Say which forward to stop, or all of them, and not both.",
            mend=_open_words(there) or "no forward is open",
        )
    chosen = there if everything else _matching(there, str(which))
    for each in chosen:
        each.stop()
    return chosen


def connect_db(
    name: str,
    *,
    namespace: str | None = None,
    user: str | None = None,
    database: str | None = None,
    url: Secret | None = None,
    ask_password: Callable[[str], str] | None = None,
    timeout: float = 30.0,
) -> DatabaseConnection:
    """Connect to a database, and make it the one that `query_db` asks.

    A forward is opened to it, and the credentials are read from the cluster: one's own for one's own
    database, those that were made for oneself where it is a colleague's. A connection to another database,
    or as another user, stays open; one that was made in the same way is replaced.

    Parameters
    ----------
    name
        The database: ``NAME``, or ``NAMESPACE/NAME`` for a colleague's.
    namespace
        Where it is, if `name` does not say; one's own where it is None.
    user
        The user to connect as, where no secret can be read; `ask_password` is then asked.
    database
        The database inside the server; what the secret says where it is None.
    url
        A libpq URL with user and password, instead of a secret of the cluster.
    ask_password
        Called with a prompt where a password is needed; nobody is asked where it is None.
    timeout
        How long to wait for the forward and for the login, in seconds each.

    Returns
    -------
    DatabaseConnection
        The connection; it shows itself without its password.

    Raises
    ------
    DatabaseNotFound, DatabaseHibernated
        If it is not there, or paused.
    CredentialsNotFound, LoginRefused
        If no password can be read, or the server refuses it.
    TargetError, ForwardError, ClusterError
        If it cannot be reached. In every case the connection of before stays the current one.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.connect_db("user-alice/postgresql-cnpg-951239")  # doctest: +SKIP
    """
    from sspcloud_magics.databases.connection import connect  # noqa: PLC0415 - at first use

    made = connect(
        current_cluster(namespace or name.rpartition("/")[0] or None),
        _manager(),
        name,
        namespace=namespace,
        user=user,
        database=database,
        url=url,
        ask_password=ask_password,
        timeout=timeout,
    )
    with _session.lock:
        again = [each for each in _session.connections if _same_login(each, made)]
        _session.connections = [each for each in _session.connections if each not in again] + [made]
    for each in again:
        each.close()
    return made


def _same_login(one: DatabaseConnection, other: DatabaseConnection) -> bool:
    return (one.database.path, one.user, one.dbname) == (other.database.path, other.user, other.dbname)


def current_connection() -> DatabaseConnection:
    """Return the connection of the moment, with its database and its forward.

    Raises
    ------
    NotConnected
        If `connect_db` has not succeeded yet.
    """
    if not _session.connections:
        raise NotConnected(
            "No database is connected.",
            mend="%connect_db NAME connects to one, and %databases lists those that there are",
        )
    return _session.connections[-1]


def connection() -> psycopg.Connection[Any]:
    """Return the connection of the moment as psycopg's, for libraries that take one.

    Returns
    -------
    psycopg.Connection
        The one that `query_db` uses, in autocommit mode.

    Raises
    ------
    NotConnected
        If `connect_db` has not succeeded yet.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.connection().execute("SELECT 1").fetchone()  # doctest: +SKIP
    (1,)
    """
    return current_connection().psycopg


def query_db(sql: str, params: Mapping[str, Any] | None = None, *, limit: int | None = None) -> Any:
    """Ask the database of the moment.

    Parameters
    ----------
    sql
        One or several statements. ``:name`` stands for a parameter, which is bound by the server and never
        pasted into the text; ``::type``, ``->>``, ``?`` and ``%`` need no escaping.
    params
        The values of the parameters, by name.
    limit
        How many rows to fetch at most; all where it is None.

    Returns
    -------
    DataFrame
        The rows of the last statement that returns rows, with the columns and types that the server
        names (`sspcloud_magics.databases.query`); where none does, what the last one did.

    Raises
    ------
    NotConnected
        If no database is connected.
    ParameterError
        If a parameter has no value, or one that cannot be bound.
    QueryFailed
        If the server refuses a statement. The connection stays usable.
    ConnectionLost
        If the server went away.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.query_db("SELECT :n + 1 AS next", {"n": 1})  # doctest: +SKIP
    """
    connected = current_connection()
    from sspcloud_magics.databases.query import query  # noqa: PLC0415 - at first use

    return query(connected, sql, {} if params is None else params, limit=limit)


# --- What a name means ----------------------------------------------------------------------------------


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


_Row = TypeVar("_Row", bound=_HasName)


def _scope(namespace: str | None, *, all_namespaces: bool) -> str | None:
    if namespace and all_namespaces:
        raise UsageProblem("One namespace and all of them: only one of the two can be meant.")
    return "*" if all_namespaces else namespace


def _named(rows: Iterable[_Row], pattern: str | None) -> list[_Row]:
    """Keep the rows whose name holds the text, or matches it as a glob."""
    if not pattern:
        return list(rows)
    glob = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    return [row for row in rows if fnmatch.fnmatchcase(row.name, glob)]


def _in_namespace(target: TargetText, namespace: str | None) -> TargetText:
    if namespace is None or target.namespace == namespace:
        return target
    if target.namespace is not None:
        raise UsageProblem(
            f"The target is said to be in {target.namespace!r} and in {namespace!r}.",
            mend=f"write {target} alone, or its name with the namespace beside it",
        )
    return replace(target, namespace=namespace)


def _numbered(port: PortText, found: ResolvedTarget) -> PortText:
    """Return the port by its number where the target says which it is: the same local port is tried then."""
    numbers = [known.number for known in found.ports if known.name == port.remote]
    return replace(port, remote=numbers[0]) if numbers else port


def _matching(there: list[Forward], which: str) -> list[Forward]:
    """Return the forwards that a local port or a target's text means."""
    if which.isascii() and which.isdigit():
        found = [each for each in there if int(which) in [local for local, _ in each.ports]]
    else:
        wanted = parse_target(which)
        same_place = [
            each
            for each in there
            if wanted.kind in {None, each.target.kind} and wanted.namespace in {None, each.target.namespace}
        ]
        found = [each for each in same_place if each.target.name == wanted.name]
        if not found:
            found = [each for each in same_place if each.target.name.startswith(wanted.name)]
            if len({each.target for each in found}) > 1:
                raise TargetNotFound(
                    f"{which!r} is the beginning of several targets.", mend=_open_words(found)
                )
    if not found:
        raise TargetNotFound(
            f"No forward is like {which!r}.", mend=_open_words(there) or "no forward is open"
        )
    return found


def _open_words(there: Iterable[Forward]) -> str:
    """Return one line for each forward, to choose from."""
    return "\n".join(
        f"%unforward {local}   (it leads to {each.target})" for each in there for local, _ in each.ports[:1]
    )
