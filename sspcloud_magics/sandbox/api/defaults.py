"""The default values of objects.

They depend on the object alone: controllers use them too, for the objects that they create from templates.

Source: k8s.io/kubernetes/pkg/apis/*/v1/defaults.go.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sspcloud_magics.sandbox.auth.rbac import GROUP
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Obj, copy_json

_DATA: Obj = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_CONTAINER: Obj = _DATA["container"] | {
    f"{probe}.{path}": value
    for probe in ("livenessProbe", "readinessProbe", "startupProbe")
    for path, value in _DATA["probe"].items()
}
_POD: Obj = _DATA["pod"] | {
    f"{kind}[].{path}": value
    for kind in ("initContainers", "containers")
    for path, value in _CONTAINER.items()
}
_DEFAULTS: dict[str, Obj] = _DATA["kinds"] | {"pods": {**_POD, **_DATA["kinds"]["pods"]}}
_TEMPLATES = ("deployments", "jobs", "replicasets", "statefulsets")


def set_defaults(resource: Resource, obj: Obj, old: Obj | None = None) -> None:
    """Complete `obj` in place; a Service keeps the addresses of `old`, the object that it replaces."""
    metadata = obj.get("metadata") or {}
    for name in ("annotations", "labels"):  # a server in Go stores no empty map
        if name in metadata and not metadata[name]:
            del metadata[name]
    plural = resource.plural
    if plural == "jobs" and not {"completions", "parallelism"} & (obj.get("spec") or {}).keys():
        obj.setdefault("spec", {})["completions"] = 1
    if plural in _DEFAULTS:
        spec = obj.setdefault("spec", {})
        if plural in _TEMPLATES:
            template = spec.setdefault("template", {})
            template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
            _fill(template.setdefault("spec", {}), _POD)
            _complete_pod(template["spec"])
        _fill(spec, _DEFAULTS[plural])
    if plural in _SETTERS:
        _SETTERS[plural](obj, old)


def _fill(target: Any, values: Mapping[str, Any]) -> None:
    for path, value in values.items():
        _set(target, path.split("."), value)


def _set(target: Any, path: list[str], value: Any) -> None:
    name = path[0].removesuffix("[]")
    if not isinstance(target, dict):
        return
    if len(path) == 1:
        if target.get(name) is None:
            target[name] = copy_json(value)
        return
    found = target.get(name)
    for item in (found or ()) if path[0].endswith("[]") else (found,):
        _set(item, path[1:], value)


def _complete_pod(spec: Obj) -> None:
    """Set the defaults of a pod that depend on other fields."""
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            image = str(container.get("image") or "")
            tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
            latest = "@" not in image and tag in ("", "latest")
            _fill(container, {"imagePullPolicy": "Always" if latest else "IfNotPresent"})
            resources = container["resources"]
            if isinstance(resources, dict) and resources.get("limits"):
                resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    for volume in spec.get("volumes") or ():
        if set(volume) <= {"name"}:
            volume["emptyDir"] = {}


def _pod(pod: Obj, old: Obj | None) -> None:
    _complete_pod(pod["spec"])
    if old is None:
        pod["status"] = {"phase": "Pending", "qosClass": quality_of_service(pod["spec"])}


def quality_of_service(spec: Obj) -> str:
    """Return the quality-of-service class of a pod."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    limits, requests = (
        [
            {kind: of[kind] for kind in ("cpu", "memory") if kind in (of := found.get(name) or {})}
            for found in resources
        ]
        for name in ("limits", "requests")
    )
    if not any(limits) and not any(requests):
        return "BestEffort"
    guaranteed = all(
        len(limit) == 2 and {**limit, **request} == limit
        for limit, request in zip(limits, requests, strict=True)
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _deployment(deployment: Obj, _old: Obj | None) -> None:
    strategy = deployment["spec"]["strategy"]
    if strategy["type"] == "RollingUpdate":
        _fill(
            strategy,
            {"rollingUpdate": {}, "rollingUpdate.maxUnavailable": "25%", "rollingUpdate.maxSurge": "25%"},
        )


def _replica_set(replica_set: Obj, _old: Obj | None) -> None:
    labels = replica_set["spec"]["template"]["metadata"].get("labels")
    if labels:
        _fill(replica_set["spec"], {"selector": {"matchLabels": labels}})


def _service(service: Obj, old: Obj | None) -> None:
    spec = service["spec"]
    for port in spec.get("ports") or ():
        _fill(port, {"targetPort": port.get("port")})
    if spec["type"] == "ExternalName":
        return
    _fill(spec, {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster"})
    if old is not None:
        spec |= {
            n: old["spec"][n] for n in ("clusterIP", "clusterIPs") if not spec.get(n) and n in old["spec"]
        }
    else:
        service["status"] = {"loadBalancer": {}}
        if spec.get("clusterIP"):
            spec["clusterIPs"] = [spec["clusterIP"]]


def _secret(secret: Obj, _old: Obj | None) -> None:
    _fill(secret, {"type": "Opaque"})
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {name: base64.b64encode(str(text).encode()).decode() for name, text in plain.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def _network_policy(policy: Obj, _old: Obj | None) -> None:
    spec = policy["spec"]
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _fill_binding(binding: Obj, _old: Obj | None) -> None:
    _fill(binding, {"roleRef.apiGroup": GROUP})
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            _fill(subject, {"apiGroup": GROUP})


def _namespace(namespace: Obj, old: Obj | None) -> None:
    labels = namespace["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = namespace["metadata"].get("name", "")
    if old is None:
        namespace["spec"] = {"finalizers": ["kubernetes"]}
        namespace["status"] = {"phase": "Active"}


def _claim(claim: Obj, old: Obj | None) -> None:
    if old is None:
        _fill(claim["spec"], {"storageClassName": "local-path"})
        claim["status"] = {"phase": "Pending"}


_SETTERS: dict[str, Callable[[Obj, Obj | None], None]] = {
    "namespaces": _namespace,
    "persistentvolumeclaims": _claim,
    "pods": _pod,
    "secrets": _secret,
    "services": _service,
    "deployments": _deployment,
    "replicasets": _replica_set,
    "networkpolicies": _network_policy,
    "clusterrolebindings": _fill_binding,
    "rolebindings": _fill_binding,
}
