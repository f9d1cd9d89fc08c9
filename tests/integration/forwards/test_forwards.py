"""Forwards by the real helper process to real pods, on the cluster of the testbed."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from sspcloud_magics.errors import DialFailed, PortTaken, TargetNotFound, TokenExpired
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.forwards.ports import derive_ports
from sspcloud_magics.forwards.sockets import UNIX
from sspcloud_magics.secret import Secret
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import State
from tests.forwards.stage import await_end, connect, descriptors, helpers, kill, say, threads

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def echo_of(testbed) -> tuple[Target, list[PortText]]:
    return Target(testbed.namespace, "pod", testbed.echo.pod), [PortText(testbed.echo.port, 0)]


def test_bytes_reach_the_pod_and_come_back(manager, cluster, testbed, watcher):
    forward = manager.forward(cluster, *echo_of(testbed))
    assert forward.state is State.ACTIVE
    assert forward.pod == testbed.echo.pod
    assert forward.protocol
    assert say(forward, b"hello") == b"hello"
    watcher.wait_until(lambda: forward.counters.received >= 5 and not forward.counters.open_connections)
    assert forward.counters.failed_connections == 0


def test_a_megabyte_arrives_whole(manager, cluster, testbed):
    target = Target(testbed.namespace, "pod", testbed.source.pod)
    forward = manager.forward(cluster, target, [PortText(testbed.source.port, 0)])
    with connect(forward) as client:
        client.sendall(b"1048576\n")
        received = 0
        while received < 1048576:
            part = client.recv(65536)
            assert part
            assert not part.strip(b"\0")
            received += len(part)


def test_bare_port_that_is_taken_is_stood_in_for(manager, cluster, testbed):
    target, _ = echo_of(testbed)
    first = manager.forward(cluster, target, [PortText(testbed.echo.port)])
    other = Target(testbed.namespace, "pod", testbed.sink.pod)
    with pytest.raises(PortTaken, match="this notebook's own forward"):
        manager.forward(cluster, other, [PortText(testbed.sink.port, first.local_port)])
    again = manager.forward(cluster, target, [PortText(testbed.echo.port)], address="127.0.0.1")
    if first.local_port == testbed.echo.port:
        assert again.local_port in derive_ports(target, testbed.echo.port)
        assert "own forward" in again.notes[0]
    assert say(again, b"x") == b"x"


def test_errors_leave_what_is_open_open(manager, cluster, testbed):
    kept = manager.forward(cluster, *echo_of(testbed))
    with pytest.raises(TargetNotFound):
        manager.forward(cluster, Target(testbed.namespace, "pod", "no-such-pod"), [PortText(1, 0)])
    with pytest.raises(DialFailed):
        manager.forward(cluster, Target(testbed.namespace, "pod", testbed.echo.pod), [PortText(9, 0)])
    assert manager.forwards() == [kept]
    assert say(kept, b"still") == b"still"


def test_replaced_pod_is_found_under_its_name(manager, cluster, testbed, pods, watcher):
    name = pods.like(testbed.echo)
    target = Target(testbed.namespace, "pod", name)
    forward = manager.forward(cluster, target, [PortText(testbed.echo.port, 0)])
    assert say(forward, b"before") == b"before"
    pods.delete(name)
    watcher.wait_until(lambda: forward.state is State.RECONNECTING)
    pods.like(testbed.echo, name)
    watcher.wait_until(lambda: forward.state is State.ACTIVE)
    assert say(forward, b"after") == b"after"
    watcher.wait_until(lambda: forward.counters.reconnects >= 1)


def test_pod_that_is_replaced_by_another_is_followed(manager, cluster, testbed, pods, watcher):
    name = f"forwards-{uuid.uuid4().hex[:8]}"
    pods.service(name, testbed.echo.port)
    pods.like(testbed.echo, f"{name}-a", app=name)
    target = Target(testbed.namespace, "service", name)
    forward = manager.forward(cluster, target, [PortText(80, 0)])
    port = forward.local_port
    assert forward.pod == f"{name}-a"
    assert say(forward, b"before") == b"before"
    pods.delete(f"{name}-a")
    pods.like(testbed.echo, f"{name}-b", app=name)
    watcher.wait_until(lambda: (forward.state, forward.pod) == (State.ACTIVE, f"{name}-b"))
    assert forward.local_port == port
    assert say(forward, b"after") == b"after"


def test_killed_helper_is_replaced_on_the_same_ports(manager, cluster, testbed, watcher):
    forwards = [
        manager.forward(cluster, *echo_of(testbed)),
        manager.forward(
            cluster,
            Target(testbed.namespace, "service", testbed.postgres.service),
            [PortText(testbed.postgres.port, 0)],
        ),
    ]
    ports = [forward.local_port for forward in forwards]
    (helper,) = helpers()
    kill(helper)
    watcher.wait_until(
        lambda: all(watcher.states(forward)[-2:] == ["reconnecting", "active"] for forward in forwards)
    )
    assert [forward.local_port for forward in forwards] == ports
    assert say(forwards[0], b"again") == b"again"
    assert [process.pid for process in helpers()] != [helper.pid]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
def test_libpq_takes_the_sockets_directory_as_host(manager, cluster, testbed, watcher):
    postgres = testbed.postgres
    target = Target(testbed.namespace, "service", postgres.service)
    forward = manager.forward(cluster, target, [PortText(postgres.port)], address=UNIX)
    folder = Path(forward.address)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    login = {"dbname": postgres.database, "user": postgres.user, "password": postgres.password.reveal()}

    def query():
        with psycopg.connect(host=forward.address, port=forward.local_port, **login) as connection:
            return connection.execute("select 1").fetchone()

    assert query() == (1,)
    kill(helpers()[0])
    watcher.wait_until(lambda: watcher.states(forward)[-2:] == ["reconnecting", "active"])
    assert forward.address == str(folder)
    assert query() == (1,)
    forward.stop()
    assert not folder.exists()


def test_close_leaves_nothing(manager, cluster, testbed):
    ForwardManager().close()
    cluster.access()
    before = threads(), descriptors(), len(helpers())
    forward = manager.forward(cluster, *echo_of(testbed))
    with connect(forward) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        manager.close()
    assert (threads(), descriptors(), len(helpers())) == before


KERNEL = """
import json, multiprocessing, sys, time
import psutil
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.secret import Secret
from sspcloud_magics.target import PortText, Target

