"""The helper on networks that cut, delay and drop data, and behind proxies."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
from dataclasses import replace

import pytest
import trustme

from sspcloud_magics.errors import CertificateNotTrusted, KubeconfigInvalid, ServerUnreachable
from sspcloud_magics.secret import Secret
from sspcloud_magics.tunnel.ipc import ForwardState, State
from sspcloud_magics.tunnel.timings import Timings
from tests.faults import FaultProxy, Faults
from tests.support.waiting import dawdle
from tests.tunnel.conftest import echo
from tests.tunnel.helper_process import FIRST, HelperProcess, every_protocol
from tests.tunnel.test_forward import ask, connect, receive, receive_all

pytestmark = pytest.mark.slow

FAST_PINGS = Timings(ping_interval=0.5)
# A handshake that a black hole has swallowed is given up soon, too, and so is what is doubted.
FAST_PROBES = Timings(ping_interval=0.5, tls_timeout=4.0, probe_timeout=2.0)
# Slow enough for a busy machine to answer in time.
PINGS = Timings(ping_interval=1.0)
SHORT_REPLY = Timings(reply_timeout=0.5, close_check_interval=0.1)
# So that nothing is told because of silence.
NO_REPLY_TIMEOUT = Timings(reply_timeout=3600.0, first_reply_timeout=3600.0)
SHORT_REPLY_LONG_FIRST = replace(SHORT_REPLY, first_reply_timeout=3600.0)
# Pings come too late to explain anything.
LONG_PING = Timings(ping_interval=3600.0, probe_timeout=2.0)
SHORT_FIRST_REPLY = Timings(reply_timeout=3600.0, first_reply_timeout=0.5, close_check_interval=0.1)


def connect_small(port: int) -> socket.socket:
    """Connect with a small receive buffer."""
    client = socket.socket()
    client.settimeout(20.0)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    return client


def read_slowly(client: socket.socket, got: list[int] | None = None) -> int:
    """Read to the end in small steps; return the number of bytes, and record the sizes in `got`."""
    sizes = [] if got is None else got
    while piece := client.recv(4096):
        sizes.append(len(piece))
        dawdle(0.05)
    return sum(sizes)


def speak_on(client: socket.socket) -> None:
    """Write for ten seconds, and read nothing."""
    for _ in range(100):
        client.sendall(bytes(1000))
        dawdle(0.1)


@pytest.fixture
def echo_port(api, programs) -> int:
    """The port of an echo program in the pod web-0."""
    api.put_pod("web-0", {8000: programs(echo)})
    return 8000


@pytest.fixture
def network(api):
    with FaultProxy("127.0.0.1", api.port) as proxy:
        yield proxy


class TestFaults:
    def test_a_black_hole_is_noticed_and_healed(self, api, network, echo_port):
        with HelperProcess(api.access(port=network.port), FAST_PROBES) as helper:
            state = helper.forward("pod", "web-0", echo_port)
            assert ask(state.local_ports[0]) == b"ping"
            network.faults = Faults(black_hole=True)
            helper.wait_for_state(state.forward_id, State.RECONNECTING)
            network.faults = Faults()
            helper.wait_for_state(state.forward_id, State.ACTIVE)
            assert ask(state.local_ports[0]) == b"ping"

    def test_replaced_pod_behind_a_black_hole_is_found(self, api, network, programs, any_protocol):
        real, owner = programs(echo), ("StatefulSet", "web")
        api.put_pod("web-0", {8000: real}, owner=owner)
        with HelperProcess(api.access(port=network.port), FAST_PROBES) as helper:
            state = helper.forward("pod", "web-0", 8000)
            network.faults = Faults(black_hole=True)
            if any_protocol != "channels":
                helper.wait_for_state(state.forward_id, State.RECONNECTING)
            api.delete("Pod", "web-0")
            api.put_pod("web-1", {8000: real}, owner=owner)
            network.faults = Faults()
            if (
                any_protocol == "channels"
            ):  # no tunnel waits: it is the next client that notices, and is served
                assert ask(state.local_ports[0]) == b"ping"
            assert helper.wait_for_state(state.forward_id, State.ACTIVE).pod == "web-1"
            assert ask(state.local_ports[0]) == b"ping"

    def test_black_hole_resets_and_the_next_works(self, api, network, echo_port, any_protocol):
        with HelperProcess(api.access(port=network.port), FAST_PROBES) as helper:
            state = helper.forward("pod", "web-0", echo_port)
            with connect(state.local_ports[0]) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                network.faults = Faults(black_hole=True)
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            if any_protocol != "channels":  # with which no tunnel waits, of which the forward could say so
                helper.wait_for_state(state.forward_id, State.RECONNECTING)
            network.faults = Faults()
            if any_protocol != "channels":
                helper.wait_for_state(state.forward_id, State.ACTIVE)
            assert ask(state.local_ports[0]) == b"ping"

    @every_protocol
    def test_pod_that_does_not_read_is_no_black_hole(self, api, programs, first):
        read, done, received = threading.Event(), threading.Event(), []
        size = 32 << 20  # more than all the buffers on the way

        def late(connection) -> None:
            if connection.recv(1):
                read.wait(60)
                received.append(1 + len(receive_all(connection)))
                done.set()

        api.put_pod("web-0", {8000: programs(late)})
        with HelperProcess(api.access(), FAST_PINGS, first=first) as helper:
            with connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client:
                sender = threading.Thread(target=client.sendall, args=(bytes(size),))
                sender.start()
                for _ in range(3):  # the server is asked as often as the tunnel is doubted
                    api.requests.clear()
                    api.wait_for_request("list version")
                read.set()
                sender.join(60)
            counters = helper.wait_for_counters(
                lambda found: found.connections and not found.open_connections
            )
            assert (counters.sent, counters.failed_connections) == (size, 0)
            assert done.wait(60)
        assert received == [size]

    @every_protocol
    def test_black_hole_during_an_upload_resets_it(self, api, network, echo_port, first):
        def pour(client) -> None:
            while True:
                client.sendall(bytes(1 << 20))

        with (
            HelperProcess(api.access(port=network.port), FAST_PROBES, first=first) as helper,
            connect(helper.forward("pod", "web-0", echo_port).local_ports[0]) as client,
        ):
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            network.faults = Faults(black_hole=True)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                pour(client)

    @pytest.mark.usefixtures("any_protocol")
    def test_a_cut_transfer_is_a_reset_and_the_next_works(self, api, network, programs):
        def pour(connection) -> None:
            try:
                while True:
                    connection.sendall(bytes(65536))
            except OSError:
                pass

        api.put_pod("web-0", {8000: programs(pour)})
        with HelperProcess(api.access(port=network.port)) as helper:
            port = helper.forward("pod", "web-0", 8000).local_ports[0]
            for _ in range(3):
                with connect(port) as client:
                    assert client.recv(1) == b"\0"
                    network.reset_all()
                    with pytest.raises(ConnectionResetError):
                        receive_all(client)

    @pytest.mark.usefixtures("any_protocol")
    def test_connections_wait_while_the_server_refuses(self, api, network, echo_port):
        with HelperProcess(api.access(port=network.port)) as helper:
            state = helper.forward("pod", "web-0", echo_port)
            network.faults = Faults(refuse=True)
            network.reset_all()
            with connect(state.local_ports[0]) as client:
                client.sendall(b"patience")
                helper.wait_for_state(state.forward_id, State.RECONNECTING)
                network.faults = Faults()
                assert receive(client, 8) == b"patience"

    @pytest.mark.usefixtures("any_protocol")
    @pytest.mark.parametrize("size", [1, 200, 350], ids=["at the first byte", "in TLS", "in the upgrade"])
    def test_server_hanging_up_in_handshake_is_tried_again(self, api, network, echo_port, size):
        with HelperProcess(api.access(port=network.port)) as helper:
            state = helper.forward("pod", "web-0", echo_port)
            network.faults = Faults(cut_handshake=size)
            network.reset_all()
            with connect(state.local_ports[0]) as client:
                client.sendall(b"patience")
                helper.wait_for_state(state.forward_id, State.RECONNECTING)
                network.faults = Faults()
                assert receive(client, 8) == b"patience"

    @pytest.mark.usefixtures("any_protocol")
    def test_an_idle_forward_lives_through_pings(self, api, network, echo_port):
        with HelperProcess(api.access(port=network.port), PINGS) as helper:
            state = helper.forward("pod", "web-0", echo_port)
            with connect(state.local_ports[0]) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                network.wait_for_client(2)  # two pings
                client.sendall(b"still here")
                assert receive(client, 10) == b"still here"
        states = [event.state for event in helper.events if isinstance(event, ForwardState)]
        assert states == [State.STARTING, State.ACTIVE]


class TestSleep:
    """A laptop that wakes up, perhaps in another network."""

    @pytest.fixture
    def lid(self, tmp_path):
        """A file whose creation makes the helper's clock jump by an hour."""
        return tmp_path / "opened"

    @every_protocol
    def test_connections_lost_in_a_sleep_are_reset(self, api, network, echo_port, lid, first):
        with HelperProcess(api.access(port=network.port), LONG_PING, lid=str(lid), first=first) as helper:
            state = helper.forward("pod", "web-0", echo_port)
            with connect(state.local_ports[0]) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                network.forget_all()
                lid.touch()
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            assert ask(state.local_ports[0]) == b"ping"

    def test_connections_that_outlive_a_sleep_stay(self, api, network, echo_port, lid):
        with HelperProcess(api.access(port=network.port), LONG_PING, lid=str(lid)) as helper:
            state = helper.forward("pod", "web-0", echo_port)
            with connect(state.local_ports[0]) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                api.requests.clear()
                lid.touch()
                api.wait_for_request("list pods")
                network.wait_for_client(2)  # the doubt, and the ping after its end
                client.sendall(b"y")
                assert client.recv(1) == b"y"
        states = [event.state for event in helper.events if isinstance(event, ForwardState)]
        assert states == [State.STARTING, State.ACTIVE]

    def test_broken_watch_puts_the_tunnels_in_doubt(self, api, network, echo_port, lid):
        with HelperProcess(api.access(port=network.port), LONG_PING, lid=str(lid)) as helper:
            state = helper.forward("pod", "web-0", echo_port)
            network.forget_all(but=api.wait_for_watches())
            api.break_watches()
            helper.wait_for_state(state.forward_id, State.RECONNECTING)
            helper.wait_for_state(state.forward_id, State.ACTIVE)
            assert ask(state.local_ports[0]) == b"ping"


