import os
import socket
import subprocess
import sys

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.forwards.port_owner import PortOwner, find_port_owner
from sspcloud_magics.forwards.ports import (
    check_address,
    derive_ports,
    first_unprivileged_port,
    is_loopback,
    specify,
)
from sspcloud_magics.target import PortText, Target
from tests.support.ports import free_port

DB = Target("user-alice", "service", "db-rw")


def candidates(*ports: PortText, first_port: int = 1024) -> list[tuple[int, ...]]:
    return [spec.candidates for spec in specify(DB, ports, first_port=first_port)]


def test_written_port_is_used_or_refused():
    assert candidates(PortText(5432, 1500)) == [(1500,)]


def test_free_port_is_any():
    assert candidates(PortText(5432, 0)) == [(0,)]


def test_bare_port_tries_its_number_derived_then_any():
    assert candidates(PortText(5432)) == [(5432, *derive_ports(DB, 5432), 0)]


def test_named_port_takes_the_derived_ones():
    assert candidates(PortText("http")) == [(*derive_ports(DB, "http"), 0)]


def test_named_port_whose_number_is_known_takes_it():
    assert candidates(PortText("http", number=8000)) == candidates(PortText(8000))


def test_administrators_port_is_passed_over():
    assert candidates(PortText(80)) == [(*derive_ports(DB, 80), 0)]
    assert candidates(PortText(80), first_port=1)[0][0] == 80


def test_written_privileged_port_is_refused():
    with pytest.raises(UsageProblem, match=r"may not listen on port 80\.(.|\n)*8080:8000"):
        specify(DB, [PortText(8000, 80)], first_port=1024)


def test_bare_port_leaves_a_written_one_alone():
    bare, written = candidates(PortText(8000), PortText(9000, 8000))
    assert 8000 not in bare
    assert written == (8000,)


@given(st.integers(1, 65535) | st.from_regex("[a-z]{1,15}", fullmatch=True))
def test_derived_ports_are_stable_and_not_ephemeral(remote):
    ports = derive_ports(DB, remote)
    assert ports == derive_ports(Target("user-alice", "service", "db-rw"), remote)
    assert all(20_000 <= port < 32_768 for port in ports)


def test_derived_ports_differ_from_target_to_target():
    others = {derive_ports(Target("user-alice", "service", f"db-{n}"), 5432)[0] for n in range(100)}
    assert len(others) > 90


def test_derived_ports_do_not_change_between_versions():
    assert derive_ports(DB, 5432)[0] == 23967


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "::1", "127.8.8.8"])
def test_loopback_addresses(address):
    assert is_loopback(check_address(address))


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.7"])
def test_addresses_that_others_reach(address):
    assert not is_loopback(address)


def test_address_of_another_machine_is_refused():
    with pytest.raises(UsageProblem, match=r"192\.0\.2\.7 is not an address of this machine"):
        check_address("192.0.2.7")


@pytest.mark.parametrize("address", ["", "*", "example.org", "127.0.0.1:80", "localhost "])
def test_what_is_not_an_address_is_refused(address):
    with pytest.raises(UsageProblem, match="not an address"):
        check_address(address)


def test_lowest_port_is_one_that_can_be_bound():
    lowest = first_unprivileged_port()
    if os.geteuid() == 0:
        assert lowest == 1
    else:
        with pytest.raises(PermissionError), socket.socket() as listener:
            listener.bind(("127.0.0.1", lowest - 1))


# Who holds a port


def test_owner_is_named_with_its_process():
    with socket.create_server(("127.0.0.1", 0)) as server:
        owner = find_port_owner(server.getsockname()[1])
    assert owner.pid == os.getpid()
    assert str(owner) == f"this kernel itself, but not by a forward (process {os.getpid()})"


def test_free_port_has_no_owner():
    assert find_port_owner(free_port()) is None


def test_client_of_a_port_does_not_hold_it():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert find_port_owner(client.getsockname()[1]) is None


LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("environment", "argument", "words"),
    [
        (
            {"JPY_SESSION_NAME": "/home/bob/analysis.ipynb"},
            "sspcloud_magics.tunnel",
            "a forward of the notebook analysis.ipynb",
        ),
        ({}, "sspcloud_magics.tunnel", "a forward of another kernel or script of yours (process {pid})"),
        (
            {"JPY_SESSION_NAME": "/home/bob/analysis.ipynb"},
            "",
            "{name} (process {pid}, started in the notebook analysis.ipynb)",
        ),
    ],
)
def test_other_notebooks_are_named(environment, argument, words):
    bare = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN, argument],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=bare | environment,
    ) as process:
        port = int(process.stdout.readline())
        name = psutil.Process(process.pid).name()
        assert str(find_port_owner(port)) == words.format(pid=process.pid, name=name)
        process.stdin.close()


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root sees the others' processes")
def test_root_is_not_told_of_others_notebooks():
    with subprocess.Popen(
        [sys.executable, "-c", f"import os, socket; os.setuid(65534){LISTEN}", "sspcloud_magics.tunnel"],
        env={"JPY_SESSION_NAME": "/home/bob/secret-plans.ipynb"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        owner = find_port_owner(int(process.stdout.readline()))
        process.stdin.close()
    name = psutil.Process().name()
    assert str(owner) == f"{name} of another user (process {process.pid})"
    assert owner.notebook == ""


def test_owner_as_text():
    assert str(PortOwner(7, "postgres")) == "postgres (process 7)"
