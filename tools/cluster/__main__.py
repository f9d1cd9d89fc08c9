"""Run a real single-node Kubernetes cluster with a testbed on this machine, until Ctrl-C.

    python -m tools.cluster [FOLDER]

The sandbox simulates a node; this cluster shows the behaviour of the real servers in a tunnel. It starts etcd, an API
server with its controllers and scheduler, containerd and a kubelet, creates the helper pods of a testbed, and prints
the files that describe it, one per line:

    make unit TESTBED=FILE PYTEST_ARGS=tests/integration        python benchmarks/tunnel.py --testbed FILE

SIGUSR1 restarts the API server.

It needs root on a dedicated Debian 12 on amd64, such as a virtual machine, since it mounts file systems and creates a
network. It installs everything else: Debian's packages, and Kubernetes from Debian's source package, which takes about
ten minutes to build and is kept in FOLDER (``build/cluster``). This is Kubernetes 1.20, which supports the protocols
``channels`` and ``spdy``, but not ``spdy_websocket``. So the second file leads through a front, which serves
``spdy_websocket`` with the handlers of a newer API server (`front.go`).
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import sys
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from tools import debian
from tools.cluster import programs
from tools.cluster.helpers import make_helpers, write_images
from tools.cluster.identities import make_identities
from tools.cluster.node import Node

_ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    """Install what is missing, run the cluster, and remove it."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or debian.release() != "bookworm":
        sys.exit("The cluster needs Debian 12 on amd64.")
    if os.geteuid() != 0:
        sys.exit("The cluster needs root: it mounts file systems and creates a network.")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else _ROOT / "build/cluster").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            run(folder)
    except Timeout:
        sys.exit(f"A cluster runs in {folder} already.")
    except debian.MirrorNotFound as error:
        sys.exit(str(error))


def run(folder: Path) -> None:
    """Run a cluster in a folder that this process has locked."""
    print(
        "installing and building what is missing; the first time takes a quarter of an hour",
        file=sys.stderr,
    )
    programs.install()
    kubernetes = programs.build_kubernetes(folder)
    helper, postgres = programs.build_helper(folder), programs.make_postgres(folder)
    front = programs.build_front(folder)
    running = folder / "running"
    shutil.rmtree(running, ignore_errors=True)
    running.mkdir()
    identities = make_identities(running / "identities")
    over = threading.Event()
    for ended in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended, lambda *_: over.set())
    node = Node(running, kubernetes, front, identities)
    try:
        api = node.start(write_images(running, helper, postgres, programs.files_of("socat")))
        signal.signal(signal.SIGUSR1, lambda *_: node.restart_api_server())
        print(*make_helpers(node, api, identities), sep="\n", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            over.wait()
    except TimeoutError as error:
        sys.exit(f"{error}; the logs are in {running}")
    finally:
        node.stop()
    shutil.rmtree(running, ignore_errors=True)


if __name__ == "__main__":
    main()