class TestTheClientsEnd:
    """The effect in the pod when a client shuts down or closes its connection."""

    @pytest.fixture
    def observed(self, api, programs):
        """A pod that reads everything, and reports the end of the connection that sent bye."""
        ended = threading.Event()

        def serve(connection) -> None:
            said = b""
            try:
                while data := connection.recv(65536):
                    said += data
            except OSError:
                pass
            if said == b"bye":
                ended.set()

        api.put_pod("web-0", {8000: programs(serve)})
        return ended

    @every_protocol
    def test_closed_client_ends_in_the_pod_at_once(self, api, observed, first):
        with HelperProcess(api.access(), NO_REPLY_TIMEOUT, first=first) as helper:
            port = helper.forward("pod", "web-0", 8000).local_ports[0]
            with connect(port) as client:
                client.sendall(b"bye")
            assert observed.wait(20.0), "silence would take an hour"

    @every_protocol
    def test_unknown_client_ends_after_the_timeout(self, api, observed, first):
        with HelperProcess(api.access(), SHORT_REPLY_LONG_FIRST, first=first, blind=True) as helper:
            port = helper.forward("pod", "web-0", 8000).local_ports[0]
            with connect(port) as client:
                client.sendall(b"bye")
            assert observed.wait(20.0)

    def test_slow_reply_without_knowledge_is_whole(self, api, programs):
        def slow(connection) -> None:
            connection.recv(100)
            for _ in range(20):
                connection.sendall(bytes(1000))
                dawdle(0.1)  # two seconds in all: containerd would give one

        api.put_pod("web-0", {8000: programs(slow)})
        with (
            HelperProcess(api.access(), blind=True) as helper,
            connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client,
        ):
            client.sendall(b"go")
            client.shutdown(socket.SHUT_WR)
            assert len(receive_all(client)) == 20_000

    @every_protocol
    def test_computing_server_keeps_its_waiting_client(self, api, programs, first):
        def think(connection) -> None:
            connection.sendall(connection.recv(5))
            connection.recv(100)
            dawdle(2.5)  # quiet time and the server's second are over long before
            connection.sendall(b"thought")

        api.put_pod("web-0", {8000: programs(think)})
        with (
            HelperProcess(api.access(), SHORT_REPLY_LONG_FIRST, first=first) as helper,
            connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client,
        ):
            client.sendall(b"hello")
            assert receive(client, 5) == b"hello"
            client.sendall(b"go")
            client.shutdown(socket.SHUT_WR)
            assert receive(client, 7) == b"thought"

    @every_protocol
    def test_reading_server_learns_the_end_in_time(self, api, observed, first):
        with (
            HelperProcess(api.access(), SHORT_FIRST_REPLY, first=first) as helper,
            connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client,
        ):
            client.sendall(b"bye")
            client.shutdown(socket.SHUT_WR)
            assert observed.wait(20.0)
            assert client.recv(1) == b""

    @every_protocol
    def test_answering_server_learns_the_end_after_silence(self, api, programs, first):
        observed = threading.Event()

        def answer(connection) -> None:
            said = connection.recv(100)
            connection.sendall(said)
            connection.recv(100)
            if said:  # else it was the trial of the forward
                observed.set()

        api.put_pod("web-0", {8000: programs(answer)})
        with (
            HelperProcess(api.access(), SHORT_REPLY_LONG_FIRST, first=first) as helper,
            connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client,
        ):
            client.sendall(b"PING")
            assert receive(client, 4) == b"PING"
            client.shutdown(socket.SHUT_WR)
            assert observed.wait(20.0)

    @every_protocol
    def test_a_reply_that_may_have_been_cut_is_a_reset(self, api, programs, first):
        ended = threading.Event()

        def late(connection) -> None:
            connection.recv(100)
            ended.wait(20.0)
            connection.sendall(b"first")
            dawdle(1.0)
            try:
                while True:
                    connection.sendall(bytes(1000))
                    dawdle(0.05)
            except OSError:
                pass

        api.put_pod("web-0", {8000: programs(late)})
        with (
            HelperProcess(api.access(), SHORT_REPLY, first=first) as helper,
            connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client,
        ):
            client.sendall(b"go")
            client.shutdown(socket.SHUT_WR)
            ended.set()
            with pytest.raises(ConnectionResetError):
                receive_all(client)

    def test_pausing_reply_over_channels_is_a_reset(self, api, programs):
        over = threading.Event()

        def pause(connection) -> None:
            connection.sendall(connection.recv(5))
            over.wait(20.0)

        api.put_pod("web-0", {8000: programs(pause)})
        with (
            HelperProcess(api.access(), SHORT_REPLY, first=FIRST["channels"]) as helper,
            connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client,
        ):
            client.sendall(b"first")
            assert receive(client, 5) == b"first"  # it began before the client's end
            client.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            counters = helper.wait_for_counters(lambda found: found.failed_connections == 1)
            over.set()
        assert counters.last_error.startswith("the reply may have been cut")

    @every_protocol
    def test_client_speaking_after_the_pods_end_is_reset(self, api, programs, first):
        def leave(connection) -> None:
            connection.recv(10)
            connection.sendall(b"enough")

        api.put_pod("web-0", {8000: programs(leave)})
        with (
            HelperProcess(api.access(), first=first) as helper,
            connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client,
        ):
            client.sendall(b"begin")
            assert receive_all(client) == b"enough"
            # Its end is no reason to stop for one who only writes: what is sent now would be taken for delivered.
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                speak_on(client)
            counters = helper.wait_for_counters(lambda found: not found.open_connections)
        assert counters.failed_connections == 0, "it is the pod that wanted it"

    @pytest.fixture
    def half_read(self, api, programs):
        """Connect to a pod that sent 100,000 bytes and closed; read half of them, and wait for the end."""
        left = threading.Event()

        def leave(connection) -> None:
            said = connection.recv(10)
            connection.sendall(bytes(40_000))
            # The helper may have that, more than the sockets hold, and wait for the client.
            dawdle(0.5)
            connection.sendall(bytes(60_000))
            connection.close()
            dawdle(1.5)  # containerd gives the other direction a second
            if said:
                left.set()

        def connect_to_it(helper: HelperProcess) -> socket.socket:
            client = connect_small(helper.forward("pod", "web-0", 8000).local_ports[0])
            client.sendall(b"begin")
            assert left.wait(20.0)
            assert len(receive(client, 50_000)) == 50_000  # so that the rest comes, and the end with it
            helper.wait_for_counters(lambda found: found.received == 100_000)
            return client

        api.put_pod("web-0", {8000: programs(leave)})
        return connect_to_it

    @every_protocol
    @pytest.mark.parametrize("small_buffers", [False, True], ids=["the kernel", "the helper"])
    def test_slow_speaking_reader_gets_the_pods_last_words(self, api, half_read, first, small_buffers):
        with (
            HelperProcess(api.access(), first=first, small_buffers=small_buffers) as helper,
            half_read(helper) as client,
        ):
            client.sendall(b"commit")
            assert read_slowly(client) == 50_000
            helper.wait_for_counters(lambda found: not found.open_connections)

    def test_client_that_only_speaks_is_reset_at_the_end(self, api, half_read):
        with (
            HelperProcess(api.access(), SHORT_REPLY, small_buffers=True) as helper,
            half_read(helper) as client,
            pytest.raises((ConnectionResetError, BrokenPipeError)),
        ):
            speak_on(client)

    @pytest.fixture
    def stays(self, api, programs):
        """A pod that sends 100,000 bytes and keeps the connection open."""

        def stay(connection) -> None:
            connection.recv(10)
            connection.sendall(bytes(100_000))
            connection.recv(10)

        api.put_pod("web-0", {8000: programs(stay)})

    @pytest.mark.usefixtures("stays")
    def test_bytes_before_a_break_can_be_read_slowly(self, api, network):
        with (
            HelperProcess(api.access(port=network.port)) as helper,
            connect_small(helper.forward("pod", "web-0", 8000).local_ports[0]) as client,
        ):
            client.sendall(b"begin")
            helper.wait_for_counters(lambda found: found.received == 100_000)
            network.reset_all()
            helper.wait_for_counters(lambda found: found.failed_connections == 1)
            got: list[int] = []
            with pytest.raises(ConnectionResetError):
                read_slowly(client, got)
            assert sum(got) == 100_000

    @pytest.mark.usefixtures("stays")
    def test_leaving_a_broken_reply_unread_leaves_nothing(self, api, network):
        with HelperProcess(api.access(port=network.port)) as helper:
            with connect_small(helper.forward("pod", "web-0", 8000).local_ports[0]) as client:
                client.sendall(b"begin")
                client.shutdown(socket.SHUT_WR)
                helper.wait_for_counters(lambda found: found.received == 100_000)
                network.reset_all()
                helper.wait_for_counters(lambda found: found.failed_connections == 1)
            helper.wait_for_counters(lambda found: not found.open_connections)

    def test_slow_reader_that_shuts_down_gets_the_rest(self, api, half_read):
        with HelperProcess(api.access(), small_buffers=True) as helper, half_read(helper) as client:
            client.shutdown(socket.SHUT_WR)
            assert read_slowly(client) == 50_000

    @every_protocol
    def test_client_that_may_have_closed_has_not_failed(self, api, echo_port, first):
        with HelperProcess(api.access(), SHORT_REPLY, first=first, blind=True) as helper:
            assert ask(helper.forward("pod", "web-0", echo_port).local_ports[0]) == b"ping"
            counters = helper.wait_for_counters(
                lambda found: found.connections and not found.open_connections
            )
            assert (counters.received, counters.failed_connections) == (4, 0)

    @pytest.fixture
    def resets(self, api, programs):
        """A pod that resets a connection after its first data, as PostgreSQL ends a TLS session; and an event for that."""
        done = threading.Event()

        def reset(connection) -> None:
            said = connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            if said:
                done.set()

        api.put_pod("web-0", {8000: programs(reset)})
        return done

    @every_protocol
    @pytest.mark.parametrize(
        ("last", "stays"),
        [(b"", 0.0), (b"not read", 0.0), (b"not read", 0.1)],
        ids=["closes", "speaks and closes", "speaks and closes later"],
    )
    def test_reset_after_the_client_has_left_is_no_failure(self, api, resets, first, last, stays):
        late = Timings(first_close_checks=(3600.0,), close_grace=2.0)
        with HelperProcess(api.access(), late, first=first) as helper:
            port = helper.forward("pod", "web-0", 8000).local_ports[0]
            with connect(port) as client:
                client.sendall(b"bye")
                assert resets.wait(20)
                client.sendall(last)
                dawdle(stays)
            counters = helper.wait_for_counters(
                lambda found: found.connections and not found.open_connections
            )
        assert (counters.failed_connections, counters.last_error) == (0, "")

    @pytest.mark.usefixtures("resets", "any_protocol")
    def test_reset_of_a_waiting_client_is_one_line(self, helper):
        with connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client:
            client.sendall(b"ask")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        counters = helper.wait_for_counters(lambda found: found.failed_connections == 1)
        assert counters.last_error == "The program in the pod reset the connection."

    @pytest.mark.usefixtures("any_protocol")
    def test_a_server_that_speaks_first(self, api, programs):
        api.put_pod("web-0", {8000: programs(lambda connection: connection.sendall(b"220 welcome"))})
        with HelperProcess(api.access()) as helper:
            port = helper.forward("pod", "web-0", 8000).local_ports[0]
            for _ in range(3):
                with connect(port) as client:
                    assert receive_all(client) == b"220 welcome"

    @pytest.mark.usefixtures("any_protocol")
    def test_few_bytes_before_closing_reach_a_late_pod(self, api, programs):
        late, said, done = threading.Event(), [], threading.Event()

        def read(connection) -> None:
            late.wait(20)
            told_of_the_end = select.poll()
            told_of_the_end.register(connection, select.POLLRDHUP)
            told_of_the_end.poll(20_000)
            with contextlib.suppress(ConnectionResetError):
                if data := receive_all(connection):
                    said.append(data)
                    done.set()

        api.put_pod("web-0", {8000: programs(read)})
        with HelperProcess(api.access(), NO_REPLY_TIMEOUT) as helper:
            with connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client:
                client.sendall(b"bye")
            helper.wait_for_counters(lambda found: found.connections == 1 and not found.open_connections)
            late.set()
            assert done.wait(20)
        assert said == [b"bye"]

    @pytest.mark.usefixtures("any_protocol")
    def test_bytes_sent_just_before_closing_arrive(self, api, programs):
        received = []
        closed, done = threading.Event(), threading.Event()

        def take(connection) -> None:
            closed.wait(20)
            data = receive_all(connection)
            if data:
                received.append(len(data))
                done.set()

        api.put_pod("web-0", {8000: programs(take)})
        with HelperProcess(api.access()) as helper:
            with connect(helper.forward("pod", "web-0", 8000).local_ports[0]) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
                client.setblocking(False)
                size = 0
                with contextlib.suppress(BlockingIOError):
                    while True:  # until every buffer on the way is full
                        size += client.send(bytes(65536))
            closed.set()
            assert done.wait(20)
        assert received == [size]


