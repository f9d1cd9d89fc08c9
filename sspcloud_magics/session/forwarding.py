"""Open and stop forwards: local ports that lead into the cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sspcloud_magics.cluster.workloads import resolve
from sspcloud_magics.errors import Forbidden, ForwardStopped, TargetNotFound, UsageProblem
from sspcloud_magics.forwards.sockets import UNIX, runtime_folder
from sspcloud_magics.i18n import _
from sspcloud_magics.session import recent_namespaces, session
from sspcloud_magics.share_keys import colleague_name
from sspcloud_magics.sharing.pods import IMAGE
from sspcloud_magics.sharing.relay import (
    close_relay,
    open_relay,
    parse_destination,
    remove_with_forward,
)
from sspcloud_magics.target import PortText, TargetText, parse_port, parse_target

# How long a relay waits for a destination that may be closed to it, in seconds. A connection inside a cluster takes
# milliseconds, and a lost packet is sent again after one second; a network policy drops packets without an answer.
_CONNECT_SECONDS = 3
# The relay starts a process for the connection, and its end travels back: more than a second on a busy node.
_MARGIN_SECONDS = 4.0

if TYPE_CHECKING:
    from sspcloud_magics.cluster.workloads.resolve import ResolvedTarget
    from sspcloud_magics.forwards import Forward


def forward(
    target: str,
    *ports: str | int,
    namespace: str | None = None,
    address: str = "localhost",
    unix: bool = False,
    timeout: float = 30.0,
) -> Forward:
    """Open a local port that leads to a pod, a service, or a workload such as a deployment or a job.

    Returns once the port listens and a first dial to the target has succeeded. The forward reconnects
    automatically when its pod is replaced, and ends with the process, `Forward.stop`, or its ``with`` block. For a colleague's
    service to which you may not forward, a relay of yours is tried, in case its network is open to you.

    Parameters
    ----------
    target
        ``NAME``, ``KIND/NAME`` or ``NAMESPACE/KIND/NAME``; a unique prefix of the name is enough.
    ports
        ``REMOTE``, ``LOCAL:REMOTE`` or ``:REMOTE``, where REMOTE is a number or a port's name. A port that you
        choose as LOCAL is used or refused; without LOCAL, the same number is used if it is free. Without any
        port, the target's only one.
    namespace
        The target's namespace, if `target` does not name it; yours if None.
    address
        The address to listen on: ``localhost`` means both loopback families.
    unix
        Listen on a Unix socket instead of a port, in a directory that no other user may enter: for shared
        hosts. `Forward.sockets` has its path; for libpq, `Forward.address` is the ``host`` and
        `Forward.local_port` the ``port``. An aborted transfer looks like its end there, since a Unix socket
        cannot be reset: the protocol must detect it, as PostgreSQL's does.
    timeout
        How long to wait for the first dial, in seconds.

    Returns
    -------
    Forward
        A live object: its state, local ports and counters.

    Raises
    ------
    UsageProblem
        If the target or a port does not have that form, or `unix` is used with an address or on Windows.
    TargetNotFound, AmbiguousTarget, PortNotFound, PodNotReady
        If the target does not exist, is not unique, lacks that port, or is not ready.
    PortTaken
        If another program listens on the local port that you chose.
    DialFailed, TunnelLost, Forbidden
        If nothing answers there, or you may not forward.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> api = ssp.forward("mon-api-abcdef-12345", "1500:8000")  # doctest: +SKIP
    """
    wanted = _in_namespace(parse_target(target), namespace)
    asked = [parse_port(port) for port in ports]
    # Read both now: if `close` runs in between, a later call would create a new manager.
    cluster, manager = session.current_cluster(wanted.namespace), session.manager()
    try:
        found = resolve.resolve(cluster, wanted)
    except Forbidden as refusal:
        if wanted.kind != "service" or wanted.namespace in (None, cluster.namespace):
            raise
        return _forward_by_network(refusal, wanted, asked, address=address, unix=unix)
    checked = [_number_port(port, found) for port in resolve.check_ports(found, asked)]
    opened = manager.forward(
        cluster, found.target, checked, address=_where(address, unix=unix), timeout=timeout
    )
    recent_namespaces.remember_namespace(cluster, opened.target.namespace)
    return opened


def _forward_by_network(
    refusal: Forbidden, target: TargetText, ports: Sequence[PortText], *, address: str, unix: bool
) -> Forward:
    """Open a forward to a colleague's service through a relay of yours, or raise the refusal of the forward to its pods."""
    me = colleague_name(session.current_cluster().namespace)
    ask = _("ask its owner to share it with you: %share svc/{name} --with {me}", name=target.name, me=me)
    if len(ports) != 1 or not isinstance(ports[0].remote, int):
        hint = _(
            "%forward {target} PORT   with the number of its port, if it is shared with you", target=target
        )
        raise Forbidden(refusal.what, why=refusal.why, hint=f"{hint}\n{ask}")
    [port] = ports
    host = f"{target.name}.{target.namespace}.svc"
    destination = f"{host}:{port.remote}"
    opened = _open_through_relay(
        host, int(port.remote), port.local, where=_where(address, unix=unix), connect_timeout=_CONNECT_SECONDS
    )
    if not _is_cut(opened):
        return opened
    opened.stop()
    raise Forbidden(
        refusal.what,
        why=_(
            "Its network is not open to you either: {destination} does not answer your relay.",
            destination=destination,
        ),
        hint=ask,
    )


