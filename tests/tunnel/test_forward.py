"""The life cycle of a forward in the real helper process, on a scripted server."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime

import psutil
import pytest

from sspcloud_magics.errors import (
    DialFailed,
    Forbidden,
    HelperFailed,
    NotLoggedIn,
    PodNotReady,
    PortNotFound,
    PortTaken,
    ServerError,
    ServerUnreachable,
    TargetError,
    TargetNotFound,
    TokenExpired,
)
from sspcloud_magics.tunnel.ipc import (
    ForwardSpec,
    ForwardState,
    PortSpec,
    RefuseAccess,
    SetAccess,
    StartForward,
    State,
    StopForward,
)
from sspcloud_magics.tunnel.timings import Timings
from tests.support.ports import free_port
from tests.tunnel.apiserver import ApiServer
from tests.tunnel.conftest import echo, listen
from tests.tunnel.helper_process import FIRST, HelperProcess

pytestmark = pytest.mark.slow

PATIENCE = 20.0
TO_FORWARD = {("create", "pods/portforward"), ("get", "pods/portforward")}
"""The permissions to forward: one is enough, as before Kubernetes 1.35; with only the second, SPDY needs a WebSocket."""


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), timeout=PATIENCE)


def ask(port: int, data: bytes = b"ping", host: str = "127.0.0.1") -> bytes:
    """Send `data` and return as many bytes."""
    with connect(port, host) as client:
        client.sendall(data)
        return receive(client, len(data))


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := client.recv(size - len(data))):
        data += piece
    return data


def receive_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def shout(connection: socket.socket) -> None:
    connection.sendall(b"hello")


@pytest.fixture
def echo_pod(api: ApiServer, programs) -> str:
    api.put_pod("web-0", {8000: programs(echo)}, names={8000: "http"})
    return "web-0"


# To a target, by its kinds and ports.


@pytest.mark.parametrize("any_protocol", FIRST, indirect=True)
def test_a_pod_by_number_and_by_name(helper, echo_pod, any_protocol):
    by_number = helper.forward("pod", echo_pod, 8000)
    by_name = helper.forward("pod", echo_pod, "http")
    assert (by_number.pod, by_number.protocol) == (echo_pod, any_protocol)
    assert [ask(state.local_ports[0]) for state in (by_number, by_name)] == [b"ping", b"ping"]


@pytest.mark.usefixtures("any_protocol")
def test_a_service_by_its_port_leads_to_the_pods_port(api, helper, echo_pod):
    api.put("Service", "web", spec={"ports": [{"name": "http", "port": 80, "targetPort": "http"}]})
    api.put_endpoints("web", [echo_pod], [{"name": "http", "port": 8000}])
    for port in (80, "http"):
        assert ask(helper.forward("service", "web", port).local_ports[0]) == b"ping"


@pytest.mark.usefixtures("any_protocol")
def test_a_service_by_its_containers_port(api, helper, echo_pod):
    api.put("Service", "web", spec={"ports": [{"port": 80, "targetPort": 8000}]})
    api.put_endpoints("web", [echo_pod], [{"port": 8000}])
    assert ask(helper.forward("service", "web", 8000).local_ports[0]) == b"ping"


@pytest.mark.parametrize(
    ("plural", "selector"),
    [
        ("Deployment", {"matchLabels": {"app": "web"}}),
        ("StatefulSet", {"matchLabels": {"app": "web"}}),
        ("ReplicaSet", {"matchLabels": {"app": "web"}}),
        ("DaemonSet", {"matchLabels": {"app": "web"}}),
        ("Job", {"matchLabels": {"app": "web"}}),
    ],
)
def test_a_workload_by_its_selector(api, helper, echo_pod, plural, selector):
    api.put(plural, "web", spec={"selector": selector})
    api.put_pod("other-0", {8000: 1}, labels={"app": "other"})
    state = helper.forward(plural.lower(), "web", "http")
    assert state.pod == echo_pod
    assert ask(state.local_ports[0]) == b"ping"


def test_failed_forward_restarts_under_its_number(api, helper, programs):
    error = helper.failure("pod", "web-0", 8000)
    assert isinstance(error, TargetNotFound)
    api.put_pod("web-0", {8000: programs(echo)})
    helper.say(StartForward(1, 1, ForwardSpec("lab", "pod", "web-0", (PortSpec(8000, (0,)),))))
    state = helper.wait_for_state(1, State.ACTIVE)
    assert ask(state.local_ports[0]) == b"ping"
    states = [event.state for event in helper.events if isinstance(event, ForwardState)]
    assert states == [State.STARTING, State.FAILED, State.STARTING, State.ACTIVE]


def test_an_address_that_is_not_of_this_machine(helper, echo_pod):
    error = helper.failure("pod", echo_pod, 8000, address="192.0.2.1")
    assert "192.0.2.1" in error.what


@pytest.mark.usefixtures("any_protocol")
def test_several_ports_of_one_forward(api, helper, programs):
    api.put_pod("web-0", {8000: programs(echo), 9000: programs(shout)})
    first, second = helper.forward("pod", "web-0", 8000, 9000).local_ports
    assert ask(first) == b"ping"
    with connect(second) as client:
        assert receive_all(client) == b"hello"


@pytest.mark.usefixtures("any_protocol")
def test_port_that_sends_at_full_speed_is_released(api, helper, programs):
    """The trial connection does not keep sending, which would delay the others."""
    sent, over = [0], threading.Event()

    def flood(connection) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(bytes(65536))
                sent[0] += 65536
        over.set()

    api.put_pod("web-0", {8000: programs(echo), 9000: programs(flood)})
    state = helper.forward("pod", "web-0", 8000, 9000)
    assert over.wait(PATIENCE)
    assert sent[0] < 64 * 1024 * 1024, "what the sockets hold, and not all that fits into a second"
    assert ask(state.local_ports[0]) == b"ping"
    with connect(state.local_ports[1]) as client:
        assert len(receive(client, 100_000)) == 100_000


# What is refused.


@pytest.mark.parametrize(
    ("kind", "name"), [("pod", "none"), ("service", "none"), ("deployment", "none"), ("statefulset", "none")]
)
def test_an_unknown_target(helper, kind, name):
    error = helper.failure(kind, name, 80)
    assert isinstance(error, TargetNotFound)
    assert "none" in error.what
    assert "lab" in error.what


def test_unknown_port_is_answered_with_the_known(helper, echo_pod):
    error = helper.failure("pod", echo_pod, "grpc")
    assert isinstance(error, PortNotFound)
    assert "8000 (http)" in error.hint


@pytest.mark.usefixtures("any_protocol")
def test_an_udp_port_is_refused(api, helper, echo_pod):
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "http", "port": 80}]
    api.put("Service", "web", spec={"ports": ports})
    error = helper.failure("service", "web", 53)
    assert isinstance(error, PortNotFound)
    assert "UDP" in error.what
    assert "80 (http)" in error.hint


def test_an_udp_port_of_a_container_is_refused(api, helper):
    port = {"name": "dns", "containerPort": 53, "protocol": "UDP"}
    api.put(
        "Pod",
        "dns-0",
        spec={"containers": [{"ports": [port]}]},
        status={"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]},
    )
    assert isinstance(helper.failure("pod", "dns-0", 53), PortNotFound)


@pytest.mark.usefixtures("any_protocol")
def test_a_refused_connection_quotes_the_server(patient_helper, echo_pod):
    error = patient_helper.failure("pod", echo_pod, 81)
    assert isinstance(error, DialFailed)
    assert "81" in error.what
    assert error.why == "The cluster says: dial tcp4 127.0.0.1:81: connect: connection refused"


@pytest.mark.parametrize("readable", [True, False], ids=["endpoints", "no right to endpoints"])
def test_missing_target_port_is_reported(api, helper, readable):
    ports = [{"port": 80, "targetPort": "web"}]
    api.put("Service", "web", spec={"ports": ports, "selector": {"app": "web"}})
    api.put_pod("web-0", {8000: 1}, names={8000: "http"})
    api.put_endpoints("web", [], [])
    api.forbidden = set() if readable else {("list", "endpoints")}
    error = helper.failure("service", "web", 80)
    assert isinstance(error, PortNotFound)
    assert "no port web" in str(error)
    assert "8000 (http)" in error.hint


def test_pods_of_a_service_say_why_they_are_not_ready(api, helper):
    """Endpoints omit a pod without an address."""
    api.put("Service", "web", spec={"ports": [{"port": 80}], "selector": {"app": "web"}})
    api.put_endpoints("web", [], [])
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "pull access denied"}}
    api.put(
        "Pod",
        "web-0",
        metadata={"labels": {"app": "web"}},
        spec={"containers": [{}]},
        status={"phase": "Pending", "containerStatuses": [{"state": waiting}]},
    )
    error = helper.failure("service", "web", 80)
    assert isinstance(error, PodNotReady)
    assert error.why == "The pod web-0 is ErrImagePull: pull access denied."
    api.forbidden = {("list", "pods")}
    assert "no pods" in helper.failure("service", "web", 80).why


def just_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.usefixtures("any_protocol")
@pytest.mark.parametrize("kind", ["pod", "service"])
def test_fresh_pod_listens_a_moment_later(api, patient_helper, programs, kind):
    """Without a readiness probe a pod is ready as soon as its process runs.

    The program talks first, so that the dial ends at once although the helper waits for long.
    """

    def greet(connection) -> None:
        connection.sendall(b"hello")

    api.put_pod("web-0", {8000: 0}, started=just_now())
    api.put("Service", "web-0", spec={"ports": [{"port": 8000}], "selector": {"app": "web"}})
    api.put_endpoints("web-0", ["web-0"], [{"port": 8000}])
    number = patient_helper.start(kind, "web-0", 8000)
    api.wait_for_request("get pods", 2 if kind == "pod" else 1)  # after the first dial
    api.listen("web-0", 8000, programs(greet))
    with connect(patient_helper.wait_for_state(number, State.ACTIVE).local_ports[0]) as client:
        assert receive(client, 5) == b"hello"


def test_fresh_pod_that_never_listens_refused(api, patient_helper):
    api.put_pod("web-0", {8000: 0}, started=just_now())
    assert isinstance(patient_helper.failure("pod", "web-0", 8000), DialFailed)


def test_old_pod_that_does_not_listen_refused_at_once(api, patient_helper):
    api.put_pod("web-0", {8000: 0})
    assert isinstance(patient_helper.failure("pod", "web-0", 8000), DialFailed)
    assert api.requests.count("get pods") == 2, "once to find it, once to see how old it is"


def test_a_pod_that_does_not_run(api, helper):
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    api.put(
        "Pod",
        "web-0",
        spec={"containers": [{}]},
        status={"phase": "Running", "containerStatuses": [{"state": waiting}]},
    )
    error = helper.failure("pod", "web-0", 80)
    assert isinstance(error, PodNotReady)
    assert "CrashLoopBackOff" in error.why


def test_a_service_without_a_ready_pod(api, helper, echo_pod):
    api.put("Service", "web", spec={"ports": [{"port": 8000}]})
    api.put_endpoints("web", [echo_pod], [{"port": 8000}], ready=False)
    error = helper.failure("service", "web", 8000)
    assert isinstance(error, PodNotReady)
    assert echo_pod in error.why


def put_web_with_crashing_side(api: ApiServer, pod: str, *, crashes: bool, serves: bool = True) -> None:
    """Create the service ``web`` and its pod, with a container next to the port's that may crash."""
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}} if crashes else {"running": {}}
    api.put(
        "Pod",
        pod,
        metadata={"labels": {"app": "web"}},
        spec={"containers": [{"name": "app", "ports": [{"containerPort": 8000}]}, {"name": "side"}]},
        status={
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(not crashes)}],
            "containerStatuses": [
                {"name": "app", "ready": serves, "state": {"running": {}}},
                {"name": "side", "ready": not crashes, "state": waiting},
            ],
        },
    )
    api.put("Service", "web", spec={"ports": [{"port": 80, "targetPort": 8000}], "selector": {"app": "web"}})
    api.put_endpoints("web", [pod], [{"port": 8000}], ready=not crashes)