class TestTheServersAddress:
    def test_an_unknown_authority(self, api, echo_port):
        other = trustme.CA().cert_pem.bytes().decode()
        with HelperProcess(replace(api.access(), ca=other)) as helper:
            error = helper.failure("pod", "web-0", echo_port)
        assert isinstance(error, CertificateNotTrusted)
        assert str(api.port) in error.what

    def test_another_name_than_the_certificates(self, api, echo_port):
        with HelperProcess(replace(api.access(), tls_server_name="elsewhere.example")) as helper:
            assert isinstance(helper.failure("pod", "web-0", echo_port), CertificateNotTrusted)
        with HelperProcess(replace(api.access(), tls_server_name="localhost")) as helper:
            assert ask(helper.forward("pod", "web-0", echo_port).local_ports[0]) == b"ping"

    def test_no_verification_where_it_is_not_wanted(self, api, echo_port):
        with HelperProcess(replace(api.access(), ca=None, insecure_skip_tls_verify=True)) as helper:
            assert ask(helper.forward("pod", "web-0", echo_port).local_ports[0]) == b"ping"

    def test_an_authority_that_is_no_certificate(self, api):
        with HelperProcess(replace(api.access(), ca="nonsense")) as helper:
            assert isinstance(helper.failure("pod", "web-0", 80), KubeconfigInvalid)

    def test_a_name_that_does_not_exist(self, api):
        access = replace(api.access(), server="https://no-such-host.invalid:6443")
        with HelperProcess(access) as helper:
            error = helper.failure("pod", "web-0", 80)
        assert isinstance(error, ServerUnreachable)
        assert "no-such-host.invalid" in error.what

    def test_a_server_that_speaks_something_else(self, api, programs):
        port = programs(lambda connection: connection.sendall(b"SSH-2.0-hello\r\n"))
        with HelperProcess(replace(api.access(), server=f"http://127.0.0.1:{port}")) as helper:
            error = helper.failure("pod", "web-0", 80)
        assert isinstance(error, ServerUnreachable)

    def test_no_secret_is_shown(self, api, echo_port):
        access = replace(api.access(), token=Secret("very-secret-token"))
        with HelperProcess(access) as helper:
            helper.start("pod", "web-0", echo_port)
            helper.wait_for_credentials_wanted()
        assert "very-secret-token" not in repr(helper.events)


