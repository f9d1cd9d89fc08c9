"""Single faults of an object, in the server's words, and the checks that every kind shares.

Source: k8s.io/apimachinery/pkg/util/validation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from sspcloud_magics.sandbox.api.status import Cause
from sspcloud_magics.sandbox.store import Obj

Causes: TypeAlias = Iterator[Cause]

PROTOCOLS = ("SCTP", "TCP", "UDP")

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
DNS_1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "
    "is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
LABEL_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_NAME_WORDS = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def check_labels(field: str, labels: Obj) -> Causes:
    """Check the keys and the values of labels."""
    for key, value in labels.items():
        yield from (invalid(field, key, words) for words in _faults_of_a_key(key))
        if not LABEL_VALUE.fullmatch(str(value)):
            yield invalid(field, value, LABEL_VALUE_WORDS)
        elif len(str(value)) > 63:
            yield Cause("FieldValueTooLong", "Too long: may not be more than 63 bytes", field)


def _faults_of_a_key(key: str) -> Iterator[str]:
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        yield (
            f"a qualified name {_NAME_WORDS} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )
        return
    if slash and not prefix:
        yield "prefix part must be non-empty"
    elif slash and not SUBDOMAIN.fullmatch(prefix):
        yield f"prefix part {SUBDOMAIN_WORDS}"
    if len(prefix) > 253:
        yield "prefix part must be no more than 253 bytes"
    if not name:
        yield "name part must be non-empty"
    elif len(name) > 63:
        yield "name part must be no more than 63 bytes"
    if not LABEL_NAME.fullmatch(name):
        yield f"name part {_NAME_WORDS}"


def check_element_name(field: str, name: Any, seen: set[str]) -> Causes:
    """Check the name of an element of a list, which is there once."""
    if not name:
        yield required(field)
        return
    if not LABEL.fullmatch(name):
        yield invalid(field, name, LABEL_WORDS)
    if name in seen:
        yield duplicate(field, name)
    seen.add(name)


def check_port(field: str, port: Any) -> Causes:
    """Check the number of a port."""
    if not isinstance(port, int) or not 0 < port < 65536:
        yield invalid(field, port, "must be between 1 and 65535, inclusive")


def check_one_of(field: str, value: Any, supported: tuple[str, ...]) -> Causes:
    """Check a value that is one of a few."""
    if value not in supported:
        yield unsupported(field, value, supported) if value else required(field)


def required(field: str, words: str = "") -> Cause:
    """Return that a value is missing."""
    return Cause("FieldValueRequired", f"Required value: {words}" if words else "Required value", field)


def invalid(field: str, value: Any, words: str) -> Cause:
    """Return that a value is not as it must be."""
    return Cause("FieldValueInvalid", f"Invalid value: {_shown(value)}: {words}", field)


def duplicate(field: str, value: Any) -> Cause:
    """Return that a value is there twice."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {_shown(value)}", field)


def unsupported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """Return that a value is none of those that are known."""
    choice = ", ".join(f'"{word}"' for word in supported)
    return Cause(
        "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {choice}", field
    )


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
