"""Follows the pods behind a target: fetch, watch, and say each time which pod is to be used now.

It uses what the rights allow. A service's Endpoints by name are enough for a colleague who holds no right
on pods; where a watch is refused, it asks again and again; where a pod that was named may not even be read,
its name is believed. Nothing that goes wrong later ends it: whatever the server sends, also what it never should,
is answered by a new list and a new watch.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sspcloud_magics.errors import (
    Forbidden,
    PodNotReady,
    PortNotFound,
    ServerError,
    SspcloudError,
    TargetError,
    TargetNotFound,
    TokenExpired,
)
from sspcloud_magics.target import Target, service_without_pods
from sspcloud_magics.tunnel.credentials import AccessStore
from sspcloud_magics.tunnel.http import Client, StatusError
from sspcloud_magics.tunnel.pod_selection import (
    Candidate,
    Object,
    controller,
    labels_of_siblings,
    not_ready_words,
    pods_behind,
    pods_of_endpoints,
    runs_for,
    selector_text,
    service_ports,
    target_ports,
)

_log = logging.getLogger(__name__)

FORBIDDEN, NOT_FOUND, GONE = 403, 404, 410
_WATCH_SECONDS = 240
_POLL_INTERVAL = 1.0
_LONGEST_WAIT = 10.0
# What reading an object of another shape than Kubernetes' raises.
_ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# A program that listens later than this after its start had better have a readiness probe.
_FRESH = 30.0


@dataclass(slots=True)
class PodCollection:
    """A collection in which the pods of a target can be found, how to read it, and what it held last."""

    path: str
    query: Mapping[str, str]
    read: Callable[[Sequence[Object]], list[Candidate]]
    watched: bool = True
    """Whether it is a collection; a single object, read by who may not list, is asked for again and again."""
    renew: Callable[[], Awaitable[PodCollection]] | None = None
    """Finds the view again before each new list, where it depends on an object that may change."""
    has_selector: bool = False
    """Whether these are the Endpoints of a Service with a selector: its pods stand in while none is ready."""
    objects: dict[str, Object] = field(default_factory=dict)
    version: str = ""


class PodWatcher:
    """Knows the pods behind a target.

    Parameters
    ----------
    credentials
        The identity that asks.
    target
        What to follow.
    ports
        The ports that were asked for.
    on_change
        Called whenever `candidates` have changed.
    on_break
        Called when a connection to the server broke: others may have, without a word.
    on_refusal
        Called when the server does not accept the credentials any more; it is asked again, now and then.
    watch_time
        How long a watch lasts at most, in seconds, whatever the server tells in it.
    """

    def __init__(
        self,
        credentials: AccessStore,
        target: Target,
        ports: Sequence[int | str],
        *,
        on_change: Callable[[], None],
        on_break: Callable[[], None],
        on_refusal: Callable[[SspcloudError], None],
        watch_time: float,
    ) -> None:
        self._credentials = credentials
        self._target = target
        self._ports = tuple(ports)
        self._on_change = on_change
        self._on_break = on_break
        self._on_refusal = on_refusal
        self._watch_time = watch_time
        self._view: PodCollection | None = None
        # Lists the pods that a service selects, then follows them, while the Endpoints have none that is ready.
        self._looking: asyncio.Task[None] | None = None
        # What the Endpoints had when that began: a change may come from another selector or port.
        self._unready: list[Candidate] = []
        # Set with the first candidates. `start` waits for it and not for a task, which `restart` may replace.
        self._found = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.candidates: list[Candidate] = []

    async def start(self) -> None:
        """Find the pods for the first time, and follow them from now on.

        Raises
        ------
        TargetNotFound, PortNotFound, Forbidden, ServerUnreachable, TokenExpired, ServerError
            If they cannot be found.
        """
        with _explain_odd_objects():
            view = await self._find_view()
            if view is not None:
                self._view = await self._list_first(view)
        if self._view is not None:
            await self._found.wait()
            if self._task is None:
                self._task = asyncio.create_task(self._follow(self._view, listed=True))

    @property
    def started(self) -> bool:
        """Whether the pods have been found once."""
        return self._view is not None or bool(self.candidates)

    def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
        self._stop_looking()

    def restart(self) -> None:
        """Fetch and watch again, because the connection of the watch is not to be trusted any more."""
        if self._view is not None:
            self.close()
            self._task = asyncio.create_task(self._follow(self._view))

    async def is_fresh(self, pod: str) -> bool:
        """Return whether a program in a pod may have been started just now; true where that cannot be told."""
        try:
            with _explain_odd_objects():
                age = runs_for(await self._get("v1", "pods", pod), self._credentials.client.date)
        except SspcloudError:
            return True
        return age is None or age < _FRESH

    async def not_ready(self) -> SspcloudError:
        """Return the error that says why no pod can be used."""
        candidates = self.candidates
        if self._view is not None and self._view.has_selector:
            # Endpoints do not say why a pod is not among them.
            try:
                with _explain_odd_objects():
                    selected = await self._get_selected_view()
                    found = await self._call(lambda client: client.get(selected.path, selected.query))
                    candidates = selected.read(found.get("items") or ())
            except PortNotFound as error:
                what = f"The service {self._target.name} leads to a port that its pods do not have."
                return PortNotFound(what, why=error.what, hint=error.hint)
            except (SspcloudError, StatusError):
                pass
        if self._target.kind == "pod":
            what = f"The pod {self._target.name} takes no connections now."
        else:
            what = f"No ready pod stands behind {self._target}."
        why = not_ready_words(candidates) or "It has no pods: it may be scaled to zero, or paused."
        return PodNotReady(what, why=why, hint="wait until it is ready, or look at its events and logs")

    # Which collection to look at.

    async def _find_view(self) -> PodCollection | None:
        if self._target.kind == "service":
            return await self._service_view()
        if self._target.kind == "pod":
            return await self._pod_view()
        kind = self._target.kind
        workload = await self._get("batch/v1" if kind == "job" else "apps/v1", f"{kind}s", self._target.name)
        return self._pods_view(selector_text(workload["spec"]["selector"]))

    async def _service_view(self) -> PodCollection:
        name, namespace = self._target.name, self._target.namespace
        service: Object | None = None
        try:
            service = await self._get("v1", "services", name)
        except Forbidden as error:
            forbidden = error
        spec = service["spec"] if service is not None else {}
        if spec.get("type") == "ExternalName":
            raise self._selects_no_pods(spec)
        ports = service_ports(service, self._ports) if service is not None else None
        path = f"/api/v1/namespaces/{namespace}/endpoints"
        view = PodCollection(
            path,
            {"fieldSelector": f"metadata.name={name}"},
            lambda objects: [
                found for one in objects for found in pods_of_endpoints(one, self._ports, ports)
            ],
            renew=self._service_view,
            has_selector=bool(spec.get("selector")),
        )
        try:
            found = await self._call(lambda client: client.get(path, view.query))
        except StatusError as error:
            if error.status != FORBIDDEN:
                raise self._explain(error, "list", "endpoints", name) from None
            if service is None:
                raise forbidden from None
            return self._view_of_selected(service)
        if service is not None and not spec.get("selector") and not view.read(found.get("items") or ()):
            raise self._selects_no_pods(spec)
        return view

    async def _get_selected_view(self) -> PodCollection:
        return self._view_of_selected(await self._get("v1", "services", self._target.name))

    def _view_of_selected(self, service: Object) -> PodCollection:
        spec = service["spec"]
        if not spec.get("selector"):
            # As a label selector, nothing means everything.
            raise self._selects_no_pods(spec)
        ports = target_ports(service_ports(service, self._ports))
        view = self._pods_view(selector_text({"matchLabels": spec["selector"]}), ports)
        view.renew = self._get_selected_view
        return view

    def _selects_no_pods(self, spec: Object) -> TargetError:
        return service_without_pods(self._target, spec, self._ports[0])

    async def _pod_view(self) -> PodCollection | None:
        name = self._target.name
        try:
            pod = await self._get("v1", "pods", name)
        except Forbidden:
            numbers = tuple(port for port in self._ports if isinstance(port, int))
            if len(numbers) < len(self._ports):
                raise  # the name of a port stands in the pod
            self.candidates = [Candidate(name, "", numbers, usable=True)]
            return None
        owner = controller(pod)
        if not owner:
            return PodCollection(
                f"/api/v1/namespaces/{self._target.namespace}/pods",
                {"fieldSelector": f"metadata.name={name}"},
                lambda pods: pods_behind(pods, self._ports, named=name),
            )
        selector = await self._selector_of_deployment(owner)
        if selector:
            return self._pods_view(selector, named=name)
        return self._pods_view(labels_of_siblings(pod), named=name, owner=owner.get("uid"))

    async def _selector_of_deployment(self, owner: Object) -> str:
        """Return the selector of the Deployment above a ReplicaSet: a new version's pods have another owner."""
        if owner.get("kind") != "ReplicaSet":
            return ""
        try:
            replicas = await self._get("apps/v1", "replicasets", owner["name"])
            above = controller(replicas)
            if above.get("kind") != "Deployment":
                return selector_text(replicas["spec"]["selector"])
            deployment = await self._get("apps/v1", "deployments", above["name"])
        except (Forbidden, TargetNotFound):
            return ""
        return selector_text(deployment["spec"]["selector"])

    def _pods_view(
        self,
        selector: str,
        ports: tuple[int | str, ...] | None = None,
        *,
        named: str | None = None,
        owner: str | None = None,
    ) -> PodCollection:
        wanted = self._ports if ports is None else ports
        return PodCollection(
            f"/api/v1/namespaces/{self._target.namespace}/pods",
            {"labelSelector": selector},
            lambda pods: pods_behind(pods, wanted, named=named, owner=owner),
        )

    # Fetching.

    async def _list_first(self, view: PodCollection) -> PodCollection:
        try:
            await self._list(view)
        except Forbidden:
            if self._target.kind != "pod":
                raise
            name = self._target.name
            path = f"/api/v1/namespaces/{self._target.namespace}/pods/{name}"
            view = PodCollection(
                path, {}, lambda pods: pods_behind(pods, self._ports, named=name), watched=False
            )
            await self._list(view)
        return view

    async def _follow(self, view: PodCollection, *, listed: bool = False) -> None:
        wait = 0.0
        while True:
            try:
                with _explain_odd_objects():
                    if not listed:
                        view = await self._list_again(view)
                        wait = 0.0
                    listed = False
                    if view.watched:
                        await self._watch(view)
                    else:
                        wait = _POLL_INTERVAL
            except StatusError as error:
                _log.debug("%s: following its pods was answered %s", self._target, error.status)
                if error.status == FORBIDDEN:
                    wait = _POLL_INTERVAL  # a watch is a right of its own: ask again and again instead
                elif error.status != GONE:
                    wait = min(_LONGEST_WAIT, 2 * wait + 0.2)
            except TokenExpired as error:
                self._on_refusal(error)
                wait = min(_LONGEST_WAIT, 2 * wait + 0.2)
            except (PortNotFound, TargetNotFound):
                # A new version of the pod lacks the port, or the service is gone: the next may have it.
                self._set([])
                wait = _POLL_INTERVAL
            except (SspcloudError, TimeoutError) as error:
                _log.info("%s: following its pods broke: %s", self._target, str(error) or "no answer in time")
                self._on_break()
                wait = min(_LONGEST_WAIT, 2 * wait + 0.2)
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - not for a secret

    async def _list_again(self, view: PodCollection) -> PodCollection:
        if view.renew is not None:
            view = await view.renew()
        await self._list(view)
        return view

    async def _list(self, view: PodCollection) -> None:
        try:
            found = await self._call(lambda client: client.get(view.path, view.query))
        except StatusError as error:
            if view.watched or error.status != NOT_FOUND:
                resource = view.path.rpartition("/")[2]
                raise self._explain(error, "list", resource, None) from None
            found = {"items": []}
        items = (found.get("items") or ()) if view.watched or "items" in found else [found]
        view.objects = {item["metadata"]["name"]: item for item in items}
        view.version = str((found.get("metadata") or {}).get("resourceVersion", ""))
        self._update(view)

    async def _watch(self, view: PodCollection) -> None:
        query = {**view.query, "resourceVersion": view.version, "timeoutSeconds": str(_WATCH_SECONDS)}
        query["allowWatchBookmarks"] = "true"

        async def read(client: Client) -> None:
            async with asyncio.timeout(self._watch_time), aclosing(client.watch(view.path, query)) as events:
                async for event in events:
                    self._take(event, view)

        await self._call(read)

    def _take(self, event: Mapping[str, Any], view: PodCollection) -> None:
        kind, found = event["type"], event["object"]
        if kind == "ERROR":
            code = found.get("code")
            raise StatusError(code if isinstance(code, int) else 500, str(found.get("message", "")))
        view.version = str(found["metadata"].get("resourceVersion") or view.version)
        if kind == "BOOKMARK":
            return
        name = str(found["metadata"].get("name"))
        if kind == "DELETED":
            view.objects.pop(name, None)
        else:
            view.objects[name] = found
        self._update(view)

    def _update(self, view: PodCollection) -> None:
        candidates = view.read(list(view.objects.values()))
        if not view.has_selector:
            self._set(candidates)
        elif any(candidate.usable for candidate in candidates):
            self._stop_looking()
            self._set(candidates)
        elif self._looking is None or candidates != self._unready:
            self._stop_looking()
            self._unready = candidates
            self._looking = asyncio.create_task(self._look_at_pods())

    async def _look_at_pods(self) -> None:
        """Follow the pods, too, where they may be seen; else take what the Endpoints say.

        Endpoints leave out a pod of which one container is not ready, whatever the container does that has the port.
        """
        try:
            with _explain_odd_objects():
                view = await self._get_selected_view()
                await self._list(view)
        except (SspcloudError, StatusError, TimeoutError):
            self._looking = None
            self._set(self._unready)
        else:
            self._looking = asyncio.create_task(self._follow(view, listed=True))

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _set(self, candidates: list[Candidate]) -> None:
        self._found.set()
        if candidates != self.candidates:
            if _log.isEnabledFor(logging.DEBUG):
                pods = [
                    f"{each.name} ({each.state}{', usable' if each.usable else ''})" for each in candidates
                ]
                _log.debug("%s: pods %s", self._target, ", ".join(pods) or "none")
            self.candidates = candidates
            self._on_change()

    async def _get(self, api: str, plural: str, name: str) -> dict[str, Any]:
        root = "/api/v1" if api == "v1" else f"/apis/{api}"
        path = f"{root}/namespaces/{self._target.namespace}/{plural}/{name}"
        try:
            return await self._credentials.call(lambda client: client.get(path))
        except StatusError as error:
            raise self._explain(error, "get", plural, name) from None

    async def _call(self, operation: Callable[[Client], Any]) -> Any:
        return await self._credentials.call(operation)

    def _explain(self, error: StatusError, verb: str, resource: str, name: str | None) -> Exception:
        return explain(error, verb, resource, self._target.namespace, name)


