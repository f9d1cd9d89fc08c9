"""Label and field selectors of requests.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ and
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sspcloud_magics.sandbox.api.status import ApiError, bad_request
from sspcloud_magics.sandbox.labels import OPERATORS
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Obj

_REQUIREMENT = re.compile(
    r"""\s*(?:
        !\s*(?P<absent>[^\s,=!()]+)
      | (?P<key>[^\s,=!()]+)\s*
        (?: (?P<equality>==|=|!=)\s*(?P<value>[^\s,()]*)
          | (?P<set>in|notin)\s*\((?P<values>[^()]*)\)
        )?
    )\s*(?:,|$)""",
    re.VERBOSE,
)

# Fields of field selectors besides metadata.name and metadata.namespace, with their default values.
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "pods": {
        **dict.fromkeys(("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName"), ""),
        **dict.fromkeys(("status.phase", "status.podIP"), ""),
    },
    "services": {"spec.clusterIP": "", "spec.type": ""},
    "secrets": {"type": ""},
    "namespaces": {"status.phase": ""},
    "nodes": {"spec.unschedulable": "false"},
    "replicasets": {"status.replicas": "0"},
    "events": {
        **dict.fromkeys(
            (f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "fieldPath")), ""
        ),
        **dict.fromkeys(("reason", "reportingComponent", "source", "type"), ""),
    },
}


@dataclass(frozen=True, slots=True)
class _Requirement:
    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return OPERATORS[self.operator](labels.get(self.key), self.values)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A label selector such as ``app=web,tier in (a, b),!beta``."""

    requirements: tuple[_Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Parse a selector; raise `ApiError` for a syntax error."""
        requirements = []
        position = 0
        while position < len(text.rstrip()):
            found = _REQUIREMENT.match(text, position)
            if found is None:
                raise _unreadable(text)
            position = found.end()
            requirements.append(_requirement(found))
        return cls(tuple(requirements))

    def matches(self, obj: Obj) -> bool:
        """Return whether an object's labels match."""
        labels = obj["metadata"].get("labels") or {}
        return all(requirement.matches(labels) for requirement in self.requirements)


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A field selector such as ``metadata.name=web,status.phase!=Running``."""

    terms: tuple[tuple[str, bool, str], ...] = ()
    resource: Resource | None = None

    @staticmethod
    def exact_name(text: str) -> str:
        """Return the object name that a selector requires, empty if it requires none."""
        for term in text.split(","):
            key, operator, value = _term(term)
            if key == "metadata.name" and operator in ("=", "=="):
                return value
        return ""

    @classmethod
    def parse(cls, text: str, resource: Resource) -> FieldSelector:
        """Parse a selector; raise `ApiError` for a syntax error or an unsupported field of the resource."""
        terms = []
        for term in filter(None, (part.strip() for part in text.split(","))):
            key, operator, value = _term(term)
            if not operator:
                message = f"invalid selector: '{text}'; can't understand '{term}'"
                raise bad_request(f'Unable to find "{resource.api_version}, Resource={resource.plural}" that match '
                                  f'label selector "", field selector "{text}": {message}')  # fmt: skip
            if key not in ("metadata.name", "metadata.namespace", *_FIELDS.get(resource.plural, ())):
                raise ApiError(400, "BadRequest", f"field label not supported: {key}")
            terms.append((key, operator != "!=", value))
        return cls(tuple(terms), resource)

    def matches(self, obj: Obj) -> bool:
        """Return whether an object's fields match."""
        return all((self._field(obj, key) == value) is equal for key, equal, value in self.terms)

    def _field(self, obj: Obj, key: str) -> str:
        value: Any = obj
        for part in ("source.component" if key == "source" else key).split("."):
            value = value.get(part) if isinstance(value, dict) else None
        plural = self.resource.plural if self.resource else ""
        if value is None:
            return _FIELDS.get(plural, {}).get(key, "")
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)


def _term(term: str) -> tuple[str, str, str]:
    for operator in ("!=", "==", "="):
        key, found, value = term.partition(operator)
        if found:
            return key.strip(), operator, value.strip()
    return term.strip(), "", ""


def _requirement(found: re.Match[str]) -> _Requirement:
    if found["absent"]:
        return _Requirement(found["absent"], "DoesNotExist")
    if found["equality"]:
        operator = "NotIn" if found["equality"] == "!=" else "In"
        return _Requirement(found["key"], operator, frozenset([found["value"]]))
    if found["set"]:
        values = frozenset(value.strip() for value in found["values"].split(","))
        return _Requirement(found["key"], "In" if found["set"] == "in" else "NotIn", values)
    return _Requirement(found["key"], "Exists")


def _unreadable(text: str) -> ApiError:
    return bad_request(f"unable to parse requirement: found '{text}', expected: a label selector")
