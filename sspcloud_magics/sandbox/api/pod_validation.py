"""What is wrong with the spec of a pod, alone or in the template of what makes pods.

Source: k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Iterable

from sspcloud_magics.sandbox.api.causes import (
    PROTOCOLS,
    Causes,
    check_element_name,
    check_one_of,
    check_port,
    duplicate,
    invalid,
    required,
)
from sspcloud_magics.sandbox.api.status import Cause
from sspcloud_magics.sandbox.store import Obj


def check_pod_spec(path: str, spec: Obj, claims: Iterable[str] = ()) -> Causes:
    """Check the spec of a pod, or of a pod's template.

    Parameters
    ----------
    path
        Where it stands.
    spec
        The spec.
    claims
        Volumes that it may mount besides its own: those of a StatefulSet's claim templates.
    """
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        field = f"{path}.volumes[{index}].name"
        yield from check_element_name(field, volume.get("name"), volumes)
    volumes |= set(claims)
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            yield from _container(f"{path}.{kind}[{index}]", container, volumes, seen)
    yield from check_one_of(
        f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never")
    )
    policies = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
    yield from check_one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), policies)


def _container(path: str, container: Obj, volumes: set[str], seen: set[str]) -> Causes:
    yield from check_element_name(f"{path}.name", container.get("name"), seen)
    if not container.get("image"):
        yield required(f"{path}.image")
    elif container["image"] != container["image"].strip():
        yield invalid(f"{path}.image", container["image"], "must not have leading or trailing whitespace")
    yield from _container_ports(path, container.get("ports") or ())
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        field = f"{path}.volumeMounts[{index}]"
        if not mount.get("name"):
            yield required(f"{field}.name")
        elif mount["name"] not in volumes:
            yield Cause("FieldValueNotFound", f'Not found: "{mount["name"]}"', f"{field}.name")
        if not mount.get("mountPath"):
            yield required(f"{field}.mountPath")
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            yield required(f"{path}.env[{index}].name")
    policies = ("Always", "IfNotPresent", "Never")
    yield from check_one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), policies)


def _container_ports(path: str, ports: Iterable[Obj]) -> Causes:
    names: set[str] = set()
    for index, port in enumerate(ports):
        field = f"{path}.ports[{index}]"
        if port.get("name"):
            if port["name"] in names:
                yield duplicate(f"{field}.name", port["name"])
            names.add(port["name"])
        if not port.get("containerPort"):
            yield required(f"{field}.containerPort")
        else:
            yield from check_port(f"{field}.containerPort", port["containerPort"])
        yield from check_one_of(f"{field}.protocol", port.get("protocol"), PROTOCOLS)
