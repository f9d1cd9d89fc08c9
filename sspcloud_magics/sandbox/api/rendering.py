"""The three representations of objects: the object itself, a row of a Table, or its metadata.

The ``Accept`` header selects one, also for lists and watch events. JSON is the only encoding.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sspcloud_magics.sandbox.api.columns import cells, definitions
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Obj

_META = "meta.k8s.io/v1"


class Form(Enum):
    """Representation of an object."""

    OBJECT = "object"
    TABLE = "table"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class ResponseForm:
    """The representation that a client requests."""

    form: Form = Form.OBJECT
    # The part of the object that the row of a Table contains: ``Metadata``, ``Object`` or ``None``.
    include: str = "Metadata"

    def object(self, resource: Resource, obj: Obj) -> Obj:
        """Return one object."""
        if self.form is Form.TABLE:
            return self._table(
                resource, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            )
        return _partial(obj) if self.form is Form.METADATA else obj

    def items(self, resource: Resource, items: Sequence[Obj], metadata: Mapping[str, Any]) -> Obj:
        """Return a list."""
        if self.form is Form.TABLE:
            return self._table(resource, items, metadata)
        if self.form is Form.METADATA:
            kind, version = "PartialObjectMetadataList", _META
            items = [_partial(item) for item in items]
        else:
            kind, version = f"{resource.kind}List", resource.api_version
            if not resource.is_custom:  # items of built-in kinds do not repeat their kind
                skip = ("apiVersion", "kind")
                items = [{k: v for k, v in item.items() if k not in skip} for item in items]
        return {"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}

    def event(self, resource: Resource, obj: Obj, *, first: bool) -> Obj:
        """Return the object of a watch event; only the first Table defines the columns."""
        shown = self.object(resource, obj)
        if self.form is Form.TABLE and not first:
            shown = {**shown, "columnDefinitions": None}
        return shown

    def _table(self, resource: Resource, items: Sequence[Obj], metadata: Mapping[str, Any]) -> Obj:
        rows = [{"cells": cells(resource.plural, item), **self._row_object(item)} for item in items]
        return {
            "kind": "Table",
            "apiVersion": _META,
            "metadata": metadata,
            "columnDefinitions": definitions(resource.plural),
            "rows": rows,
        }

    def _row_object(self, obj: Obj) -> Obj:
        if self.include == "None":
            return {}
        return {"object": obj if self.include == "Object" else _partial(obj)}


def parse_accept(accept: str, include: str) -> ResponseForm:
    """Parse an ``Accept`` header and the parameter ``includeObject``; the first known representation wins."""
    forms = {
        "Table": Form.TABLE,
        "PartialObjectMetadata": Form.METADATA,
        "PartialObjectMetadataList": Form.METADATA,
    }
    for media_type in accept.split(","):
        kind, *parameters = (part.strip() for part in media_type.split(";"))
        options = dict(part.partition("=")[::2] for part in parameters)
        if kind not in ("application/json", "*/*", "application/*"):
            continue
        if "as" not in options:
            break
        if options["as"] in forms and options.get("g") == "meta.k8s.io" and options.get("v") == "v1":
            return ResponseForm(forms[options["as"]], include or "Metadata")
    return ResponseForm()


def encode_json(value: Any) -> bytes:
    """Return JSON as the API server sends it: compact, with a final newline."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _partial(obj: Obj) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": obj["metadata"]}
