"""OpenAPI schemas of all kinds.

They are derived from the models of the ``kubernetes`` client, which were generated from the real server's
specification: types, descriptions and required fields are the real ones. The import of the models takes a
third of a second, and waits for the first manifest or request for the specification.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from sspcloud_magics.sandbox.api.patch import merge_key
from sspcloud_magics.sandbox.resources import RESOURCES, Resource
from sspcloud_magics.sandbox.store import Obj

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
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
# Kinds whose model is not called V1 and the name of the kind.
_MODELS = {"Event": "CoreV1Event"}
# Fields of bytes that the client's older generator declares as text.
_BYTES = {("V1Secret", "data"), ("V1ConfigMap", "binaryData")}
_CONTAINER = re.compile(r"(?:List|list)\[(?P<item>.+)\]|(?:Dict|dict)[\[(]str, ?(?P<value>.+)[\])]")


def definition_of(resource: Resource) -> str:
    """Return the name of a kind's schema."""
    if resource.is_custom:
        return f"io.{resource.group}.{resource.version}.{resource.kind}"
    return _definition(_MODELS.get(resource.kind, f"V1{resource.kind}"))


@cache
def schemas() -> dict[str, Obj]:
    """Return the schemas of all kinds and of the types in them, by their names in the specification."""
    from kubernetes.client import models  # noqa: PLC0415 -- a third of a second, so only when needed

    found: dict[str, Obj] = {
        _QUANTITY: {
            "oneOf": [{"type": "string"}, {"type": "number"}],
            "format": "quantity",
            "description": "A number such as 500m or 2Gi.",
        }
    }
    built_in = [resource for resource in RESOURCES if not resource.is_custom]
    waiting = [_MODELS.get(resource.kind, f"V1{resource.kind}") for resource in built_in]
    while waiting:
        model = waiting.pop()
        if _definition(model) not in found:
            found[_definition(model)] = _schema(getattr(models, model))
            waiting.extend(_models_within(getattr(models, model)))
    for resource in RESOURCES:
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        name = definition_of(resource)
        found[name] = {**found.get(name, _custom(resource)), "x-kubernetes-group-version-kind": [kind]}
    gc.freeze()  # exempt the models, half of all objects, from garbage collection
    return found


def get_reference(schema: Obj) -> str | None:
    """Return the name of the type that a schema refers to, None if it is not a reference."""
    references = (part["$ref"] for part in schema.get("allOf", ()) if "$ref" in part)
    reference = schema.get("$ref") or next(references, None)
    return None if reference is None else str(reference).removeprefix(_REFERENCE)


def short_name(definition: str) -> str:
    """Return the short name of a type: ``PodSpec``."""
    return definition.rpartition(".")[2]


def _definition(model: str) -> str:
    group, _, name = model.partition("V1")
    return f"io.k8s.api.{group.lower() or 'meta'}.v1.{name}"


def _models_within(model: Any) -> Iterator[str]:
    for kind in model.openapi_types.values():
        yield from (name for name in re.findall(r"\w+", kind) if "V1" in name)


def _custom(resource: Resource) -> Obj:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "type": "object",
        "description": f"{resource.kind} is a custom resource of {resource.group}.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": _REFERENCE + _definition("V1ObjectMeta")}]},
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
    schema: Obj = {"type": "object", "description": _get_description(model), "properties": properties}
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


def _get_description(model: Any) -> str:
    words = (model.__doc__ or "").strip().split("\n")[0]
    return "" if words.startswith("NOTE: This class is auto generated") else words


def _type(name: str, kind: str, owner: str) -> Obj:
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    container = _CONTAINER.fullmatch(kind)
    if container is None:
        return {"allOf": [{"$ref": _REFERENCE + _definition(kind)}], "default": {}}
    if container["item"]:
        schema: Obj = {"type": "array", "items": _item(container["item"])}
        key = merge_key(name, short_name(_definition(owner)))
        if key:
            schema |= {"x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": key}
        return schema
    value = {"$ref": _REFERENCE + _QUANTITY} if name in _QUANTITIES else _item(container["value"])
    if (owner, name) in _BYTES:
        value = _SCALARS["bytes"]
    return {"type": "object", "additionalProperties": value}


def _item(kind: str) -> Obj:
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if _CONTAINER.fullmatch(kind):
        return _type("", kind, "")
    return {"allOf": [{"$ref": _REFERENCE + _definition(kind)}], "default": {}}
