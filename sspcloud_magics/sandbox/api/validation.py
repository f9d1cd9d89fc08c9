"""Validation of objects, with the messages of the real server.

It checks common mistakes in manifests and the fields that the sandbox relies on. `fields` has already refused
unknown fields and wrong types.

Source: k8s.io/kubernetes/pkg/apis/*/validation, k8s.io/apimachinery/pkg/util/validation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from sspcloud_magics.sandbox.api import status
from sspcloud_magics.sandbox.api.status import Cause
from sspcloud_magics.sandbox.auth.rbac import GROUP
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Obj

Causes: TypeAlias = Iterator[Cause]
Check: TypeAlias = Callable[[str, Any], Causes]
Rules: TypeAlias = tuple[tuple[str, Check], ...]

_DATA: Obj = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))

# Characters of a label's value, and of its key behind the prefix.
_LONGEST_LABEL: Final = 63


def validate(resource: Resource, obj: Obj, old: Obj | None = None) -> None:
    """Refuse an invalid object, or a change of an immutable field of `old`.

    Raise `ApiError` 422 with all errors.
    """
    check = _CHECKS.get(resource.plural)
    causes = [*_metadata(resource, obj["metadata"]), *(check(obj) if check else ())]
    if old is not None:
        causes += _immutable(resource, obj, old)
    if causes:
        raise status.invalid(resource.group, resource.kind, obj["metadata"].get("name", ""), causes)


def _invalid(field: str, value: Any, words: str) -> Cause:
    """Return the cause for a value of the wrong form."""
    return Cause("FieldValueInvalid", f"Invalid value: {_show(value)}: {words}", field)


def _require(field: str, value: Any, words: str = "") -> Causes:
    if not value:
        yield Cause("FieldValueRequired", f"Required value: {words}" if words else "Required value", field)


def _matches(field: str, text: Any, kind: str, part_of: str = "") -> Causes:
    wanted = _DATA["texts"][kind]
    if not re.fullmatch(wanted["pattern"], str(text)):
        words = f"{wanted['words']}, regex used for validation is '{wanted['pattern']}')"
        yield _invalid(field, part_of or text, words)


def _name(field: str, name: Any) -> Causes:
    yield from _require(field, name)
    if name:
        yield from _matches(field, name, "label")


def _port(field: str, port: Any) -> Causes:
    if not port:
        yield from _require(field, port)
    elif not isinstance(port, int) or not 0 < port < 65536:
        yield _invalid(field, port, "must be between 1 and 65535, inclusive")


def _one_of(*supported: str) -> Check:
    def check(field: str, value: Any) -> Causes:
        if not value and value not in supported:
            yield from _require(field, value)
        elif value not in supported:
            choice = ", ".join(f'"{word}"' for word in supported)
            words = f"Unsupported value: {_show(value)}: supported values: {choice}"
            yield Cause("FieldValueNotSupported", words, field)

    return check


def _each(value: Any, path: str, field: str) -> Iterator[tuple[str, Any]]:
    """Yield the values at a path such as ``spec.containers[].image``, each with its own path."""
    head, _, rest = path.partition(".")
    name = head.removesuffix("[]")
    found, field = (value or {}).get(name), f"{field}.{name}" if field else name
    items = [(field, found)]
    if head.endswith("[]"):
        items = [(f"{field}[{index}]", item) for index, item in enumerate(found or ())]
    for where, item in items:
        if rest:
            yield from _each(item, rest, where)
        else:
            yield where, item


def _check_rules(rules: Rules, value: Any, field: str = "") -> Causes:
    """Check the values at the paths of `rules`; names must be unique in their list."""
    for path, check in rules:
        seen = set()
        for where, found in _each(value, path, field):
            yield from check(where, found)
            if found and check is _name:
                place = (where.rpartition("[")[0], found)
                if place in seen:
                    yield Cause("FieldValueDuplicate", f"Duplicate value: {_show(found)}", where)
                seen.add(place)


def _labels(field: str, labels: Obj) -> Causes:
    for key, value in labels.items():
        prefix, slash, name = key.rpartition("/")
        if slash:
            yield from _matches(field, prefix, "subdomain", key)
        yield from _matches(field, name, "label_name", key)
        yield from _matches(field, value, "label_value")
        # A share's labels hold names of colleagues and databases, which may be longer.
        if max(len(name), len(str(value))) > _LONGEST_LABEL:
            yield Cause("FieldValueTooLong", f"Too long: may not be more than {_LONGEST_LABEL} bytes", field)


def _metadata(resource: Resource, metadata: Obj) -> Causes:
    name, field = metadata.get("name"), "metadata.name"
    yield from _require(field, name, "name or generateName is required")
    if name and resource.group != GROUP:
        kind = {"services": "dns_1035", "namespaces": "label"}.get(resource.plural, "subdomain")
        yield from _matches(field, name, kind)
    yield from _labels("metadata.labels", metadata.get("labels") or {})


_CONTAINER: Rules = (
    ("name", _name),
    ("image", _require),
    ("ports[].containerPort", _port),
    ("env[].name", _require),
)
_POD: Rules = (
    ("volumes[].name", _name),
    ("containers", _require),
    ("restartPolicy", _one_of("Always", "OnFailure", "Never")),
)


def _pod_spec(field: str, spec: Obj, claims: Iterable[str] = ()) -> Causes:
    """Check the spec of a pod or of a template; `claims` are the names of further volumes."""
    yield from _check_rules(_POD, spec, field)
    for kind in ("initContainers", "containers"):
        yield from _check_rules(tuple((f"{kind}[].{path}", check) for path, check in _CONTAINER), spec, field)
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()} | set(claims)
    for kind in ("initContainers", "containers"):
        for where, name in _each(spec, f"{kind}[].volumeMounts[].name", field):
            if name and name not in volumes:
                yield Cause("FieldValueNotFound", f'Not found: "{name}"', where)


def _pod(pod: Obj) -> Causes:
    return _pod_spec("spec", pod["spec"])


def _workload(obj: Obj) -> Causes:
    spec, template = obj["spec"], obj["spec"]["template"]
    selector, labels = spec.get("selector") or {}, template["metadata"].get("labels") or {}
    yield from _require("spec.selector", selector)
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        words = "`selector` does not match template `labels`"
        yield _invalid("spec.template.metadata.labels", labels, words)
    yield from _labels("spec.template.labels", labels)
    claims = {claim["metadata"].get("name", "") for claim in spec.get("volumeClaimTemplates") or ()}
    yield from _pod_spec("spec.template.spec", template["spec"], claims)
    yield from _one_of("Always")("spec.template.spec.restartPolicy", template["spec"].get("restartPolicy"))


def _job(job: Obj) -> Causes:
    pod = job["spec"]["template"]["spec"]
    yield from _pod_spec("spec.template.spec", pod)
    stops = pod.get("restartPolicy") != "Always"
    yield from _require("spec.template.spec.restartPolicy", stops, 'valid values: "OnFailure", "Never"')


def _service(service: Obj) -> Causes:
    spec = service["spec"]
    ports = spec.get("ports") or []
    if spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        yield from _require("spec.ports", ports)
    named = len(ports) > 1 or any(port.get("name") for port in ports)
    rules: Rules = (("spec.ports[].port", _port), *((("spec.ports[].name", _name),) if named else ()))
    yield from _check_rules(rules, service)


def _role(role: Obj) -> Causes:
    for index, rule in enumerate(role.get("rules") or ()):
        field = f"rules[{index}]"
        yield from _require(f"{field}.verbs", rule.get("verbs"), "verbs must contain at least one value")
        if not rule.get("nonResourceURLs"):
            for name, what in (("apiGroups", "api group"), ("resources", "resource")):
                words = f"resource rules must supply at least one {what}"
                yield from _require(f"{field}.{name}", rule.get(name), words)


def _validate_binding(binding: Obj) -> Causes:
    local = binding["kind"] == "RoleBinding"
    rules: Rules = (
        ("roleRef.apiGroup", _one_of(GROUP)),
        ("roleRef.kind", _one_of(*(("Role", "ClusterRole") if local else ("ClusterRole",)))),
        ("roleRef.name", _require),
    )
    yield from _check_rules(rules, binding)
    for index, subject in enumerate(binding.get("subjects") or ()):
        field, kind = f"subjects[{index}]", subject.get("kind")
        yield from _require(f"{field}.name", subject.get("name"))
        yield from _one_of("ServiceAccount", "User", "Group")(f"{field}.kind", kind)
        if kind == "ServiceAccount":
            yield from _one_of("")(f"{field}.apiGroup", subject.get("apiGroup") or "")
            # The namespace of a RoleBinding is the default.
            yield from _require(f"{field}.namespace", local or subject.get("namespace"))
        elif kind:
            yield from _one_of(GROUP)(f"{field}.apiGroup", subject.get("apiGroup"))


def _immutable(resource: Resource, obj: Obj, old: Obj) -> Causes:
    for path in _DATA["fixed"].get(resource.plural, ()):
        ((field, value),), ((_, before),) = _each(obj, path, ""), _each(old, path, "")
        if value != before:
            words = "cannot change roleRef" if field == "roleRef" else "field is immutable"
            yield _invalid(field, value, words)
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    fixed = _DATA["fixed_specs"].get(resource.plural)
    if resource.plural == "pods" and any(
        len(spec.get(kind) or ()) != len(before.get(kind) or ()) for kind in ("initContainers", "containers")
    ):
        yield _forbid("spec.containers", "pod updates may not add or remove containers")
    elif fixed and _get_fixed_part(spec, fixed["free"]) != _get_fixed_part(before, fixed["free"]):
        yield _forbid("spec", fixed["words"])
    address, kept = spec.get("clusterIP"), before.get("clusterIP")
    if resource.plural == "services" and kept and address != kept and spec.get("type") != "ExternalName":
        yield _invalid("spec.clusterIPs[0]", [address], "may not change once set")


def _forbid(field: str, words: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {words}", field)


def _get_fixed_part(spec: Obj, free: Iterable[str]) -> Obj:
    """Return a spec without its mutable fields and without the images of its containers."""
    rest = {name: value for name, value in spec.items() if name not in free}
    for kind in {"containers", "initContainers"} & rest.keys():
        rest[kind] = [{**container, "image": ""} for container in rest[kind] or ()]
    return rest


def _show(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


_CHECKS: dict[str, Callable[[Obj], Causes]] = {
    **dict.fromkeys(("deployments", "replicasets", "statefulsets"), _workload),
    **dict.fromkeys(("clusterrolebindings", "rolebindings"), _validate_binding),
    **dict.fromkeys(("clusterroles", "roles"), _role),
    "jobs": _job,
    "pods": _pod,
    "services": _service,
}
