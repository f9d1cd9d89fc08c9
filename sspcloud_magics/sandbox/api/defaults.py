"""What the server adds to an object that leaves something out.

It depends on the object alone, so controllers may use it as well for what they create from a template.

Source: k8s.io/kubernetes/pkg/apis/*/v1/defaults.go.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from sspcloud_magics.sandbox.auth.rbac import GROUP
from sspcloud_magics.sandbox.resources import Resource
from sspcloud_magics.sandbox.store import Obj

_MODE = 0o644


def set_defaults(resource: Resource, obj: Obj, old: Obj | None = None) -> None:
    """Complete `obj` in place; `old` is what it replaces, whose given addresses are kept."""
    setter = _SETTERS.get((resource.group, resource.plural))
    if setter is not None:
        setter(obj, old)


def set_pod_spec_defaults(spec: Obj) -> None:
    """Complete the spec of a pod, or of a pod's template, in place."""
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _container(container: Obj) -> None:
    image = str(container.get("image") or "")
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    latest = "@" not in image and tag in ("", "latest")
    _fill(
        container,
        imagePullPolicy="Always" if latest else "IfNotPresent",
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        resources={},
    )
    resources = container["resources"]
    if isinstance(resources, dict) and resources.get("limits"):
        requests = resources.setdefault("requests", {})
        for name, amount in resources["limits"].items():
            requests.setdefault(name, amount)
    for port in container.get("ports") or ():
        _fill(port, protocol="TCP")
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            _fill(reference, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name):
            _fill(container[name], timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            if "httpGet" in container[name]:
                _fill(container[name]["httpGet"], path="/", scheme="HTTP")


def _volume(volume: Obj) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "projected", "downwardAPI"):
        if isinstance(volume.get(kind), dict):
            _fill(volume[kind], defaultMode=_MODE)
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            _fill(source["serviceAccountToken"], expirationSeconds=3600)


def _pod(pod: Obj, old: Obj | None) -> None:
    set_pod_spec_defaults(pod.setdefault("spec", {}))
    _fill(pod["spec"], enableServiceLinks=True)
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


def _template(obj: Obj) -> Obj:
    spec: Obj = obj.setdefault("spec", {})
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    set_pod_spec_defaults(template.setdefault("spec", {}))
    return spec


def _deployment(deployment: Obj, _old: Obj | None) -> None:
    spec = _template(deployment)
    _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    _fill(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _fill(spec["strategy"], rollingUpdate={})
        _fill(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def _replica_set(replica_set: Obj, _old: Obj | None) -> None:
    spec = _template(replica_set)
    _fill(spec, replicas=1)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not spec.get("selector"):
        spec["selector"] = {"matchLabels": dict(labels)}


def _stateful_set(stateful_set: Obj, _old: Obj | None) -> None:
    spec = _template(stateful_set)
    _fill(
        spec,
        replicas=1,
        podManagementPolicy="OrderedReady",
        revisionHistoryLimit=10,
        updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"},
    )


def _job(job: Obj, _old: Obj | None) -> None:
    spec = _template(job)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    _fill(
        spec,
        parallelism=1,
        backoffLimit=6,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="TerminatingOrFailed",
        manualSelector=False,
    )


def _service(service: Obj, old: Obj | None) -> None:
    spec: Obj = service.setdefault("spec", {})
    _fill(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or ():
        _fill(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] == "ExternalName":
        return
    _fill(spec, ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack", internalTrafficPolicy="Cluster")
    if old is not None:
        for name in ("clusterIP", "clusterIPs"):
            if not spec.get(name) and name in old["spec"]:
                spec[name] = old["spec"][name]
    else:
        service["status"] = {"loadBalancer": {}}
        if spec.get("clusterIP"):
            spec["clusterIPs"] = [spec["clusterIP"]]


def _secret(secret: Obj, _old: Obj | None) -> None:
    _fill(secret, type="Opaque")
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {name: base64.b64encode(str(text).encode()).decode() for name, text in plain.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def _network_policy(policy: Obj, _old: Obj | None) -> None:
    spec: Obj = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in (rule or {}).get("ports") or ():
            _fill(port, protocol="TCP")


def _binding(binding: Obj, _old: Obj | None) -> None:
    if isinstance(binding.get("roleRef"), dict):
        _fill(binding["roleRef"], apiGroup=GROUP)
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            _fill(subject, apiGroup=GROUP)


def _namespace(namespace: Obj, old: Obj | None) -> None:
    labels = namespace["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = namespace["metadata"].get("name", "")
    if old is None:
        namespace["spec"] = {"finalizers": ["kubernetes"]}
        namespace["status"] = {"phase": "Active"}


def _claim(claim: Obj, old: Obj | None) -> None:
    _fill(claim.setdefault("spec", {}), volumeMode="Filesystem")
    if old is None:
        _fill(claim["spec"], storageClassName="local-path")
        claim["status"] = {"phase": "Pending"}


def _fill(target: Obj, **values: Any) -> None:
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


_SETTERS: dict[tuple[str, str], Callable[[Obj, Obj | None], None]] = {
    ("", "namespaces"): _namespace,
    ("", "persistentvolumeclaims"): _claim,
    ("", "pods"): _pod,
    ("", "secrets"): _secret,
    ("", "services"): _service,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replica_set,
    ("apps", "statefulsets"): _stateful_set,
    ("batch", "jobs"): _job,
    ("networking.k8s.io", "networkpolicies"): _network_policy,
    (GROUP, "clusterrolebindings"): _binding,
    (GROUP, "rolebindings"): _binding,
}
