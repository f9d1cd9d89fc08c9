"""Detection of a closed peer: whether a local client has closed its socket, or only its writing side.

TCP signals both the same way, as an end of data. After `close`, no program will read the reply, and the server can
be told at once. After `shutdown(SHUT_WR)` the client awaits a reply, which containerd would cut if it were told.
Linux can tell them apart: the peer's socket is in the same kernel, and has inode 0 once no process holds it.
Elsewhere, or if the kernel does not say, the answer is None, and a timeout decides.

Source: sock_diag(7), ``struct inet_diag_req_v2`` and ``struct inet_diag_msg``.
"""

from __future__ import annotations

import errno
import ipaddress
import select
import socket
import struct
import sys
from typing import Any

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_REQUEST = 1
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_INODE_OFFSET = _HEADER.size + 68


class PeerProbe:
    """Asks the kernel about peers; stops asking if the kernel lacks the facility."""

    def __init__(self) -> None:
        # The socket to the kernel, opened with the first question.
        self._netlink: socket.socket | None = None
        # The sequence number of the last request.
        self._number = 0
        # Whether the kernel has the facility; None until it was tried.
        self._works: bool | None = None if sys.platform == "linux" else False

    def has_closed(self, sock: socket.socket) -> bool | None:
        """Return whether no program holds the other end of `sock` any more; None if that is unknown."""
        if self._works is False:
            return None
        try:
            here, there = sock.getsockname(), sock.getpeername()
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                return _has_hung_up(sock) if sock.family == socket.AF_UNIX else None
            if self._works is None:
                # A kernel without the facility reports "no such socket" for every socket.
                self._works = bool(self._inode(sock.family, here, there))
                if not self._works:
                    return None
            inode = self._inode(sock.family, there, here)
        except OSError as error:
            # A client that closes with data unread resets its connection.
            return True if error.errno == errno.ENOTCONN else None
        if inode is None:
            # Any other address may be another machine's, whose sockets this kernel does not know.
            loopback = ipaddress.ip_address(there[0].partition("%")[0]).is_loopback
            return True if loopback else None
        return inode == 0

    def close(self) -> None:
        """Close the socket to the kernel."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _inode(self, family: socket.AddressFamily, source: Any, target: Any) -> int | None:
        """Return the inode of the socket from `source` to `target`; None if there is no such socket."""
        if self._netlink is None:
            self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
            self._netlink.setblocking(False)  # the kernel answers before `send` returns
        body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES)
        body += struct.pack("!HH", source[1], target[1])
        for address in (source[0], target[0]):
            body += socket.inet_pton(family, address.partition("%")[0]).ljust(16, b"\0")
        body += struct.pack("=III", 0, _NO_COOKIE, _NO_COOKIE)
        self._number = (self._number + 1) & 0xFFFFFFFF
        header = (_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST, self._number, 0)
        self._netlink.send(_HEADER.pack(*header) + body)
        number = None
        while number != self._number:  # skip the answer of an earlier request that failed half-way
            answer = self._netlink.recv(4096)
            _, kind, _, number, _ = _HEADER.unpack_from(answer)
        if kind == _NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", answer, _HEADER.size)
            if -code == errno.ENOENT:
                return None
            raise OSError(-code, "sock_diag")
        inode: int = struct.unpack_from("=I", answer, _INODE_OFFSET)[0]
        return inode


def _has_hung_up(sock: socket.socket) -> bool:
    """Return whether the other end of a Unix socket is closed; Linux tells this from a shut-down writing side."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))
