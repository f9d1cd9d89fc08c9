"""Pods as real processes: their status, events and logs throughout their life cycle."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api.pod_status import summarize
from sspcloud_magics.sandbox.network.routing import Network
from sspcloud_magics.sandbox.node.connection import DialError
from sspcloud_magics.sandbox.node.kubelet import Node
from sspcloud_magics.sandbox.node.logs import LogsUnavailable
from sspcloud_magics.sandbox.node.pod_worker import NODE_NAME
from sspcloud_magics.sandbox.store import Obj, Store
from tests.sandbox.node.conftest import LISTENS, Cluster, condition, delete

pytestmark = pytest.mark.slow


def secret(name: str, **values: str) -> dict[str, object]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "ns"},
        "data": data,
    }


def processes_of(pod: str) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if child.is_running() and f"ns/{pod}" in child.cmdline()
    ]


def process_of(pod: str) -> psutil.Process:
    (found,) = processes_of(pod)
    return found


async def test_a_pod_is_scheduled_runs_and_becomes_ready(cluster: Cluster):
    cluster.create("echo", args=["echo", "9000"])
    assert cluster.pod("echo")["spec"].get("nodeName") is None
    pod = await cluster.ready("echo")
    assert pod["spec"]["nodeName"] == "sandbox-node"
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["podIP"].startswith("10.42.0.")
    assert pod["status"]["qosClass"] == "BestEffort"
    assert cluster.container("echo")["state"].keys() == {"running"}
    assert cluster.container("echo")["restartCount"] == 0
    reasons = [reason for reason, _ in cluster.events("echo")]
    assert reasons == ["Scheduled", "Pulled", "Created", "Started"]


async def test_dial_reaches_the_program_or_says_pod_is_gone(cluster: Cluster):
    cluster.create("echo", args=["echo", "9000"])
    await cluster.ready("echo")
    connection = await cluster.node.dial("ns", "echo", 9000)
    await connection.write(b"hello")
    assert await connection.read() == b"hello"
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        await cluster.node.dial("ns", "echo", 9001)
    with pytest.raises(DialError, match="pod not found"):
        await cluster.node.dial("ns", "nobody", 9000)


async def test_unknown_image_backs_off_in_the_runtimes_words(cluster: Cluster):
    cluster.create("wrong", "nope/nope:1")
    waiting = lambda: cluster.container("wrong")["state"].get("waiting", {}).get("reason")  # noqa: E731
    await cluster.wait_until(lambda: waiting() == "ErrImagePull")
    await cluster.wait_until(lambda: waiting() == "ImagePullBackOff")
    message = cluster.container("wrong")["state"]["waiting"]["message"]
    assert message.startswith(
        'Back-off pulling image "nope/nope:1": ErrImagePull: failed to pull and unpack image'
    )
    assert cluster.pod("wrong")["status"]["phase"] == "Pending"
    assert ("Failed", "Error: ErrImagePull") in cluster.events("wrong")
    with pytest.raises(LogsUnavailable, match="waiting to start: trying and failing to pull image"):
        await cluster.log("wrong")


async def test_failing_container_restarts_with_back_off(cluster: Cluster):
    cluster.create("crash", "alpine/socat", ["TCP-LISTEN:1"])
    await cluster.wait_until(lambda: cluster.container("crash")["restartCount"] >= 2)
    assert "BackOff" in {reason for reason, _ in cluster.events("crash")}
    seen = cluster.container("crash")
    assert seen["lastState"]["terminated"]["exitCode"] == 1
    assert seen["lastState"]["terminated"]["reason"] == "Error"
    assert cluster.pod("crash")["status"]["phase"] == "Running"
    assert condition(cluster.pod("crash"), "Ready")["message"] == "containers with unready status: [main]"
    assert "exactly 2 addresses required (there are 1)" in await cluster.log("crash", previous=True)


@pytest.mark.parametrize(
    ("policy", "args", "phase", "reason"),
    [
        ("Never", ["TCP-LISTEN:1"], "Failed", "Error"),
        ("OnFailure", ["TCP-LISTEN:5432", "TCP:missing:1"], "Succeeded", "Completed"),
    ],
)
async def test_restart_policy_decides_how_a_pod_ends(cluster: Cluster, policy, args, phase, reason):
    cluster.create("once", "alpine/socat", args, restartPolicy=policy)
    if phase == "Succeeded":
        # socat without fork ends with its first connection; OnFailure starts it again while that failed.
        cluster.create("echo", args=["echo", "9000"])
        await cluster.ready("echo")
        cluster.store.delete(*_key("once"))
        ip = cluster.pod("echo")["status"]["podIP"]
        await cluster.wait_until(lambda: cluster.pod("once") is None)
        cluster.create("once", "alpine/socat", ["TCP-LISTEN:5432", f"TCP:{ip}:9000"], restartPolicy=policy)
        await cluster.ready("once")
        connection = await cluster.node.dial("ns", "once", 5432)
        await connection.write(b"x")
        assert await connection.read() == b"x"
        connection.close()
    await cluster.wait_until(lambda: cluster.pod("once").get("status", {}).get("phase") == phase)
    assert cluster.container("once")["state"]["terminated"]["reason"] == reason


def _key(name: str):
    return kinds.PODS, "ns", name


async def test_missing_command_is_a_start_error(cluster: Cluster):
    cluster.create(
        "shell", "alpine/socat", container={"command": ["bash", "-c", "true"]}, restartPolicy="Never"
    )
    await cluster.wait_until(lambda: (cluster.pod("shell") or {}).get("status", {}).get("phase") == "Failed")
    ended = cluster.container("shell")["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert 'exec: "bash": executable file not found in $PATH' in ended["message"]


async def test_active_deadline_fails_the_pod_and_ends_it(cluster: Cluster):
    cluster.create("short", args=["echo", "9000"], activeDeadlineSeconds=1)
    await cluster.wait_until(lambda: "running" in cluster.container("short")["state"])
    await cluster.wait_until(lambda: cluster.pod("short")["status"]["phase"] == "Failed")
    assert cluster.pod("short")["status"]["reason"] == "DeadlineExceeded"
    await cluster.wait_until(lambda: "terminated" in cluster.container("short")["state"])
    assert processes_of("short") == []


async def test_deletion_ends_the_process_then_the_object(cluster: Cluster):
    cluster.create("echo", args=["echo", "9000"])
    await cluster.ready("echo")
    process = process_of("echo")
    delete(cluster, "echo")
    await cluster.wait_until(lambda: cluster.pod("echo") is None)
    assert not process.is_running()
    assert ("Killing", "Stopping container main") in cluster.events("echo")


async def test_process_ignoring_its_signal_is_killed(cluster: Cluster):
    cluster.create("deaf", args=["echo", "9000"])
    await cluster.ready("deaf")
    process = process_of("deaf")
    process.suspend()  # a stopped process takes no SIGTERM
    delete(cluster, "deaf", grace=1)
    await cluster.wait_until(lambda: cluster.pod("deaf") is None)
    assert not process.is_running()


async def test_removal_of_the_object_kills_at_once(cluster: Cluster):
    cluster.create("gone", args=["echo", "9000"])
    await cluster.ready("gone")
    process = process_of("gone")
    process.suspend()
    cluster.store.delete(*_key("gone"))
    with contextlib.suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(process.wait, 10)
    assert not process.is_running()


async def test_a_pod_of_the_same_name_is_another_pod(cluster: Cluster):
    cluster.create("twin", args=["echo", "9000"])
    first = await cluster.ready("twin")
    cluster.store.delete(*_key("twin"))
    cluster.create("twin", args=["echo", "9000"])
    second = await cluster.ready("twin")
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert first["status"]["podIP"] != second["status"]["podIP"]


async def test_missing_secret_keeps_the_container_waiting(cluster: Cluster):
    port = {"name": "PORT", "valueFrom": {"secretKeyRef": {"name": "later", "key": "port"}}}
    cluster.create("waits", container={"env": [port], "args": ["echo", "$(PORT)"]})
    state = lambda: cluster.container("waits")["state"].get("waiting", {})  # noqa: E731
    await cluster.wait_until(lambda: state().get("reason") == "CreateContainerConfigError")
    assert state()["message"] == 'secret "later" not found'
    cluster.store.create(secret("later", port="9123"))
    await cluster.ready("waits")
    (await cluster.node.dial("ns", "waits", 9123)).close()


async def test_secret_is_in_no_argument_and_no_environment(cluster: Cluster):
    cluster.store.create(secret("s", password="correct-horse"))
    env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}]
    cluster.create("quiet", "mon-api", container={"env": env, "args": ["$(PASSWORD)"]})
    await cluster.ready("quiet")
    process = process_of("quiet")
    assert "correct-horse" not in f"{process.cmdline()} {process.environ()}"


def helper(name: str, *args: str, **more: object) -> Obj:
    return {"name": name, "image": "sspcloud-sandbox/helper", "args": list(args), **more}


def show_reason(cluster: Cluster, name: str) -> str:
    """Return the status that ``kubectl get pods`` shows."""
    return summarize(cluster.pod(name)).reason


NOWHERE = (
    "0/1 nodes are available: 1 {}. no new claims to deallocate, preemption: 0/1 nodes are available: 1 {}."
)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"nodeSelector": {"disk": "fast"}}, "node(s) didn't match Pod's node affinity/selector"),
        ({"resources": {"limits": {"nvidia.com/gpu": "1"}}}, "Insufficient nvidia.com/gpu"),
        ({"resources": {"requests": {"cpu": "500"}}}, "Insufficient cpu"),
    ],
)
async def test_pod_that_fits_nowhere_stays_pending(cluster: Cluster, spec: Obj, reason: str):
    container = {"resources": spec.pop("resources", {})}
    cluster.create("large", args=["echo", "9000"], container=container, **spec)
    await cluster.wait_until(
        lambda: condition(cluster.pod("large"), "PodScheduled").get("reason") == "Unschedulable"
    )
    pod = cluster.pod("large")
    assert pod["status"]["phase"] == "Pending"
    assert "nodeName" not in pod["spec"]
    words = NOWHERE.format(reason, "Preemption is not helpful for scheduling")
    assert condition(pod, "PodScheduled")["message"] == words
    assert cluster.events("large") == [("FailedScheduling", words)]


async def test_pod_waits_for_room_and_for_the_node(cluster: Cluster):
    wanted = {"resources": {"requests": {"cpu": "10"}}}
    cluster.create("first", args=["echo", "9000"], container=wanted)
    await cluster.ready("first")
    cluster.create("second", args=["echo", "9000"], container=wanted)
    words = NOWHERE.format("Insufficient cpu", "No preemption victims found for incoming pod")
    await cluster.wait_until(lambda: cluster.events("second") == [("FailedScheduling", words)])
    node = cluster.store.get(kinds.NODES, "", NODE_NAME)
    cluster.store.update({**node, "spec": {**node["spec"], "unschedulable": True}})
    delete(cluster, "first", grace=0)
    cordoned = NOWHERE.format("node(s) were unschedulable", "Preemption is not helpful for scheduling")
    await cluster.wait_until(lambda: ("FailedScheduling", cordoned) in cluster.events("second"))
    cluster.store.update({**cluster.store.get(kinds.NODES, "", NODE_NAME), "spec": node["spec"]})
    await cluster.ready("second")


async def test_pod_that_names_its_node_is_not_scheduled(cluster: Cluster):
    cluster.create("bound", args=["echo", "9000"], nodeName=NODE_NAME, nodeSelector={"disk": "fast"})
    await cluster.ready("bound")
    cluster.create("elsewhere", args=["echo", "9000"], nodeName="another")
    cluster.create("after", args=["echo", "9000"])
    await cluster.ready("after")
    assert cluster.events("elsewhere") == []


async def test_init_containers_run_first_in_their_order(cluster: Cluster):
    seen: list[str] = []
    cluster.store.subscribe(
        lambda change: seen.append(summarize(change.object).reason) if change.resource is kinds.PODS else None
    )
    initial = [helper("first", "exit", "0"), helper("second", "exit", "0")]
    cluster.create("staged", args=["echo", "9000"], initContainers=initial)
    pod = await cluster.ready("staged")
    assert list(dict.fromkeys(seen))[1:] == ["Init:0/2", "Init:1/2", "PodInitializing", "Running"]
    ended = [status["state"]["terminated"] for status in pod["status"]["initContainerStatuses"]]
    assert [state["reason"] for state in ended] == ["Completed", "Completed"]
    assert all(status["ready"] for status in pod["status"]["initContainerStatuses"])
    assert condition(pod, "Initialized")["status"] == "True"
    fields = [
        event["involvedObject"].get("fieldPath") for event in cluster.store.list_objects(kinds.EVENTS, "ns")
    ]
    assert fields[2:8:3] == ["spec.initContainers{first}", "spec.initContainers{second}"]


@pytest.mark.parametrize(
    ("policy", "word", "phase"),
    [("Never", "Init:Error", "Failed"), ("Always", "Init:CrashLoopBackOff", "Pending")],
)
async def test_failing_init_container_holds_the_pod(cluster: Cluster, policy: str, word: str, phase: str):
    initial = [helper("prepare", "exit", "3")]
    cluster.create("held", args=["echo", "9000"], initContainers=initial, restartPolicy=policy)
    await cluster.wait_until(lambda: show_reason(cluster, "held") == word)
    pod = cluster.pod("held")
    assert pod["status"]["phase"] == phase
    assert condition(pod, "Initialized")["message"] == "containers with incomplete status: [prepare]"
    assert cluster.container("held")["state"] == {"waiting": {"reason": "PodInitializing"}}


async def test_sidecar_is_up_before_and_ends_after(cluster: Cluster):
    probe = {"tcpSocket": {"port": 9001}, "periodSeconds": 1}
    sidecar = helper("proxy", "echo", "9001", restartPolicy="Always", startupProbe=probe)
    cluster.create("joined", args=["exit", "0"], initContainers=[sidecar], restartPolicy="Never")
    await cluster.wait_until(lambda: show_reason(cluster, "joined") == "Completed")
    await cluster.wait_until(
        lambda: "terminated" in cluster.pod("joined")["status"]["initContainerStatuses"][0]["state"]
    )
    reasons = [reason for reason, _ in cluster.events("joined")]
    starts = ["Pulled", "Created", "Started"]
    assert [reason for reason in reasons if reason != "Unhealthy"] == [
        "Scheduled",
        *starts,
        *starts,
        "Killing",
    ]
    assert cluster.events("joined")[-1][1] == "Stopping container proxy"


async def test_sidecar_counts_as_a_ready_container(cluster: Cluster):
    sidecar = helper("proxy", "echo", "9001", restartPolicy="Always", readinessProbe=LISTENS)
    cluster.create("joined", args=["echo", "9000"], initContainers=[sidecar])
    pod = await cluster.ready("joined")
    assert (summarize(pod).ready, summarize(pod).total) == (2, 2)
    (await cluster.node.dial("ns", "joined", 9001)).close()


@pytest.mark.parametrize("kind", ["liveness", "startup"])
async def test_failing_probe_restarts_the_container(cluster: Cluster, kind: str):
    probe = {"httpGet": {"port": 8000, "path": "/nothing"}, "periodSeconds": 1, "failureThreshold": 1}
    cluster.create("ill", "mon-api", container={f"{kind}Probe": probe})
    await cluster.wait_until(lambda: show_reason(cluster, "ill") == "CrashLoopBackOff")
    assert f"{kind.capitalize()} probe failed: " in dict(cluster.events("ill"))["Unhealthy"]
    assert ("Killing", f"Container main failed {kind} probe, will be restarted") in cluster.events("ill")
    assert "lastState" in cluster.container("ill")


async def test_a_missing_claim_leaves_the_pod_unscheduled(cluster: Cluster):
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "none"}}
    cluster.create("homeless", args=["echo", "9000"], volumes=[volume])
    await cluster.wait_until(
        lambda: condition(cluster.pod("homeless"), "PodScheduled").get("reason") == "Unschedulable"
    )
    cluster.store.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "none", "namespace": "ns"},
            "spec": {},
        }
    )
    await cluster.ready("homeless")


@pytest.mark.parametrize(
    "probe", [{"tcpSocket": {"port": "http"}}, {"httpGet": {"port": 8000, "path": "/health"}}]
)
async def test_passing_readiness_probe_makes_the_pod_ready(cluster: Cluster, probe):
    ports = [{"name": "http", "containerPort": 8000}]
    cluster.create("probed", "mon-api", container={"readinessProbe": probe, "ports": ports})
    await cluster.ready("probed")


async def test_pod_without_probe_ready_before_it_listens(cluster: Cluster):
    cluster.create("early", args=["echo", "9000"], container={"readinessProbe": None})
    await cluster.ready("early")
    with pytest.raises(ConnectionRefusedError):
        await cluster.node.dial("ns", "early", 9000)


async def test_a_readiness_probe_that_fails_says_why(cluster: Cluster):
    probe = {"httpGet": {"port": 8000, "path": "/nothing"}, "periodSeconds": 1}
    cluster.create("unready", "mon-api", container={"readinessProbe": probe})
    words = "Readiness probe failed: HTTP probe failed with statuscode: 404"
    await cluster.wait_until(lambda: ("Unhealthy", words) in cluster.events("unready"))
    assert condition(cluster.pod("unready"), "Ready")["status"] == "False"
    assert cluster.pod("unready")["status"]["phase"] == "Running"


async def test_logs_by_tail_and_with_their_times(cluster: Cluster):
    cluster.create("api", "mon-api")
    await cluster.ready("api")
    text = b""
    async for part in cluster.node.logs("ns", "api", container="main", follow=True):
        text += part
        if b"Uvicorn running" in text:
            break
    whole = text.decode().splitlines()
    assert len(whole) == 2
    assert await cluster.log("api", tail_lines=1) == whole[1] + "\n"
    assert await cluster.log("api", tail_lines=0) == ""
    stamped = (await cluster.log("api", timestamps=True)).splitlines()
    assert [line.split(" ", 1)[1] for line in stamped] == whole
    assert stamped[0].split(" ")[0].endswith("Z")
    with pytest.raises(LogsUnavailable, match='previous terminated container "main" in pod "api" not found'):
        await cluster.log("api", previous=True)


async def _first(lines: AsyncIterator[bytes], word: bytes) -> bytes:
    async for line in lines:
        if word in line:
            return line
    raise EOFError(word)


async def test_logs_are_followed_until_the_container_ends(cluster: Cluster):
    cluster.create("api", "mon-api", restartPolicy="Never")
    await cluster.ready("api")
    lines = cluster.node.logs("ns", "api", container="main", follow=True, tail_lines=0)
    following = asyncio.ensure_future(_first(lines, b"GET"))  # it may still say that it runs
    connection = await cluster.node.dial("ns", "api", 8000)
    await connection.write(b"GET /communes HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while b"Nice" not in answer:
        answer += (more := await connection.read())
        assert more
    connection.close()
    assert b'"GET /communes HTTP/1.1" 200 OK' in await following
    process = process_of("api")
    process.terminate()
    # Both lines may come in one part.
    rest = b"".join([part async for part in lines]).decode().splitlines()
    assert rest == ["INFO:     Shutting down", f"INFO:     Finished server process [{process.pid}]"]


async def test_killed_process_ends_by_signal_and_is_replaced(cluster: Cluster):
    cluster.create("echo", args=["echo", "9000"])
    await cluster.ready("echo")
    process_of("echo").send_signal(signal.SIGKILL)
    await cluster.wait_until(lambda: cluster.container("echo")["restartCount"] == 1)
    assert cluster.container("echo")["lastState"]["terminated"]["exitCode"] == 137
    await cluster.ready("echo")


async def test_stopped_node_leaves_no_process_and_no_socket(cluster: Cluster):
    for number in range(3):
        cluster.create(f"echo-{number}", args=["echo", "9000"])
    for number in range(3):
        await cluster.ready(f"echo-{number}")
    processes = [process_of(f"echo-{number}") for number in range(3)]
    run = cluster.node._run
    await cluster.node.stop()
    assert not [process for process in processes if process.is_running()]
    assert not run.exists()


NODE_PROGRAM = """
import asyncio, sys
from pathlib import Path
from sspcloud_magics.sandbox.network.routing import Network
from sspcloud_magics.sandbox.node.kubelet import Node
from sspcloud_magics.sandbox.store import Store

async def main():
    store = Store()
    await Node(store, Network(store), Path(sys.argv[1])).start()
    store.subscribe(lambda change: change.resource.plural == "pods" and "True" in str(change.object.get("status")) and
                    any(c["ready"] for c in change.object["status"]["containerStatuses"]) and print("ready", flush=True))
    container = {"name": "main", "image": "sspcloud-sandbox/helper", "args": ["echo", "9000"]}
    store.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orphan", "namespace": "ns"},
                  "spec": {"containers": [container]}})
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("asleep", [False, True])
async def test_pods_do_not_outlive_a_node_that_is_killed(tmp_path: Path, asleep):
    """They end when their node's socket closes; one that cannot is ended by the next node at this home."""
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", NODE_PROGRAM, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert await killed.stdout.readline() == b"ready\n"
    (pid, _created), *_ = json.loads((tmp_path / "node" / "processes.json").read_text())["processes"]
    process = psutil.Process(pid)
    if asleep:
        process.suspend()
    killed.kill()
    await killed.wait()
    if asleep:
        node = Node(Store(), Network(Store()), tmp_path)
        await node.start()
        await node.stop()
    await asyncio.to_thread(psutil.wait_procs, [process], 20)
    assert not process.is_running()
    assert os.getpid() != pid
