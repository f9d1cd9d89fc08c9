"""The helper's memory: connections that have ended leave nothing behind."""

from __future__ import annotations

import psutil
import pytest

from tests.faults import FaultProxy
from tests.tunnel.conftest import echo
from tests.tunnel.helper_process import HelperProcess, every_protocol
from tests.tunnel.test_forward import connect, receive

pytestmark = pytest.mark.slow

MIB = 1 << 20


@every_protocol
def test_broken_tunnels_are_freed_at_once(api, programs, first):
    api.put_pod("web-0", {8000: programs(echo)})
    said = bytes(300_000)
    with (
        FaultProxy("127.0.0.1", api.port) as network,
        # Garbage is counted in objects: a few hundred KiB of OpenSSL's are three of them, and would wait for minutes.
        HelperProcess(api.access(port=network.port), first=first, collects=False) as helper,
    ):
        port = helper.forward("pod", "web-0", 8000).local_ports[0]
        process = psutil.Process(helper.process.pid)

        def cut_one() -> None:
            with connect(port) as client:
                client.sendall(said)
                assert len(receive(client, len(said))) == len(said)
                network.reset_all()
                with pytest.raises(ConnectionResetError):
                    client.recv(1)

        for _ in range(10):
            cut_one()
        before = process.memory_info().rss
        for _ in range(60):
            cut_one()
        grown = process.memory_info().rss - before
    assert grown < 6 * MIB, "sixty tunnels of some 400 KiB each are 24 MiB"


def test_imports_are_frozen_for_the_garbage_collector(api, tmp_path):
    told = tmp_path / "told"
    with HelperProcess(api.access(), frozen=str(told)):
        frozen, walked_through = map(int, told.read_text().split())
    assert frozen > 10_000 > 10 * walked_through
