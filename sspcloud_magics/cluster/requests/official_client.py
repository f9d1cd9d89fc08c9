"""The official ``kubernetes`` package on this package's own transport.

Its ``ApiClient`` sends each request through `sspcloud_magics.cluster.api.client.ApiClient`. Renewed tokens, proxies, limits of
a response and readable errors therefore hold there too, and no token or certificate is in its configuration or in a file.

This module imports the package, which takes a third of a second: import it at its first use.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn, cast
from urllib.parse import urlencode

import urllib3
from kubernetes import client as official
from kubernetes.client import exceptions
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.discovery import LazyDiscoverer

from sspcloud_magics._version import __version__
from sspcloud_magics.cluster.api.resources import parse_attempt
from sspcloud_magics.cluster.api.transport import Answer
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.errors import SspcloudError, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.secret import hide

_ENDLESS = re.compile(r"[?&](?:watch|follow)=(?:true|1)\b", re.IGNORECASE)
# Headers that describe the body as it was sent; ours is complete and decompressed.
_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})
_KINDS = {
    400: exceptions.BadRequestException,
    401: exceptions.UnauthorizedException,
    403: exceptions.ForbiddenException,
    404: exceptions.NotFoundException,
    409: exceptions.ConflictException,
    422: exceptions.UnprocessableEntityException,
}


class KubernetesClient(official.ApiClient):
    """An ``ApiClient`` of the official package, for the identity of a cluster.

    Pass it to the typed APIs: ``kubernetes.client.CoreV1Api(ssp.kubernetes())``. Errors are those of the official package, with
    its classes and its ``status``, and they are errors of this package too.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(official.Configuration(host=cluster.server))
        self.user_agent = f"sspcloud-magics/{__version__}"
        self.rest_client.pool_manager = cast("urllib3.PoolManager", _Pool(cluster))

    def dynamic(self) -> DynamicClient:
        """Return a dynamic client, for all kinds that the server knows.

        It keeps the list of kinds in memory. ``DynamicClient(client)`` would read and write it in the machine's folder for
        temporary files, where other users can leave one of theirs.
        """
        return DynamicClient(self, cache_file="/no/file", discoverer=_InMemory)  # type: ignore[no-untyped-call]

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse ``kubernetes.stream``, which replaces this method by a connection of its own, without credentials."""
        if name in ("call_api", "request"):
            raise UsageProblem(
                _("kubernetes.stream does not work on this client."),
                why=_(
                    "It opens a connection of its own, without the credentials and the proxy of this session."
                ),
                hint=_(
                    "%forward POD PORT   reaches a port of a pod\nkubectl exec POD -- COMMAND   runs a command in a pod"
                ),
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<KubernetesClient of {self.configuration.host}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client is not pickled: call ssp.kubernetes() in the other process")


class _InMemory(LazyDiscoverer):
    """Discovery without a file."""

    def _write_cache(self) -> None:
        pass


class _Pool:
    """The part of urllib3's pool manager that the official client uses, on our transport."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def request(
        self,
        method: str,
        url: str,
        *,
        fields: Any = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: urllib3.Timeout | None = None,
        **_others: Any,
    ) -> urllib3.BaseHTTPResponse:
        path = url.removeprefix(self._cluster.server)
        if fields:
            path += ("&" if "?" in path else "?") + urlencode(fields)
        endless = _ENDLESS.search(path) is not None
        own = parse_attempt(method, path).namespace in (None, self._cluster.namespace)
        answer, error = self._cluster.api.exchange(
            method, path, headers=headers, body=body, endless=endless, timeout=timeout, own=own
        )
        if error is not None:
            raise _combine(error, cast("Answer", answer))
        if not isinstance(answer, Answer):
            return answer
        plain = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_WIRE}
        return urllib3.HTTPResponse(
            io.BytesIO(answer.data),
            plain,
            answer.status,
            reason=HTTPStatus(answer.status).phrase,
            preload_content=False,
        )

    def clear(self) -> None:
        """Do nothing: the connections are the session's."""


@functools.cache
def _make_error_class(ours: Any, theirs: Any) -> Any:
    """Return a class of both kinds of error."""
    return type(ours.__name__, (ours, theirs), {"__module__": __name__})


def _combine(error: SspcloudError, answer: Answer) -> SspcloudError:
    """Return an error of this package that the official one, and code written for it, recognizes."""
    fallback = exceptions.ServiceException if answer.status >= 500 else exceptions.ApiException
    kind: Any = type(error)
    combined = _make_error_class(kind, _KINDS.get(answer.status, fallback))
    made: SspcloudError = combined(error.what, why=error.why, hint=error.hint)
    known = {status.value: status.phrase for status in HTTPStatus}
    body = hide(answer.data.decode(errors="replace"))
    vars(made).update(
        status=answer.status,
        reason=known.get(answer.status, ""),
        headers=urllib3.HTTPHeaderDict(answer.headers),
        body=body,
        data=None,
    )
    return made
