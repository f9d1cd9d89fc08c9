"""Requests and stored objects: defaults, admission, fields, patches, reviews, discovery."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sspcloud_magics.sandbox.api.protobuf import Undecodable, read_protobuf
from sspcloud_magics.sandbox.resources import RESOURCES
from sspcloud_magics.sandbox.store import Obj
from tests.sandbox.api.conftest import Api, pod

CORE = "/api/v1/namespaces/user-alice"
APPS = "/apis/apps/v1/namespaces/user-alice"


async def test_pod_is_completed(api: Api) -> None:
    made = await api.post(f"{CORE}/pods", pod())
    spec, container = made["spec"], made["spec"]["containers"][0]
    assert (spec["restartPolicy"], spec["serviceAccountName"], spec["dnsPolicy"]) == (
        "Always",
        "default",
        "ClusterFirst",
    )
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert spec["volumes"][0]["name"] == container["volumeMounts"][0]["name"]
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
    ],
)
async def test_pull_policy_follows_the_tag(api: Api, image: str, policy: str) -> None:
    wanted = pod()
    wanted["spec"]["containers"][0]["image"] = image
    assert (await api.post(f"{CORE}/pods", wanted))["spec"]["containers"][0]["imagePullPolicy"] == policy


async def test_no_token_where_none_is_wanted(api: Api) -> None:
    wanted = pod()
    wanted["spec"]["automountServiceAccountToken"] = False
    assert "volumes" not in (await api.post(f"{CORE}/pods", wanted))["spec"]


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
async def test_quality_of_service(api: Api, resources: Obj, quality: str) -> None:
    wanted = pod()
    wanted["spec"]["containers"][0]["resources"] = resources
    assert (await api.post(f"{CORE}/pods", wanted))["status"]["qosClass"] == quality


async def test_generated_name(api: Api) -> None:
    wanted = pod()
    wanted["metadata"] = {"generateName": "web-"}
    names = {(await api.post(f"{CORE}/pods", wanted))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("web-") and len(name) == 9 for name in names)


async def test_services_get_addresses_of_their_own(api: Api) -> None:
    def service(name: str, **spec: Any) -> Obj:
        return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}

    one, two = [await api.post(f"{CORE}/services", service(name)) for name in ("one", "two")]
    assert one["spec"]["clusterIP"].startswith("10.43.")
    assert one["spec"]["clusterIP"] != two["spec"]["clusterIP"]
    assert one["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    headless = await api.post(f"{CORE}/services", service("headless", clusterIP="None"))
    assert headless["spec"]["clusterIP"] == "None"
    named = await api.post(f"{CORE}/services", service("named", type="ExternalName", externalName="x.org"))
    assert "clusterIP" not in named["spec"]


async def test_address_of_a_service_is_kept(api: Api) -> None:
    made = await api.post(f"{CORE}/services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    address = made["spec"].pop("clusterIP")
    del made["spec"]["clusterIPs"]
    assert (await api.ask("PUT", f"{CORE}/services/s", made))["spec"]["clusterIP"] == address
    made["spec"]["clusterIP"] = "10.43.9.9"
    del made["metadata"]["resourceVersion"]
    code, _, message = await api.refusal("PUT", f"{CORE}/services/s", made)
    assert (code, message.rpartition(": ")[2]) == (422, "may not change once set")


async def test_job_knows_its_pods_by_its_own_uid(api: Api) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
    made = await api.post(
        "/apis/batch/v1/namespaces/user-alice/jobs",
        {
            "metadata": {"name": "share"},
            "spec": {"parallelism": 0, "activeDeadlineSeconds": 8, "template": template},
        },
    )
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"]["matchLabels"] == {"batch.kubernetes.io/controller-uid": uid}
    assert made["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] == uid
    assert (made["spec"]["parallelism"], made["spec"]["backoffLimit"]) == (0, 6)
    assert "completions" not in made["spec"]


async def test_deployment_whose_selector_does_not_fit(api: Api) -> None:
    spec = {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {
            "metadata": {"labels": {"app": "b"}},
            "spec": {"containers": [{"name": "c", "image": "x"}]},
        },
    }
    _, _, message = await api.refusal(
        "POST", f"{APPS}/deployments", {"metadata": {"name": "d"}, "spec": spec}
    )
    assert message == (
        'Deployment.apps "d" is invalid: spec.template.metadata.labels: Invalid value: {"app":"b"}: `selector` does '
        "not match template `labels`"
    )


async def test_network_policy_says_what_it_is_about(api: Api) -> None:
    path = "/apis/networking.k8s.io/v1/namespaces/user-alice/networkpolicies"
    rule = {"from": [{"podSelector": {}}], "ports": [{"port": 5432}]}
    made = await api.post(path, {"metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress": [rule]}})
    assert made["spec"]["policyTypes"] == ["Ingress"]
    assert made["spec"]["ingress"][0]["ports"] == [{"port": 5432, "protocol": "TCP"}]


async def test_status_is_written_through_its_own_path_alone(api: Api) -> None:
    wanted = pod()
    wanted["status"] = {"phase": "Running"}
    made = await api.post(f"{CORE}/pods", wanted)
    made["status"] = {"phase": "Running"}
    assert (await api.ask("PUT", f"{CORE}/pods/web", made))["status"]["phase"] == "Pending"
    made["spec"] = {}
    kept = await api.act_as("admin").ask("PUT", f"{CORE}/pods/web/status", made)
    assert kept["status"] == {"phase": "Running"}
    assert kept["spec"]["containers"]


async def test_what_only_the_server_sets_is_kept(api: Api) -> None:
    made = await api.post(f"{CORE}/configmaps", {"metadata": {"name": "a", "uid": "mine", "generation": 9}})
    assert made["metadata"]["uid"] != "mine"
    del made["metadata"]["uid"], made["metadata"]["creationTimestamp"]
    made["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    made["data"] = {"x": "y"}
    again = await api.ask("PUT", f"{CORE}/configmaps/a", made)
    assert again["metadata"]["uid"]
    assert "deletionTimestamp" not in again["metadata"]


@pytest.mark.parametrize(
    ("mode", "code"), [("Strict", 400), ("Warn", 201), ("", 201), ("Ignore", 201), ("Loud", 400)]
)
async def test_unknown_field(api: Api, mode: str, code: int) -> None:
    wanted = pod()
    wanted["spec"]["containers"][0]["imagee"] = "x"
    async with await api.send("POST", f"{CORE}/pods?fieldValidation={mode}", wanted) as response:
        assert response.status == code
        answer = await response.json()
        warned = response.headers.getall("Warning", [])
    assert warned == (
        ['299 - "unknown field \\"spec.containers[0].imagee\\""'] if mode in ("Warn", "") else []
    )
    if code == 201:
        assert "imagee" not in answer["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("plural", "body", "words"),
    [
        (
            "pods",
            {"spec": {"containers": "x"}},
            (
                'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field '
                "PodSpec.spec.containers of type []v1.Container"
            ),
        ),
        (
            "configmaps",
            {"data": {"a": 1}},
            (
                'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct '
                "field ConfigMap.data of type string"
            ),
        ),
        (
            "secrets",
            {"data": {"a": "not base64!"}},
            'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 3',
        ),
        (
            "services",
            {"metadata": {"labels": ["a"]}},
            (
                'Service in version "v1" cannot be handled as a Service: json: cannot unmarshal array into Go struct field '
                "ObjectMeta.metadata.labels of type map[string]string"
            ),
        ),
    ],
)
async def test_value_of_the_wrong_type(api: Api, plural: str, body: Obj, words: str) -> None:
    body.setdefault("metadata", {})["name"] = "x"
    assert await api.refusal("POST", f"{CORE}/{plural}", body) == (400, "BadRequest", words)


async def test_custom_resource_may_hold_anything(api: Api) -> None:
    path = "/apis/postgresql.cnpg.io/v1/namespaces/user-alice/clusters"
    body = {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Cluster",
        "metadata": {"name": "c"},
        "spec": {"instances": 1, "anything": {"goes": [1]}},
    }
    admin = api.act_as("admin")
    assert (await admin.post(path, body))["spec"] == body["spec"]
    headers = {"Authorization": "Bearer admin", "Content-Type": "application/strategic-merge-patch+json"}
    async with api.http.patch(f"{path}/c", data=b"{}", headers=headers) as response:
        assert response.status == 415


@pytest.mark.parametrize(
    ("kind", "patch", "code"),
    [
        ("merge-patch+json", {"data": {"b": "2"}}, 200),
        ("strategic-merge-patch+json", {"data": {"b": "2"}}, 200),
        ("json-patch+json", [{"op": "add", "path": "/data/b", "value": "2"}], 200),
        ("json-patch+json", [{"op": "remove", "path": "/data/nope"}], 422),
        ("json-patch+json", {"op": "add"}, 422),
        ("merge-patch+json", {"metadata": None}, 400),
        ("merge-patch+json", {"metadata": {"name": "other"}}, 422),
        ("apply-patch+cbor", {"data": {}}, 415),
    ],
)
async def test_patch(api: Api, kind: str, patch: Any, code: int) -> None:
    await api.post(f"{CORE}/configmaps", {"metadata": {"name": "a"}, "data": {"a": "1"}})
    headers = {"Authorization": "Bearer alice", "Content-Type": f"application/{kind}"}
    async with api.http.patch(f"{CORE}/configmaps/a", data=json.dumps(patch), headers=headers) as response:
        assert response.status == code, await response.text()
    expected = {"a": "1", "b": "2"} if code == 200 else {"a": "1"}
    assert (await api.get(f"{CORE}/configmaps/a"))["data"] == expected


async def test_yaml_is_read_too(api: Api) -> None:
    headers = {"Authorization": "Bearer alice", "Content-Type": "application/yaml"}
    text = "metadata:\n  name: a\ndata:\n  x: 'y'\n"
    async with api.http.post(f"{CORE}/configmaps", data=text, headers=headers) as response:
        assert (await response.json())["data"] == {"x": "y"}


async def test_line_breaks_in_base64_are_dropped(api: Api) -> None:
    made = await api.post(
        f"{CORE}/secrets", {"metadata": {"name": "folded"}, "data": {"word": "Y2Fm\nw6k=\r\n"}}
    )
    assert made["data"] == {"word": "Y2Fmw6k="}


async def test_subject_review(api: Api) -> None:
    answer = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert answer["status"] == {"userInfo": {"username": "oidc-alice", "groups": ["system:authenticated"]}}


async def test_access_review(api: Api) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    asked = {"verb": "get", "resource": "secrets", "namespace": "user-alice"}
    answer = await api.post(path, {"spec": {"resourceAttributes": asked}})
    assert answer["status"] == {"allowed": True}
    answer = await api.act_as("bob").post(path, {"spec": {"resourceAttributes": asked}})
    assert answer["status"] == {"allowed": False}
    code, _, _ = await api.refusal("POST", path, {"spec": {}})
    assert code == 422


async def test_only_admin_may_review_other_users(api: Api) -> None:
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    asked = {"verb": "list", "resource": "pods", "namespace": "user-bob"}
    body = {"spec": {"user": "oidc-bob", "resourceAttributes": asked}}
    assert (await api.act_as("admin").post(path, body))["status"]["allowed"] is True
    code, _, _ = await api.refusal("POST", path, body)
    assert code == 403


async def test_token_is_issued_reviewed_and_works(api: Api) -> None:
    path = f"{CORE}/serviceaccounts/default/token"
    answer = await api.post(path, {"spec": {"expirationSeconds": 600}})
    token = answer["status"]["token"]
    assert answer["spec"]["expirationSeconds"] == 600
    reviewed = await api.act_as("admin").post(
        "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}
    )
    assert reviewed["status"]["user"]["username"] == "system:serviceaccount:user-alice:default"
    _, _, message = await api.act_as(token).refusal("GET", f"{CORE}/pods")
    assert message.startswith(
        'pods is forbidden: User "system:serviceaccount:user-alice:default" cannot list'
    )
    code, _, message = await api.refusal("POST", path, {"spec": {"expirationSeconds": 1}})
    assert (code, "may not specify a duration less than 10 minutes" in message) == (422, True)


async def test_discovery_in_both_forms_names_every_kind(api: Api) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = set()
    for root in ("/api", "/apis"):
        for group in (await api.get(root, Accept=accept))["items"]:
            for resource in group["versions"][0]["resources"]:
                found.add((group["metadata"].get("name", ""), resource["resource"]))
    plain = {("", entry["name"]) for entry in (await api.get("/api/v1"))["resources"]}
    for group in (await api.get("/apis"))["groups"]:
        listed = await api.get(f"/apis/{group['preferredVersion']['groupVersion']}")
        plain |= {(group["name"], entry["name"]) for entry in listed["resources"]}
    kinds = {(resource.group, resource.plural) for resource in RESOURCES}
    assert kinds <= found
    assert kinds <= plain
    assert ("", "pods/portforward") in plain
    assert ("", "services/portforward") not in plain


async def test_specification_describes_every_kind(api: Api) -> None:
    index = (await api.get("/openapi/v3"))["paths"]
    for resource in RESOURCES:
        path = f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"
        text = await api.get(index[path]["serverRelativeURL"].partition("?")[0])
        kinds = [s.get("x-kubernetes-group-version-kind") for s in text["components"]["schemas"].values()]
        assert [{"group": resource.group, "version": "v1", "kind": resource.kind}] in kinds


async def test_specification_references_resolve(api: Api) -> None:
    text = await api.get("/openapi/v3/api/v1")
    references = [
        part["$ref"].removeprefix("#/components/schemas/")
        for schema in text["components"]["schemas"].values()
        for field in schema.get("properties", {}).values()
        for part in (field.get("allOf") or (field.get("items") or {}).get("allOf") or ())
    ]
    assert len(references) > 100
    assert set(references) <= set(text["components"]["schemas"])


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def envelope(kind: str, raw: bytes, api_version: str = "v1") -> bytes:
    about = field(1, api_version.encode()) + field(2, kind.encode())
    return b"k8s\0" + field(1, about) + field(2, raw)


def test_protobuf_is_read() -> None:
    labels = field(1, b"app") + field(2, b"web")
    metadata = field(1, b"s") + field(2, b"") + field(11, labels) + field(8, b"")
    data = field(1, b"word") + field(2, b"\x00\xff")
    raw = field(1, metadata) + field(2, data) + field(3, b"Opaque") + field(5, 1)
    assert read_protobuf(envelope("Secret", raw)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "labels": {"app": "web"}},
        "data": {"word": base64.b64encode(b"\x00\xff").decode()},
        "type": "Opaque",
        "immutable": True,
    }


def test_protobuf_zero_is_kept_where_it_is_a_value() -> None:
    port = field(2, 0) + field(3, 80)  # hostPort, containerPort
    container = field(1, b"c") + field(6, port) + field(18, 0)  # tty
    template = field(2, field(2, container))
    raw = field(2, field(1, 0) + field(3, template) + field(5, 0))  # replicas, minReadySeconds
    assert read_protobuf(envelope("Deployment", raw, "apps/v1"))["spec"] == {
        "replicas": 0,
        "template": {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}},
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"k8s\0",
        envelope("Gadget", b""),
        envelope("Secret", field(77, b"?")),
        envelope("Secret", field(1, b"abc"))[:-1],
        envelope("Secret", b"\x0d\0\0\0\0"),
        envelope("Secret", b"\xff"),
        envelope("Secret", field(1, field(1, b"\xff\xfe"))),
    ],
)
def test_protobuf_that_is_none(data: bytes) -> None:
    with pytest.raises(Undecodable):
        read_protobuf(data)
