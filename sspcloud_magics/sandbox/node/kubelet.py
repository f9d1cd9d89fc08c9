"""The node: takes every pod of the store, and answers for the pods that it runs.

It stands for the scheduler too: there is one machine. A pod is bound, run and watched by a `PodWorker`;
the node hands it the changes of its object. Processes are noted in a file, so that a start after a crash
ends what an earlier sandbox left.
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
from sspcloud_magics.sandbox.node.pod_worker import NODE_NAME, Machine, PodWorker
from sspcloud_magics.sandbox.node.status import HOST_IP
from sspcloud_magics.sandbox.pods import pod_over
from sspcloud_magics.sandbox.store import AlreadyExists, Change, NotFound, Obj, Store, now

SHUTDOWN_GRACE: Final = 5.0
"""Seconds that a pod's processes have when the sandbox ends: a database writes its checkpoint."""
log = logging.getLogger(__name__)


class Node:
    """The cluster's one machine.

    `home`: the sandbox's directory: logs of containers and the list of processes are kept in it. `back_off`:
    seconds before the second restart of a container; each further one waits twice as long.
    """

    def __init__(
        self, store: Store, network: Network, home: Path, *, back_off: float = FIRST_BACK_OFF
    ) -> None:
        self._store = store
        self._network = network
        self._home = home / "node"
        self._volumes_home = home
        self._back_off = back_off
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._forwards: set[asyncio.Task[web.StreamResponse]] = set()
        self._addresses = itertools.cycle(range(2, 65000))
        self._machine: Machine | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._run: Path | None = None

    async def start(self) -> None:
        """Take the pods that are there, and all that come."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(self._sweep)
        self._run = Path(tempfile.mkdtemp(prefix="sspcloud-"))
        # The database servers of root's sandbox run as another user, and pass through here.
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
        except AlreadyExists:  # from before a restart, perhaps on another machine
            self._store.update(self._store.get(kinds.NODES, "", NODE_NAME) | {"status": node["status"]})
        self._unsubscribe = self._store.subscribe(self._on_change)
        for pod in self._store.list_objects(kinds.PODS):
            self._take(pod)

    async def stop(self) -> None:
        """End all processes; the pods' objects stay as they are."""
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

        Raise `DialError` if the pod is not there; `OSError` if nothing listens there.
        """
        worker = self._worker(namespace, name)
        if worker is None:
            raise DialError(f'pod not found ("{name}_{namespace}")')
        return await worker.dial(port)

    async def logs(
        self,
        namespace: str,
        name: str,
        *,
        container: str,
        previous: bool = False,
        **how: Any,
    ) -> AsyncIterator[bytes]:
        """Yield the log of a container, `how` `logs.read` does; raise `LogsUnavailable` if there is none."""
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
        """Answer a request to a pod's ``portforward``; return when the forwarding is over.

        Raise `ApiError` if the pod does not run, or the request does not ask for an upgrade as it should.
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
                worker.look_again()

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
            # Tunnels to the pod stay, as on a real node: who opens a connection in one is told that the pod is gone.
            del self._workers[worker.uid], self._tasks[worker.uid]

    # What must not outlive us.

    @property
    def _leftovers(self) -> Path:
        return self._home / "processes.json"

    def _write_leftovers(self, pid: int | None = None) -> None:
        """Add a process to the list of what a sandbox that is killed would leave."""
        noted: dict[str, Any] = {"run": str(self._run), "processes": []}
        if pid is not None:
            noted = json.loads(self._leftovers.read_text())
            alive = [entry for entry in noted["processes"] if psutil.pid_exists(entry[0])]
            with contextlib.suppress(psutil.NoSuchProcess):
                noted["processes"] = [*alive, [pid, psutil.Process(pid).create_time()]]
        partial = self._leftovers.with_suffix(".new")
        partial.write_text(json.dumps(noted))
        partial.replace(self._leftovers)

    def _sweep(self) -> None:
        """End what an earlier sandbox at this home left behind: it has noticed, and databases end in order."""
        try:
            noted = json.loads(self._leftovers.read_text())
        except (FileNotFoundError, ValueError):
            return
        left = []
        for pid, created in noted["processes"]:
            with contextlib.suppress(psutil.Error):
                # A process id is given again; its time of creation says whether it is ours.
                if (process := psutil.Process(pid)).create_time() == created:
                    left.append(process)
        for process in wait_for_end(left, SHUTDOWN_GRACE):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(noted["run"], ignore_errors=True)
        shutil.rmtree(self._home / "logs", ignore_errors=True)


def _makes_room(change: Change) -> bool:
    """Say whether a pod left the node, so that another may fit."""
    if change.resource is not kinds.PODS or change.type == "ADDED":
        return False
    return change.type == "DELETED" or pod_over(change.object)