@pytest.mark.parametrize("at_once", [True, False], ids=["from the beginning", "later"])
def test_service_serves_beside_a_crashing_container(api, helper, echo_pod, at_once):
    put_web_with_crashing_side(api, echo_pod, crashes=at_once)
    port = helper.forward("service", "web", 80).local_ports[0]
    assert ask(port) == b"ping"
    put_web_with_crashing_side(api, echo_pod, crashes=True)
    api.wait_for_request("list pods")
    assert ask(port) == b"ping"


def test_service_is_found_when_its_container_is_ready(api, helper, echo_pod):
    """Another container crashes at the same time, so that the Endpoints never change."""
    put_web_with_crashing_side(api, echo_pod, crashes=False)
    state = helper.forward("service", "web", 80)
    put_web_with_crashing_side(api, echo_pod, crashes=True, serves=False)
    helper.wait_for_state(state.forward_id, State.RECONNECTING)
    api.wait_for_request("watch pods")
    put_web_with_crashing_side(api, echo_pod, crashes=True)
    helper.wait_for_state(state.forward_id, State.ACTIVE)
    assert ask(state.local_ports[0]) == b"ping"


@pytest.mark.usefixtures("any_protocol")
def test_taken_port_is_refused_and_next_candidate_used(helper, echo_pod):
    taken = helper.forward("pod", echo_pod, 8000).local_ports[0]
    error = helper.failure("pod", echo_pod, 8000, local=taken)
    assert isinstance(error, PortTaken)
    assert str(taken) in error.what
    assert ask(taken) == b"ping"