def _is_cut(opened: Forward) -> bool:
    """Whether a connection ends without an answer, as that of a relay does which cannot reach its destination."""
    unix = bool(opened.sockets)
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as connection:
        connection.settimeout(_CONNECT_SECONDS + _MARGIN_SECONDS)
        try:
            connection.connect(opened.sockets[0] if unix else ("127.0.0.1", opened.local_port))
            return not connection.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True


def _where(address: str, *, unix: bool) -> str:
    """Return the address in the form that the manager expects."""
    if not unix:
        return address
    if address != "localhost":
        raise UsageProblem(
            _("A forward listens on an address or on a Unix socket, not on both."),
            hint=_("leave out --address or --unix"),
        )
    runtime_folder()  # raises on systems without Unix sockets
    return UNIX


def forward_through_relay(
    destination: str,
    *ports: str | int,
    address: str = "localhost",
    unix: bool = False,
    image: str | None = None,
    timeout: float = 60.0,
    progress: Callable[[str], None] = lambda _unused: None,
) -> Forward:
    """Open a local port that leads to any host and port that pods of your namespace can reach.

    A small pod in your namespace relays the bytes (``socat``, as in the course). It is removed when the forward
    stops, and after twelve hours at the latest.

    Parameters
    ----------
    destination
        ``HOST:PORT``, such as a colleague's service by its DNS name.
    ports
        At most one local port; without it, the same number as the destination's if it is free.
    address
        The address to listen on: ``localhost`` means both loopback families.
    unix
        Listen on a Unix socket instead of a port, as `forward` does.
    image
        The relay's image, whose entry point must be socat, if the cluster cannot pull ``alpine/socat``; the one of
        `configure_relay` if None.
    timeout
        How long to wait for the pod, and for the first dial, in seconds each.
    progress
        Called with a description of each step.

    Returns
    -------
    Forward
        A live object: its state, local ports and counters.

    Raises
    ------
    UsageProblem
        If the destination or a port does not have that form.
    Forbidden
        If you may not create pods in your namespace.
    PodNotReady
        If the pod does not become ready; says why.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.forward_through_relay("db-rw.user-alice.svc.cluster.local:5432")  # doctest: +SKIP
    """
    where = _where(address, unix=unix)
    host, port = parse_destination(destination)
    local = [parse_port(each) for each in ports]
    if len(local) > 1 or any(not isinstance(each.remote, int) or each.local is not None for each in local):
        raise UsageProblem(_("A relay leads to one port."), hint="%forward --relay HOST:PORT LOCAL")
    written = int(local[0].remote) if local else None
    return _open_through_relay(
        host, port, written, where=where, image=image, timeout=timeout, progress=progress
    )


def _open_through_relay(
    host: str,
    port: int,
    local: int | None,
    *,
    where: str,
    image: str | None = None,
    timeout: float = 60.0,
    connect_timeout: int = 0,
    progress: Callable[[str], None] = lambda _unused: None,
) -> Forward:
    cluster, manager = session.current_cluster(), session.manager()
    chosen = image or session.session.relay_image or IMAGE
    relay = open_relay(
        cluster,
        host,
        port,
        image=chosen,
        timeout=timeout,
        connect_timeout=connect_timeout,
        progress=progress,
    )
    remove_with_forward(manager, cluster, relay)
    wanted = [PortText(relay.port, local)]
    try:
        opened = manager.forward(cluster, relay.pod, wanted, address=where, timeout=timeout)
    except BaseException:
        close_relay(cluster, relay)
        raise
    opened.destination = f"{host}:{port}"
    return opened


