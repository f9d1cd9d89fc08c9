"""A kernel in a pod's place: with a network and a file system of its own, by namespaces of Linux.

Run as a program by `tests.sharing.on_the_sandbox.pod.run_in_a_pod`, in namespaces that are new and empty: here is no way
out but the addresses whose listening sockets are handed to the tests, which let them lead where a pod's connections
go. The service account is mounted where Kubernetes mounts it, and ``/etc/hosts`` knows the one name that the tests ask for. Nothing of the
product is replaced.

The standard input holds the cells, a JSON list; the standard output is what they show.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

_SET_FLAGS = 0x8914  # SIOCSIFFLAGS
_UP = 1
_ACCOUNT = Path("/run/secrets/kubernetes.io/serviceaccount")


def mount(*arguments: str | Path) -> None:
    """Mount something, in this process' own view of the file system."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def become_a_pod(handed: socket.socket, account: Path, addresses: list[tuple[str, int]], name: str) -> None:
    """Set up the empty namespaces.

    Parameters
    ----------
    handed
        Where the listening sockets go.
    account
        The directory with the service account's token.
    addresses
        Of the API server and of the service.
    name
        The service's.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
    listening = [socket.create_server(address, backlog=64) for address in addresses]
    socket.send_fds(handed, [b"."], [each.fileno() for each in listening])
    for each in listening:
        each.close()  # the tests hold them
    handed.close()
    mount("-t", "tmpfs", "none", "/run")
    _ACCOUNT.mkdir(parents=True)
    mount("--bind", account, _ACCOUNT)
    hosts = Path("/run/hosts")
    hosts.write_text(f"127.0.0.1 localhost\n{addresses[1][0]} {name}\n")
    mount("--bind", hosts, "/etc/hosts")


def run(cells: list[str]) -> None:
    """Run cells as a notebook does."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    for cell in cells:
        sys.stdout.write(f"In: {cell}\n")
        shell.run_cell(cell)
        sys.stdout.flush()


if __name__ == "__main__":
    number, directory, server, service, at, name = sys.argv[1:]
    host, _, port = server.rpartition(":")
    become_a_pod(
        socket.socket(fileno=int(number)),
        Path(directory),
        [(host, int(port)), (service, int(at))],
        name,
    )
    run(json.load(sys.stdin))