def test_a_server_that_does_not_answer(api, programs):
    port = free_port()
    with HelperProcess(api.access(port=port)) as helper:
        error = helper.failure("pod", "web-0", 80)
    assert isinstance(error, ServerUnreachable)
    assert str(port) in error.what


# The server's address.


@pytest.mark.usefixtures("any_protocol")
@pytest.mark.parametrize("prefix", ["/k8s/clusters/c-m-1", "/k8s/clusters/c%3Am%2F1", "/k8s/clusters/a%20b/"])
def test_address_with_a_path_kept_as_it_is(api, echo_pod, prefix):
    access = api.access()
    with HelperProcess(replace(access, server=access.server + prefix)) as helper:
        assert ask(helper.forward("pod", echo_pod, 8000).local_ports[0]) == b"ping"
        api.wait_for_request("watch pods")
    assert all(path.startswith(f"{prefix.rstrip('/')}/api/") for path in api.paths)


def test_redirect_is_reported_with_its_target(api, helper, echo_pod):
    api.redirects_to = "https://ana:secret@sso.example/login?state=also-secret"
    error = helper.failure("pod", echo_pod, 8000)
    assert type(error) is ServerError
    assert "https://sso.example/login" in error.why
    assert "secret" not in str(error)


# Rights.


@pytest.mark.usefixtures("any_protocol")
def test_a_missing_right_is_named(api, helper, echo_pod):
    api.forbidden = TO_FORWARD
    error = helper.failure("pod", echo_pod, 8000)
    assert isinstance(error, Forbidden)
    assert "pods/portforward" in error.hint
    assert "lab" in error.what
    asked = [request for request in api.requests if "portforward" in request]
    assert asked == ["create pods/portforward", "get pods/portforward"], (
        "each of the rights once, and not again"
    )


