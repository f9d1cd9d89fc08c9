"""Who holds a local port.

A port that is taken is mended most quickly by knowing by whom: another notebook of the same user, or
a program with a name and a number. The system tells an ordinary user about their own processes only
(macOS: about nobody else's sockets at all); where it does not tell, nothing is guessed.
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


@dataclass(frozen=True, slots=True)
class PortOwner:
    """A process that listens on a port.

    Parameters
    ----------
    pid
        Its number.
    name
        Its name, such as ``postgres``.
    notebook
        The file name of the notebook that it belongs to; empty where there is none.
    is_helper
        Whether it is the helper process of a kernel or a script.
    """

    pid: int
    name: str
    notebook: str = ""
    is_helper: bool = False

    def __str__(self) -> str:
        if self.pid == os.getpid():
            return f"this kernel itself, outside of its forwards (process {self.pid})"
        if self.is_helper and self.notebook:
            return f"a forward of the notebook {self.notebook}"
        if self.is_helper:
            return f"a forward of another kernel or script of yours (process {self.pid})"
        started = f", started in the notebook {self.notebook}" if self.notebook else ""
        return f"{self.name} (process {self.pid}{started})"


def find_holder(port: int) -> PortOwner | None:
    """Return the process that listens on a local TCP port, or None where the system does not tell."""
    pid = next(_listeners(port), None)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        name = process.name()
    except psutil.Error:
        return None
    command: list[str] = []
    notebook = ""
    # The environment of somebody else's process, or of one that ends at this moment.
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
