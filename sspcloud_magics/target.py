"""Targets and ports of forwards, and the grammar in which users type them.

Parsing needs no cluster: the forms are ``[NAMESPACE/][KIND/]NAME`` and ``[LOCAL]:REMOTE``.
`sspcloud_magics.cluster.workloads.resolve` finds the `Target` in the cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sspcloud_magics.errors import TargetError, UsageProblem
from sspcloud_magics.i18n import N_, _

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
"""All spellings of a kind that kubectl accepts, and the kind that each means."""

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

# A name or a prefix of one, which may end in `-` or `.`.
_NAME = re.compile(r"[a-z0-9][-a-z0-9.]{0,252}")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class TargetText:
    """The parts of a typed target; `kind` and `namespace` are None if left out."""

    name: str
    kind: str | None = None
    namespace: str | None = None

    def __str__(self) -> str:
        kind = SHORT_KIND[self.kind] if self.kind else None
        return "/".join(part for part in (self.namespace, kind, self.name) if part)


@dataclass(frozen=True, slots=True)
class Target:
    """An object in the cluster that is a pod or selects pods."""

    # The object; `kind` is one of `SHORT_KIND`.
    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{SHORT_KIND[self.kind]}/{self.name}"


def service_without_pods(service: Target, spec: Mapping[str, Any], port: int | str = "PORT") -> TargetError:
    """Return the error for a service that selects no pods, to which no port-forward can lead."""
    if spec.get("type") == "ExternalName":
        why = _("It is an alias of {host}, which is not a pod.", host=spec.get("externalName"))
    else:
        why = _("It has no selector: its addresses were entered by hand.")
    return TargetError(
        _(
            "The service {name} in {namespace} selects no pods.",
            name=service.name,
            namespace=service.namespace,
        ),
        why=why,
        hint=_(
            "name the pod, if one serves it: %forward {namespace}/pod/NAME {port}\n"
            "go through a pod of yours: "
            "%forward --relay {name}.{namespace}.svc.cluster.local:{port}",
            namespace=service.namespace,
            port=port,
            name=service.name,
        ),
    )


@dataclass(frozen=True, slots=True)
class PortText:
    """A typed ``[LOCAL]:REMOTE``."""

    remote: int | str  # the port of the target, as a number or a name
    local: int | None = None  # the local port; None if left out; 0 for any free one
    # The current number of a named port, used as the first choice of local port. The forward keeps the name:
    # the next version of the pod may give it another number.
    number: int | None = None

    def __str__(self) -> str:
        return str(self.remote) if self.local is None else f"{self.local or ''}:{self.remote}"


def parse_target(text: str) -> TargetText:
    """Parse ``[NAMESPACE/][KIND/]NAME``.

    Parameters
    ----------
    text
        The typed text, such as ``mon-api-abcdef-12345``, ``svc/api`` or ``user-alice/svc/db-rw``.

    Returns
    -------
    TargetText
        The parts. Of two parts, the first is the kind if it is one (``svc/x``), else the namespace.

    Raises
    ------
    UsageProblem
        If it has another form, or a part is not a valid name in Kubernetes.

    Examples
    --------
    >>> parse_target("user-alice/svc/db")
    TargetText(name='db', kind='service', namespace='user-alice')
    """
    parts = text.strip().split("/")
    form = _("write NAME, KIND/NAME or NAMESPACE/KIND/NAME, such as svc/my-api or user-alice/svc/my-api")
    if len(parts) > 3 or not all(parts):
        raise UsageProblem(_("{text!r} is not a target.", text=text), hint=form)
    *head, name = parts
    kind: str | None = None
    namespace: str | None = None
    if len(head) == 2:
        namespace, kind_text = head
        kind = _kind(kind_text)
        if kind is None:
            known = ", ".join(SHORT_KIND.values())
            raise UsageProblem(
                _("{kind!r} is not a kind of target.", kind=kind_text),
                hint=_("use one of: {kinds}", kinds=known),
            )
    elif head:
        kind = _kind(head[0])
        namespace = None if kind else head[0]
    for part in (name, namespace):
        if part is not None and not _NAME.fullmatch(part):
            why = _("Names in Kubernetes have only lower-case letters, digits and '-'.")
            raise UsageProblem(_("{name!r} is not a name in Kubernetes.", name=part), why=why, hint=form)
    return TargetText(name, kind, namespace)


def _kind(text: str) -> str | None:
    """Return the kind that a word means, such as ``deploy``, ``deployment.apps`` or ``deployment.v1.apps``."""
    word, _unused, group = text.lower().partition(".")
    kind = KINDS.get(word)
    return kind if kind and group.removeprefix("v1").lstrip(".") in ("", _GROUPS[kind]) else None


# Requests in words, after "You may not". An object has its article, because its noun has a gender in other languages.
_ON_OBJECT = {
    "read": N_("read {object}"),
    "watch": N_("watch {object}"),
    "create": N_("create {object}"),
    "update": N_("update {object}"),
    "patch": N_("patch {object}"),
    "delete": N_("delete {object}"),
    "tunnel": N_("open a tunnel to {object}"),
}
_ON_SUBRESOURCE = {
    "read": N_("read {resource} of {object}"),
    "create": N_("create {resource} of {object}"),
    "update": N_("update {resource} of {object}"),
    "patch": N_("patch {resource} of {object}"),
    "delete": N_("delete {resource} of {object}"),
}
_ON_RESOURCE = {
    "read": N_("read {resource}"),
    "list": N_("list {resource}"),
    "watch": N_("watch {resource}"),
    "create": N_("create {resource}"),
    "update": N_("update {resource}"),
    "patch": N_("patch {resource}"),
    "delete": N_("delete {resource}"),
}
_OBJECTS = {
    "pods": N_("the pod {name}"),
    "services": N_("the service {name}"),
    "secrets": N_("the secret {name}"),
    "endpoints": N_("the endpoints {name}"),
    "events": N_("the event {name}"),
    "namespaces": N_("the namespace {name}"),
    "networkpolicies": N_("the networkpolicy {name}"),
}


def describe_request(verb: str, plural: str, name: str = "") -> str:
    """Describe a request to the API server in words.

    Parameters
    ----------
    verb
        The verb of RBAC, such as ``get``, or ``tunnel`` (which RBAC does not know).
    plural
        The resource, such as ``pods``; a subresource may follow, as in ``pods/log``.
    name
        The object; empty for all of them.

    Examples
    --------
    >>> describe_request("get", "services", "web")
    'read the service web'
    >>> describe_request("list", "pods")
    'list pods'
    """
    if verb == "get" or (verb == "list" and name):
        verb = "read"
    if not name:
        return _(_ON_RESOURCE[verb], resource=plural) if verb in _ON_RESOURCE else f"{verb} {plural}"
    resource, _unused, subresource = plural.partition("/")
    described = describe_object(resource, name)
    if subresource:
        if verb in _ON_SUBRESOURCE:
            return _(_ON_SUBRESOURCE[verb], resource=plural, object=described)
        return f"{verb} {plural} ({described})"
    return _(_ON_OBJECT[verb], object=described) if verb in _ON_OBJECT else f"{verb} {described}"


def describe_object(plural: str, name: str) -> str:
    """Return an object for the middle of a sentence.

    Examples
    --------
    >>> describe_object("services", "web")
    'the service web'
    """
    if plural in _OBJECTS:
        return _(_OBJECTS[plural], name=name)
    return _("the {kind} {name}", kind=describe_kind(plural), name=name)


def capitalize(text: str) -> str:
    """Return a text that begins a sentence: with a capital, and otherwise unchanged."""
    return text[:1].upper() + text[1:]


def describe_kind(plural: str) -> str:
    """Return the singular of a resource; the resource ``endpoints`` has none.

    Examples
    --------
    >>> describe_kind("networkpolicies")
    'networkpolicy'
    """
    if plural == "endpoints":
        return plural
    return f"{plural.removesuffix('ies')}y" if plural.endswith("ies") else plural.removesuffix("s")


def _number(text: str, whole: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise UsageProblem(
            _("{number} is not a port, in {text!r}.", number=number, text=whole),
            why=_("Ports go from 1 to 65535."),
            hint=_("use a port such as 8000"),
        )
    return number


def parse_port(text: str | int) -> PortText:
    """Parse ``REMOTE``, ``LOCAL:REMOTE`` or ``:REMOTE``.

    Parameters
    ----------
    text
        The typed text. REMOTE is the number or the name of a port; ``:REMOTE`` asks for any free local port.

    Raises
    ------
    UsageProblem
        If it has another form, or a number is out of range.

    Examples
    --------
    >>> parse_port("1500:8000")
    PortText(remote=8000, local=1500, number=None)
    >>> parse_port(":http")
    PortText(remote='http', local=0, number=None)
    """
    whole = str(text).strip()
    form = _("write REMOTE, LOCAL:REMOTE or :REMOTE, such as 8000, 1500:8000 or :http")
    local_text, colon, remote_text = whole.rpartition(":")
    if remote_text.isascii() and remote_text.isdigit():
        remote: int | str = _number(remote_text, whole)
    elif _PORT_NAME.fullmatch(remote_text):
        remote = remote_text
    else:
        raise UsageProblem(_("{text!r} is not a port.", text=whole), hint=form)
    if not colon:
        return PortText(remote)
    if not local_text or local_text == "0":
        return PortText(remote, 0)
    if not (local_text.isascii() and local_text.isdigit()):
        raise UsageProblem(
            _("{port!r} is not a local port, in {text!r}.", port=local_text, text=whole),
            hint=form,
        )
    return PortText(remote, _number(local_text, whole))