def test_tunnel_just_left_serves_the_next_client(api, echo_pod):
    with HelperProcess(api.access(), Timings(first_close_checks=(3600.0,))) as helper:
        port = helper.forward("pod", echo_pod, 8000).local_ports[0]
        with api.upgrades_held():  # there will be no other tunnel
            for _ in range(3):
                assert ask(port) == b"ping"


@pytest.mark.parametrize(("missing", "protocol"), [("create", "spdy_websocket"), ("get", "spdy")])
def test_one_of_the_rights_is_enough(api, helper, echo_pod, missing, protocol):
    api.forbidden = {(missing, "pods/portforward")}
    state = helper.forward("pod", echo_pod, 8000)
    assert state.protocol == protocol
    assert ask(state.local_ports[0]) == b"ping"
    api.forbidden.clear()
    assert helper.forward("pod", echo_pod, 8000).protocol == "spdy", "a right is no word on the protocol"


def test_unsupported_protocol_is_tried_once(api, helper, echo_pod, any_protocol):
    wanted = {"spdy": 0, "spdy_websocket": 1, "channels": 2}[any_protocol]
    for _ in range(2):
        state = helper.forward("pod", echo_pod, 8000)
        assert ask(state.local_ports[0]) == b"ping"
        assert state.protocol == any_protocol
    assert api.refused_upgrades == wanted


def test_silent_proxy_is_not_waited_for_long(api, echo_pod):
    with HelperProcess(api.access(), Timings(first_answer_timeout=0.2)) as helper, api.upgrades_held():
        number = helper.start("pod", echo_pod, 8000)
        api.wait_for_request("get pods/portforward")
        api.protocols.remove("portforward.k8s.io")
        api.let_upgrades_go()
        assert helper.wait_for_state(number, State.ACTIVE).protocol == "spdy_websocket"
        for _ in range(3):
            assert ask(helper.forward("pod", echo_pod, 8000).local_ports[0]) == b"ping"
    assert api.requests.count("create pods/portforward") == 1


@pytest.mark.parametrize(
    "then", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", None], ids=["ends", "babbles", "says nothing"]
)
def test_proxy_that_passes_the_upgrade_only_falls_back(api, echo_pod, then):
    with HelperProcess(api.access(), Timings(first_answer_timeout=0.5)) as helper:
        api.instead_of_spdy = then
        for _ in range(2):
            state = helper.forward("pod", echo_pod, 8000)
            assert state.protocol == "spdy_websocket"
            assert ask(state.local_ports[0]) == b"ping"
    assert api.requests.count("create pods/portforward") == 1


@pytest.mark.usefixtures("any_protocol")
def test_colleague_needs_endpoints_and_forward_only(api, helper, echo_pod):
    api.put("Service", "db-rw", spec={"ports": [{"name": "http", "port": 80}]})
    api.put_endpoints("db-rw", [echo_pod], [{"name": "http", "port": 8000}])
    api.forbidden = {(verb, what) for verb in ("get", "list", "watch") for what in ("services", "pods")}
    for port in (8000, "http"):
        assert ask(helper.forward("service", "db-rw", port).local_ports[0]) == b"ping"


def test_a_service_without_a_right_to_endpoints(api, helper, echo_pod):
    api.put(
        "Service", "web", spec={"ports": [{"port": 80, "targetPort": "http"}], "selector": {"app": "web"}}
    )
    api.forbidden = {("list", "endpoints")}
    assert ask(helper.forward("service", "web", 80).local_ports[0]) == b"ping"


