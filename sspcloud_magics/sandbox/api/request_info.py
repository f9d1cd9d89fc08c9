"""Verb, resource and name of a request, parsed from its method, path and query.

Authorization needs nothing else: a request for an unknown resource is forbidden before it is not found.

Source: k8s.io/apiserver/pkg/endpoints/request (RequestInfo).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sspcloud_magics.sandbox.api.selectors import FieldSelector
from sspcloud_magics.sandbox.auth.rbac import Attributes

_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The parsed request."""

    path: str
    # RBAC's verb: ``get``, ``list``, ``watch``, ``create`` …; the method in lower case for other paths.
    verb: str
    is_resource: bool = False  # whether the path is that of a resource; the fields below are empty if not
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def attributes(self) -> Attributes:
        """The attributes that the authorizer decides on."""
        if not self.is_resource:
            return Attributes(self.verb, path=self.path)
        return Attributes(self.verb, self.group, self.resource, self.subresource, self.namespace, self.name)


def read_request(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Parse a request."""
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api", version, *rest] if rest:
            group = ""
        case ["apis", group, version, *rest] if rest:
            pass
        case _:
            return RequestInfo(path, method.lower())
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = "/".join(rest[2:])
    verb = _VERBS.get(method, method.lower())
    if not name and verb in ("get", "delete"):
        if verb == "delete":
            verb = "deletecollection"
        else:
            verb = "watch" if query.get("watch", "false") in ("true", "1", "") else "list"
        # A selector that names one object makes this a request for that object: a permission on
        # ``resourceNames`` then covers list and watch.
        name = FieldSelector.exact_name(query.get("fieldSelector", ""))
    return RequestInfo(path, verb, True, group, version, namespace, rest[0], name, subresource)
