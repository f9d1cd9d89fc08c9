"""The life cycle of a container: pull, create, start, probe, and restart according to the restart policy.

An init container is restarted only after a failure. A sidecar (an init container with ``restartPolicy: Always``)
is always restarted.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (restarts, back-off, messages), pkg/kubelet/prober.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

from sspcloud_magics.sandbox.network.routing import Destination
from sspcloud_magics.sandbox.node import images
from sspcloud_magics.sandbox.node.environment import ConfigError, arguments, environment
from sspcloud_magics.sandbox.node.images import Image
from sspcloud_magics.sandbox.node.logs import Log, LogKeeper
from sspcloud_magics.sandbox.node.machine import Machine
from sspcloud_magics.sandbox.node.probes import passes
from sspcloud_magics.sandbox.node.process import Process
from sspcloud_magics.sandbox.node.status import ContainerState, make_waiting
from sspcloud_magics.sandbox.store import Obj, now

# Seconds of back-off: the first, the longest, and the run time after which it is reset, as in the kubelet.
FIRST_BACK_OFF: Final = 10.0
LONGEST_BACK_OFF: Final = 300.0
GOOD_RUN: Final = 600.0


class Worker(Protocol):
    """What a container needs of the worker of its pod."""

    machine: Machine
    pod: Obj

    def route(self, host: str, port: int) -> tuple[Destination, int]:
        """Return the destination of a connection from the pod, and its loopback port."""

    async def wait_for_change(self) -> None:
        """Wait for the change of an object that the pod may need."""

    def configure(self, image: Image) -> Mapping[str, Any]:
        """Return the configuration of an image's program."""

    def record_event(self, reason: str, message: str, **how: Any) -> None:
        """Record an event of the pod."""

    def write_status(self) -> None:
        """Write the status of the Pod object."""


