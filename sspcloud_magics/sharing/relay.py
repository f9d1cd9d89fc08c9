"""Relays: small pods in your namespace that pass bytes on to a host that the pod can reach.

A relay runs socat as in the course (``alpine/socat``), hardened: no root, no capabilities, no token, resource limits, and
a deadline that ends it even if no process stops it. Each process has its own relay for a host and port, so stopping it
affects no other process. A relay names the process that created it. Opening a relay also removes those that have ended
or whose process no longer exists.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sspcloud_magics import fork_hooks, share_keys
from sspcloud_magics.cluster.api.api_errors import NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import PODS
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads, object_writes
from sspcloud_magics.errors import PodNotReady, SspcloudError, UsageProblem
from sspcloud_magics.forwards import process_identity
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.i18n import _
from sspcloud_magics.sharing.pods import HARDENED_CONTAINER, HARDENED_POD, IMAGE
from sspcloud_magics.target import Target, parse_port
from sspcloud_magics.tunnel.ipc import State

LIFETIME = timedelta(hours=12)
"""Deadline of a relay: longer than a day's work, so that it ends only relays that were left behind."""

# Label and annotations of the pod.
RELAY = f"{share_keys.OWNER}/relay"
DESTINATION = f"{share_keys.OWNER}/destination"
MADE_BY = f"{share_keys.OWNER}/process"

_LABELS = {share_keys.MANAGED_BY: share_keys.OWNER, RELAY: "true"}
_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")
_ENDED_PHASES = ("Succeeded", "Failed")
_HOPELESS = ("ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")
"""Reasons to wait that do not pass: the image cannot be pulled, or the container cannot be created."""

_POLL_SECONDS = 0.2

_removals: dict[Target, threading.Thread] = {}
"""The threads that are removing relays: such a relay must not be used again."""

_removals_lock = threading.Lock()
"""Makes storing and starting a thread of `_removals` one step."""


def _reset_in_child() -> None:
    global _removals_lock  # noqa: PLW0603 - a thread that the child does not have may hold it
    _removals_lock = threading.Lock()
    _removals.clear()


fork_hooks.call_in_child(_reset_in_child)
_UNPRIVILEGED = 1024
"""The first port that a process without root may listen on."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A running relay."""

    pod: Target  # the pod to forward to
    port: int  # the port that it listens on


def parse_destination(text: str) -> tuple[str, int]:
    """Parse ``HOST:PORT``.

    Raises
    ------
    UsageProblem
        If `text` does not have that form.

    Examples
    --------
    >>> parse_destination("db.user-alice.svc.cluster.local:5432")
    ('db.user-alice.svc.cluster.local', 5432)
    """
    host, colon, port = text.strip().rpartition(":")
    form = _("write HOST:PORT, such as postgresql-cnpg-951239-rw.user-alice.svc.cluster.local:5432")
    number = parse_port(port).remote if colon and port.isascii() and port.isdigit() else None
    if not _HOST.fullmatch(host) or not isinstance(number, int):
        raise UsageProblem(_("{text!r} does not have the form HOST:PORT.", text=text), hint=form)
    return host, number


def get_listening_port(port: int) -> int:
    """Return the port on which a relay listens: the same, or a high one if that needs root."""
    return port if port >= _UNPRIVILEGED else port + 10_000


