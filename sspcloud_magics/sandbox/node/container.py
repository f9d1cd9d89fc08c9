"""One container: pulled, created, started, probed, and started again as the pod's restart policy says.

An init container is started again only after it has failed; a sidecar (an init container with ``restartPolicy:
Always``) always.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (restarts, back-off, messages), pkg/kubelet/prober.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sspcloud_magics.sandbox.node import images
from sspcloud_magics.sandbox.node.environment import ConfigError, arguments, environment
from sspcloud_magics.sandbox.node.images import Image
from sspcloud_magics.sandbox.node.logs import Log, LogKeeper
from sspcloud_magics.sandbox.node.probes import passes
from sspcloud_magics.sandbox.node.process import Process, Route
from sspcloud_magics.sandbox.node.status import ContainerState, make_waiting
from sspcloud_magics.sandbox.store import Obj, Store, now

FIRST_BACK_OFF: Final = 10.0
LONGEST_BACK_OFF: Final = 300.0
GOOD_RUN: Final = 600.0
"""Seconds that a container must have run for its back-off to begin anew."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container has from its pod."""

    store: Store  # where secrets are
    pod: Callable[[], Obj]  # returns the Pod as it is now
    changed: Callable[[], None]  # to be called when the container's state changed
    tell: Callable[..., None]  # records an event: reason, message; ``warning=True`` for a warning
    # Returns what an image needs beside its arguments; raises `ConfigError` while that is missing.
    configure: Callable[[Image], Mapping[str, Any]]
    route: Route  # where connections of its program lead
    retry: Callable[[], Awaitable[None]]  # waits until it makes sense to try again after a `ConfigError`
    started: Callable[[Process], None]  # to be called with each new process
    back_off: float = FIRST_BACK_OFF


