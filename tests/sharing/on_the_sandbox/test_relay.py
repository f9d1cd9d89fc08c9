"""Relays: created in the user's namespace, hardened, and removed with their forward."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.errors import PodNotReady, SspcloudError, UsageProblem
from sspcloud_magics.sharing.relay import parse_destination, sweep
from tests.support.database import DATABASE_PATH as DATABASE
from tests.support.kubectl import kubectl
from tests.support.shares import nothing_shared
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

API = "mon-api.user-alice.svc.cluster.local:80"


@pytest.fixture
def bob(sandbox):
    """Bob, who has no permissions in Alice's namespace."""
    ssp.login(kubeconfig=sandbox.kubeconfig("bob"))
    yield sandbox
    ssp.close()


@contextlib.contextmanager
def share_network(sandbox):
    """Alice's database, open to Bob's namespace."""
    with nothing_shared(lambda: ssp.login(kubeconfig=sandbox.kubeconfig("alice"))):
        ssp.share_db(DATABASE.partition("/")[2], "bob", via="network")
        ssp.login(kubeconfig=sandbox.kubeconfig("bob"))
        yield
    ssp.login(kubeconfig=sandbox.kubeconfig("bob"))


def relays(sandbox):
    listed = kubectl(
        sandbox, "bob", "get", "pods", "-l", "sspcloud-magics/relay=true", "-o", "json"
    ).check_output()
    return [pod for pod in json.loads(listed)["items"] if "deletionTimestamp" not in pod["metadata"]]


def wait_until_gone(sandbox, *names):
    """Wait until these relays are gone; all of them if none is named."""
    wait_until(lambda: not [pod for pod in relays(sandbox) if not names or pod["metadata"]["name"] in names])


def test_a_relay_reaches_what_only_the_network_allows(bob):
    with ssp.forward_through_relay(API) as forward:
        answer = json.load(urllib.request.urlopen(f"http://localhost:{forward.local_port}/", timeout=10))
        assert answer["message"]
        (pod,) = relays(bob)
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["activeDeadlineSeconds"] > 0
    wait_until_gone(bob)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
def test_a_relay_behind_a_unix_socket_goes_with_it(bob):
    forward = ssp.forward_through_relay(API, unix=True)
    (pod,) = relays(bob)
    (path,) = forward.sockets
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.")
    assert ssp.forward_through_relay(API, unix=True) is forward
    ssp.unforward(path)
    assert not Path(path).parent.exists()
    wait_until_gone(bob, pod["metadata"]["name"])
    with pytest.raises(UsageProblem, match="not on both"):
        ssp.forward_through_relay(API, unix=True, address="127.0.0.1")
    assert not relays(bob)


def test_relay_serves_its_destination_once(bob):
    first, second = ssp.forward_through_relay(API), ssp.forward_through_relay(API)
    assert first is second
    assert len(relays(bob)) == 1
    ssp.unforward(everything=True)
    wait_until_gone(bob)


def test_a_relay_of_another_image_can_be_had(bob):
    with ssp.forward_through_relay(API, image="docker.io/alpine/socat:1.7.4.4"):
        (pod,) = relays(bob)
        assert pod["spec"]["containers"][0]["image"] == "docker.io/alpine/socat:1.7.4.4"
    wait_until_gone(bob)


def test_relay_takes_the_image_named_or_set(bob):
    image, other = "docker.io/alpine/socat:1.7.4.4", "docker.io/alpine/socat:1.8.0.1"
    with share_network(bob):
        ssp.connect_db(DATABASE, route="relay", image=image)
        assert [pod["spec"]["containers"][0]["image"] for pod in relays(bob)] == [image]
        session.configure_relay(other)
        try:
            ssp.connect_db(DATABASE, route="relay").close()
            with ssp.forward_through_relay(API):
                assert {pod["spec"]["containers"][0]["image"] for pod in relays(bob)} >= {other}
        finally:
            session.configure_relay(None)
        ssp.close()
        ssp.login(kubeconfig=bob.kubeconfig("bob"))
        wait_until_gone(bob)


@contextlib.contextmanager
def another_process(sandbox):
    """A process of Bob's that has a relay to the same destination."""
    script = (
        "import sys, sspcloud_magics as ssp\n"
        f"ssp.login(kubeconfig={str(sandbox.kubeconfig('bob'))!r})\n"
        f"ssp.forward_through_relay({API!r})\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"open\n"
        try:
            yield process
        finally:
            process.kill()


def test_relay_is_private_and_swept_with_its_process(bob):
    with another_process(bob) as process:
        with ssp.forward_through_relay(API):
            mine, theirs = (
                [pod["metadata"]["name"] for pod in relays(bob) if here(pod) is wanted]
                for wanted in (True, False)
            )
            assert (len(mine), len(theirs)) == (1, 1)
        wait_until_gone(bob, *mine)
        assert [pod["metadata"]["name"] for pod in relays(bob)] == theirs
        process.kill()
        process.wait()
        assert sweep(session.current_cluster()) == theirs
    wait_until_gone(bob)


def here(pod):
    return f"/{os.getpid()}/" in pod["metadata"]["annotations"]["sspcloud-magics/process"]


def test_relay_that_is_never_ready_is_removed_and_told(bob):
    with pytest.raises(PodNotReady) as refused:
        ssp.forward_through_relay(API, image="nobody/nothing:1")
    assert "Image" in refused.value.why
    assert "--image" in refused.value.hint
    wait_until_gone(bob)


def test_a_relay_that_is_not_waited_for_is_removed(bob):
    def interrupt(_words):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ssp.forward_through_relay(API, progress=interrupt)
    wait_until_gone(bob)


def test_a_relay_goes_with_the_process_that_made_it(bob):
    ssp.forward_through_relay(API)
    ssp.close()
    ssp.login(kubeconfig=bob.kubeconfig("bob"))
    wait_until_gone(bob)


def test_a_relay_that_cannot_be_dialled_is_removed(bob):
    with pytest.raises(SspcloudError):
        ssp.forward_through_relay(API, "99999")
    with pytest.raises(SspcloudError):
        ssp.forward_through_relay(API, 80, address="203.0.113.1")
    wait_until_gone(bob)


@pytest.mark.parametrize("text", ["", "host", "host:", ":5432", "host:http", "a b:1", "host:99999", "-x:1"])
def test_what_is_no_destination_is_refused(text):
    with pytest.raises(UsageProblem):
        parse_destination(text)