kubeconfig, context, namespace, pod, port, worker = json.loads(sys.argv[1])
cluster = find_cluster(kubeconfig=kubeconfig, context=context, namespace=namespace)
forward = ForwardManager().forward(cluster, Target(namespace, "pod", pod), [PortText(port, 0)])
(helper,) = psutil.Process().children()
facts = {"port": forward.local_port, "helper": helper.pid}
if worker:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
    process.start()
    facts["worker"] = process.pid
print(json.dumps(facts), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def kernel(testbed, *, worker=False, notebook=""):
    """Run another kernel with a forward to the echo pod; yield its process and its output."""
    arguments = [
        str(testbed.kubeconfig),
        testbed.context,
        testbed.namespace,
        testbed.echo.pod,
        testbed.echo.port,
        worker,
    ]
    with subprocess.Popen(
        [sys.executable, "-c", KERNEL, json.dumps(arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"JPY_SESSION_NAME": notebook},
    ) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("worker", [False, True], ids=["alone", "with a forked worker"])
def test_killed_kernel_leaves_no_helper_and_no_port(testbed, worker):
    with kernel(testbed, worker=worker) as (process, facts):
        process.kill()
        await_end(facts["helper"])
        if worker:
            psutil.Process(facts["worker"]).kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", facts["port"]), 5)


def test_other_notebooks_port_is_refused_by_its_name(manager, cluster, testbed):
    target, _ = echo_of(testbed)
    with (
        kernel(testbed, notebook="/home/bob/work/analysis.ipynb") as (_, facts),
        pytest.raises(PortTaken, match=r"a forward of the notebook analysis\.ipynb"),
    ):
        manager.forward(cluster, target, [PortText(testbed.echo.port, facts["port"])])
    assert manager.forwards() == []


class Changing:
    """An identity whose token is refused, until it is renewed."""

    def __init__(self, cluster, renewal) -> None:
        self._good = cluster.access()
        self._renewal = renewal
        if self._good.token is None:
            pytest.skip("the testbed's identity has no token that could be wrong")

    def access(self):
        return replace(self._good, token=Secret("not-a-token"))

    def renew_access(self, refused=None):
        assert refused == self.access()
        return self._renewal(self._good)


def test_token_that_is_refused_is_renewed(manager, cluster, testbed):
    forward = manager.forward(Changing(cluster, lambda good: good), *echo_of(testbed))
    assert say(forward, b"x") == b"x"


def test_token_that_cannot_be_renewed_is_the_reason(manager, cluster, testbed):
    def refuse(_good):
        raise TokenExpired("Your login has ended.", hint="log in again")

    kept = manager.forward(cluster, *echo_of(testbed))
    with pytest.raises(TokenExpired, match="log in again"):
        manager.forward(Changing(cluster, refuse), *echo_of(testbed))
    assert say(kept, b"x") == b"x"


def test_many_forwards_in_turn_leave_nothing(manager, cluster, testbed):
    target, ports = echo_of(testbed)
    manager.forward(cluster, target, ports).stop()
    (helper,) = helpers()
    before = threads(), descriptors(), helper.num_threads()
    for _ in range(20):
        with manager.forward(cluster, target, ports) as forward:
            assert say(forward, b"x") == b"x"
    assert (threads(), descriptors(), helper.num_threads()) == before
    assert manager.forwards() == []


class Elsewhere:
    """An identity whose API server takes connections and never answers."""

    def __init__(self, cluster, port: int) -> None:
        self._access = replace(cluster.access(), server=f"https://127.0.0.1:{port}")

    def access(self):
        return self._access

    def renew_access(self, refused=None):
        raise NotImplementedError


def test_interrupt_during_a_forward_leaves_others(manager, cluster, testbed, watcher):
    kept = manager.forward(cluster, *echo_of(testbed))

    def interrupt():
        watcher.wait_until(lambda: any(number != kept.id for number, _ in watcher.seen))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(KeyboardInterrupt):
        manager.forward(Elsewhere(cluster, silent.getsockname()[1]), *echo_of(testbed))
    thread.join()
    assert manager.forwards() == [kept]
    assert say(kept, b"x") == b"x"