def unforward(which: str | int | None = None, *, everything: bool = False) -> list[Forward]:
    """Stop forwards.

    Parameters
    ----------
    which
        A local port, the path of a Unix socket, or a target as given to `forward`; a unique prefix of its name
        is enough.
    everything
        Stop all forwards instead.

    Returns
    -------
    list of Forward
        The stopped forwards.

    Raises
    ------
    TargetNotFound
        If no forward matches.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.unforward(everything=True)
    []
    """
    opened = session.open_forwards()
    if everything == (which is not None):
        raise UsageProblem(
            _("Name the forward to stop, or stop all of them, not both."),
            hint=_list_commands(opened) or _("no forward is open"),
        )
    if everything:
        if opened:
            session.manager().stop_all()
        return opened
    chosen = _match_forwards(opened, str(which))
    for each in chosen:
        each.stop()
    return chosen


def restart_forward(forward: Forward, *, timeout: float = 30.0) -> Forward:
    """Stop a forward, and open it again on the same local ports.

    Parameters
    ----------
    forward
        One of the open forwards, in any state; its connections end.
    timeout
        How long to wait for the first dial, in seconds.

    Returns
    -------
    Forward
        The new one, active.

    Raises
    ------
    ForwardStopped
        If it is no longer one of the open forwards.
    ForwardError, TargetError, ClusterError
        If it cannot be opened again; it is closed then.

    Examples
    --------
    >>> from sspcloud_magics import session
    >>> session.restart_forward(session.open_forwards()[0])  # doctest: +SKIP
    """
    manager = session.manager()
    if all(each is not forward for each in manager.forwards()):
        raise ForwardStopped(
            _("The forward to {target} is no longer open.", target=forward.target),
            hint=_("repeat the %forward line that opened it"),
        )
    return manager.restart(forward, timeout=timeout)


def _in_namespace(target: TargetText, namespace: str | None) -> TargetText:
    if namespace is None or target.namespace == namespace:
        return target
    if target.namespace is not None:
        raise UsageProblem(
            _(
                "The target names the namespace {namespace!r}, but -n names {option!r}.",
                namespace=target.namespace,
                option=namespace,
            ),
            hint=_("write {target} without -n, or only its name with -n", target=target),
        )
    return replace(target, namespace=namespace)


def _number_port(port: PortText, found: ResolvedTarget) -> PortText:
    """Add the number of a named port, if the target declares it."""
    numbers = [known.number for known in found.ports if known.name == port.remote and known.protocol == "TCP"]
    return replace(port, number=numbers[0]) if numbers else port


def _match_forwards(opened: list[Forward], which: str) -> list[Forward]:
    """Return the forwards that match a local port, a socket's path, or a target."""
    if which.isascii() and which.isdigit():
        found = [
            each
            for each in opened
            if not each.sockets and int(which) in [local for local, _unused in each.ports]
        ]
    elif which.startswith("/"):
        found = [each for each in opened if which in (*each.sockets, each.address)]
    else:
        wanted = parse_target(which)
        same_place = [
            each
            for each in opened
            if wanted.kind in {None, each.target.kind} and wanted.namespace in {None, each.target.namespace}
        ]
        found = [each for each in same_place if each.target.name == wanted.name]
        if not found:
            found = [each for each in same_place if each.target.name.startswith(wanted.name)]
            if len({each.target for each in found}) > 1:
                raise TargetNotFound(
                    _("{which!r} matches several targets.", which=which), hint=_list_commands(found)
                )
    if not found:
        raise TargetNotFound(
            _("No forward matches {which!r}.", which=which),
            hint=_list_commands(opened) or _("no forward is open"),
        )
    return found


def _list_commands(opened: Iterable[Forward]) -> str:
    """Return the command that stops each forward, one a line."""
    return "\n".join(
        _("%unforward {where}   (it leads to {target})", where=where, target=each.target)
        for each in opened
        for where in (each.sockets or [local for local, _unused in each.ports])[:1]
    )
