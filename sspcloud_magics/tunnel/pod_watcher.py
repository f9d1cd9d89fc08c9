"""The pods behind a target: list, watch, and report each change.

The watcher adapts to the permissions. The Endpoints of a service are enough for a colleague without permissions on
pods. If a watch is forbidden, it polls. If the named pod may not even be read, it takes the name as given.
Once started, it survives every error: after any failed or malformed response, it lists and watches again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sspcloud_magics.bounded_json import MALFORMED
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
from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.target import Target, describe_kind, describe_request, service_without_pods
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
# Seconds after which the server is asked to end a watch; half a minute before `Timings.watch_timeout`.
_WATCH_SECONDS = 240
# Seconds between two lists, without a watch; and at most between two attempts after failures.
_POLL_INTERVAL = 1.0
_MAX_PAUSE = 10.0
# The exceptions that reading a malformed object can raise.
# Seconds for which a program counts as just started, and may not listen yet. Slower ones need a readiness probe.
_FRESH = 30.0


@dataclass(slots=True)
class PodCollection:
    """A collection of the API that leads to the pods of a target, and its last contents."""

    # The request that lists it.
    path: str
    query: Mapping[str, str]
    read: Callable[[Sequence[Object]], list[Candidate]]  # turns its objects into candidates
    # Whether it is a real collection; a single object, for users who may not list, is polled.
    is_watchable: bool = True
    # Builds the collection again before each list, if it depends on an object that may change.
    renew: Callable[[], Awaitable[PodCollection]] | None = None
    # Whether these are the Endpoints of a Service with a selector, whose pods are watched while none is
    # ready.
    has_selector: bool = False
    # The objects by their names, and the resource version of the last list or event.
    objects: dict[str, Object] = field(default_factory=dict)
    version: str = ""


class PodWatcher:
    """Watches the pods behind a target.

    Parameters
    ----------
    credentials
        The identity for the requests.
    ports
        The requested ports.
    on_change
        Called when `candidates` have changed.
    on_break
        Called when a connection to the server broke: others may have broken silently.
    on_refusal
        Called when the server rejects the credentials; the watcher keeps retrying.
    watch_time
        The longest time for a watch, in seconds, whatever the server sends.
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
        # The collection that `start` found first; None before, and for a pod that may not be read.
        self._collection: PodCollection | None = None
        # Watches the pods that a service selects, while its Endpoints have no ready one.
        self._selected_task: asyncio.Task[None] | None = None
        # The candidates in the Endpoints when that task began; another selector or port changes them.
        self._unready: list[Candidate] = []
        # Set with the first candidates. `start` waits for it and not for a task, which `restart` may replace.
        self._found = asyncio.Event()
        # Watches the collection.
        self._task: asyncio.Task[None] | None = None
        self.candidates: list[Candidate] = []

    async def start(self) -> None:
        """Find the pods, and watch them from now on.

        Raises
        ------
        TargetNotFound, PortNotFound, Forbidden, ServerUnreachable, TokenExpired, ServerError
            If they cannot be found.
        """
        with _explain_malformed_objects():
            collection = await self._find_collection()
            if collection is not None:
                self._collection = await self._list_first(collection)
        if self._collection is not None:
            await self._found.wait()
            if self._task is None:
                self._task = asyncio.create_task(self._watch_on(self._collection, listed=True))

    @property
    def started(self) -> bool:
        """Whether the pods have been found once."""
        return self._collection is not None or bool(self.candidates)

    def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
        self._stop_selected_task()

    def restart(self) -> None:
        """List and watch again on a new connection, because the present one may be broken."""
        if self._collection is not None:
            self.close()
            self._task = asyncio.create_task(self._watch_on(self._collection))

    def forget(self, pod: Candidate) -> None:
        """Leave a pod out until the next list, which begins at once: the watch has not reported that it is being deleted."""
        if self._collection is not None:
            self._set([candidate for candidate in self.candidates if not candidate.is_same(pod)])
            self.restart()

    async def is_fresh(self, pod: str) -> bool:
        """Return whether a program in a pod may just have started; true if that is unknown."""
        try:
            with _explain_malformed_objects():
                age = runs_for(await self._get("v1", "pods", pod), self._credentials.client.date)
        except SspcloudError:
            return True
        return age is None or age < _FRESH

    async def is_leaving(self, pod: Candidate) -> bool:
        """Ask the server whether a pod is being deleted, or is gone; false if that is unknown."""
        try:
            with _explain_malformed_objects():
                found = (await self._get("v1", "pods", pod.name))["metadata"]
                return bool(found.get("deletionTimestamp")) or (pod.uid or found["uid"]) != found["uid"]
        except TargetNotFound:
            return True
        except Forbidden:
            return await self._is_unlisted(pod)
        except SspcloudError:
            return False

    async def _is_unlisted(self, pod: Candidate) -> bool:
        """List the collection, and return whether a pod is no longer usable there; false if that is unknown."""
        collection = self._collection
        if collection is None or not collection.is_watchable:
            return False
        try:
            with _explain_malformed_objects():
                found = collection.read((await self._fetch(collection)).get("items") or ())
        except (SspcloudError, StatusError):
            return False
        return not any(candidate.is_same(pod) and candidate.usable for candidate in found)

    async def explain_not_ready(self) -> SspcloudError:
        """Return the error that says why no pod is usable."""
        candidates = self.candidates
        if self._collection is not None and self._collection.has_selector:
            # Endpoints do not say why a pod is missing.
            try:
                with _explain_malformed_objects():
                    selected = await self._find_selected_pods()
                    candidates = selected.read((await self._fetch(selected)).get("items") or ())
            except PortNotFound as error:
                what = _(
                    "The service {name} leads to a port that its pods do not have.", name=self._target.name
                )
                return PortNotFound(what, why=error.what, hint=error.hint)
            except (SspcloudError, StatusError):
                pass
        if self._target.kind == "pod":
            what = _("The pod {name} does not accept connections.", name=self._target.name)
        else:
            what = _("No pod behind {target} is ready.", target=self._target)
        why = not_ready_words(candidates) or _("It has no pods: it may be scaled to zero, or paused.")
        return PodNotReady(what, why=why, hint=_("wait until it is ready, or check its events and logs"))

    # The choice of the collection.

    async def _find_collection(self) -> PodCollection | None:
        if self._target.kind == "service":
            return await self._find_endpoints()
        if self._target.kind == "pod":
            return await self._find_pod()
        kind = self._target.kind
        workload = await self._get("batch/v1" if kind == "job" else "apps/v1", f"{kind}s", self._target.name)
        return self._make_collection(selector_text(workload["spec"]["selector"]))

    async def _find_endpoints(self) -> PodCollection:
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
        collection = PodCollection(
            path,
            {"fieldSelector": f"metadata.name={name}"},
            lambda objects: [
                found for one in objects for found in pods_of_endpoints(one, self._ports, ports)
            ],
            renew=self._find_endpoints,
            has_selector=bool(spec.get("selector")),
        )
        try:
            found = await self._fetch(collection)
        except StatusError as error:
            if error.status != FORBIDDEN:
                raise self._explain(error, "list", "endpoints", name) from None
            if service is None:
                raise forbidden from None
            return self._select_pods(service)
        if service is not None and not spec.get("selector") and not collection.read(found.get("items") or ()):
            raise self._selects_no_pods(spec)
        return collection

    async def _find_selected_pods(self) -> PodCollection:
        return self._select_pods(await self._get("v1", "services", self._target.name))

    def _select_pods(self, service: Object) -> PodCollection:
        spec = service["spec"]
        if not spec.get("selector"):
            # An empty label selector would match every pod.
            raise self._selects_no_pods(spec)
        ports = target_ports(service_ports(service, self._ports))
        collection = self._make_collection(selector_text({"matchLabels": spec["selector"]}), ports)
        collection.renew = self._find_selected_pods
        return collection

    def _selects_no_pods(self, spec: Object) -> TargetError:
        return service_without_pods(self._target, spec, self._ports[0])

    async def _find_pod(self) -> PodCollection | None:
        name = self._target.name
        try:
            pod = await self._get("v1", "pods", name)
        except Forbidden:
            numbers = tuple(port for port in self._ports if isinstance(port, int))
            if len(numbers) < len(self._ports):
                raise  # only the pod has the number of a named port
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
            return self._make_collection(selector, named=name)
        return self._make_collection(labels_of_siblings(pod), named=name, owner=owner.get("uid"))

    async def _selector_of_deployment(self, owner: Object) -> str:
        """Return the selector of the Deployment above a ReplicaSet: pods of a new version have another owner."""
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

    def _make_collection(
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

    # Requests.

    async def _list_first(self, collection: PodCollection) -> PodCollection:
        try:
            await self._list(collection)
        except Forbidden:
            if self._target.kind != "pod":
                raise
            name = self._target.name
            path = f"/api/v1/namespaces/{self._target.namespace}/pods/{name}"
            collection = PodCollection(
                path, {}, lambda pods: pods_behind(pods, self._ports, named=name), is_watchable=False
            )
            await self._list(collection)
        return collection

    async def _watch_on(self, collection: PodCollection, *, listed: bool = False) -> None:
        """List and watch a collection until cancelled, whatever fails."""
        wait = 0.0
        while True:
            try:
                with _explain_malformed_objects():
                    if not listed:
                        collection = await self._list_again(collection)
                        wait = 0.0
                    listed = False
                    if collection.is_watchable:
                        await self._watch(collection)
                    else:
                        wait = _POLL_INTERVAL
            except StatusError as error:
                _log.debug("%s: the watch of its pods ended with status %s", self._target, error.status)
                if error.status == FORBIDDEN:
                    wait = _POLL_INTERVAL  # the permission to watch is a separate one: poll
                elif error.status != GONE:
                    wait = min(_MAX_PAUSE, 2 * wait + 0.2)
            except TokenExpired as error:
                self._on_refusal(error)
                wait = min(_MAX_PAUSE, 2 * wait + 0.2)
            except (PortNotFound, TargetNotFound):
                # A new version of the pod lacks the port, or the service is gone: the next may have it.
                self._set([])
                wait = _POLL_INTERVAL
            except (SspcloudError, TimeoutError) as error:
                _log.info("%s: the watch of its pods broke: %s", self._target, type(error).__name__)
                self._on_break()
                wait = min(_MAX_PAUSE, 2 * wait + 0.2)
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - not for a secret

    async def _list_again(self, collection: PodCollection) -> PodCollection:
        if collection.renew is not None:
            collection = await collection.renew()
        await self._list(collection)
        return collection

    async def _list(self, collection: PodCollection) -> None:
        try:
            found = await self._fetch(collection)
        except StatusError as error:
            if collection.is_watchable or error.status != NOT_FOUND:
                resource = collection.path.rpartition("/")[2]
                raise self._explain(error, "list", resource, None) from None
            found = {"items": []}
        items = (found.get("items") or ()) if collection.is_watchable or "items" in found else [found]
        collection.objects = {item["metadata"]["name"]: item for item in items}
        collection.version = str((found.get("metadata") or {}).get("resourceVersion", ""))
        self._update(collection)

    async def _watch(self, collection: PodCollection) -> None:
        query = {
            **collection.query,
            "resourceVersion": collection.version,
            "timeoutSeconds": str(_WATCH_SECONDS),
            "allowWatchBookmarks": "true",
        }

        async def read(client: Client) -> None:
            async with (
                asyncio.timeout(self._watch_time),
                aclosing(client.watch(collection.path, query)) as events,
            ):
                async for event in events:
                    self._apply(event, collection)

        await self._credentials.call(read)

    def _apply(self, event: Mapping[str, Any], collection: PodCollection) -> None:
        kind, found = event["type"], event["object"]
        if kind == "ERROR":
            code = found.get("code")
            raise StatusError(code if isinstance(code, int) else 500, str(found.get("message", "")))
        collection.version = str(found["metadata"].get("resourceVersion") or collection.version)
        if kind == "BOOKMARK":
            return
        name = str(found["metadata"].get("name"))
        if kind == "DELETED":
            collection.objects.pop(name, None)
        else:
            collection.objects[name] = found
        self._update(collection)

    def _update(self, collection: PodCollection) -> None:
        candidates = collection.read(list(collection.objects.values()))
        if not collection.has_selector:
            self._set(candidates)
        elif any(candidate.usable for candidate in candidates):
            self._stop_selected_task()
            self._set(candidates)
        elif self._selected_task is None or candidates != self._unready:
            self._stop_selected_task()
            self._unready = candidates
            self._selected_task = asyncio.create_task(self._watch_selected_pods())

    async def _watch_selected_pods(self) -> None:
        """Watch the pods themselves, if that is allowed; otherwise use the Endpoints.

        Endpoints omit a pod if any of its containers is not ready, even when the container with the port is.
        """
        try:
            with _explain_malformed_objects():
                collection = await self._find_selected_pods()
                await self._list(collection)
        except (SspcloudError, StatusError, TimeoutError):
            self._selected_task = None
            self._set(self._unready)
        else:
            self._selected_task = asyncio.create_task(self._watch_on(collection, listed=True))

    def _stop_selected_task(self) -> None:
        if self._selected_task is not None:
            self._selected_task.cancel()
            self._selected_task = None

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

    async def _fetch(self, collection: PodCollection) -> dict[str, Any]:
        return await self._credentials.call(lambda client: client.get(collection.path, collection.query))

    async def _get(self, api: str, plural: str, name: str) -> dict[str, Any]:
        root = "/api/v1" if api == "v1" else f"/apis/{api}"
        path = f"{root}/namespaces/{self._target.namespace}/{plural}/{name}"
        try:
            return await self._credentials.call(lambda client: client.get(path))
        except StatusError as error:
            raise self._explain(error, "get", plural, name) from None

    def _explain(self, error: StatusError, verb: str, resource: str, name: str | None) -> Exception:
        return explain(error, verb, resource, self._target.namespace, name)


@contextmanager
def _explain_malformed_objects() -> Iterator[None]:
    """Turn the exceptions of reading a malformed object into a `ServerError`."""
    try:
        yield
    except MALFORMED as error:
        raise ServerError(
            _("The API server returned a malformed object."),
            why=_("A Kubernetes API server would not send it ({error}).", error=type(error).__name__),
            hint=_("check the server's address; open connections stay open"),
        ) from None


def explain(
    error: StatusError, verb: str, resource: str, namespace: str, name: str | None = None
) -> Forbidden | TargetNotFound | ServerError:
    """Return the user's error for an unsuccessful answer of the API server."""
    words = describe_request(verb, resource, name or "")
    if error.status == FORBIDDEN:
        return Forbidden(
            _("You may not {request} in {namespace}.", request=words, namespace=namespace),
            why=quote_words(error.message),
            hint=_(
                "ask the owner of {namespace} for the permission to {verb} {resource}",
                namespace=namespace,
                verb=verb,
                resource=resource,
            ),
        )
    if error.status == NOT_FOUND:
        kind = describe_kind(resource)
        return TargetNotFound(
            _("There is no {kind} {name} in {namespace}.", kind=kind, name=name, namespace=namespace)
            if name
            else _("There is no {kind} in {namespace}.", kind=kind, namespace=namespace),
            why=quote_words(error.message),
            hint=_("list the existing ones: %k8s_pods or %k8s_services"),
        )
    return ServerError(
        _("The API server could not {request} in {namespace}.", request=words, namespace=namespace),
        why=_("It answered {status}: {text}", status=error.status, text=error.message),
        hint=_("try again in a few seconds"),
    )