class Container:
    """One container of a pod.

    `initial`: whether it is one of the pod's init containers.
    """

    def __init__(self, spec: Obj, around: Surroundings, logs: LogKeeper, *, initial: bool = False) -> None:
        self.spec = spec
        self.logs = logs
        self.initial = initial
        self.state = ContainerState(
            spec["name"], spec["image"], sidecar=initial and spec.get("restartPolicy") == "Always"
        )
        self.process: Process | None = None
        # Set once its start-up probe has passed, for those that wait for a sidecar.
        self.up = asyncio.Event()
        self._around = around
        self._stopping = False
        # Whether a probe ended its process, which is then started again even if it ended well.
        self._unhealthy = False
        self._probe_now = asyncio.Event()

    async def run(self) -> None:
        """Live until the container has ended for good or was stopped."""
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
                delay = min(delay * 2, LONGEST_BACK_OFF) if delay else self._around.back_off
                self.state.restarts += 1
        finally:
            if self.process is not None:
                self.process.kill()

    def stop(self) -> None:
        """Ask the container to end for good."""
        self._stopping = True
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End the container for good, at once."""
        self._stopping = True
        if self.process is not None:
            self.process.kill()

    @property
    def field(self) -> str:
        """Where it stands in the pod, for its events."""
        return f"spec.{'initContainers' if self.initial else 'containers'}{{{self.spec['name']}}}"

    @property
    def ports(self) -> Mapping[int, int]:
        """From its open ports to the loopback ports that stand for them."""
        return self.process.ports if self.process is not None else {}

    async def _pull(self) -> Image:
        """Return the image, or try for ever, as a kubelet does."""
        name = self.spec["image"]
        delay = self._around.back_off
        while True:
            found = images.find(name)
            if found is not None:
                pulled = f'Container image "{name}" already present on machine and can be accessed by the pod'
                if self.spec.get("imagePullPolicy") == "Always":
                    self._tell("Pulling", f'Pulling image "{name}"')
                    pulled = f'Successfully pulled image "{name}" in 1ms (1ms including waiting). Image size: 0 bytes.'
                self._tell("Pulled", pulled)
                full = images.canonical(name)
                digest = hashlib.sha256(full.encode()).hexdigest()
                self.state.image_id = f"{full.partition('@')[0].rpartition(':')[0]}@sha256:{digest}"
                return found
            why = images.pull_error(name)
            self._tell("Pulling", f'Pulling image "{name}"')
            self._tell("Failed", f'Failed to pull image "{name}": {why}', warning=True)
            self._tell("Failed", "Error: ErrImagePull", warning=True)
            self._set(make_waiting("ErrImagePull", why))
            await asyncio.sleep(delay / 5)
            self._tell("BackOff", f'Back-off pulling image "{name}"')
            self._tell("Failed", "Error: ImagePullBackOff", warning=True)
            self._set(
                make_waiting("ImagePullBackOff", f'Back-off pulling image "{name}": ErrImagePull: {why}')
            )
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_BACK_OFF)

    async def _run_once(self, image: Image) -> None:
        """Run the program once, from its configuration to its end."""
        config = await self._configure(image)
        missing = images.executable(self.spec, image)
        log = self.logs.begin()
        self.state.id = f"containerd://{secrets.token_hex(32)}"
        if missing is not None:
            self._fail_to_start(missing, log)
            return
        self._tell("Created", "Container created")
        began = now()
        opened = asyncio.Event()

        def on_port() -> None:
            self._probe_now.set()
            if image.serves in {0, *self.ports}:
                opened.set()

        title = f"{self._around.pod()['metadata']['namespace']}/{self._around.pod()['metadata']['name']}"
        self.process = await Process.start(
            image.program, title, config=config, log=log, route=self._around.route, on_port=on_port
        )
        self._around.started(self.process)
        if self._stopping:
            self.process.kill()
        self._tell("Started", "Container started")
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
        self._tell("Created", "Container created")
        self._tell("Failed", f"Error: {why}", warning=True)
        self._set(self._make_terminated(128, "1970-01-01T00:00:00Z", reason="StartError", message=why))

    async def _configure(self, image: Image) -> Mapping[str, Any]:
        while True:
            try:
                pod = self._around.pod()
                env = environment(self._around.store, pod, self.spec)
                config = self._around.configure(image)
            except ConfigError as error:
                self._tell("Failed", f"Error: {error}", warning=True)
                self._set(make_waiting("CreateContainerConfigError", str(error)))
                await self._around.retry()
            else:
                return {"args": arguments(self.spec, env), "env": env, **config}

    def _restarts(self) -> bool:
        if self._stopping:
            return False
        if self.state.sidecar:
            return True
        policy: str = self._around.pod()["spec"].get("restartPolicy", "Always")
        if policy == "Always" and not self.initial:
            return True
        return policy != "Never" and (self._unhealthy or self.state.exit_code != 0)

    async def _back_off(self, delay: float) -> None:
        metadata = self._around.pod()["metadata"]
        pod = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        name = self.spec["name"]
        self._tell("BackOff", f"Back-off restarting failed container {name} in pod {pod}", warning=True)
        seconds = int(delay)
        shown = f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"
        self._set(
            make_waiting("CrashLoopBackOff", f"back-off {shown} restarting failed container={name} pod={pod}")
        )
        await asyncio.sleep(delay)

    async def _watch_probes(self, process: Process, opened: asyncio.Event) -> None:
        """Ask the start-up probe until it passes, then the others for as long as the process runs."""
        if self.spec.get("startupProbe"):
            async for healthy in self._verdicts("startup"):
                if not healthy:
                    await self._end_unhealthy(process, "startup")
                    return
                break
        self.state.started = True
        self._around.changed()
        self.up.set()
        await asyncio.gather(self._watch_readiness(opened), self._watch_liveness(process))

    async def _watch_readiness(self, opened: asyncio.Event) -> None:
        """Keep `ready` true to the probe; without one, a container is ready as soon as its process runs."""
        if not self.spec.get("readinessProbe"):
            self._set_ready(ready=True)
            return
        await opened.wait()
        async for ready in self._verdicts("readiness"):
            self._set_ready(ready=ready)

    async def _watch_liveness(self, process: Process) -> None:
        """End the process when its probe has failed."""
        if self.spec.get("livenessProbe"):
            async for healthy in self._verdicts("liveness"):
                if not healthy:
                    await self._end_unhealthy(process, "liveness")
                    return

    async def _verdicts(self, kind: str) -> AsyncIterator[bool]:
        """Ask a probe each period, and yield whether it has passed, or failed, as often as its thresholds say."""
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
                self._tell("Unhealthy", f"{kind.capitalize()} probe failed: {why}", warning=True)
                if failed >= int(probe.get("failureThreshold", 3)):
                    yield False
            with contextlib.suppress(TimeoutError):
                # A port that opens is worth a look before the period is over.
                await asyncio.wait_for(self._probe_now.wait(), float(probe.get("periodSeconds", 10)))

    async def _end_unhealthy(self, process: Process, kind: str) -> None:
        """End the process in the time that its probe or its pod grants."""
        self._unhealthy = True
        restarts = self.state.sidecar or self._around.pod()["spec"].get("restartPolicy") != "Never"
        after = ", will be restarted" if restarts else ""
        self._tell("Killing", f"Container {self.spec['name']} failed {kind} probe{after}")
        granted = self._around.pod()["spec"].get("terminationGracePeriodSeconds", 30)
        process.terminate()
        await asyncio.sleep(float(self.spec[f"{kind}Probe"].get("terminationGracePeriodSeconds", granted)))
        process.kill()

    def _set_ready(self, *, ready: bool) -> None:
        if ready != self.state.ready:
            self.state.ready = ready
            self._around.changed()

    def _set(self, state: Obj) -> None:
        if "terminated" in self.state.state:
            self.state.last_state = self.state.state
        self.state.state = state
        self._around.changed()

    def _tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._around.tell(reason, message, warning=warning, field=self.field)
