"""Objects that arrive in Kubernetes' protobuf encoding.

kubectl speaks it where it knows a kind by its type (``auth can-i``, ``create role``, ``create token``) and
takes JSON for an answer, so only reading is needed. The messages that it sends so are told below in one
line each; a field that is not among them is refused, never dropped in silence.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding, the generated.proto
files of k8s.io/api.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sspcloud_magics.sandbox.store import Obj

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

# Message: number name:type … ; a type in brackets repeats, one in braces is the value of a map; ? marks a
# scalar that is sent even when it is not set (its zero is left out).
_MESSAGES = """
ObjectMeta: 1 name:string 2 generateName:string 3 namespace:string 4 selfLink:string 5 uid:string 6 resourceVersion:string 7 generation:int? 8 creationTimestamp:Time 9 deletionTimestamp:Time 10 deletionGracePeriodSeconds:int 11 labels:{string} 12 annotations:{string} 13 ownerReferences:[OwnerReference] 14 finalizers:[string]
OwnerReference: 1 kind:string 3 name:string 4 uid:string 5 apiVersion:string 6 controller:bool 7 blockOwnerDeletion:bool
LabelSelector: 1 matchLabels:{string} 2 matchExpressions:[LabelSelectorRequirement]
LabelSelectorRequirement: 1 key:string 2 operator:string 3 values:[string]
DeleteOptions: 1 gracePeriodSeconds:int 2 preconditions:Preconditions 3 orphanDependents:bool 4 propagationPolicy:string 5 dryRun:[string]
Preconditions: 1 uid:string 2 resourceVersion:string
SelfSubjectReview: 1 metadata:ObjectMeta 2 status:Ignored
TokenRequest: 1 metadata:ObjectMeta 2 spec:TokenRequestSpec 3 status:Ignored
TokenRequestSpec: 1 audiences:[string] 3 boundObjectRef:BoundObjectReference 4 expirationSeconds:int
BoundObjectReference: 1 kind:string 2 apiVersion:string 3 name:string 4 uid:string
TokenReview: 1 metadata:ObjectMeta 2 spec:TokenReviewSpec 3 status:Ignored
TokenReviewSpec: 1 token:string 2 audiences:[string]
SelfSubjectAccessReview: 1 metadata:ObjectMeta 2 spec:SubjectAccessReviewSpec 3 status:Ignored
LocalSubjectAccessReview: 1 metadata:ObjectMeta 2 spec:SubjectAccessReviewSpec 3 status:Ignored
SubjectAccessReview: 1 metadata:ObjectMeta 2 spec:SubjectAccessReviewSpec 3 status:Ignored
SubjectAccessReviewSpec: 1 resourceAttributes:ResourceAttributes 2 nonResourceAttributes:NonResourceAttributes 3 user:string 4 groups:[string] 6 uid:string
ResourceAttributes: 1 namespace:string 2 verb:string 3 group:string 4 version:string 5 resource:string 6 subresource:string 7 name:string
NonResourceAttributes: 1 path:string 2 verb:string
SelfSubjectRulesReview: 1 metadata:ObjectMeta 2 spec:SelfSubjectRulesReviewSpec 3 status:Ignored
SelfSubjectRulesReviewSpec: 1 namespace:string
ConfigMap: 1 metadata:ObjectMeta 2 data:{string} 3 binaryData:{bytes} 4 immutable:bool
Secret: 1 metadata:ObjectMeta 2 data:{bytes} 3 type:string 4 stringData:{string} 5 immutable:bool
ServiceAccount: 1 metadata:ObjectMeta 2 secrets:[ObjectReference] 3 imagePullSecrets:[LocalObjectReference] 4 automountServiceAccountToken:bool
ObjectReference: 1 kind:string 2 namespace:string 3 name:string 4 uid:string 5 apiVersion:string 6 resourceVersion:string 7 fieldPath:string
LocalObjectReference: 1 name:string
Namespace: 1 metadata:ObjectMeta 2 spec:Ignored 3 status:Ignored
ResourceQuota: 1 metadata:ObjectMeta 2 spec:ResourceQuotaSpec 3 status:Ignored
ResourceQuotaSpec: 1 hard:{Quantity} 2 scopes:[string]
Service: 1 metadata:ObjectMeta 2 spec:ServiceSpec 3 status:Ignored
ServiceSpec: 1 ports:[ServicePort] 2 selector:{string} 3 clusterIP:string 4 type:string 5 externalIPs:[string] 7 sessionAffinity:string 8 loadBalancerIP:string 10 externalName:string 11 externalTrafficPolicy:string 12 healthCheckNodePort:int? 13 publishNotReadyAddresses:bool?
ServicePort: 1 name:string 2 protocol:string 3 port:int 4 targetPort:IntOrString 5 nodePort:int? 6 appProtocol:string
Role: 1 metadata:ObjectMeta 2 rules:[PolicyRule]
ClusterRole: 1 metadata:ObjectMeta 2 rules:[PolicyRule] 3 aggregationRule:AggregationRule
AggregationRule: 1 clusterRoleSelectors:[LabelSelector]
PolicyRule: 1 verbs:[string] 2 apiGroups:[string] 3 resources:[string] 4 resourceNames:[string] 5 nonResourceURLs:[string]
RoleBinding: 1 metadata:ObjectMeta 2 subjects:[Subject] 3 roleRef:RoleRef
ClusterRoleBinding: 1 metadata:ObjectMeta 2 subjects:[Subject] 3 roleRef:RoleRef
Subject: 1 kind:string 2 apiGroup:string 3 name:string 4 namespace:string
RoleRef: 1 apiGroup:string 2 kind:string 3 name:string
Deployment: 1 metadata:ObjectMeta 2 spec:DeploymentSpec 3 status:Ignored
DeploymentSpec: 1 replicas:int 2 selector:LabelSelector 3 template:PodTemplateSpec 4 strategy:Ignored 5 minReadySeconds:int? 6 revisionHistoryLimit:int 7 paused:bool? 9 progressDeadlineSeconds:int
Job: 1 metadata:ObjectMeta 2 spec:JobSpec 3 status:Ignored
JobSpec: 1 parallelism:int 2 completions:int 3 activeDeadlineSeconds:int 4 selector:LabelSelector 5 manualSelector:bool 6 template:PodTemplateSpec 7 backoffLimit:int 8 ttlSecondsAfterFinished:int
PodTemplateSpec: 1 metadata:ObjectMeta 2 spec:PodSpec
PodSpec: 2 containers:[Container] 3 restartPolicy:string 4 terminationGracePeriodSeconds:int 5 activeDeadlineSeconds:int 6 dnsPolicy:string 8 serviceAccountName:string 9 serviceAccount:string 10 nodeName:string 11 hostNetwork:bool? 12 hostPID:bool? 13 hostIPC:bool? 16 hostname:string 17 subdomain:string 19 schedulerName:string 24 priorityClassName:string
Container: 1 name:string 2 image:string 3 command:[string] 4 args:[string] 5 workingDir:string 6 ports:[ContainerPort] 7 env:[EnvVar] 8 resources:ResourceRequirements 13 terminationMessagePath:string 14 imagePullPolicy:string 16 stdin:bool? 17 stdinOnce:bool? 18 tty:bool? 20 terminationMessagePolicy:string
ContainerPort: 1 name:string 2 hostPort:int? 3 containerPort:int 4 protocol:string 5 hostIP:string
EnvVar: 1 name:string 2 value:string
ResourceRequirements: 1 limits:{Quantity} 2 requests:{Quantity}
"""


class Undecodable(ValueError):
    """The bytes are no object that is known here."""


def read_protobuf(data: bytes) -> Obj:
    """Return the object in a body.

    Raise `Undecodable` if it is of a kind that is not known here, has a field that is not, or is cut off.
    """
    if not data.startswith(_MAGIC):
        raise Undecodable("the data does not begin with the magic number of Kubernetes' protobuf encoding")
    try:
        envelope = dict(_fields(memoryview(data)[len(_MAGIC) :]))
        about = {number: bytes(value).decode() for number, value in _fields(envelope[1])}
        kind = about.get(2, "")
        if kind not in _messages():
            raise Undecodable(f"{kind} is not known in the protobuf encoding")
        return {
            "apiVersion": about.get(1, ""),
            "kind": kind,
            **_message(kind, envelope.get(2, memoryview(b""))),
        }
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise Undecodable(f"the data is not well formed: {error!r}") from None


@cache
def _messages() -> dict[str, dict[int, tuple[str, str]]]:
    messages = {}
    for line in filter(None, _MESSAGES.splitlines()):
        name, _, fields = line.partition(": ")
        words = fields.split()
        messages[name] = {
            int(number): (field.partition(":")[0], field.partition(":")[2])
            for number, field in zip(words[::2], words[1::2], strict=True)
        }
    return messages


def _message(kind: str, data: memoryview) -> Obj:
    known = _messages()[kind]
    found: Obj = {}
    for number, value in _fields(data):
        if number not in known:
            raise Undecodable(f"field {number} of {kind} is not known in the protobuf encoding")
        name, form = known[number]
        if form == "Ignored":
            continue
        if form.startswith("["):
            found.setdefault(name, []).append(_value(form[1:-1], value))
        elif form.startswith("{"):
            entry = dict(_fields(value))
            key = bytes(entry.get(1, b"")).decode()
            found.setdefault(name, {})[key] = _value(form[1:-1], entry.get(2, memoryview(b"")))
        else:
            decoded = _value(form.rstrip("?"), value)
            unset = decoded in ("", None) or (form.endswith("?") and not decoded)
            if not unset:
                found[name] = decoded
    return found


def _value(form: str, value: Any) -> Any:  # noqa: PLR0911 -- a table of types
    match form:
        case "string":
            return bytes(value).decode()
        case "bytes":
            return base64.b64encode(value).decode()
        case "int":
            return value - (1 << 64) if value >= 1 << 63 else value
        case "bool":
            return bool(value)
        case "Quantity":
            return bytes(dict(_fields(value)).get(1, b"")).decode()
        case "IntOrString":
            parts = dict(_fields(value))
            number = parts.get(2, 0)
            return bytes(parts.get(3, b"")).decode() if parts.get(1) else number or None
        case "Time":
            seconds = dict(_fields(value)).get(1, 0)
            return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
        case _:
            return _message(form, value)


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield the number and the raw value of every field; a length-delimited one as a view."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        match tag & 7:
            case 0:
                value, position = _varint(data, position)
                yield tag >> 3, value
            case 2:
                length, position = _varint(data, position)
                if position + length > len(data):
                    raise IndexError("a field is cut off")
                yield tag >> 3, data[position : position + length]
                position += length
            case wire_type:
                raise Undecodable(f"wire type {wire_type} is not used by Kubernetes")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
