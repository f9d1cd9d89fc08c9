"""Decoding errors of the server: unknown fields, and values of the wrong type.

The parameter ``fieldValidation`` says whether an unknown field is refused (kubectl's choice), reported in a
warning or ignored. It is never stored.

Source: KEP-2885 (server-side field validation).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from typing import Any

from sspcloud_magics.sandbox.api import status
from sspcloud_magics.sandbox.api.call import Call, json_type
from sspcloud_magics.sandbox.api.quantities import canonical_quantity
from sspcloud_magics.sandbox.api.schema import definition_of, get_reference, schemas, short_name
from sspcloud_magics.sandbox.store import Obj

_TYPES: dict[str, Any] = {"array": list, "boolean": bool, "integer": int, "number": int | float}
_TYPES |= {"object": dict, "string": str}
_GO_TYPES = {"boolean": "bool", "number": "float64", "string": "string", "integer": "int32"}
_INT64 = {"activeDeadlineSeconds", "expirationSeconds", "fsGroup", "runAsGroup", "runAsUser"}
_INT64 |= {"terminationGracePeriodSeconds", "tolerationSeconds"}
_MODES = ("Ignore", "Strict", "Warn")


async def check_fields(call: Call, obj: Obj) -> None:
    """Drop the unknown fields of `obj` in place, and convert quantities and bytes to the server's form.

    Raise `ApiError` 400 for a value of the wrong type and, with ``fieldValidation=Strict``, for an unknown
    field.
    """
    mode = call.query.get("fieldValidation") or "Warn"
    if mode not in _MODES:
        raise status.bad_request(
            f'fieldValidation: Unsupported value: "{mode}": supported values: "Ignore", "Strict", "Warn"'
        )
    if call.resource.is_custom:
        return
    known = await asyncio.to_thread(schemas) if not schemas.cache_info().currsize else schemas()
    reader = _Reader(known)
    try:
        reader.read(known[definition_of(call.resource)], obj, owner=call.resource.kind)
    except _WrongType as error:
        raise _make_unhandled_error(call, str(error)) from None
    unknown = reader.unknown
    if unknown and mode == "Strict":
        words = ", ".join(f'unknown field "{field}"' for field in unknown)
        raise _make_unhandled_error(call, f"strict decoding error: {words}")
    if mode == "Warn":
        call.warnings.extend(f'unknown field \\"{field}\\"' for field in unknown)


class _WrongType(Exception):
    pass


def _make_unhandled_error(call: Call, why: str) -> status.ApiError:
    kind, version = call.resource.kind, call.resource.version
    return status.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


class _Reader:
    """Compares values with their schemas; `unknown` collects the paths of unknown fields."""

    def __init__(self, known: dict[str, Obj]) -> None:
        self._known = known
        self.unknown: list[str] = []

    def read(self, schema: Obj, value: Any, path: str = "", owner: str = "") -> Any:
        """Compare a value with its schema, and return it in the server's form.

        `path` is its path in the object, `owner` the type of the object that contains it.
        """
        if value is None:
            return None
        name = get_reference(schema)
        if name is not None:
            schema = self._known[name]
        kind = schema.get("type")
        if schema.get("format") == "quantity":
            return _canonical(value)
        if not _fits(kind, value):
            raise _wrong_type(
                f"v1.{short_name(name)}" if name else _go_type(schema, path), value, path, owner
            )
        if schema.get("format") == "byte":
            return _one_line(value)
        owner = short_name(name) if name else owner
        if kind == "object":
            self._read_fields(schema, value, path, owner)
        elif kind == "array":
            value[:] = [
                self.read(schema["items"], item, f"{path}[{index}]", owner)
                for index, item in enumerate(value)
            ]
        return value

    def _read_fields(self, schema: Obj, value: Obj, path: str, owner: str) -> None:
        properties = schema.get("properties")
        for field in list(value):
            inner = f"{path}.{field}" if path else field
            if properties is None:
                value[field] = self.read(schema.get("additionalProperties") or {}, value[field], path, owner)
            elif field in properties:
                value[field] = self.read(properties[field], value[field], inner, owner)
            else:
                self.unknown.append(inner)
                del value[field]


def _fits(kind: str | None, value: Any) -> bool:
    if isinstance(value, bool):
        return kind in (None, "boolean")
    return kind is None or isinstance(value, _TYPES[kind])


def _wrong_type(go_type: str, value: Any, path: str, owner: str) -> _WrongType:
    field = re.sub(r"\[\d+\]", "", path)
    return _WrongType(
        f"json: cannot unmarshal {json_type(value)} into Go struct field {owner}.{field} of type {go_type}"
    )


def _go_type(schema: Obj, path: str) -> str:
    """Return the Go type, which the real server prints."""
    name = get_reference(schema)
    if name is not None:
        return f"v1.{short_name(name)}"
    if schema.get("type") == "array":
        return f"[]{_go_type(schema['items'], path)}"
    if schema.get("type") == "object":
        return f"map[string]{_go_type(schema.get('additionalProperties') or {}, path)}"
    if path.rpartition(".")[2] in _INT64:
        return "int64"
    return _GO_TYPES.get(schema.get("type", ""), "resource.Quantity")


def _canonical(value: Any) -> str:
    try:
        return canonical_quantity(value)
    except ValueError as error:
        raise _WrongType(str(error)) from None


def _one_line(value: str) -> str:
    """Return base64 text without line breaks, which the command ``base64`` inserts."""
    value = value.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        position = next((i for i, c in enumerate(value) if not (c.isalnum() or c in "+/=")), len(value))
        raise _WrongType(f"illegal base64 data at input byte {position}") from None
    return value
