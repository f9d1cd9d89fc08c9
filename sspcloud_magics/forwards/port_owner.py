"""The owner of a local port.

The quickest remedy for a taken port is to know its owner: another notebook of the same user, or a program with a name
and a pid. The system shows ordinary users only their own processes, and macOS only their own sockets. If it does not
report the owner, none is guessed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import psutil

from sspcloud_magics.forwards.helper import MODULE
from sspcloud_magics.i18n import _


@dataclass(frozen=True, slots=True)
class PortOwner:
    """A process that listens on a port."""

    pid: int
    name: str  # its name, such as ``postgres``
    notebook: str = ""  # the file name of its notebook; empty if it has none
    is_helper: bool = False  # whether it is the helper process of a kernel or a script
    is_mine: bool = True  # whether it runs as this user; only the administrator sees the others

    def __str__(self) -> str:
        if self.pid == os.getpid():
            return _("this kernel itself, but not by a forward (process {pid})", pid=self.pid)
        if not self.is_mine:
            return _("{name} of another user (process {pid})", name=self.name, pid=self.pid)
        if self.is_helper and self.notebook:
            return _("a forward of the notebook {notebook}", notebook=self.notebook)
        if self.is_helper:
            return _("a forward of another kernel or script of yours (process {pid})", pid=self.pid)
        if self.notebook:
            return _(
                "{name} (process {pid}, started in the notebook {notebook})",
                name=self.name,
                pid=self.pid,
                notebook=self.notebook,
            )
        return _("{name} (process {pid})", name=self.name, pid=self.pid)


def find_port_owner(port: int) -> PortOwner | None:
    """Return the process that listens on a local TCP port; None if the system does not report it."""
    pid = next(_listeners(port), None)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        name = process.name()
        is_mine = process.username() == psutil.Process().username()
    except psutil.Error:
        return None
    if not is_mine:  # the name of a notebook is its user's
        return PortOwner(pid, name, is_mine=False)
    command: list[str] = []
    notebook = ""
    # The process may belong to another user, or have just ended.
    with contextlib.suppress(psutil.Error, OSError):
        command = process.cmdline()
        notebook = PurePath(process.environ().get("JPY_SESSION_NAME", "")).name
    return PortOwner(pid, name, notebook, is_helper=any(MODULE in part for part in command))


def _listeners(port: int) -> Iterator[int]:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:  # macOS, for an ordinary user
        yield from _listeners_of_mine(port)
        return
    except (psutil.Error, OSError):  # a /proc that is hidden, as in some containers
        return
    for connection in connections:
        if connection.pid and _listens_on(port, connection.status, connection.laddr):
            yield connection.pid


def _listeners_of_mine(port: int) -> Iterator[int]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            for connection in process.net_connections("tcp"):
                if _listens_on(port, connection.status, connection.laddr):
                    yield process.pid


def _listens_on(port: int, status: str, local: tuple[Any, ...]) -> bool:
    return status == psutil.CONN_LISTEN and local[1:2] == (port,)
