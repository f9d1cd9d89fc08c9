"""The kubeconfigs of the sandbox's users."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sspcloud_magics.sandbox.certificates import ClientCertificate, write_private

CLUSTER = "sandbox"


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the sandbox: a token or a client certificate, and a current namespace."""

    name: str
    namespace: str
    token: str | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = None


def write(home: Path, server: str, ca: str, person: Person) -> Path:
    """Write a person's kubeconfig, readable only by you, and return its path."""
    user: dict[str, Any] = {}
    if person.token is not None:
        user["token"] = person.token
    if person.certificate is not None:
        user["client-certificate-data"] = _base64(person.certificate.certificate)
        user["client-key-data"] = _base64(person.certificate.key)
    context = {"cluster": CLUSTER, "user": person.name, "namespace": person.namespace}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": CLUSTER, "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}
        ],
        "users": [{"name": person.name, "user": user}],
        "contexts": [{"name": person.name, "context": context}],
        "current-context": person.name,
        "preferences": {},
    }
    path = home / f"kubeconfig-{person.name}"
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())
    return path


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