@contextmanager
def _explain_odd_objects() -> Iterator[None]:
    """Turn what reading an object of another shape raises into an error in words."""
    try:
        yield
    except _ODD as error:
        raise ServerError(
            "The API server gives an object that lacks what it has to have.",
            why=f"It did not answer as a Kubernetes API server does ({type(error).__name__}).",
            hint="check the server's address; what is open stays open",
        ) from None


def explain(
    error: StatusError, verb: str, resource: str, namespace: str, name: str | None = None
) -> Forbidden | TargetNotFound | ServerError:
    """Return the error that says what an answer of the API server means for the user."""
    which = f"{resource} {name}" if name else resource
    if error.status == FORBIDDEN:
        return Forbidden(
            f"You may not {verb} {which} in the namespace {namespace}.",
            why=error.message,
            hint=f"ask the owner of {namespace} for the right to {verb} {resource}",
        )
    if error.status == NOT_FOUND:
        return TargetNotFound(
            f"There is no {resource.removesuffix('s')} {name or ''} in the namespace {namespace}.".replace(
                "  ", " "
            ),
            why=error.message,
            hint="look at what there is, with %k8s_pods or %k8s_services",
        )
    return ServerError(
        f"The API server could not {verb} {which} in the namespace {namespace}.",
        why=f"It answered {error.status}: {error.message}",
        hint="try again in a moment",
    )
