"""The node: runs all pods of the store, and serves their logs and port-forwards.

It is the scheduler too, because there is only one node. A `PodWorker` binds and runs each pod; the node passes
the changes of the Pod object to it. The processes are listed in a file, so that a start after a crash can end
those that an earlier sandbox left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import psutil
from aiohttp import web

from sspcloud_magics.sandbox import postgres
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api.status import ApiError, bad_request
from sspcloud_magics.sandbox.daemon import wait_for_end
from sspcloud_magics.sandbox.manifests import read_manifest
from sspcloud_magics.sandbox.network.routing import Destination, Network
from sspcloud_magics.sandbox.node import logs, portforward
from sspcloud_magics.sandbox.node.connection import Connection, DialError
from sspcloud_magics.sandbox.node.container import FIRST_BACK_OFF
from sspcloud_magics.sandbox.node.logs import LogsUnavailable
from sspcloud_magics.sandbox.node.machine import Machine
from sspcloud_magics.sandbox.node.pod_worker import NODE_NAME, PodWorker
from sspcloud_magics.sandbox.node.status import HOST_IP
from sspcloud_magics.sandbox.pods import pod_over
from sspcloud_magics.sandbox.store import AlreadyExists, Change, NotFound, Obj, Store, now

SHUTDOWN_GRACE: Final = 5.0
"""Seconds that a pod's processes have to end when the sandbox stops: a database writes its checkpoint."""
log = logging.getLogger(__name__)


