"""What a forward leads to, and which ports of it: the plain values, and the grammar users type.

The grammar is pure text and needs no cluster: ``[NAMESPACE/][KIND/]NAME`` and ``[LOCAL]:REMOTE``.
`sspcloud_magics.cluster.workloads.resolve` turns what was typed into a `Target` that exists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sspcloud_magics.errors import TargetError, UsageProblem

KINDS = {
    "pod": "pod",
    "pods": "pod",
    "po": "pod",
    "svc": "service",
    "service": "service",
    "services": "service",
    "deploy": "deployment",
    "deployment": "deployment",
    "deployments": "deployment",
    "sts": "statefulset",
    "statefulset": "statefulset",
    "statefulsets": "statefulset",
    "rs": "replicaset",
    "replicaset": "replicaset",
    "replicasets": "replicaset",
    "ds": "daemonset",
    "daemonset": "daemonset",
    "daemonsets": "daemonset",
    "job": "job",
    "jobs": "job",
}
"""Every spelling of a kind that users type, as kubectl takes them, and the kind that it means."""

SHORT_KIND = {
    "pod": "pod",
    "service": "svc",
    "deployment": "deploy",
    "statefulset": "statefulset",
    "replicaset": "rs",
    "daemonset": "daemonset",
    "job": "job",
}

_GROUPS = {kind: "batch" if kind == "job" else "apps" for kind in SHORT_KIND} | {"pod": "", "service": ""}

# A name, or the beginning of one, which may end anywhere.
_NAME = re.compile(r"[a-z0-9][-a-z0-9.]{0,252}")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class TargetText:
    """What the user typed, taken apart; `kind` and `namespace` are None where nothing was said."""

    name: str
    kind: str | None = None
    namespace: str | None = None

    def __str__(self) -> str:
        kind = SHORT_KIND[self.kind] if self.kind else None
        return "/".join(part for part in (self.namespace, kind, self.name) if part)


@dataclass(frozen=True, slots=True)
class Target:
    """One object in the cluster behind which pods stand.

    Parameters
    ----------
    namespace, kind, name
        The object; `kind` is one of `SHORT_KIND`.
    """

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{SHORT_KIND[self.kind]}/{self.name}"


def service_without_pods(service: Target, spec: Mapping[str, Any], port: int | str = "PORT") -> TargetError:
    """Return the error for a service that selects no pods, so that no port-forward can lead there."""
    if spec.get("type") == "ExternalName":
        why = f"It is another name for {spec.get('externalName')}, which is no pod."
    else:
        why = "It has no selector: it leads to addresses that were written by hand."
    return TargetError(
        f"The service {service.name} in {service.namespace} selects no pods.",
        why=why,
        hint=f"name the pod, if one serves it: %forward {service.namespace}/pod/NAME {port}\n"
        "go through a pod of yours: "
        f"%forward --relay {service.name}.{service.namespace}.svc.cluster.local:{port}",
    )


@dataclass(frozen=True, slots=True)
class PortText:
    """One ``[LOCAL]:REMOTE`` that the user typed.

    Parameters
    ----------
    remote
        The port of the target, as a number or as a name.
    local
        The local port that the user wrote; None where they did not; 0 for any free one.
    number
        The number that a named port has now, which is the local port to try first. The name is what counts: the next
        version of a pod may give it another number.
    """

    remote: int | str
    local: int | None = None
    number: int | None = None

    def __str__(self) -> str:
        return str(self.remote) if self.local is None else f"{self.local or ''}:{self.remote}"


def parse_target(text: str) -> TargetText:
    """Take apart ``[NAMESPACE/][KIND/]NAME``.

    Parameters
    ----------
    text
        What the user typed, such as ``mon-api-abcdef-12345``, ``svc/api`` or ``user-alice/svc/db-rw``.

    Returns
    -------
    TargetText
        The parts. With two parts, the first is a kind where it is one (``svc/x``), else a namespace.

    Raises
    ------
    UsageProblem
        If it is not of that form, or a part is not a name that Kubernetes allows.

    Examples
    --------
    >>> parse_target("user-alice/svc/db")
    TargetText(name='db', kind='service', namespace='user-alice')
    """
    parts = text.strip().split("/")
    form = "write NAME, KIND/NAME or NAMESPACE/KIND/NAME, such as svc/my-api or user-alice/svc/my-api"
    if len(parts) > 3 or not all(parts):
        raise UsageProblem(f"{text!r} is not a target.", hint=form)
    *head, name = parts
    kind: str | None = None
    namespace: str | None = None
    if len(head) == 2:
        namespace, kind_text = head
        kind = _kind(kind_text)
        if kind is None:
            known = ", ".join(SHORT_KIND.values())
            raise UsageProblem(f"{kind_text!r} is not a kind of target.", hint=f"use one of: {known}")
    elif head:
        kind = _kind(head[0])
        namespace = None if kind else head[0]
    for part in (name, namespace):
        if part is not None and not _NAME.fullmatch(part):
            why = "Names in Kubernetes have lower-case letters, digits and '-' only."
            raise UsageProblem(f"{part!r} is not a name in Kubernetes.", why=why, hint=form)
    return TargetText(name, kind, namespace)


def _kind(text: str) -> str | None:
    """Return the kind that a word means, as ``deploy``, ``deployment.apps`` and ``deployment.v1.apps`` do."""
    word, _, group = text.lower().partition(".")
    kind = KINDS.get(word)
    return kind if kind and group.removeprefix("v1").lstrip(".") in ("", _GROUPS[kind]) else None


def _number(text: str, whole: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise UsageProblem(f"{number} is not a port, in {whole!r}.", why="Ports go from 1 to 65535.")
    return number


def parse_port(text: str | int) -> PortText:
    """Take apart ``REMOTE``, ``LOCAL:REMOTE`` or ``:REMOTE``.

    Parameters
    ----------
    text
        What the user typed. REMOTE is a number or a port's name; ``:REMOTE`` asks for any free local port.

    Raises
    ------
    UsageProblem
        If it is not of that form, or a number is out of range.

    Examples
    --------
    >>> parse_port("1500:8000")
    PortText(remote=8000, local=1500, number=None)
    >>> parse_port(":http")
    PortText(remote='http', local=0, number=None)
    """
    whole = str(text).strip()
    form = "write REMOTE, LOCAL:REMOTE or :REMOTE, such as 8000, 1500:8000 or :http"
    local_text, colon, remote_text = whole.rpartition(":")
    if remote_text.isascii() and remote_text.isdigit():
        remote: int | str = _number(remote_text, whole)
    elif _PORT_NAME.fullmatch(remote_text):
        remote = remote_text
    else:
        raise UsageProblem(f"{whole!r} is not a port.", hint=form)
    if not colon:
        return PortText(remote)
    if not local_text or local_text == "0":
        return PortText(remote, 0)
    if not (local_text.isascii() and local_text.isdigit()):
        raise UsageProblem(f"{local_text!r} is not a local port, in {whole!r}.", hint=form)
    return PortText(remote, _number(local_text, whole))
