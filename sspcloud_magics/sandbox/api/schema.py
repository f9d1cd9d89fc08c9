"""The shape of every built-in kind, as OpenAPI schemas.

They are read off the models of the ``kubernetes`` client, which were generated from the real server's
specification: types, descriptions and required fields are therefore the real ones. The models are only
imported when the first manifest arrives or somebody asks for the specification (a third of a second).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from sspcloud_magics.sandbox.api.patch import list_merge_key
from sspcloud_magics.sandbox.resources import RESOURCES, Resource
from sspcloud_magics.sandbox.store import Obj

PREFIX = "io.k8s.api.v1."
_REFERENCE = "#/components/schemas/"
_SCALARS: dict[str, Obj] = {
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "format": "byte"},
    "datetime": {"type": "string", "format": "date-time"},
    "float": {"type": "number"},
    "int": {"type": "integer"},
    "object": {},
    "str": {"type": "string"},
}
_QUANTITIES = {"capacity", "allocatable", "default", "hard", "limits", "overhead", "requests", "used"}
_CONTAINER = re.compile(r"(?:List|list)\[(?P<item>.+)\]|(?:Dict|dict)[\[(]str, ?(?P<value>.+)[\])]")


def model_name(resource: Resource) -> str | None:
    """Return the name of the model of a kind, ``None`` for a custom resource."""
    if resource.group == "postgresql.cnpg.io":
        return None
    return {"Event": "CoreV1Event", "EndpointSlice": "V1EndpointSlice"}.get(
        resource.kind, f"V1{resource.kind}"
    )


@cache
def schemas() -> dict[str, Obj]:
    """Return the schema of every type that the kinds are made of, by the name of its model."""
    from kubernetes.client import models  # noqa: PLC0415 -- a third of a second, so only when needed

    found: dict[str, Obj] = {}
    waiting = [name for resource in RESOURCES if (name := model_name(resource))]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _schema(getattr(models, name))
            waiting.extend(_references(found[name]))
    for resource in RESOURCES:
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        found[model_name(resource) or resource.kind] = {
            **found.get(model_name(resource) or "", _custom(resource)),
            "x-kubernetes-group-version-kind": [kind],
        }
    return found


def referred(schema: Obj) -> str | None:
    """Return the name of the model that a schema refers to, ``None`` for a plain type."""
    reference = schema.get("$ref") or next(
        (part["$ref"] for part in schema.get("allOf", ()) if "$ref" in part), None
    )
    return None if reference is None else str(reference).removeprefix(_REFERENCE + PREFIX)


def short_name(model: str) -> str:
    """Return the name of a type as people know it: ``PodSpec`` for ``V1PodSpec``."""
    return re.sub(r"^(Core|Apps|Batch|Discovery|Rbac)?V1(?=[A-Z])", "", model)


def _custom(resource: Resource) -> Obj:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "type": "object",
        "description": f"{resource.kind} is a custom resource of {resource.group}.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": f"{_REFERENCE}{PREFIX}V1ObjectMeta"}]},
            "spec": anything,
            "status": anything,
        },
    }


def _schema(model: Any) -> Obj:
    properties: dict[str, Obj] = {}
    required = []
    for attribute, kind in model.openapi_types.items():
        name = model.attribute_map[attribute]
        description, needed = _field(model, attribute)
        if needed:
            required.append(name)
        properties[name] = {"description": description, **_type(name, kind, model.__name__)}
    schema: Obj = {"type": "object", "description": _about(model), "properties": properties}
    if required:
        schema["required"] = required
    return schema


def _field(model: Any, attribute: str) -> tuple[str, bool]:
    fields = getattr(model, "model_fields", None)
    if fields is None:  # the client's older generator made properties with docstrings
        words = (getattr(model, attribute).__doc__ or "").split("# noqa: E501")
        constants = getattr(model, attribute).fset.__code__.co_consts
        return words[1].strip() if len(words) > 1 else "", any(
            "must not be `None`" in str(c) for c in constants
        )
    field = fields.get(attribute) or fields.get(f"var_{attribute}") or fields.get(attribute.lstrip("_"))
    return (field.description or "", field.is_required()) if field is not None else ("", False)


def _about(model: Any) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def _type(name: str, kind: str, owner: str) -> Obj:
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    container = _CONTAINER.fullmatch(kind)
    if container is None:
        return {"allOf": [{"$ref": f"{_REFERENCE}{PREFIX}{kind}"}], "default": {}}
    if container["item"]:
        schema: Obj = {"type": "array", "items": _item(container["item"])}
        key = list_merge_key(name, short_name(owner))
        if key:
            schema |= {"x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": key}
        return schema
    value = {} if name in _QUANTITIES else _item(container["value"])
    return {"type": "object", "additionalProperties": value}


def _item(kind: str) -> Obj:
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if _CONTAINER.fullmatch(kind):
        return _type("", kind, "")
    return {"allOf": [{"$ref": f"{_REFERENCE}{PREFIX}{kind}"}], "default": {}}


def _references(schema: Obj) -> Iterator[str]:
    for part in schema["properties"].values():
        for inner in (part, part.get("items") or {}, part.get("additionalProperties") or {}):
            name = referred(inner)
            if name:
                yield name
