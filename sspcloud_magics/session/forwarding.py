"""Local ports that lead into the cluster: opening, listing and stopping them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from sspcloud_magics.cluster.workloads import resolve
from sspcloud_magics.errors import ForwardStopped, TargetNotFound, UsageProblem
from sspcloud_magics.forwards.sockets import UNIX, runtime_folder
from sspcloud_magics.session import recent_namespaces, session
from sspcloud_magics.sharing.pods import IMAGE
from sspcloud_magics.sharing.relay import (
    close_relay,
    end_with_its_forward,
    open_relay,
    parse_destination,
)
from sspcloud_magics.target import PortText, TargetText, parse_port, parse_target

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
    unix
        Listen on a Unix socket instead of a port, in a directory that no other user may enter: for hosts
        that are shared. `Forward.sockets` has its path; for libpq, `Forward.address` is the ``host`` and
        `Forward.local_port` the ``port``. A transfer that is cut looks like an end there, since a Unix
        socket cannot be reset: the protocol has to tell, as PostgreSQL's does.
    timeout
        How long to wait for the first dial, in seconds.

    Returns
    -------
    Forward
        Live: its state, local ports and counters.

    Raises
    ------
    UsageProblem
        If the target or a port is not of that form, or `unix` is asked for together with an address or
        on Windows.
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
    # Both now: asked for after `close`, which may come meanwhile, the manager would be another.
    cluster, manager = session.current_cluster(wanted.namespace), session.manager()
    found = resolve.resolve(cluster, wanted)
    checked = [_number_port(port, found) for port in resolve.check_ports(found, asked)]
    opened = manager.forward(
        cluster, found.target, checked, address=_where(address, unix=unix), timeout=timeout
    )
    recent_namespaces.remember_namespace(cluster, opened.target.namespace)
    return opened


def _where(address: str, *, unix: bool) -> str:
    """Return where a forward listens, as the manager is told."""
    if not unix:
        return address
    if address != "localhost":
        raise UsageProblem(
            "A forward listens on an address or on a Unix socket, and not on both.",
            hint="leave --address or --unix out",
        )
    runtime_folder()  # refuses where there are none
    return UNIX


def forward_through_relay(
    destination: str,
    *ports: str | int,
    address: str = "localhost",
    unix: bool = False,
    image: str | None = None,
    timeout: float = 60.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Forward:
    """Open a local port that leads to any host and port which pods of one's own namespace can reach.

    A small pod in one's own namespace relays (``socat``, as in the course). It is removed when the forward
    stops, and ends by itself after twelve hours at the latest.

    Parameters
    ----------
    destination
        ``HOST:PORT``, such as a colleague's service by its name in the cluster.
    ports
        At most one local port; the same number as the destination's where it is free if there is none.
    address
        Where to listen: ``localhost`` is both loopback families.
    unix
        Listen on a Unix socket instead of a port, as `forward` does.
    image
        The relay's image, whose entry point must be socat, where the cluster does not get ``alpine/socat``; what
        `configure_relay` said where it is None.
    timeout
        How long to wait for the pod, and for the first dial, in seconds each.
    progress
        Is told what is waited for.

    Returns
    -------
    Forward
        Live: its state, local ports and counters.

    Raises
    ------
    UsageProblem
        If the destination or a port is not of that form.
    Forbidden
        If one may not create pods in one's own namespace.
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
        raise UsageProblem("A relay leads to one port.", hint="%forward --relay HOST:PORT LOCAL")
    cluster, manager = session.current_cluster(), session.manager()
    chosen = image or session.session.relay_image or IMAGE
    relay = open_relay(cluster, host, port, image=chosen, timeout=timeout, progress=progress)
    end_with_its_forward(manager, cluster, relay)
    written = int(local[0].remote) if local else None
    wanted = [PortText(relay.port, written)]
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
        A local port, the path of a Unix socket, or a target as it was given to `forward`; the beginning of
        its name is enough where one target only has it.
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
    there = session.open_forwards()
    if everything == (which is not None):
        raise UsageProblem(
            "Say which forward to stop, or all of them, and not both.",
            hint=_open_words(there) or "no forward is open",
        )
    if everything:
        if there:
            session.manager().stop_all()
        return there
    chosen = _match_forwards(there, str(which))
    for each in chosen:
        each.stop()
    return chosen


def restart_forward(forward: Forward, *, timeout: float = 30.0) -> Forward:
    """Stop a forward, and open the same again on the same local ports.

    Parameters
    ----------
    forward
        One of `forwards`, in any state; its connections end.
    timeout
        How long to wait for the first dial, in seconds.

    Returns
    -------
    Forward
        The new one, active.

    Raises
    ------
    ForwardStopped
        If it is none of `forwards` any more.
    ForwardError, TargetError, ClusterError
        If it cannot be opened again; it is gone then.

    Examples
    --------
    >>> from sspcloud_magics import session
    >>> session.restart_forward(session.open_forwards()[0])  # doctest: +SKIP
    """
    manager = session.manager()
    if all(each is not forward for each in manager.forwards()):
        raise ForwardStopped(
            f"The forward to {forward.target} is not open any more.", hint="open it again with %forward"
        )
    return manager.restart(forward, timeout=timeout)


def _in_namespace(target: TargetText, namespace: str | None) -> TargetText:
    if namespace is None or target.namespace == namespace:
        return target
    if target.namespace is not None:
        raise UsageProblem(
            f"The target is said to be in {target.namespace!r} and in {namespace!r}.",
            hint=f"write {target} alone, or its name with the namespace beside it",
        )
    return replace(target, namespace=namespace)


def _number_port(port: PortText, found: ResolvedTarget) -> PortText:
    """Return the port with the number of its name, where the target says which that is."""
    numbers = [known.number for known in found.ports if known.name == port.remote and known.protocol == "TCP"]
    return replace(port, number=numbers[0]) if numbers else port


def _match_forwards(there: list[Forward], which: str) -> list[Forward]:
    """Return the forwards that a local port or a target's text means."""
    if which.isascii() and which.isdigit():
        found = [
            each for each in there if not each.sockets and int(which) in [local for local, _ in each.ports]
        ]
    elif which.startswith("/"):
        found = [each for each in there if which in (*each.sockets, each.address)]
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
                    f"{which!r} is the beginning of several targets.", hint=_open_words(found)
                )
    if not found:
        raise TargetNotFound(
            f"No forward is like {which!r}.", hint=_open_words(there) or "no forward is open"
        )
    return found


def _open_words(there: Iterable[Forward]) -> str:
    """Return one line for each forward, to choose from."""
    return "\n".join(
        f"%unforward {where}   (it leads to {each.target})"
        for each in there
        for where in (each.sockets or [local for local, _ in each.ports])[:1]
    )