@pytest.mark.parametrize("readable", [True, False], ids=["endpoints", "no right to endpoints"])
@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"ports": [{"port": 80}]}, "has no selector"),
        ({"ports": [{"port": 80}], "selector": {}}, "has no selector"),
        ({"type": "ExternalName", "externalName": "db.example.org"}, "db.example.org"),
    ],
    ids=["no selector", "empty selector", "external name"],
)
@pytest.mark.usefixtures("echo_pod")
def test_service_without_pods_refused(api, helper, readable, spec, why):
    api.put("Service", "legacy", spec=spec)
    if readable:
        api.put(
            "Endpoints", "legacy", subsets=[{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}]
        )
    else:
        api.forbidden = {("list", "endpoints")}
    error = helper.failure("service", "legacy", 80)
    assert type(error) is TargetError
    assert "selects no pods" in error.what
    assert why in error.why
    assert "%forward lab/pod/NAME 80" in error.hint
    assert "%forward --relay legacy.lab.svc.cluster.local:80" in error.hint


def test_handwritten_endpoints_naming_pods_forwarded(api, helper, echo_pod):
    api.put("Service", "web", spec={"ports": [{"port": 80, "targetPort": 8000}]})
    api.put_endpoints("web", [echo_pod], [{"port": 8000}])
    assert ask(helper.forward("service", "web", 80).local_ports[0]) == b"ping"


def test_a_service_without_any_right(api, helper):
    api.forbidden = {("get", "services"), ("list", "endpoints")}
    error = helper.failure("service", "web", 80)
    assert isinstance(error, Forbidden)
    assert "read the service web" in error.what


def test_unreadable_pod_is_taken_as_named(api, helper, echo_pod):
    api.forbidden = {("get", "pods"), ("list", "pods")}
    assert ask(helper.forward("pod", echo_pod, 8000).local_ports[0]) == b"ping"
    assert isinstance(helper.failure("pod", echo_pod, "http"), Forbidden)


def test_a_pod_that_may_be_read_but_not_listed(api, helper, echo_pod):
    api.forbidden = {("list", "pods"), ("watch", "pods")}
    assert ask(helper.forward("pod", echo_pod, "http").local_ports[0]) == b"ping"


# Credentials.


@pytest.mark.usefixtures("any_protocol")
def test_expired_credentials_are_asked_for_once(api, helper, echo_pod):
    api.token = "fresh"
    number = helper.start("pod", echo_pod, 8000)
    helper.wait_for_credentials_wanted()
    helper.say(SetAccess(1, api.access()))
    state = helper.wait_for_state(number, State.ACTIVE)
    assert ask(state.local_ports[0]) == b"ping"


@pytest.mark.usefixtures("any_protocol")
def test_repeated_bad_credentials_fail_the_forward(api, helper, echo_pod):
    access = api.access()
    api.token = "fresh"
    number = helper.start("pod", echo_pod, 8000)
    helper.wait_for_credentials_wanted()
    helper.say(SetAccess(1, access))
    with pytest.raises(TokenExpired):
        helper.wait_for_state(number, State.ACTIVE)


def test_refused_credentials_fail_with_kernels_error(api, helper, echo_pod):
    api.token = "fresh"
    number = helper.start("pod", echo_pod, 8000)
    helper.wait_for_credentials_wanted()
    helper.say(RefuseAccess(1, NotLoggedIn("Your session is over.").to_wire()))
    with pytest.raises(NotLoggedIn, match="Your session is over"):
        helper.wait_for_state(number, State.ACTIVE)


@pytest.mark.usefixtures("any_protocol")
def test_new_login_heals_the_forward(api, helper, echo_pod):
    state = helper.forward("pod", echo_pod, 8000)
    running = [connect(state.local_ports[0]) for _ in range(3)]  # more than tunnels that wait
    for client in running:
        client.sendall(b"before")
        assert receive(client, 6) == b"before"
    api.token = "fresh"
    waiting = [connect(state.local_ports[0]) for _ in range(3)]
    for client in waiting:
        client.sendall(b"patient")
    helper.wait_for_credentials_wanted()
    ended = TokenExpired("Your login has ended.", hint="log in again")
    helper.say(RefuseAccess(1, ended.to_wire()))
    assert "log in again" in helper.wait_for_state(state.forward_id, State.RECONNECTING).reason
    for client in running:
        client.sendall(b"still")
        assert receive(client, 5) == b"still"
    helper.wait_for_credentials_wanted()
    helper.say(SetAccess(1, api.access()))
    assert helper.wait_for_state(state.forward_id, State.ACTIVE).local_ports == state.local_ports
    for client in waiting:
        assert receive(client, 7) == b"patient"
    for client in [*running, *waiting]:
        client.close()


def test_a_forward_before_its_credentials(helper):
    spec = ForwardSpec("lab", "pod", "web-0", (PortSpec(80, (0,)),))
    helper.say(StartForward(7, 2, spec))
    with pytest.raises(HelperFailed):
        helper.wait_for_state(7, State.ACTIVE)


# Local ports.


