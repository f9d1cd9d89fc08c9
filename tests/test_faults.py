"""The fault proxy does to a connection what it says."""

import socket
import threading

import pytest

from tests.faults import FaultProxy, Faults


@pytest.fixture
def echo_port():
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(link):
        with link:
            try:
                while data := link.recv(65536):
                    link.sendall(data)
            except OSError:
                return

    def accept():
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(link,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def dial(proxy):
    return socket.create_connection(("127.0.0.1", proxy.port), 5)


def receive(link, size):
    data = b""
    while len(data) < size and (part := link.recv(size - len(data))):
        data += part
    return data


@pytest.mark.parametrize(
    "faults", [Faults(), Faults(slice=3), Faults(latency=0.01), Faults(bandwidth=1 << 20)]
)
def test_bytes_pass_unchanged(echo_port, faults):
    sent = bytes(range(256)) * 40
    with FaultProxy("127.0.0.1", echo_port) as proxy, dial(proxy) as link:
        proxy.faults = faults
        link.sendall(sent)
        assert receive(link, len(sent)) == sent


def test_an_end_is_passed_on(echo_port):
    with FaultProxy("127.0.0.1", echo_port) as proxy, dial(proxy) as link:
        link.sendall(b"bye")
        link.shutdown(socket.SHUT_WR)
        assert receive(link, 3) == b"bye"
        assert link.recv(1) == b""


def test_reset_all_resets_both_ends(echo_port):
    with FaultProxy("127.0.0.1", echo_port) as proxy, dial(proxy) as link:
        link.sendall(b"x")
        assert receive(link, 1) == b"x"
        assert proxy.reset_all() == 1
        with pytest.raises(ConnectionResetError):
            link.recv(1)


def test_forgotten_connections_stay_dead_others_work(echo_port):
    with FaultProxy("127.0.0.1", echo_port) as proxy, dial(proxy) as link, dial(proxy) as kept:
        for each in (link, kept):
            each.sendall(b"x")
            assert receive(each, 1) == b"x"
        (first, second) = (found.server.get_extra_info("sockname")[1] for found in list(proxy._links))
        proxy.forget_all(but={first, second})
        kept.sendall(b"y")
        assert receive(kept, 1) == b"y"
        proxy.forget_all()
        link.sendall(b"lost")
        link.settimeout(0.2)
        with pytest.raises(TimeoutError):
            link.recv(1)
        with dial(proxy) as other:
            other.sendall(b"x")
            assert receive(other, 1) == b"x"


def test_a_handshake_is_cut_and_what_is_open_goes_on(echo_port):
    with FaultProxy("127.0.0.1", echo_port) as proxy, dial(proxy) as kept:
        kept.sendall(b"x")
        assert receive(kept, 1) == b"x"
        proxy.faults = Faults(cut_handshake=3)
        with dial(proxy) as link:
            link.sendall(b"hello")
            with pytest.raises(ConnectionResetError):
                receive(link, 6)
        kept.sendall(b"hello")
        assert receive(kept, 5) == b"hello"


def test_black_hole_delivers_and_closes_nothing(echo_port):
    with FaultProxy("127.0.0.1", echo_port) as proxy, dial(proxy) as link:
        link.sendall(b"x")
        assert receive(link, 1) == b"x"
        proxy.faults = Faults(black_hole=True)
        link.sendall(b"lost")
        link.settimeout(0.2)
        with pytest.raises(TimeoutError):
            link.recv(1)


def test_refused_connections_are_reset(echo_port):
    with FaultProxy("127.0.0.1", echo_port) as proxy:
        proxy.faults = Faults(refuse=True)
        with pytest.raises(ConnectionResetError), dial(proxy) as link:
            link.recv(1)


def test_a_connection_is_cut_after_so_many_bytes(echo_port):
    with FaultProxy("127.0.0.1", echo_port) as proxy, dial(proxy) as link:
        proxy.faults = Faults(close_after=10)
        link.sendall(b"0123456789")
        with pytest.raises(ConnectionResetError):
            receive(link, 20)
