"""Forwards as users open them, on the sandbox."""

import contextlib
import urllib.request

import pytest

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.forwards import ForwardManager
from sspcloud_magics.target import PortText, Target
from tests.forwards.stage import connect, helpers
from tests.support.ports import free_port

SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@pytest.fixture
def login(sandbox):
    with contextlib.ExitStack() as open_clusters:

        def log_in(person):
            cluster = find_cluster(kubeconfig=sandbox.kubeconfig(person))
            open_clusters.callback(cluster.close)
            return cluster

        yield log_in


@pytest.fixture
def manager():
    with contextlib.closing(ForwardManager()) as manager:
        yield manager


def test_web_api_answers_through_its_services_port(manager, login):
    target = Target("user-alice", "service", "mon-api")
    forward = manager.forward(login("alice"), target, [PortText("http", 0)])
    with urllib.request.urlopen(f"http://localhost:{forward.local_port}/") as answer:
        assert answer.status == 200
        assert answer.read()


def test_colleague_with_a_narrow_role_gets_through(manager, login):
    target = Target("user-alice", "service", "postgresql-cnpg-951239-rw")
    forward = manager.forward(login("bob"), target, [PortText(5432, 0)])
    assert forward.pod == "postgresql-cnpg-951239-1"
    with connect(forward) as client:
        client.sendall(SSL_REQUEST)
        assert client.recv(1) == b"S"


def test_two_people_in_one_process_have_one_helper(manager, login):
    target = Target("user-alice", "service", "postgresql-cnpg-951239-rw")
    forwards = [manager.forward(login(who), target, [PortText(5432, 0)]) for who in ("alice", "bob")]
    assert forwards[0] is not forwards[1]
    assert len(helpers()) == 1


def test_forbidden_forward_is_refused_and_others_stay(manager, login):
    bob = login("bob")
    kept = manager.forward(
        bob, Target("user-alice", "service", "postgresql-cnpg-951239-rw"), [PortText(5432, 0)]
    )
    with pytest.raises(SspcloudError) as refusal:
        manager.forward(bob, Target("user-alice", "service", "mon-api"), [PortText(8000, 0)])
    assert "user-alice" in str(refusal.value)
    assert manager.forwards() == [kept]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_chosen_address(manager, login, address):
    target = Target("user-alice", "service", "mon-api")
    forward = manager.forward(login("alice"), target, [PortText(80, free_port())], address=address)
    assert forward.address == address
    with urllib.request.urlopen(f"http://127.0.0.1:{forward.local_port}/") as answer:
        assert answer.status == 200
    assert bool(forward.notes) == (address == "0.0.0.0")
