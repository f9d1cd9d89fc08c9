"""What is wrong with an object, field by field, in the server's words.

Only what people get wrong in a manifest is checked, and what the rest of the sandbox relies on. A field
of the wrong type is refused earlier, by its schema.

Source: k8s.io/kubernetes/pkg/apis/*/validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from sspcloud_magics.sandbox.api import status
from sspcloud_magics.sandbox.api.causes import (
    DNS_1035,
    DNS_1035_WORDS,
    LABEL,
    LABEL_WORDS,
    PROTOCOLS,
    SUBDOMAIN,
    SUBDOMAIN_WORDS,
    Causes,
    check_element_name,
    check_labels,
    check_one_of,
    check_port,
    invalid,
    required,
    unsupported,
)
from sspcloud_magics.sandbox.api.pod_validation import check_pod_spec
from sspcloud_magics.sandbox.api.quantities import parse_quantity
from sspcloud_magics.sandbox.api.status import Cause
from sspcloud_magics.sandbox.auth.rbac import GROUP
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Obj

# Fields that keep their value, by kind.
_FIXED = {
    "clusterrolebindings": ("roleRef",),
    "deployments": ("spec.selector",),
    "endpointslices": ("addressType",),
    "jobs": ("spec.selector", "spec.template", "spec.completions", "spec.completionMode"),
    "replicasets": ("spec.selector",),
    "rolebindings": ("roleRef",),
    "secrets": ("type",),
}
# Specs that keep their value but for some fields, and the server's words about it.
_FIXED_SPECS: dict[str, tuple[tuple[str, ...], str]] = {
    "persistentvolumeclaims": (
        ("resources", "volumeAttributesClassName"),
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    ),
    "pods": (
        ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"),
        (
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
            "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
            "previously negative)"
        ),
    ),
    "statefulsets": (
        (
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ),
        (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
            "'minReadySeconds' are forbidden"
        ),
    ),
}


def validate(resource: Resource, obj: Obj, old: Obj | None = None) -> None:
    """Refuse an object that is not valid, or that changes what cannot be changed of `old`.

    Raises
    ------
    ApiError
        422 with everything that is wrong with it.
    """
    check = _CHECKS.get((resource.group, resource.plural))
    causes = [*_metadata(resource, obj["metadata"]), *(check(obj) if check else ())]
    if old is not None:
        causes += _immutable(resource, obj, old)
    if causes:
        raise status.invalid(resource.group, resource.kind, obj["metadata"].get("name", ""), causes)


def _metadata(resource: Resource, metadata: Obj) -> Causes:
    name = metadata.get("name")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif resource.group == GROUP:
        for bad in ("/", "%"):
            if bad in name:
                yield invalid("metadata.name", name, f"may not contain '{bad}'")
    else:
        pattern, longest, words = SUBDOMAIN, 253, SUBDOMAIN_WORDS
        if resource.plural == "services":
            pattern, longest, words = DNS_1035, 63, DNS_1035_WORDS
        elif resource.plural == "namespaces":
            pattern, longest, words = LABEL, 63, LABEL_WORDS
        if not pattern.fullmatch(name):
            yield invalid("metadata.name", name, words)
        if len(name) > longest:
            yield Cause(
                "FieldValueTooLong", f"Too long: may not be more than {longest} bytes", "metadata.name"
            )
    yield from check_labels("metadata.labels", metadata.get("labels") or {})


def _pod(pod: Obj) -> Causes:
    yield from check_pod_spec("spec", pod["spec"])


def _workload(obj: Obj) -> Causes:
    spec = obj["spec"]
    selector, template = spec.get("selector"), spec["template"]
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        yield (
            required("spec.selector")
            if not selector
            else invalid("spec.selector", selector, f"empty selector is invalid for {obj['kind'].lower()}")
        )
    elif (
        not (selector.get("matchLabels") or {}).items() <= (template["metadata"].get("labels") or {}).items()
    ):
        labels = template["metadata"].get("labels") or {}
        words = "`selector` does not match template `labels`"
        yield invalid("spec.template.metadata.labels", labels, words)
    if isinstance(spec["replicas"], int) and spec["replicas"] < 0:
        yield invalid("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
    yield from check_labels("spec.template.labels", template["metadata"].get("labels") or {})
    claims = {claim["metadata"].get("name", "") for claim in spec.get("volumeClaimTemplates") or ()}
    yield from check_pod_spec("spec.template.spec", template["spec"], claims)
    if template["spec"].get("restartPolicy") != "Always":
        yield unsupported("spec.template.spec.restartPolicy", template["spec"]["restartPolicy"], ("Always",))


def _job(job: Obj) -> Causes:
    spec = job["spec"]
    for name in (
        "parallelism",
        "completions",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "activeDeadlineSeconds",
    ):
        if isinstance(spec.get(name), int) and spec[name] < 0:
            yield invalid(f"spec.{name}", spec[name], "must be greater than or equal to 0")
    pod = spec["template"]["spec"]
    yield from check_pod_spec("spec.template.spec", pod)
    if pod.get("restartPolicy") == "Always":
        yield required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


def _service(service: Obj) -> Causes:
    spec = service["spec"]
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    yield from check_one_of("spec.type", spec.get("type"), kinds)
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        yield required("spec.ports")
    names: set[str] = set()
    for index, port in enumerate(ports):
        field = f"spec.ports[{index}]"
        if port.get("name"):
            yield from check_element_name(f"{field}.name", port["name"], names)
        elif len(ports) > 1:
            yield required(f"{field}.name")
        yield from check_port(f"{field}.port", port.get("port", 0))
        yield from check_one_of(f"{field}.protocol", port.get("protocol"), PROTOCOLS)
        if isinstance(port.get("targetPort"), int):
            yield from check_port(f"{field}.targetPort", port["targetPort"])


def _secret(secret: Obj) -> Causes:
    yield from _keys("data", secret.get("data") or {})


def _config_map(config_map: Obj) -> Causes:
    yield from _keys("data", config_map.get("data") or {})


def _keys(path: str, data: Iterable[str]) -> Causes:
    for key in data:
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
            words = (
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            )
            yield invalid(f"{path}[{key}]", key, words)


def _role(role: Obj) -> Causes:
    for index, rule in enumerate(role.get("rules") or ()):
        field = f"rules[{index}]"
        if not rule.get("verbs"):
            yield required(f"{field}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if role["kind"] == "Role":
                words = "namespaced rules cannot apply to non-resource URLs"
                yield invalid(f"{field}.nonResourceURLs", rule["nonResourceURLs"], words)
            continue
        if not rule.get("apiGroups"):
            yield required(f"{field}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{field}.resources", "resource rules must supply at least one resource")


def _binding(binding: Obj) -> Causes:
    role = binding.get("roleRef") or {}
    if role.get("apiGroup") not in (None, GROUP):
        yield unsupported("roleRef.apiGroup", role["apiGroup"], (GROUP,))
    kinds = ("Role", "ClusterRole") if binding["kind"] == "RoleBinding" else ("ClusterRole",)
    if role.get("kind") not in kinds:
        yield unsupported("roleRef.kind", role.get("kind", ""), kinds)
    if not role.get("name"):
        yield required("roleRef.name")
    for index, subject in enumerate(binding.get("subjects") or ()):
        yield from _subject(f"subjects[{index}]", subject, in_namespace=binding["kind"] == "RoleBinding")


def _subject(field: str, subject: Obj, *, in_namespace: bool) -> Causes:
    if not subject.get("name"):
        yield required(f"{field}.name")
    match subject.get("kind"):
        case "ServiceAccount":
            if not subject.get("namespace") and not in_namespace:  # else it is the binding's own
                yield required(f"{field}.namespace")
            if subject.get("apiGroup"):
                yield unsupported(f"{field}.apiGroup", subject["apiGroup"], ("",))
        case "User" | "Group":
            if subject.get("apiGroup") != GROUP:
                yield unsupported(f"{field}.apiGroup", subject.get("apiGroup", ""), (GROUP,))
        case kind:
            yield unsupported(f"{field}.kind", kind or "", ("ServiceAccount", "User", "Group"))


def _immutable(resource: Resource, obj: Obj, old: Obj) -> Causes:
    for field in _FIXED.get(resource.plural, ()):
        value, before = _at(obj, field), _at(old, field)
        if value != before:
            yield invalid(
                field, value, "cannot change roleRef" if field == "roleRef" else "field is immutable"
            )
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    free, words = _FIXED_SPECS.get(resource.plural, ((), ""))
    if resource.plural == "pods" and any(
        len(spec.get(kind) or ()) != len(before.get(kind) or ()) for kind in ("initContainers", "containers")
    ):
        yield _forbidden("spec.containers", "pod updates may not add or remove containers")
    elif words and _fixed_part(spec, free) != _fixed_part(before, free):
        yield _forbidden("spec", words)
    match resource.plural:
        case "services" if before.get("clusterIP") and spec.get("type") != "ExternalName":
            if spec.get("clusterIP") != before["clusterIP"]:
                yield invalid("spec.clusterIPs[0]", [spec.get("clusterIP")], "may not change once set")
        case "persistentvolumeclaims":
            yield from _claim_change(spec, old)
        case "secrets" | "configmaps" if old.get("immutable"):
            if (obj.get("data"), obj.get("immutable")) != (old.get("data"), True):
                yield _forbidden("data", "field is immutable when `immutable` is set")


def _claim_change(spec: Obj, old: Obj) -> Causes:
    wanted, before = spec.get("resources"), old["spec"].get("resources")
    if wanted == before:
        return
    capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage")
    asked = ((wanted or {}).get("requests") or {}).get("storage", 0)
    if capacity is None:
        yield _forbidden("spec", _FIXED_SPECS["persistentvolumeclaims"][1])
    elif parse_quantity(asked) < parse_quantity(capacity):
        yield _forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    else:
        why = (
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
            "must support resize"
        )
        raise status.forbidden("", "persistentvolumeclaims", old["metadata"]["name"], why)


def _at(obj: Obj, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = (value or {}).get(part)
    return value


def _forbidden(field: str, words: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {words}", field)


def _fixed_part(spec: Obj, free: Iterable[str]) -> Obj:
    """Return a spec without its free fields and without the images of its containers."""
    rest = {name: value for name, value in spec.items() if name not in free}
    for kind in {"containers", "initContainers"} & rest.keys():
        rest[kind] = [{**container, "image": ""} for container in rest[kind] or ()]
    return rest


_CHECKS: dict[tuple[str, str], Callable[[Obj], Causes]] = {
    ("", "configmaps"): _config_map,
    ("", "pods"): _pod,
    ("", "secrets"): _secret,
    ("", "services"): _service,
    ("apps", "deployments"): _workload,
    ("apps", "replicasets"): _workload,
    ("apps", "statefulsets"): _workload,
    ("batch", "jobs"): _job,
    (GROUP, "clusterrolebindings"): _binding,
    (GROUP, "clusterroles"): _role,
    (GROUP, "rolebindings"): _binding,
    (GROUP, "roles"): _role,
}
