"""Local programs in place of pods, and the server that leads to them."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from sspcloud_magics.tunnel.timings import Timings
from tests.tunnel.apiserver import ApiServer
from tests.tunnel.helper_process import IN_TURN, HelperProcess


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 512
    daemon_threads = True


@contextmanager
def listen(serve: Callable[..., None], port: int = 0) -> Iterator[int]:
    """Yield a port; `serve` is called with each connection to it."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            serve(self.request)

        def finish(self) -> None:
            self.request.close()

    with _Server(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def echo(connection) -> None:
    """Echo all data."""
    try:
        while data := connection.recv(65536):
            connection.sendall(data)
    except OSError:
        pass


@pytest.fixture
def programs() -> Iterator[Callable[[Callable[..., None]], int]]:
    """Start a program for the duration of the test; return its port."""
    with ExitStack() as stack:
        yield lambda serve: stack.enter_context(listen(serve))


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def helper(api: ApiServer) -> Iterator[HelperProcess]:
    with HelperProcess(api.access()) as process:
        yield process


@pytest.fixture
def patient_helper(api: ApiServer) -> Iterator[HelperProcess]:
    """A helper with a long grace period, because a busy machine may refuse late."""
    with HelperProcess(api.access(), Timings(dial_grace=20.0)) as process:
        yield process


@pytest.fixture(params=IN_TURN)
def any_protocol(request: pytest.FixtureRequest, api: ApiServer) -> str:
    """Each protocol in turn, with those before it refused."""
    if request.param != "spdy":
        api.protocols.remove("portforward.k8s.io")
    if request.param == "channels":
        api.protocols.remove("SPDY/3.1+portforward.k8s.io")
    protocol: str = request.param
    return protocol