def relay_pod(
    namespace: str,
    host: str,
    port: int,
    *,
    image: str = IMAGE,
    connect_timeout: int = 0,
) -> dict[str, Any]:
    """Build the pod of a relay; `connect_timeout` as for `open_relay`."""
    resources = {"cpu": "100m", "memory": "32Mi"}
    made_by = process_identity.get_identity()
    limit = f",connect-timeout={connect_timeout}" if connect_timeout else ""
    digest = hashlib.sha256(f"{host}:{port}{limit} {image} {made_by}".encode()).hexdigest()[:8]
    listen = get_listening_port(port)
    container = {
        "name": "socat",
        "image": image,
        "args": [f"TCP-LISTEN:{listen},fork,reuseaddr", f"TCP:{host}:{port}{limit}"],
        "ports": [{"name": "relay", "containerPort": listen, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": resources},
        "securityContext": HARDENED_CONTAINER,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{share_keys.OWNER}-relay-{digest}",
            "namespace": namespace,
            "labels": dict(_LABELS),
            "annotations": {DESTINATION: f"{host}:{port}", MADE_BY: made_by},
        },
        "spec": {
            "activeDeadlineSeconds": int(LIFETIME.total_seconds()),
            "automountServiceAccountToken": False,
            "containers": [container],
            "enableServiceLinks": False,
            "restartPolicy": "Always",
            "securityContext": HARDENED_POD,
        },
    }


def open_relay(
    cluster: Cluster,
    host: str,
    port: int,
    *,
    image: str = IMAGE,
    timeout: float = 60.0,
    connect_timeout: int = 0,
    progress: Callable[[str], None] = lambda _unused: None,
) -> Relay:
    """Return this process's relay to a host and port: the running one, or a new one once it is ready.

    If the relay does not become ready, or the wait is interrupted, it is removed.

    Parameters
    ----------
    cluster
        The cluster; the relay runs in its namespace.
    host, port
        The destination.
    image
        An image whose entry point is socat.
    timeout
        How long to wait until the relay is ready, in seconds.
    connect_timeout
        How long the relay waits for its destination, in seconds; the system's timeout, of minutes, if 0.
    progress
        Called with a description of each step.

    Raises
    ------
    Forbidden
        If you may not create pods in your namespace.
    PodNotReady
        If the relay does not become ready in time, with the cluster's reason.
    """
    sweep(cluster)
    wanted = relay_pod(cluster.namespace, host, port, image=image, connect_timeout=connect_timeout)
    name = wanted["metadata"]["name"]
    relay = Relay(Target(cluster.namespace, "pod", name), get_listening_port(port))
    with _removals_lock:
        removal = _removals.get(relay.pod)
    if removal is not None:
        removal.join(timeout)
    found = _find_pod(cluster, name, time.monotonic() + timeout)
    if found is not None and _state(cluster, found)[0]:
        return relay
    try:
        found = found or object_writes.create_object(cluster, PODS, wanted)
        progress(_("waiting for the relay {name}", name=name))
        _wait_until_ready(cluster, found, timeout)
    except BaseException:
        with contextlib.suppress(SspcloudError):
            close_relay(cluster, relay)
        raise
    return relay


def _find_pod(cluster: Cluster, name: str, deadline: float) -> dict[str, Any] | None:
    """Return the pod of that name, after waiting for the end of one that is being deleted; None if there is none."""
    while True:
        try:
            pod = object_reads.get_object(cluster, PODS, name)
        except NotFound:
            return None
        if "deletionTimestamp" not in pod["metadata"] or time.monotonic() > deadline:
            return pod
        time.sleep(_POLL_SECONDS)


def close_relay(cluster: Cluster, relay: Relay) -> None:
    """Remove a relay; idempotent."""
    object_writes.delete_object(cluster, PODS, relay.pod.name, relay.pod.namespace)


def remove_with_forward(manager: ForwardManager, cluster: Cluster, relay: Relay) -> None:
    """Remove a relay as soon as the forward to it stops."""

    def follow(forward: Forward) -> None:
        if forward.target != relay.pod or forward.state is not State.STOPPED:
            return
        unsubscribe()
        if manager.is_closed:
            remove()  # the process is ending, and a thread might not finish
        else:
            removal = threading.Thread(target=remove, name="sspcloud-relay", daemon=True)
            with _removals_lock:  # `open_relay` may only join a thread that has started
                _removals[relay.pod] = removal
                removal.start()

    def remove() -> None:
        # If the API server does not answer, the relay's deadline ends it.
        with contextlib.suppress(SspcloudError):
            close_relay(cluster, relay)
        _removals.pop(relay.pod, None)

    unsubscribe = manager.subscribe(follow)


def sweep(cluster: Cluster) -> list[str]:
    """Remove the relays of this namespace that have ended, or whose process no longer exists; return their names."""
    selector = ",".join(f"{key}={value}" for key, value in _LABELS.items())
    listed = object_reads.list_objects(cluster, PODS, label_selector=selector)
    with report_malformed(cluster):
        ended = [
            pod["metadata"]["name"]
            for pod in listed
            if (pod.get("status") or {}).get("phase") in _ENDED_PHASES
            or process_identity.has_ended((pod["metadata"].get("annotations") or {}).get(MADE_BY, ""))
        ]
    for name in ended:
        object_writes.delete_object(cluster, PODS, name, cluster.namespace)
    return ended


def _wait_until_ready(cluster: Cluster, pod: Mapping[str, Any], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    name = pod["metadata"]["name"]
    while True:
        is_ready, why = _state(cluster, pod)
        if is_ready:
            return
        if time.monotonic() > deadline or why.startswith(_HOPELESS):
            raise PodNotReady(
                _("The relay {name} did not become ready, and was removed.", name=name),
                why=why,
                hint=_(
                    "if your cluster cannot pull its image, name another one with socat: --image IMAGE\n"
                    "%config SSPCloud.relay_image = 'IMAGE'   sets it for all relays"
                ),
            )
        time.sleep(_POLL_SECONDS)
        pod = object_reads.get_object(cluster, PODS, name)


def _state(cluster: Cluster, pod: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether a pod is ready, and the reason if it is not."""
    with report_malformed(cluster):
        return _is_ready(pod), _describe_wait(pod)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _describe_wait(pod: Mapping[str, Any]) -> str:
    """Return the cluster's reason why a pod is not ready."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for condition in status.get("conditions") or ():
        if condition["status"] != "True" and condition.get("message"):
            return str(condition["message"])
    return _("The pod is {phase}.", phase=status.get("phase", "Pending"))
