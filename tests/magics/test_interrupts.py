"""An interrupt in the middle of a transfer: all forwards, and other connections' transfers, continue."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest

from tests.magics.test_kernel import SECONDS, Kernel, run_kernel
from tests.testbed import Sandbox, Testbed

pytestmark = pytest.mark.slow

MIB = 1 << 20
PATTERN = random.Random(7).randbytes(8 * MIB)
BLOCK = 64 * 1024
# What the cells call. A transfer has one block at most on its way, so that what is missing is known.
TRAFFIC = f"""
import dataclasses, json, random, socket, time

def _exchange(port, blocks):
    with socket.create_connection(("127.0.0.1", port)) as link:
        for number in blocks:
            block = random.randbytes({BLOCK})
            link.sendall(block)
            back = b""
            while len(back) < len(block):
                back += link.recv(len(block))
            assert back == block
            yield number

def endless(port):
    for number in _exchange(port, iter(int, 1)):
        print("flow" + "ing", flush=True)

def some(port):
    print("exchanged", sum(1 for _ in _exchange(port, range(16))), flush=True)

def count(*forwards):
    while any(each.counters.open_connections for each in forwards):
        time.sleep(0)
    facts = [dict(state=each.state, port=each.local_port, **dataclasses.asdict(each.counters)) for each in forwards]
    print("co" + "unted" + json.dumps(facts) + "end", flush=True)
"""


class Shell(Protocol):
    """The place that a user types into: a cell of JupyterLab, or a terminal."""

    def type(self, line: str) -> None:
        """Run a line, without waiting for its end."""

    def wait_for(self, text: str) -> str:
        """Return the output since the last call, up to and including that text."""

    def interrupt(self) -> None:
        """Interrupt the cell, by the button or by Ctrl-C."""

    @property
    def process(self) -> psutil.Process:
        """The process that runs the lines."""


class Lab:
    """A kernel, as JupyterLab runs it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._shown = ""

    @property
    def process(self) -> psutil.Process:
        return self._kernel.process

    def type(self, line: str) -> None:
        self._kernel.begin(line, stop_on_error=False)

    def wait_for(self, text: str) -> str:
        while text not in self._shown:
            try:
                message = self._kernel.next_output()
            except queue.Empty:
                pytest.fail(f"{text!r} did not come, only {self._shown!r}")
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                self._shown += content["text"]
            elif kind == "error":
                self._shown += "\n".join(content["traceback"])
        seen, self._shown = _up_to(self._shown, text)
        return seen

    def interrupt(self) -> None:
        self._kernel.manager.interrupt_kernel()


class Terminal:
    """IPython in a terminal of its own, where Ctrl-C signals everything in the foreground."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self.process = psutil.Process(process.pid)
        self._shown = ""
        self._more = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # how a terminal says that its program has ended
            while data := os.read(self._master, 65536):
                with self._more:
                    self._shown += data.decode(errors="replace")
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def wait_for(self, text: str) -> str:
        with self._more:
            self._more.wait_for(lambda: text in self._shown or self._ended, SECONDS)
            assert text in self._shown, self._shown
            seen, self._shown = _up_to(self._shown, text)
        return seen

    def interrupt(self) -> None:
        os.write(self._master, b"\x03")

    def join(self) -> None:
        self._thread.join()


def _up_to(shown: str, text: str) -> tuple[str, str]:
    end = shown.index(text) + len(text)
    return shown[:end], shown[end:]


@contextlib.contextmanager
def lab(sandbox: Sandbox, folder: Path) -> Iterator[Lab]:
    with run_kernel(sandbox, "alice", folder) as kernel:
        yield Lab(kernel)


@contextlib.contextmanager
def terminal(sandbox: Sandbox, folder: Path) -> Iterator[Terminal]:
    pty = pytest.importorskip("pty", reason="Windows has no such terminals")
    own = {"IPYTHONDIR": str(folder), "XDG_STATE_HOME": str(folder), "HOME": str(folder), "TERM": "dumb"}
    arguments = ["-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit", "--colors=NoColor"]
    begin = f"import os, sys; os.login_tty(0); os.execv(sys.executable, [sys.executable, *{arguments!r}])"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", begin],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=sandbox.env("alice") | own,
        cwd=folder,
    )
    os.close(slave)
    shell = Terminal(master, process)
    try:
        yield shell
    finally:
        process.kill()
        process.wait()
        shell.join()
        os.close(master)


def receive(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (piece := client.recv(size - len(data))):
        data += piece
    return bytes(data)


def _count(shell: Shell) -> list[dict[str, Any]]:
    shell.type("count(echo, source)")
    shell.wait_for("counted")
    facts: list[dict[str, Any]] = json.loads(shell.wait_for("end").removesuffix("end"))
    return facts


@pytest.mark.parametrize("kind", [lab, terminal])
def test_interrupt_leaves_forwards_and_transfers(
    kind: Callable[[Sandbox, Path], contextlib.AbstractContextManager[Shell]],
    sandbox: Sandbox,
    testbed: Testbed,
    tmp_path: Path,
) -> None:
    (tmp_path / "traffic.py").write_text(TRAFFIC)
    with contextlib.ExitStack() as stack:
        shell = stack.enter_context(kind(sandbox, tmp_path))
        shell.type("%load_ext sspcloud_magics")
        shell.type("from traffic import count, endless, some")
        shell.type(f"echo = %forward pod/{testbed.echo.pod} :{testbed.echo.port}")
        shell.type(f"source = %forward pod/{testbed.source.pod} :{testbed.source.port}")
        before = _count(shell)
        echo, source = [
            stack.enter_context(socket.create_connection(("127.0.0.1", each["port"]), SECONDS))
            for each in before
        ]
        children = shell.process.children()
        (helper,) = [each for each in children if "sspcloud_magics.tunnel" in " ".join(each.cmdline())]

        # Another connection is in the middle of a transfer, in both directions, and reads slowly.
        sender = threading.Thread(target=echo.sendall, args=(PATTERN,))
        sender.start()
        stack.callback(sender.join)
        begun = receive(echo, 1000)
        source.sendall(b"%d\n" % len(PATTERN))
        assert receive(source, 1) == b"\0"

        for _ in range(2):
            shell.type(f"endless({before[0]['port']})")
            shell.wait_for("flowing")
            shell.interrupt()
            shell.wait_for("KeyboardInterrupt")
            # The cell that was cut is over, and the next has a whole transfer on the same forward.
            shell.type(f"some({before[0]['port']})")
            shell.wait_for("exchanged 16")

        assert begun + receive(echo, len(PATTERN) - 1000) == PATTERN
        assert receive(source, len(PATTERN)) == bytes(len(PATTERN) - 1)
        assert source.recv(1) == b""
        echo.close()
        source.close()
        assert helper.is_running()
        for was, each in zip(before, _count(shell), strict=True):
            assert (each["state"], each["port"]) == ("active", was["port"])
            assert (each["failed_connections"], each["reconnects"], each["last_error"]) == (0, 0, "")
            if each["port"] == before[0]["port"]:
                exchanged = len(PATTERN) + 2 * (16 + 1) * BLOCK
                assert each["connections"] == 1 + 2 * 2
                assert each["received"] >= exchanged
                assert 0 <= each["sent"] - each["received"] <= 2 * BLOCK
            else:
                said = len(b"%d\n" % len(PATTERN))
                assert (each["connections"], each["sent"], each["received"]) == (1, said, len(PATTERN))