class Node:
    """The node of the cluster.

    `home`: the sandbox's directory, for container logs and the list of processes. `back_off`: seconds before
    the second restart of a container; the delay doubles with each further one.
    """

    def __init__(
        self, store: Store, network: Network, home: Path, *, back_off: float = FIRST_BACK_OFF
    ) -> None:
        self._store = store
        self._network = network
        self._home = home / "node"
        self._volumes_home = home
        # The list of processes for the next start.
        self._leftovers = self._home / "processes.json"
        self._back_off = back_off
        # By the UID of the pod: the workers, and the tasks that run them.
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # The port-forwards in progress.
        self._forwards: set[asyncio.Task[web.StreamResponse]] = set()
        # Numbers of pod IPs in 10.42.0.0/16.
        self._addresses = itertools.cycle(range(2, 65000))
        # Set by `start`.
        self._machine: Machine | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        # Directory of the pods' Unix sockets, removed by `stop`.
        self._run: Path | None = None

    async def start(self) -> None:
        """Run the existing pods, and all that are created from now on."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(self._sweep)
        self._run = Path(tempfile.mkdtemp(prefix="sspcloud-"))
        # The database servers of root's sandbox run as another user, who must traverse this directory.
        self._run.chmod(0o711)
        self._write_leftovers()
        self._machine = Machine(
            store=self._store,
            volumes=postgres.volumes(self._volumes_home),
            logs=self._home / "logs",
            run=self._run,
            route=self._route,
            started=lambda process: self._write_leftovers(process.pid),
            back_off=self._back_off,
        )
        kernel = os.uname().release
        (node,) = read_manifest("node", ip=HOST_IP, now=now(), id=str(uuid.uuid4()), kernel=kernel)
        try:
            self._store.create(node)
        except AlreadyExists:  # restored from a snapshot, perhaps of another machine
            self._store.update(self._store.get(kinds.NODES, "", NODE_NAME) | {"status": node["status"]})
        self._unsubscribe = self._store.subscribe(self._on_change)
        for pod in self._store.list_objects(kinds.PODS):
            self._take(pod)

    async def stop(self) -> None:
        """End all processes, without a change of the Pod objects."""
        self._unsubscribe()
        for forward in self._forwards:
            forward.cancel()
        await asyncio.gather(*self._forwards, return_exceptions=True)
        for worker in self._workers.values():
            worker.shut_down(SHUTDOWN_GRACE)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)
            self._leftovers.unlink(missing_ok=True)

    async def dial(self, namespace: str, name: str, port: int) -> Connection:
        """Connect to a port of a pod.

        Raise `DialError` if the pod does not exist; `OSError` if nothing listens on the port.
        """
        worker = self._worker(namespace, name)
        if worker is None:
            raise DialError(f'pod not found ("{name}_{namespace}")')
        return await worker.dial(port)

    async def logs(
        self, namespace: str, name: str, *, container: str, previous: bool = False, **how: Any
    ) -> AsyncIterator[bytes]:
        """Yield the log of a container; raise `LogsUnavailable` if there is none. `how`: see `logs.read`."""
        worker = self._worker(namespace, name)
        found = worker.containers.get(container) if worker is not None else None
        if found is None:
            raise LogsUnavailable(f"container {container} is not valid for pod {name}")
        run = found.logs.run(previous=previous)
        if run is None and previous:
            raise LogsUnavailable(f'previous terminated container "{container}" in pod "{name}" not found')
        if run is None:
            reason = found.state.state.get("waiting", {}).get("reason", "ContainerCreating")
            if reason in {"ErrImagePull", "ImagePullBackOff"}:
                reason = "trying and failing to pull image"
            raise LogsUnavailable(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
        async for lines in logs.read(run, **how):
            yield lines

    async def portforward(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        """Serve a request for a pod's ``portforward``; return when the forwarding has ended.

        Raise `ApiError` if the pod does not run, or the request is not a valid upgrade.
        """
        worker = self._worker(namespace, name)
        if worker is None:
            raise bad_request(f"pod {name} does not have a host assigned")
        if not worker.running:
            raise ApiError(500, "InternalError", f'pod not found ("{name}_{namespace}")')
        task = asyncio.ensure_future(portforward.serve(request, worker.sandbox))
        self._forwards.add(task)
        task.add_done_callback(self._forwards.discard)
        try:
            return await task
        except asyncio.CancelledError:
            task.cancel()
            raise

    def _worker(self, namespace: str, name: str) -> PodWorker | None:
        with contextlib.suppress(NotFound, KeyError):
            return self._workers[self._store.peek(kinds.PODS, namespace, name)["metadata"]["uid"]]
        return None

    def _route(self, namespace: str, pod: str, host: str, port: int) -> tuple[Destination, int]:
        destination = self._network.route(namespace, pod, host, port)
        worker = self._worker(destination.namespace, destination.pod)
        return destination, worker.port(destination.port) if worker is not None else 0

    def _on_change(self, change: Change) -> None:
        if change.resource is kinds.PODS:
            uid = change.object["metadata"]["uid"]
            worker = self._workers.get(uid)
            if change.type == "DELETED":
                if worker is not None:
                    worker.on_delete()
            elif worker is not None:
                worker.update(change.object)
            elif change.type == "ADDED":
                self._take(change.object)
        if change.resource in {kinds.SECRETS, kinds.CONFIG_MAPS, kinds.CLAIMS, kinds.NODES} or _makes_room(
            change
        ):
            for worker in self._workers.values():
                worker.notify()

    def _take(self, pod: Obj) -> None:
        assert self._machine is not None  # noqa: S101 - set by `start`
        number = next(self._addresses)
        worker = PodWorker(self._machine, pod, f"10.42.{number // 254}.{number % 254 + 1}")
        self._workers[worker.uid] = worker
        self._tasks[worker.uid] = asyncio.create_task(self._look_after(worker))
        worker.update(pod)

    async def _look_after(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception:
            log.exception("a pod's worker failed")
        finally:
            # Tunnels to the pod stay open, as on a real node: new connections in them fail.
            del self._workers[worker.uid], self._tasks[worker.uid]

    # Processes that must not outlive the sandbox.

    def _write_leftovers(self, pid: int | None = None) -> None:
        """Start the list of processes, or add a process to it."""
        content: dict[str, Any] = {"run": str(self._run), "processes": []}
        if pid is not None:
            content = json.loads(self._leftovers.read_text())
            alive = [entry for entry in content["processes"] if psutil.pid_exists(entry[0])]
            with contextlib.suppress(psutil.NoSuchProcess):
                content["processes"] = [*alive, [pid, psutil.Process(pid).create_time()]]
        partial = self._leftovers.with_suffix(".new")
        partial.write_text(json.dumps(content))
        partial.replace(self._leftovers)

    def _sweep(self) -> None:
        """Wait for the processes of an earlier sandbox at this home, which end when it is killed; then kill them."""
        try:
            content = json.loads(self._leftovers.read_text())
        except (FileNotFoundError, ValueError):
            return
        left = []
        for pid, created in content["processes"]:
            with contextlib.suppress(psutil.Error):
                # Process IDs are reused: compare the creation time.
                if (process := psutil.Process(pid)).create_time() == created:
                    left.append(process)
        for process in wait_for_end(left, SHUTDOWN_GRACE):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(content["run"], ignore_errors=True)
        shutil.rmtree(self._home / "logs", ignore_errors=True)


def _makes_room(change: Change) -> bool:
    """Return whether a pod has left the node, so that another one may fit."""
    if change.resource is not kinds.PODS or change.type == "ADDED":
        return False
    return change.type == "DELETED" or pod_over(change.object)
