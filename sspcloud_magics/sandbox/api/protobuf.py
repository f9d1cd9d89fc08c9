"""Decoder of Kubernetes' protobuf encoding.

kubectl sends protobuf where it uses typed clients (``auth can-i``, ``create role``, ``create token``), and
accepts JSON in return. ``protobuf.txt`` defines the messages, one per line. An unknown field is refused, never
ignored.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding, the generated.proto
files of k8s.io/api.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sspcloud_magics.sandbox.store import Obj

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


class Undecodable(ValueError):
    """The bytes are not a known object."""


def read_protobuf(data: bytes) -> Obj:
    """Decode a body; raise `Undecodable` for an unknown kind or field, or malformed data."""
    if not data.startswith(_MAGIC):
        raise Undecodable("the data does not begin with the magic number of Kubernetes' protobuf encoding")
    try:
        envelope = dict(_fields(memoryview(data)[len(_MAGIC) :]))
        about = {number: bytes(value).decode() for number, value in _fields(envelope[1])}
        kind = about.get(2, "")
        if kind not in _messages():
            raise Undecodable(f"{kind} is not known in the protobuf encoding")
        return {
            "apiVersion": about.get(1, ""),
            "kind": kind,
            **_message(kind, envelope.get(2, memoryview(b""))),
        }
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise Undecodable(f"the data is not well formed: {error!r}") from None


@cache
def _messages() -> dict[str, dict[int, tuple[str, str]]]:
    messages = {}
    text = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    for line in (line for line in text.splitlines() if not line.startswith("#")):
        name, _, fields = line.partition(": ")
        words = fields.split()
        messages[name] = {
            int(number): (field.partition(":")[0], field.partition(":")[2])
            for number, field in zip(words[::2], words[1::2], strict=True)
        }
    return messages


def _message(kind: str, data: memoryview) -> Obj:
    known = _messages()[kind]
    found: Obj = {}
    for number, value in _fields(data):
        if number not in known:
            raise Undecodable(f"field {number} of {kind} is not known in the protobuf encoding")
        name, form = known[number]
        if form == "Ignored":
            continue
        if form.startswith("["):
            found.setdefault(name, []).append(_value(form[1:-1], value))
        elif form.startswith("{"):
            entry = dict(_fields(value))
            key = bytes(entry.get(1, b"")).decode()
            found.setdefault(name, {})[key] = _value(form[1:-1], entry.get(2, memoryview(b"")))
        else:
            decoded = _value(form.rstrip("?"), value)
            unset = decoded in ("", None) or (form.endswith("?") and not decoded)
            if not unset:
                found[name] = decoded
    return found


def _value(form: str, value: Any) -> Any:  # noqa: PLR0911 -- a table of types
    match form:
        case "string":
            return bytes(value).decode()
        case "bytes":
            return base64.b64encode(value).decode()
        case "int":
            return value - (1 << 64) if value >= 1 << 63 else value
        case "bool":
            return bool(value)
        case "Quantity":
            return bytes(dict(_fields(value)).get(1, b"")).decode()
        case "IntOrString":
            parts = dict(_fields(value))
            number = parts.get(2, 0)
            return bytes(parts.get(3, b"")).decode() if parts.get(1) else number or None
        case "Time":
            seconds = dict(_fields(value)).get(1, 0)
            return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
        case _:
            return _message(form, value)


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield the number and the raw value of each field; length-delimited values are views."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        match tag & 7:
            case 0:
                value, position = _varint(data, position)
                yield tag >> 3, value
            case 2:
                length, position = _varint(data, position)
                if position + length > len(data):
                    raise IndexError("a field is cut off")
                yield tag >> 3, data[position : position + length]
                position += length
            case wire_type:
                raise Undecodable(f"wire type {wire_type} is not used by Kubernetes")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
