"""Relays: made in one's own namespace, hardened, and gone with their forward."""

import json
import subprocess
import time
import urllib.request

import pytest

import sspcloud_magics as ssp
from sspcloud_magics.errors import SspcloudError, UsageProblem
from sspcloud_magics.sharing.relay import parse_destination

API = "mon-api.user-alice.svc.cluster.local:80"


@pytest.fixture
def bob(sandbox):
    """Bob, who has no rights in Alice's namespace."""
    ssp.login(kubeconfig=sandbox.kubeconfig("bob"))
    yield sandbox
    ssp.close()


def relays(sandbox):
    done = subprocess.run(
        ["kubectl", "get", "pods", "-l", "sspcloud-magics/relay=true", "-o", "json"],
        env=sandbox.env("bob"),
        capture_output=True,
        check=True,
        timeout=30,
    )
    return [pod for pod in json.loads(done.stdout)["items"] if "deletionTimestamp" not in pod["metadata"]]


def wait_until_gone(sandbox):
    deadline = time.monotonic() + 30
    while relays(sandbox):
        assert time.monotonic() < deadline, "the relay stays"
        time.sleep(0.1)


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


def test_one_relay_serves_a_destination_however_often_it_is_asked_for(bob):
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
