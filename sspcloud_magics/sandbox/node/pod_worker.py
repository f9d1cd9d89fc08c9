"""The life cycle of a pod on the node, from its binding to its deletion.

A task per pod waits for its volumes, runs its containers, keeps its status up to date and, on deletion, stops the
containers within the grace period and removes the object. Init containers run first, one after the other.
Sidecars keep running, and are stopped after the other containers, the last one first.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from typing import Any, Final

from sspcloud_magics.sandbox import events, mariadb
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.network.routing import Destination
from sspcloud_magics.sandbox.node.connection import Connection, DialError, connect
from sspcloud_magics.sandbox.node.container import Container
from sspcloud_magics.sandbox.node.environment import ConfigError
from sspcloud_magics.sandbox.node.images import Image
from sspcloud_magics.sandbox.node.logs import LogKeeper
from sspcloud_magics.sandbox.node.machine import Machine
from sspcloud_magics.sandbox.node.relay import Sandbox
from sspcloud_magics.sandbox.node.scheduler import SCHEDULER, refusal
from sspcloud_magics.sandbox.node.status import make_unscheduled, make_waiting, pod_status
from sspcloud_magics.sandbox.objects import find
from sspcloud_magics.sandbox.pods import pod_over
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import NotFound, Obj, count_seconds_since, now

NODE_NAME: Final = "sandbox-node"
RUN_TIME_EXCEEDED: Final = {
    "reason": "DeadlineExceeded",
    "message": "Pod was active on the node longer than the specified deadline",
}


class PodWorker:
    """Runs one pod."""

    def __init__(self, machine: Machine, pod: Obj, ip: str) -> None:
        self.machine = machine
        self.pod = pod
        self._namespace: str = pod["metadata"]["namespace"]
        self._name: str = pod["metadata"]["name"]
        self.uid: str = pod["metadata"]["uid"]
        # The pod's IP, and the one in its status: empty until the pod is scheduled and its volumes are mounted.
        self._ip = ip
        self._shown_ip = ""
        # When the pod was bound, and whether that was before a restart of the sandbox.
        self._start_time = (pod.get("status") or {}).get("startTime", "")
        self._was_here = bool(self._start_time)
        # Reason and message if the whole pod has failed.
        self._failure: Mapping[str, str] | None = None
        # Whether the containers have ended for good.
        self._stopped = False
        # Whether the Pod object is gone or must stay as it is: nothing is written any more.
        self._gone = False
        # Grace period in seconds for the stop of the sandbox.
        self._shutdown_grace: float | None = None
        # Set to stop the containers, to kill them, and when an object has changed that the pod may wait for.
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        self._retry = asyncio.Event()
        folder = machine.logs / f"{self._namespace}_{self._name}_{self.uid}"
        self._log_folder = folder
        self._run_folder = machine.run / self.uid[:8]
        # All containers by their names, the init containers first.
        self.containers = {
            spec["name"]: Container(spec, self, LogKeeper(folder / spec["name"]), initial=initial)
            for kind, initial in (("initContainers", True), ("containers", False))
            for spec in pod["spec"].get(kind) or []
        }
        status = pod.get("status") or {}
        for kind in ("initContainerStatuses", "containerStatuses"):
            for saved in status.get(kind) or []:
                self.containers[saved["name"]].state.restarts = saved["restartCount"]
        if self._initial:
            for container in self.containers.values():
                container.state.state = make_waiting("PodInitializing")
        # The tasks of the containers that were started.
        self._lives: dict[Container, asyncio.Task[None]] = {}

    # Notifications from the node.

    def update(self, pod: Obj) -> None:
        """Handle a change of the Pod object."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._stop.set()

    def on_delete(self) -> None:
        """Handle the deletion of the Pod object: end the processes at once."""
        self._gone = True
        self._stop.set()
        self._kill.set()

    def shut_down(self, grace: float) -> None:
        """End the processes within `grace` seconds, without a change of the Pod object."""
        self._gone = True
        self._shutdown_grace = grace
        self._stop.set()

    def notify(self) -> None:
        """Handle the change of an object that the pod may wait for."""
        self._retry.set()

    # Queries.

    @property
    def sandbox(self) -> Sandbox:
        """The pod's sandbox, for port-forwards."""
        digest = hashlib.sha256(self.uid.encode()).hexdigest()
        namespace = uuid.uuid5(uuid.NAMESPACE_OID, self.uid)
        return Sandbox(digest, f"/var/run/netns/cni-{namespace}", self.dial)

    @property
    def running(self) -> bool:
        """Whether the pod's network is up."""
        return bool(self._shown_ip) and not self._stopped and not self._gone

    def port(self, port: int) -> int:
        """Return the loopback port behind a port of the pod, 0 if nothing listens there."""
        for container in self.containers.values():
            if port in container.ports:
                return container.ports[port]
        return 0

    def route(self, host: str, port: int) -> tuple[Destination, int]:
        """Return the destination of a connection from the pod, and its loopback port."""
        return self.machine.route(self._namespace, self._name, host, port)

    async def dial(self, port: int) -> Connection:
        """Connect to a port of the pod.

        Raise `DialError` if the pod is gone; `OSError` if nothing listens there.
        """
        if self._gone:
            raise DialError(f'failed to find sandbox "{self.sandbox.id}" in store: not found')
        if self._stopped or not self._shown_ip:
            raise DialError(f'network namespace for sandbox "{self.sandbox.id}" is closed')
        at = self.port(port)
        if not at:
            raise ConnectionRefusedError(port)
        return await connect(at)

    # The life cycle.

    async def run(self) -> None:
        """Run the pod until its deletion; return when its processes and its object are gone."""
        stopping = asyncio.create_task(self._stop.wait())
        living = asyncio.create_task(self._live())
        try:
            await asyncio.wait({stopping, living}, return_when=asyncio.FIRST_COMPLETED)
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await living
            if not self._stop.is_set():
                await stopping
            self._delete()
        finally:
            for task in (stopping, living):
                task.cancel()
            await asyncio.gather(stopping, living, return_exceptions=True)
            shutil.rmtree(self._run_folder, ignore_errors=True)
            shutil.rmtree(self._log_folder, ignore_errors=True)

    async def _live(self) -> None:
        if pod_over(self.pod):
            return  # it ended before a restart of the sandbox
        await self._schedule()
        await self._mount()
        self._shown_ip = self._ip
        self._run_folder.mkdir(mode=0o700, exist_ok=True)
        running = asyncio.create_task(self._run_containers())
        try:
            deadline = self.pod["spec"].get("activeDeadlineSeconds")
            if deadline is not None and self._was_here:
                deadline = max(deadline - count_seconds_since(self._start_time), 0)
            _, left = await asyncio.wait([running], timeout=deadline)
            if left:
                self._failure = RUN_TIME_EXCEEDED
                self.record_event("DeadlineExceeded", RUN_TIME_EXCEEDED["message"])
                running.cancel()
                await self._stop_containers()
            else:
                running.result()
            for life in self._lives.values():
                if not life.cancelled():
                    life.result()
        except asyncio.CancelledError:
            running.cancel()
            await self._stop_containers()
            raise
        finally:
            for task in (running, *self._lives.values()):
                task.cancel()
            await asyncio.gather(running, *self._lives.values(), return_exceptions=True)
            self._stopped = True
            self.write_status()

    @property
    def _initial(self) -> list[Container]:
        return [container for container in self.containers.values() if container.initial]

    @property
    def _others(self) -> list[Container]:
        return [container for container in self.containers.values() if not container.initial]

    async def _run_containers(self) -> None:
        """Run the init containers one after the other, then all others; then stop the sidecars."""
        initialized = True
        for container in self._initial:
            life = self._begin(container)
            up = asyncio.create_task(container.up.wait())
            try:
                until = {life, up} if container.state.sidecar else {life}
                await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)
            finally:
                up.cancel()
            initialized = container.state.initialized
            if not initialized:
                break
        if initialized:
            for container in self._others:
                self._begin(container)
            await asyncio.wait([self._lives[container] for container in self._others])
        await self._stop_containers()

    def _begin(self, container: Container) -> asyncio.Task[None]:
        self._lives[container] = asyncio.create_task(container.run())
        return self._lives[container]

    async def _stop_containers(self) -> None:
        """Stop the containers within the grace period: sidecars after the others, the last one first."""
        until = asyncio.get_running_loop().time() + self._grace()
        sidecars = [container for container in self._initial if container.state.sidecar]
        others = [container for container in self.containers.values() if container not in sidecars]
        for group in (others, *([sidecar] for sidecar in reversed(sidecars))):
            await self._stop_group([container for container in group if container in self._lives], until)

    async def _stop_group(self, group: list[Container], until: float) -> None:
        lives = [self._lives[container] for container in group if not self._lives[container].done()]
        for container in group:
            name = container.spec["name"]
            if container.process is None:
                # It waits for an image, a Secret or the end of its back-off.
                self._lives[container].cancel()
            else:
                self.record_event("Killing", f"Stopping container {name}", field=container.field)
            container.stop()
        if not lives:
            return
        ended: asyncio.Future[Any] = asyncio.ensure_future(asyncio.wait(lives))
        killed: asyncio.Future[Any] = asyncio.ensure_future(self._kill.wait())
        left = max(until - asyncio.get_running_loop().time(), 0.0)
        try:
            await asyncio.wait({ended, killed}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            killed.cancel()
            for container in group:
                container.kill()
            await asyncio.gather(ended, killed, return_exceptions=True)

    def _grace(self) -> float:
        if self._shutdown_grace is not None:
            return self._shutdown_grace
        metadata = self.pod["metadata"]
        seconds = metadata.get("deletionGracePeriodSeconds")
        if seconds is None:
            seconds = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        return float(seconds)

    async def _schedule(self) -> None:
        """Wait until the pod fits on the node, then bind it."""
        if self._was_here:
            self.write_status()
            return
        spec = self.pod["spec"]
        if spec.get("nodeName", NODE_NAME) != NODE_NAME or spec.get("schedulerName", SCHEDULER) != SCHEDULER:
            await asyncio.Event().wait()  # another node or scheduler, which does not exist
        # A pod with a nodeName bypasses the scheduler.
        while "nodeName" not in spec and (message := self._unschedulable()):
            self.record_event("FailedScheduling", message, warning=True, component=SCHEDULER)
            self.write_status(message)
            await self.wait_for_change()
        self._start_time = now()
        self.write_status()
        message = f"Successfully assigned {self._namespace}/{self._name} to {NODE_NAME}"
        self.record_event("Scheduled", message, component=SCHEDULER)

    def _unschedulable(self) -> str | None:
        for volume in self.pod["spec"].get("volumes") or []:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim and not self._exists(kinds.CLAIMS, claim):
                return f'0/1 nodes are available: persistentvolumeclaim "{claim}" not found. not found'
        node = find(self.machine.store, kinds.NODES, "", NODE_NAME)
        if node is None:
            return "no nodes available to schedule pods"
        return refusal(self.pod, node, self.machine.store.peek_all(kinds.PODS))

    async def _mount(self) -> None:
        """Wait for the Secrets and ConfigMaps that the pod mounts."""
        while why := self._unmountable():
            self.record_event("FailedMount", why, warning=True)
            await self.wait_for_change()

    def _unmountable(self) -> str | None:
        for volume in self.pod["spec"].get("volumes") or []:
            for kind, key, resource in (
                ("secret", "secretName", kinds.SECRETS),
                ("configMap", "name", kinds.CONFIG_MAPS),
            ):
                source = volume.get(kind)
                if source and not source.get("optional") and not self._exists(resource, source[key]):
                    return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {resource.singular} "{source[key]}" not found'
        return None

    def _exists(self, resource: Resource, name: str) -> bool:
        return find(self.machine.store, resource, self._namespace, name) is not None

    async def wait_for_change(self) -> None:
        """Wait for the change of an object that the pod may need."""
        self._retry.clear()
        await self._retry.wait()

    def configure(self, image: Image) -> Mapping[str, Any]:
        """Return the configuration of an image's program: for a database, its volume and certificate.

        Raise `ConfigError` while the certificate is missing.
        """
        if not image.keeps_data:
            return {}
        claims = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in self.pod["spec"].get("volumes") or []
            if "persistentVolumeClaim" in volume
        ]
        data = self.machine.volumes / self._namespace / (claims[0] if claims else "none") / "pgdata"
        config = {"data": str(data), "run": str(self._run_folder), "tls": self._certificate()}
        return config | {"mariadb": os.environ.get(mariadb.ROOT_VARIABLE, "")}

    def _certificate(self) -> Mapping[str, str] | None:
        """Return the server certificate of the pod's CloudNativePG cluster, None for other pods."""
        cluster = (self.pod["metadata"].get("labels") or {}).get("cnpg.io/cluster")
        if cluster is None:
            return None
        try:
            secret = self.machine.store.peek(kinds.SECRETS, self._namespace, f"{cluster}-server")["data"]
        except NotFound as error:
            raise ConfigError(str(error)) from None
        decoded = {name: base64.b64decode(secret[name]).decode("ascii") for name in ("tls.crt", "tls.key")}
        return {"certificate": decoded["tls.crt"], "key": decoded["tls.key"]}

    def record_event(self, reason: str, message: str, *, component: str = "kubelet", **how: Any) -> None:
        """Record an event of the pod, unless its object is gone; `how`: see `events.record_event`."""
        if not self._gone:
            host = NODE_NAME if component == "kubelet" else ""
            store = self.machine.store
            events.record_event(store, self.pod, reason, message, component=component, host=host, **how)

    def write_status(self, unschedulable: str = "") -> None:
        """Write the status of the Pod object and, for a bound pod, the node's name.

        `unschedulable`: the scheduler's message if the pod fits on no node.
        """
        pod = None if self._gone else self._find()
        if pod is None:
            return
        if self._start_time:
            pod["spec"]["nodeName"] = NODE_NAME
        if unschedulable:
            status = make_unscheduled(pod, unschedulable, now())
        else:
            status = pod_status(
                pod,
                [container.state for container in self._others],
                initial=[container.state for container in self._initial],
                ip=self._shown_ip,
                start_time=self._start_time,
                now=now(),
                failure=self._failure,
                stopped=self._stopped,
            )
        self.pod = self.machine.store.update(pod | {"status": status})

    def _find(self) -> Obj | None:
        """Return the Pod object, None if it is gone or was replaced under the same name."""
        pod = find(self.machine.store, kinds.PODS, self._namespace, self._name)
        return pod if pod is not None and pod["metadata"]["uid"] == self.uid else None

    def _delete(self) -> None:
        """Remove the Pod object, unless it is gone."""
        if not self._gone:
            self._gone = True
            if self._find() is not None:
                self.machine.store.delete(kinds.PODS, self._namespace, self._name)