@pytest.mark.usefixtures("any_protocol")
def test_localhost_is_both_families(helper, echo_pod):
    port = helper.forward("pod", echo_pod, 8000).local_ports[0]
    assert ask(port, host="127.0.0.1") == b"ping"
    assert ask(port, host="::1") == b"ping"


def test_a_chosen_address(helper, echo_pod):
    port = helper.forward("pod", echo_pod, 8000, address="127.0.0.2").local_ports[0]
    assert ask(port, host="127.0.0.2") == b"ping"
    # Another program may have the same port on another address.
    listening = [
        each.laddr
        for each in psutil.Process(helper.process.pid).net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]
    assert listening == [("127.0.0.2", port)]


@pytest.mark.usefixtures("any_protocol")
def test_stopping_is_idempotent_and_frees_the_port(helper, echo_pod):
    state = helper.forward("pod", echo_pod, 8000)
    with connect(state.local_ports[0]) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        helper.stop(state.forward_id)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with socket.create_server(("127.0.0.1", state.local_ports[0])):
        pass
    helper.stop(state.forward_id)
    helper.stop(4711)


@pytest.mark.usefixtures("any_protocol")
def test_end_of_the_pipe_ends_the_helper_and_its_ports(api, echo_pod):
    with HelperProcess(api.access()) as helper:
        port = helper.forward("pod", echo_pod, 8000).local_ports[0]
    assert helper.process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        connect(port)


# Pods come and go.


def replace_pod(api: ApiServer, real: int, *, old: str, new: str) -> None:
    api.delete("Pod", old)
    api.put_pod(new, {8000: real}, uid="the-next")


@pytest.mark.parametrize("new", ["web-0", "web-1"])
def test_a_replaced_pod_is_taken_over_on_the_same_port(api, helper, programs, new, any_protocol):
    real = programs(echo)
    owner = ("StatefulSet", "web")
    api.put_pod("web-0", {8000: real}, owner=owner)
    state = helper.forward("pod", "web-0", 8000)
    port = state.local_ports[0]
    assert ask(port) == b"ping"
    api.delete("Pod", "web-0")
    helper.wait_for_state(state.forward_id, State.RECONNECTING)
    with connect(port) as early:  # it is not refused, but waits
        early.sendall(b"early")
        api.put_pod(new, {8000: real}, uid="the-next", owner=owner)
        again = helper.wait_for_state(state.forward_id, State.ACTIVE)
        assert (again.pod, again.local_ports) == (new, (port,))
        assert receive(early, 5) == b"early"
    assert ask(port) == b"ping"


def test_service_moves_to_the_pod_of_its_endpoints(api, helper, programs):
    api.put_pod("db-1", {5432: programs(echo)})
    api.put("Service", "db", spec={"ports": [{"port": 5432}]})
    api.put_endpoints("db", ["db-1"], [{"port": 5432}])
    state = helper.forward("service", "db", 5432)
    api.put_pod("db-2", {5432: programs(echo)})
    api.put_endpoints("db", ["db-2"], [{"port": 5432}])
    assert helper.wait_for_state(state.forward_id, State.ACTIVE).pod == "db-2"
    assert ask(state.local_ports[0]) == b"ping"


@pytest.mark.parametrize("kind", ["deployment", "service", "pod"])
def test_named_port_follows_a_rollout(api, helper, programs, kind):
    """In the next version of the pod, the named port has another number."""
    real = programs(echo)
    selector = {"matchLabels": {"app": "web"}}
    api.put("Deployment", "web-1-x", spec={"selector": selector})
    api.put("Service", "web-1-x", spec={"ports": [{"name": "http", "port": 80, "targetPort": "http"}]})
    above = {"kind": "Deployment", "name": "web-1-x", "uid": "uid-web", "controller": True}
    api.put("ReplicaSet", "web-1", metadata={"ownerReferences": [above]}, spec={"selector": selector})
    api.put_pod("web-1-x", {8000: real}, names={8000: "http"}, owner=("ReplicaSet", "web-1"))
    api.put_endpoints("web-1-x", ["web-1-x"], [{"name": "http", "port": 8000}])
    state = helper.forward(kind, "web-1-x", "http")
    api.put_pod("web-2-y", {9000: real}, names={9000: "http"}, owner=("ReplicaSet", "web-2"))
    api.put_endpoints("web-1-x", ["web-2-y"], [{"name": "http", "port": 9000}])
    api.delete("Pod", "web-1-x")
    assert helper.wait_for_state(state.forward_id, State.ACTIVE).pod == "web-2-y"
    assert ask(state.local_ports[0]) == b"ping"


