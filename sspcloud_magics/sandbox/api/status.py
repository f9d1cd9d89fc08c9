"""Errors: the Status objects of the API server, with its own messages.

Handlers raise `ApiError`, and the application turns it into a response. The messages are the real server's,
because kubectl prints them and people and programs search for them.

Source: k8s.io/apimachinery/pkg/api/errors; https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter

from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Obj


@dataclass(frozen=True, slots=True)
class Cause:
    """One error in an object."""

    reason: str  # such as ``FieldValueRequired``
    message: str  # such as ``Required value``
    field: str  # such as ``spec.containers[0].image``

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class ApiError(Exception):
    """A request that is refused.

    `reason`: machine-readable, such as ``NotFound``. `message`: the text that kubectl prints after ``Error from
    server (NotFound):``. `details`: ``name``, ``group``, ``kind``, ``causes``; None to omit them.
    """

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        # Metadata of the Status; `listing` puts a continue token there.
        self.metadata: Obj = {}

    @property
    def status(self) -> Obj:
        """The Status object of the response."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


def success(resource: Resource, name: str, uid: str) -> Obj:
    """Return the Status in response to a deletion."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {**_details(resource.group, resource.plural, name), "uid": uid},
    }


def not_found(resource: Resource, name: str) -> ApiError:
    """``pods "x" not found``."""
    return ApiError(
        404,
        "NotFound",
        f'{resource.qualified} "{name}" not found',
        _details(resource.group, resource.plural, name),
    )


def no_such_path() -> ApiError:
    """Return the error for a path without a resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: Resource, name: str) -> ApiError:
    """``pods "x" already exists``."""
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(resource.group, resource.plural, name))


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    """``Operation cannot be fulfilled on pods "x": …``."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource.group, resource.plural, name))


def apply_conflict(conflicts: list[tuple[str, str]]) -> ApiError:
    """Return the error for an apply of fields that others own: pairs of a manager and the path of its field."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in conflicts
    ]
    message = f"Apply failed with 1 conflict: conflict with {': '.join(conflicts[0])}"
    if len(conflicts) > 1:
        lines: list[str] = []
        for manager, found in groupby(sorted(conflicts), key=itemgetter(0)):
            lines += [f"conflicts with {manager}:", *(f"- {path}" for _, path in found)]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, {"causes": causes})


def make_forbidden(group: str, plural: str, name: str, why: str) -> ApiError:
    """``pods "x" is forbidden: …``; without a name ``pods is forbidden: …``."""
    qualified = f"{plural}.{group}" if group else plural
    what = f'{qualified} "{name}"' if name else qualified
    return ApiError(403, "Forbidden", f"{what} is forbidden: {why}", _details(group, plural, name))


def make_forbidden_path(why: str) -> ApiError:
    """Return the error for a forbidden path without a resource."""
    return ApiError(403, "Forbidden", f"forbidden: {why}", {})


def make_unauthorized() -> ApiError:
    """Return the error for invalid credentials; like the real server, it gives no reason."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def invalid(group: str, kind: str, name: str, causes: Iterable[Cause]) -> ApiError:
    """``Pod "x" is invalid: spec.containers[0].image: Required value``."""
    causes = list(causes)
    words = [str(cause) for cause in causes]
    detail = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
    qualified = f"{kind}.{group}" if group else kind
    details = {**_details(group, kind, name), "causes": [asdict(cause) for cause in causes]}
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {detail}', details)


def bad_request(why: str) -> ApiError:
    """Return the error for a malformed request."""
    return ApiError(400, "BadRequest", why)


def method_not_allowed() -> ApiError:
    """Return the error for a verb that the resource does not support."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def make_unsupported_media_type(accepted: Iterable[str]) -> ApiError:
    """Return the error for a body in an unknown format."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        f"{', '.join(accepted)}"
    )
    return ApiError(415, "UnsupportedMediaType", message, {})


def make_expired(why: str) -> ApiError:
    """Return the error for a resource version that is older than the history."""
    return ApiError(410, "Expired", why)


def _details(group: str, kind: str, name: str) -> Obj:
    return {key: value for key, value in (("name", name), ("group", group), ("kind", kind)) if value}
