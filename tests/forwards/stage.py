"""Shared parts of the manager's tests: identities, a watcher, and a double of the helper."""

import gc
import itertools
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import psutil

from sspcloud_magics.access import Access
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.forwards import ForwardManager
from sspcloud_magics.forwards.helper import Helper, import_path
from sspcloud_magics.secret import Secret

DOUBLE = Path(__file__).with_name("helper_double.py")


def double(*options: str) -> Helper:
    run = f"import sys, runpy; sys.path += {import_path()!r}; runpy.run_path({str(DOUBLE)!r}, run_name='__main__')"
    return Helper([sys.executable, "-I", "-S", "-c", run, *options])


class Person:
    """An identity whose renewal the test decides."""

    def __init__(self, *renewals: str | SspcloudError) -> None:
        self.token = "old"
        self.renewals = list(renewals)
        self.asked = 0
        self.may_renew = threading.Event()
        self.may_renew.set()

    def access(self) -> Access:
        return Access(server="https://cluster.example", token=Secret(self.token))

    def renew_access(self, refused: Access | None = None) -> Access:
        assert refused == self.access()
        self.asked += 1
        self.may_renew.wait()
        renewal = self.renewals.pop(0)
        if isinstance(renewal, BaseException):
            raise renewal
        self.token = renewal
        return self.access()


class Watcher:
    """Waits until a subscriber has seen something; no clock but the test's time limit."""

    def __init__(self, manager: ForwardManager) -> None:
        self.seen: list[tuple[int, str]] = []
        self._news = threading.Condition()
        self.unsubscribe = manager.subscribe(self._note)

    def _note(self, forward) -> None:
        with self._news:
            self.seen.append((forward.id, str(forward.state)))
            self._news.notify_all()

    def wait_until(self, condition) -> None:
        with self._news:
            assert self._news.wait_for(condition, 20)

    def states(self, forward) -> list[str]:
        states = [state for number, state in self.seen if number == forward.id]
        return [state for state, _ in itertools.groupby(states)]


def connect(forward, index: int = 0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", forward.ports[index][0]), timeout=20)


def say(forward, word: bytes) -> bytes:
    """Send data through the forward, and return the answer; empty if the connection ended."""
    with connect(forward) as client:
        client.sendall(word)
        try:
            return client.recv(65536)
        except ConnectionResetError:
            return b""


def helpers() -> list[psutil.Process]:
    """Return the helper processes of this process; it may have other children, such as a sandbox."""
    marks = ("sspcloud_magics.tunnel", DOUBLE.name)
    return [
        child
        for child in psutil.Process().children()
        if any(mark in " ".join(child.cmdline()) for mark in marks)
    ]


def threads() -> list[str]:
    """Return the names of the managers' threads; other tests of this process may have left threads of theirs."""
    return [thread.name for thread in threading.enumerate() if thread.name == "sspcloud-forwards"]


def descriptors() -> int:
    """Return the number of open files and sockets of this process, after a garbage collection."""
    gc.collect()
    return psutil.Process().num_fds()


def kill(process: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


def await_end(pid: int) -> None:
    """Wait until a process that is not a child has ended; its parent may reap it late, or never."""
    try:
        process = psutil.Process(pid)
        process.wait(10)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        assert process.status() == psutil.STATUS_ZOMBIE
