"""The environment and the arguments of a container.

Source: k8s.io/kubernetes/third_party/forked/golang/expansion; the API reference of ``EnvVar``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import NotFound, Obj, Store

_REFERENCE: Final = re.compile(r"\$\$|\$\(([^)]*)\)")


class ConfigError(Exception):
    """The container cannot be created; the message is the kubelet's."""


def environment(store: Store, pod: Obj, container: Obj) -> dict[str, str]:
    """Return the environment variables of a container; raise `ConfigError` if a Secret, ConfigMap or key is missing."""
    namespace = pod["metadata"]["namespace"]
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for kind, resource in (("secretRef", kinds.SECRETS), ("configMapRef", kinds.CONFIG_MAPS)):
            if kind in source:
                prefix = source.get("prefix", "")
                values = _values(store, resource, namespace, source[kind])
                found.update({prefix + key: value for key, value in values.items()})
    for variable in container.get("env") or []:
        value = _value(store, namespace, variable)
        if value is not None:
            found[variable["name"]] = expand(value, found)
    return found


def arguments(container: Obj, env: Mapping[str, str]) -> list[str]:
    """Return the arguments of a container's program: the rest of ``command``, then ``args``, expanded."""
    words = [*(container.get("command") or [])[1:], *(container.get("args") or [])]
    return [expand(word, env) for word in words]


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` except for unknown names, and ``$$`` by a dollar."""

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        return env.get(name, match[0])

    return _REFERENCE.sub(replacement, text)


def _value(store: Store, namespace: str, variable: Obj) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value", ""))
    for kind, resource in (("secretKeyRef", kinds.SECRETS), ("configMapKeyRef", kinds.CONFIG_MAPS)):
        if kind in source:
            reference = source[kind]
            values = _values(store, resource, namespace, reference)
            if reference["key"] not in values and not reference.get("optional"):
                word = "Secret" if resource is kinds.SECRETS else "ConfigMap"
                raise ConfigError(
                    f"couldn't find key {reference['key']} in {word} {namespace}/{reference['name']}"
                )
            return values.get(reference["key"])
    raise ConfigError(
        f"the sandbox gives the variable {variable['name']} no value from {' or '.join(source)}"
    )


def _values(store: Store, resource: Resource, namespace: str, reference: Obj) -> dict[str, str]:
    try:
        found = store.peek(resource, namespace, reference["name"])
    except NotFound:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{resource.singular} "{reference["name"]}" not found') from None
    data = found.get("data") or {}
    if resource is kinds.CONFIG_MAPS:
        return dict(data)
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
