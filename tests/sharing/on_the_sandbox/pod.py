"""Real kernels in a pod's place: network and mount namespaces of Linux, where this machine allows them."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.sharing.on_the_sandbox import pod_kernel
from tests.sharing.on_the_sandbox.notebook import ADDRESS, PORT
from tests.testbed import Sandbox

_UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount")


def why_not() -> str:
    """Return why this machine allows no namespaces; empty if it does."""
    if shutil.which("unshare") is None:
        return "there is no unshare: not Linux"
    tried = subprocess.run(
        [*_UNSHARE, "mount", "-t", "tmpfs", "none", "/run"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip() if tried.returncode else ""


def run_in_a_pod(sandbox: Sandbox, account: Path, server: str, name: str, cells: list[str]) -> str:
    """Run cells in a kernel in a pod's place, and return its output.

    Parameters
    ----------
    sandbox
        Where.
    account
        The directory that `notebook.identity` has filled.
    server
        The API server, ``https://HOST:PORT``.
    name
        The full name of the service, to which `notebook.place_in_network` lets an address lead.
    cells
        What to run.
    """
    address = server.removeprefix("https://")
    host, _, port = address.rpartition(":")
    mine, theirs = socket.socketpair()
    environment = sandbox.env() | {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    del environment["KUBECONFIG"]
    process = subprocess.Popen(
        [*_UNSHARE, sys.executable, pod_kernel.__file__, str(theirs.fileno()), account, address, ADDRESS, str(PORT), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        pass_fds=[theirs.fileno()],
    )  # fmt: skip
    theirs.close()
    with mine, process:
        _, handed, _, _ = socket.recv_fds(mine, 1, 2)
        assert handed, process.communicate()[0].decode()
        to_server, to_service = handed
        with lead_connections(to_server, (host, int(port))), lead_connections(to_service, (ADDRESS, PORT)):
            try:
                shown, _ = process.communicate(json.dumps(cells).encode(), timeout=120)
            finally:
                process.kill()
    return shown.decode()


@contextlib.contextmanager
def lead_connections(descriptor: int, there: tuple[str, int]) -> Iterator[None]:
    """Let the connections that a listening socket of the pod takes lead to an address of this machine."""
    listening = socket.socket(fileno=descriptor)
    joined: list[threading.Thread] = []
    open_sockets: list[socket.socket] = [listening]

    def accept() -> None:
        with contextlib.suppress(OSError):  # it is shut down in the end
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(there, 30)
                far.settimeout(None)
                open_sockets.extend((near, far))
                for pair in ((near, far), (far, near)):
                    joined.append(threading.Thread(target=_copy, args=pair))
                    joined[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield
    finally:
        _shut(listening)
        accepting.join()
        for each in open_sockets:
            _shut(each)
        for thread in joined:
            thread.join()
        for each in open_sockets:
            each.close()


def _copy(near: socket.socket, far: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := near.recv(65536):
            far.sendall(data)
    with contextlib.suppress(OSError):
        far.shutdown(socket.SHUT_WR)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