@pytest.mark.parametrize("name", ["http", "web"], ids=["port moved", "port renamed, too"])
def test_changed_target_port_is_followed(api, helper, programs, name):
    """The service leads to another port of the same pod; open connections stay open."""
    api.put_pod("web-0", {8000: programs(echo), 9000: programs(shout)})
    api.put("Service", "web", spec={"ports": [{"name": "http", "port": 80, "targetPort": 8000}]})
    api.put_endpoints("web", ["web-0"], [{"name": "http", "port": 8000}])
    state = helper.forward("service", "web", 80)
    with connect(state.local_ports[0]) as before:
        before.sendall(b"a")
        assert before.recv(1) == b"a"
        api.put("Service", "web", spec={"ports": [{"name": name, "port": 80, "targetPort": 9000}]})
        api.put_endpoints("web", ["web-0"], [{"name": name, "port": 9000}])
        helper.wait_for_state(state.forward_id, State.RECONNECTING)
        helper.wait_for_state(state.forward_id, State.ACTIVE)
        with connect(state.local_ports[0]) as after:
            assert receive_all(after) == b"hello"
        before.sendall(b"b")
        assert before.recv(1) == b"b"


def test_new_version_of_a_deployment_replaces_the_pod(api, helper, programs):
    real = programs(echo)
    api.put("Deployment", "web", spec={"selector": {"matchLabels": {"app": "web"}}})
    above = {"kind": "Deployment", "name": "web", "uid": "uid-web", "controller": True}
    api.put("ReplicaSet", "web-1", metadata={"ownerReferences": [above]}, spec={})
    api.put_pod("web-1-x", {8000: real}, owner=("ReplicaSet", "web-1"))
    state = helper.forward("pod", "web-1-x", 8000)
    api.put_pod("web-2-y", {8000: real}, owner=("ReplicaSet", "web-2"))
    api.delete("Pod", "web-1-x")
    assert helper.wait_for_state(state.forward_id, State.ACTIVE).pod == "web-2-y"
    assert ask(state.local_ports[0]) == b"ping"


def test_a_watch_that_is_too_old_begins_again(api, helper, programs):
    real = programs(echo)
    api.put_pod("web-0", {8000: real})
    state = helper.forward("pod", "web-0", 8000)
    api.end_watches()
    api.delete("Pod", "web-0")
    helper.wait_for_state(state.forward_id, State.RECONNECTING)
    api.put_pod("web-0", {8000: real}, uid="the-next")
    helper.wait_for_state(state.forward_id, State.ACTIVE)
    assert ask(state.local_ports[0]) == b"ping"


def test_pods_are_polled_where_watching_is_forbidden(api, helper, programs):
    real = programs(echo)
    api.forbidden = {("watch", "pods")}
    api.put_pod("web-0", {8000: real})
    state = helper.forward("pod", "web-0", 8000)
    replace_pod(api, real, old="web-0", new="web-0")
    helper.wait_for_state(state.forward_id, State.RECONNECTING)
    helper.wait_for_state(state.forward_id, State.ACTIVE)
    assert ask(state.local_ports[0]) == b"ping"


@pytest.mark.usefixtures("any_protocol")
def test_client_of_a_gone_pod_is_served_by_the_next(api, helper, programs):
    real = programs(echo)
    api.forbidden = {("watch", "pods")}  # so that the client is the first to notice
    api.put_pod("web-0", {8000: real})
    state = helper.forward("pod", "web-0", 8000)
    api.put_pod("web-0", {8000: real}, uid="the-next")
    assert ask(state.local_ports[0], b"said before the pod was known to be gone") == (
        b"said before the pod was known to be gone"
    )
    counters = helper.wait_for_counters(lambda counters: counters.received == 40)
    assert counters.failed_connections == 0


@pytest.mark.usefixtures("any_protocol")
@pytest.mark.parametrize("unreadable", [(), ("pods",)], ids=["pods", "endpoints only"])
def test_client_refused_by_leaving_pod_is_served(api, helper, programs, unreadable):
    """The program of a deleted pod has ended, and no watch has reported the deletion."""
    real = programs(echo)
    api.forbidden = {("watch", "endpoints"), *(("get", kind) for kind in unreadable)}
    api.put_pod("web-0", {8000: real})
    api.put("Service", "web", spec={"ports": [{"port": 80}]})
    api.put_endpoints("web", ["web-0"], [{"port": 8000}])
    state = helper.forward("service", "web", 80)
    api.put_pod("web-0", {}, deleting=True)
    api.put_pod("web-1", {8000: real})
    api.put_endpoints("web", ["web-1"], [{"port": 8000}])
    assert ask(state.local_ports[0], b"early") == b"early"
    counters = helper.wait_for_counters(lambda counters: counters.received == 5)
    assert counters.failed_connections == 0


@pytest.mark.parametrize("any_protocol", FIRST, indirect=True)
def test_a_transfer_that_a_deleted_pod_cuts_is_reset(api, helper, programs, any_protocol):
    go_on = threading.Event()

    def half(connection) -> None:
        connection.sendall(b"x" * 1000)
        go_on.wait(PATIENCE)  # then the connection closes, as those of a killed process do

    api.put_pod("web-0", {8000: programs(half)})
    state = helper.forward("pod", "web-0", 8000)
    with connect(state.local_ports[0]) as client:
        assert len(receive(client, 1000)) == 1000
        api.delete("Pod", "web-0")
        helper.wait_for_state(state.forward_id, State.RECONNECTING)
        go_on.set()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@pytest.mark.usefixtures("any_protocol")
