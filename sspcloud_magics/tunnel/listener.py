"""The local ports of a forward.

``localhost`` means the same port on both loopback families, because clients try either; a machine that lacks one
uses the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence

from sspcloud_magics.errors import PortTaken
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason

_BACKLOG = 1024
_LOCALHOST = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
# A port that is free on one loopback family may be taken on the other.
_ANY_PORT_ATTEMPTS = 20


class Listener:
    """Sockets that listen on one port number, one per address.

    Parameters
    ----------
    sockets
        The bound, listening sockets, all on the same port.
    port
        The port; for a Unix socket, the number in its name.
    on_accept
        Called with each accepted socket.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], port: int, on_accept: Callable[[socket.socket], None]
    ) -> None:
        self._sockets = sockets
        self._on_accept = on_accept
        self._loop = asyncio.get_running_loop()
        self.port = port
        for sock in sockets:
            self._loop.add_reader(sock, self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        for _connection in range(_BACKLOG):
            try:
                client, _address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                # No descriptor is left: clients stay in the backlog until some are free again.
                self._loop.remove_reader(sock)
                self._loop.call_later(0.5, self._accept_again, sock)
                return
            # A Unix socket has no such option, and not every system does.
            with contextlib.suppress(OSError):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._on_accept(client)

    def _accept_again(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._loop.add_reader(sock, self._accept, sock)

    def close(self) -> None:
        """Stop listening; the ports are free when it returns."""
        for sock in self._sockets:
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock)
                sock.close()


def bind(address: str, candidates: Sequence[int]) -> list[socket.socket]:
    """Bind the first of `candidates` that is free on `address` (0 is any free port); raise `PortTaken` if there is none."""
    problem: OSError = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    for port in candidates:
        for _attempt in range(_ANY_PORT_ATTEMPTS if port == 0 else 1):
            try:
                return _bind_port(address, port)
            except OSError as error:
                problem = error
    ports = ", ".join(str(port) for port in candidates if port)
    if problem.errno == errno.EACCES:
        why = _("Only the administrator may listen on ports below 1024.")
    elif problem.errno == errno.EADDRINUSE:
        why = _("A program already listens there.")
    else:
        why = system_reason(problem)
    raise PortTaken(
        _("The local port {ports} on {address} cannot be used.", ports=ports, address=address)
        if ports
        else _("No free local port on {address} can be used.", address=address),
        why=why,
        hint=_("choose another local port (LOCAL:REMOTE), or write :REMOTE for any free port"),
    )


def _bind_port(address: str, port: int) -> list[socket.socket]:
    if address == "localhost":
        places: Sequence[tuple[socket.AddressFamily, str]] = _LOCALHOST
    else:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        places = [(found[0][0], str(found[0][4][0]))]
    sockets: list[socket.socket] = []
    problem: OSError | None = None
    try:
        for family, place in places:
            try:
                sock = _listen(family, place, port)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                problem = error
            else:
                sockets.append(sock)
                port = sock.getsockname()[1]
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    if not sockets:
        assert problem is not None  # noqa: S101 - there is at least one place
        raise problem
    return sockets


def _listen(family: socket.AddressFamily, place: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # Reuse a port with connections in TIME_WAIT. On Windows the option would let two programs share the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((place, port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