class Container:
    """One container of a pod.

    `worker`: the worker of the pod. `initial`: whether it is an init container.
    """

    def __init__(self, spec: Obj, worker: Worker, logs: LogKeeper, *, initial: bool = False) -> None:
        self.spec = spec
        self.logs = logs
        self.initial = initial
        self.state = ContainerState(
            spec["name"], spec["image"], sidecar=initial and spec.get("restartPolicy") == "Always"
        )
        # The running process, None between runs.
        self.process: Process | None = None
        # Set after the first success of the startup probe; the next init container waits for it after a sidecar.
        self.up = asyncio.Event()
        self._worker = worker
        # Set by `stop` and `kill`: the container is not restarted.
        self._stopping = False
        # Whether a probe ended the process, which is then restarted even after exit code 0.
        self._unhealthy = False
        # Set when the program opens a port, so that probes do not wait for the next period.
        self._probe_now = asyncio.Event()

    async def run(self) -> None:
        """Run the container with its restarts, until it has ended for good or was stopped."""
        try:
            image = await self._pull()
            delay = 0.0
            while True:
                began = asyncio.get_running_loop().time()
                await self._run_once(image)
                if not self._restarts():
                    return
                if asyncio.get_running_loop().time() - began > GOOD_RUN:
                    delay = 0.0
                if delay:
                    await self._back_off(delay)
                delay = min(delay * 2, LONGEST_BACK_OFF) if delay else self._worker.machine.back_off
                self.state.restarts += 1
        finally:
            if self.process is not None:
                self.process.kill()

    def stop(self) -> None:
        """Ask the container to end, without a restart."""
        self._stopping = True
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End the container at once, without a restart."""
        self._stopping = True
        if self.process is not None:
            self.process.kill()

    @property
    def field(self) -> str:
        """The ``fieldPath`` of the container's events."""
        return f"spec.{'initContainers' if self.initial else 'containers'}{{{self.spec['name']}}}"

    @property
    def ports(self) -> Mapping[int, int]:
        """The loopback ports behind the open ports of the container."""
        return self.process.ports if self.process is not None else {}

    async def _pull(self) -> Image:
        """Return the image; retry forever if it does not exist, like a kubelet."""
        name = self.spec["image"]
        delay = self._worker.machine.back_off
        while True:
            found = images.find(name)
            if found is not None:
                pulled = f'Container image "{name}" already present on machine and can be accessed by the pod'
                if self.spec.get("imagePullPolicy") == "Always":
                    self._record_event("Pulling", f'Pulling image "{name}"')
                    pulled = f'Successfully pulled image "{name}" in 1ms (1ms including waiting). Image size: 0 bytes.'
                self._record_event("Pulled", pulled)
                full = images.canonical(name)
                digest = hashlib.sha256(full.encode()).hexdigest()
                self.state.image_id = f"{full.partition('@')[0].rpartition(':')[0]}@sha256:{digest}"
                return found
            why = images.pull_error(name)
            self._record_event("Pulling", f'Pulling image "{name}"')
            self._record_event("Failed", f'Failed to pull image "{name}": {why}', warning=True)
            self._record_event("Failed", "Error: ErrImagePull", warning=True)
            self._set(make_waiting("ErrImagePull", why))
            await asyncio.sleep(delay / 5)
            self._record_event("BackOff", f'Back-off pulling image "{name}"')
            self._record_event("Failed", "Error: ImagePullBackOff", warning=True)
            self._set(
                make_waiting("ImagePullBackOff", f'Back-off pulling image "{name}": ErrImagePull: {why}')
            )
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_BACK_OFF)

    async def _run_once(self, image: Image) -> None:
        """Run the program once."""
        config = await self._configure(image)
        missing = images.executable(self.spec, image)
        log = self.logs.begin()
        self.state.id = f"containerd://{secrets.token_hex(32)}"
        if missing is not None:
            self._fail_to_start(missing, log)
            return
        self._record_event("Created", "Container created")
        began = now()
        opened = asyncio.Event()

        def on_port() -> None:
            self._probe_now.set()
            if image.serves in {0, *self.ports}:
                opened.set()

        title = f"{self._worker.pod['metadata']['namespace']}/{self._worker.pod['metadata']['name']}"
        self.process = await Process.start(
            image.program, title, config=config, log=log, route=self._worker.route, on_port=on_port
        )
        self._worker.machine.started(self.process)
        if self._stopping:
            self.process.kill()
        self._record_event("Started", "Container started")
        self.state.started = not self.spec.get("startupProbe")
        self._unhealthy = False
        self._set({"running": {"startedAt": began}})
        probes = asyncio.create_task(self._watch_probes(self.process, opened))
        try:
            code = await self.process.wait()
        finally:
            probes.cancel()
            await asyncio.gather(probes, return_exceptions=True)
            self.process = None
        self.state.started = False
        self.state.ready = self.initial and not self.state.sidecar and code == 0
        self._set(self._make_terminated(code, began))

    def _make_terminated(self, code: int, began: str, **more: str) -> Obj:
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "startedAt": began}
        return {"terminated": {**ended, "finishedAt": now(), "containerID": self.state.id, **more}}

    def _fail_to_start(self, executable: str, log: Log) -> None:
        log.close()
        trouble = (
            f"stat {executable}: no such file or directory"
            if "/" in executable
            else "executable file not found in $PATH"
        )
        why = (
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
            f'unable to start container process: error during container init: exec: "{executable}": {trouble}'
        )
        self._record_event("Created", "Container created")
        self._record_event("Failed", f"Error: {why}", warning=True)
        self._set(self._make_terminated(128, "1970-01-01T00:00:00Z", reason="StartError", message=why))

    async def _configure(self, image: Image) -> Mapping[str, Any]:
        while True:
            try:
                pod = self._worker.pod
                env = environment(self._worker.machine.store, pod, self.spec)
                config = self._worker.configure(image)
            except ConfigError as error:
                self._record_event("Failed", f"Error: {error}", warning=True)
                self._set(make_waiting("CreateContainerConfigError", str(error)))
                await self._worker.wait_for_change()
            else:
                return {"args": arguments(self.spec, env), "env": env, **config}

    def _restarts(self) -> bool:
        if self._stopping:
            return False
        if self.state.sidecar:
            return True
        policy: str = self._worker.pod["spec"].get("restartPolicy", "Always")
        if policy == "Always" and not self.initial:
            return True
        return policy != "Never" and (self._unhealthy or self.state.exit_code != 0)

    async def _back_off(self, delay: float) -> None:
        metadata = self._worker.pod["metadata"]
        pod = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        name = self.spec["name"]
        self._record_event(
            "BackOff", f"Back-off restarting failed container {name} in pod {pod}", warning=True
        )
        seconds = int(delay)
        shown = f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"
        self._set(
            make_waiting("CrashLoopBackOff", f"back-off {shown} restarting failed container={name} pod={pod}")
        )
        await asyncio.sleep(delay)

    async def _watch_probes(self, process: Process, opened: asyncio.Event) -> None:
        """Run the startup probe until it succeeds, then the other probes as long as the process runs."""
        if self.spec.get("startupProbe"):
            async for healthy in self._verdicts("startup"):
                if not healthy:
                    await self._end_unhealthy(process, "startup")
                    return
                break
        self.state.started = True
        self._worker.write_status()
        self.up.set()
        await asyncio.gather(self._watch_readiness(opened), self._watch_liveness(process))

    async def _watch_readiness(self, opened: asyncio.Event) -> None:
        """Set `ready` by the probe; without a probe, a container is ready as soon as its process runs."""
        if not self.spec.get("readinessProbe"):
            self._set_ready(ready=True)
            return
        await opened.wait()
        async for ready in self._verdicts("readiness"):
            self._set_ready(ready=ready)

    async def _watch_liveness(self, process: Process) -> None:
        """End the process when the liveness probe has failed."""
        if self.spec.get("livenessProbe"):
            async for healthy in self._verdicts("liveness"):
                if not healthy:
                    await self._end_unhealthy(process, "liveness")
                    return

    async def _verdicts(self, kind: str) -> AsyncIterator[bool]:
        """Run a probe in each period, and yield its result when the success or failure threshold is reached."""
        probe = self.spec[f"{kind}Probe"]
        await asyncio.sleep(float(probe.get("initialDelaySeconds", 0)))
        passed = failed = 0
        while True:
            self._probe_now.clear()
            why = await passes(probe, self.spec, self.ports)
            if why is None:
                passed, failed = passed + 1, 0
                if passed >= int(probe.get("successThreshold", 1)):
                    yield True
            else:
                passed, failed = 0, failed + 1
                self._record_event("Unhealthy", f"{kind.capitalize()} probe failed: {why}", warning=True)
                if failed >= int(probe.get("failureThreshold", 3)):
                    yield False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._probe_now.wait(), float(probe.get("periodSeconds", 10)))

    async def _end_unhealthy(self, process: Process, kind: str) -> None:
        """End the process within the grace period of the probe or the pod."""
        self._unhealthy = True
        restarts = self.state.sidecar or self._worker.pod["spec"].get("restartPolicy") != "Never"
        after = ", will be restarted" if restarts else ""
        self._record_event("Killing", f"Container {self.spec['name']} failed {kind} probe{after}")
        grace = self._worker.pod["spec"].get("terminationGracePeriodSeconds", 30)
        process.terminate()
        await asyncio.sleep(float(self.spec[f"{kind}Probe"].get("terminationGracePeriodSeconds", grace)))
        process.kill()

    def _set_ready(self, *, ready: bool) -> None:
        if ready != self.state.ready:
            self.state.ready = ready
            self._worker.write_status()

    def _set(self, state: Obj) -> None:
        if "terminated" in self.state.state:
            self.state.last_state = self.state.state
        self.state.state = state
        self._worker.write_status()

    def _record_event(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._worker.record_event(reason, message, warning=warning, field=self.field)