class TestProxies:
    @pytest.fixture
    def proxy(self, programs):
        """A proxy with CONNECT; yields its port and the requests."""
        asked: list[bytes] = []

        def serve(client) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1)
            asked.append(head)
            if b"refuse.example" in head:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            host, port = head.split()[1].decode().rsplit(":", 1)
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                thread = threading.Thread(target=_pump, args=(server, client))
                thread.start()
                _pump(client, server)
                thread.join()

        return programs(serve), asked

    def test_configured_proxy_is_used_with_its_password(self, api, echo_port, proxy):
        port, asked = proxy
        # Loopback never goes through the environment's proxy, so the configuration's is asked for here.
        access = replace(api.access(), proxy=Secret(f"http://user:p%40ss@127.0.0.1:{port}"))
        with HelperProcess(access) as helper:
            assert ask(helper.forward("pod", "web-0", echo_port).local_ports[0]) == b"ping"
        assert asked[0].startswith(f"CONNECT 127.0.0.1:{api.port} HTTP/1.1\r\n".encode())
        assert b"Basic dXNlcjpwQHNz" in asked[0]  # user:p@ss

    def test_the_environments_rules(self, api, proxy):
        port, asked = proxy
        env = {**os.environ, "HTTPS_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": ""}
        access = replace(api.access(), server="https://refuse.example:6443")
        with HelperProcess(access, env=env) as helper:
            error = helper.failure("pod", "web-0", 80)
        assert isinstance(error, ServerUnreachable)
        assert "403" in error.why
        assert asked[0].startswith(b"CONNECT refuse.example:6443")

    def test_proxy_that_speaks_tls_is_explained(self, api, programs):
        def alert(client) -> None:
            client.recv(100)
            client.sendall(b"\x15\x03\x01\x00\x02\x02\x46")  # a TLS server's answer to what is no TLS

        port = programs(alert)
        with HelperProcess(replace(api.access(), proxy=Secret(f"http://127.0.0.1:{port}"))) as helper:
            error = helper.failure("pod", "web-0", 80)
        assert isinstance(error, ServerUnreachable)
        assert error.what == "The proxy 127.0.0.1 does not speak plain HTTP."

    def test_a_proxy_of_another_kind_is_refused(self, api):
        with HelperProcess(replace(api.access(), proxy=Secret("socks5://127.0.0.1:1080"))) as helper:
            assert isinstance(helper.failure("pod", "web-0", 80), ServerUnreachable)
        with HelperProcess(replace(api.access(), proxy=Secret("https://proxy.example:443"))) as helper:
            assert "plain HTTP" in helper.failure("pod", "web-0", 80).why


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