def test_clients_waiting_in_vain_are_reset_in_the_end(api, helper, programs):
    api.put_pod("web-0", {8000: programs(echo)})
    state = helper.forward("pod", "web-0", 8000, wait=0.5)
    port = state.local_ports[0]
    api.delete("Pod", "web-0")
    helper.wait_for_state(state.forward_id, State.RECONNECTING)
    for round_ in range(1, 3):  # those who come later wait as long as the first
        clients = [connect(port) for _ in range(3)]
        clients[0].sendall(b"patience")  # whether they speak or not
        for client in clients:
            with client, pytest.raises(ConnectionResetError):
                client.recv(1)
        counters = helper.wait_for_counters(
            lambda counters, count=3 * round_: counters.failed_connections == count
        )
        assert counters.last_error == "no tunnel to the pod could be opened in time"
    api.put_pod("web-0", {8000: programs(echo)}, uid="the-next")
    helper.wait_for_state(state.forward_id, State.ACTIVE)
    assert ask(port) == b"ping"


def test_clients_wait_ten_seconds_by_default():
    assert ForwardSpec("lab", "pod", "web-0", ()).wait == 10.0


@pytest.mark.usefixtures("any_protocol")
def test_withdrawn_right_fails_it_on_reconnect(api, helper, programs):
    real = programs(echo)
    api.put_pod("web-0", {8000: real})
    state = helper.forward("pod", "web-0", 8000)
    running = connect(state.local_ports[0])
    running.sendall(b"before")
    assert receive(running, 6) == b"before"
    api.forbidden = TO_FORWARD
    replace_pod(api, real, old="web-0", new="web-0")
    helper.wait_for_state(state.forward_id, State.RECONNECTING)
    with pytest.raises(Forbidden):
        helper.wait_for_state(state.forward_id, State.ACTIVE)
    with pytest.raises(ConnectionRefusedError):
        connect(state.local_ports[0])
    running.sendall(b"still")
    assert receive(running, 5) == b"still"  # the server looks at rights when a tunnel is opened
    helper.stop(state.forward_id)
    with running, pytest.raises(ConnectionResetError):
        running.recv(1)


def test_a_resumed_forward_heals_instead_of_failing(api, helper, programs):
    number = helper.start("service", "web", 80, resume=True)
    reconnecting = helper.wait_for_state(number, State.RECONNECTING)
    api.wait_for_request("get services")
    api.put_pod("web-0", {8000: programs(echo)})
    api.put("Service", "web", spec={"ports": [{"port": 80}]})
    api.put_endpoints("web", ["web-0"], [{"port": 8000}])
    state = helper.wait_for_state(number, State.ACTIVE)
    assert state.local_ports == reconnecting.local_ports
    assert ask(state.local_ports[0]) == b"ping"


@pytest.mark.usefixtures("any_protocol")
def test_server_started_later_needs_no_new_forward(api, helper, programs):
    first = programs(echo)
    later = free_port()
    api.put_pod("web-0", {8000: first})
    state = helper.forward("pod", "web-0", 8000)
    api.put_pod("web-0", {8000: later})
    with pytest.raises(ConnectionResetError), connect(state.local_ports[0]) as client:
        client.recv(1)
    counters = helper.wait_for_counters(lambda counters: counters.failed_connections == 1)
    assert counters.last_error == ("Nothing accepts connections on the port in the pod (connection refused).")
    with listen(echo, later):
        assert ask(state.local_ports[0]) == b"ping"
    states = [event.state for event in helper.events if isinstance(event, ForwardState)]
    assert states == [State.STARTING, State.ACTIVE]


@pytest.mark.usefixtures("any_protocol")
def test_counters_count(helper, echo_pod):
    port = helper.forward("pod", echo_pod, 8000).local_ports[0]
    assert [ask(port, b"x" * 10) for _ in range(3)] == [b"x" * 10] * 3
    counters = helper.wait_for_counters(lambda found: found.connections == 3 and not found.open_connections)
    assert (counters.sent, counters.received, counters.failed_connections) == (30, 30, 0)


def test_a_command_for_a_stopped_forward_is_answered(helper):
    helper.say(StopForward(99))
    helper.wait_for_state(99, State.STOPPED)


def test_line_that_is_no_command_is_ignored(api, helper, echo_pod):
    assert helper.process.stdin is not None
    with contextlib.suppress(OSError):
        helper.process.stdin.write(b'{"is": "SetAccess", "access": 1}\nnonsense\n')
    assert ask(helper.forward("pod", echo_pod, 8000).local_ports[0]) == b"ping"
