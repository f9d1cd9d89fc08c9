"""Every refusal is a Status in the real server's words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sspcloud_magics.sandbox.store import Obj
from tests.sandbox.api.conftest import Api, pod

PODS = "/api/v1/namespaces/user-alice/pods"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/user-alice/roles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/user-alice/rolebindings"


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        (
            "GET",
            PODS,
            'pods is forbidden: User "oidc-bob" cannot list resource "pods" in API group "" in the namespace "user-alice"',
        ),
        (
            "GET",
            "/api/v1/pods?watch=true",
            'pods is forbidden: User "oidc-bob" cannot watch resource "pods" in API group "" at the cluster scope',
        ),
        (
            "GET",
            f"{PODS}/web/log",
            'pods "web" is forbidden: User "oidc-bob" cannot get resource "pods/log" in API group "" in the namespace "user-alice"',
        ),
        (
            "POST",
            f"{PODS}/web/portforward",
            'pods "web" is forbidden: User "oidc-bob" cannot create resource "pods/portforward" in API group "" in the namespace "user-alice"',
        ),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/user-alice/deployments/mon-api",
            'deployments.apps "mon-api" is forbidden: User "oidc-bob" cannot delete resource "deployments" in API group "apps" in the namespace "user-alice"',
        ),
        (
            "GET",
            "/api/v1/namespaces/user-alice/gadgets",
            'gadgets is forbidden: User "oidc-bob" cannot list resource "gadgets" in API group "" in the namespace "user-alice"',
        ),
        ("GET", "/metrics", 'forbidden: User "oidc-bob" cannot get path "/metrics"'),
    ],
)
async def test_forbidden(api: Api, method: str, path: str, message: str) -> None:
    assert await api.act_as("bob").refusal(method, path) == (403, "Forbidden", message)


async def test_forbidden_says_which_role_is_missing(api: Api) -> None:
    binding = {
        "metadata": {"name": "ghostly"},
        "roleRef": {"kind": "Role", "name": "ghost"},
        "subjects": [{"kind": "User", "name": "oidc-bob"}],
    }
    await api.act_as("admin").post(BINDINGS, binding)
    _, _, message = await api.act_as("bob").refusal("GET", PODS)
    assert message.endswith(
        'in the namespace "user-alice": RBAC: roles.rbac.authorization.k8s.io "ghost" not found'
    )


async def test_wrong_token_is_unauthorized_and_says_no_more(api: Api) -> None:
    assert await api.act_as("mallory").refusal("GET", PODS) == (401, "Unauthorized", "Unauthorized")


async def test_no_token_is_anonymous(api: Api) -> None:
    _, reason, message = await api.refusal("GET", "/api", Authorization="")
    assert (reason, message) == ("Forbidden", 'forbidden: User "system:anonymous" cannot get path "/api"')


async def test_not_found(api: Api) -> None:
    assert await api.refusal("GET", f"{PODS}/x") == (404, "NotFound", 'pods "x" not found')
    path = "/apis/apps/v1/namespaces/user-alice/deployments/x"
    assert await api.refusal("GET", path) == (404, "NotFound", 'deployments.apps "x" not found')
    answer = await api.get(path)
    assert answer["details"] == {"name": "x", "group": "apps", "kind": "deployments"}


async def test_unknown_resource_and_sub_resource(api: Api) -> None:
    message = "the server could not find the requested resource"
    admin = api.act_as("admin")
    for path in (
        "/api/v1/namespaces/user-alice/gadgets",
        "/apis/nope.io/v1/things",
        f"{PODS}/x/eviction",
        "/apis/nope.io/v1",
    ):
        assert await admin.refusal("GET", path) == (404, "NotFound", message)
    assert await admin.refusal("GET", "/apis/apps/v1beta1/deployments") == (404, "NotFound", message)
    assert await admin.refusal("POST", "/api/v1/namespaces/user-alice/services/s/portforward") == (
        404,
        "NotFound",
        message,
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", f"{PODS}/x"), ("PUT", PODS), ("GET", f"{PODS[:-5]}/serviceaccounts/default/token")],
)
async def test_verb_that_the_path_does_not_have(api: Api, method: str, path: str) -> None:
    code, reason, message = await api.act_as("admin").refusal(method, path)
    assert (code, reason) == (405, "MethodNotAllowed")
    assert message == "the server does not allow this method on the requested resource"


async def test_already_exists(api: Api) -> None:
    await api.post(PODS, pod())
    assert await api.refusal("POST", PODS, pod()) == (409, "AlreadyExists", 'pods "web" already exists')


async def test_namespace_that_is_not_there_or_is_ending(api: Api) -> None:
    admin = api.act_as("admin")
    path = "/api/v1/namespaces/nowhere/pods"
    assert await admin.refusal("POST", path, pod()) == (404, "NotFound", 'namespaces "nowhere" not found')
    assert (await admin.get(path))["items"] == []
    await admin.ask("DELETE", "/api/v1/namespaces/user-bob")
    message = 'pods "web" is forbidden: unable to create new content in namespace user-bob because it is being terminated'
    assert await admin.refusal("POST", "/api/v1/namespaces/user-bob/pods", pod()) == (
        403,
        "Forbidden",
        message,
    )


async def test_conflict_leaves_the_others_work(api: Api) -> None:
    created = await api.post(PODS, pod())
    theirs = copy.deepcopy(created)
    theirs["metadata"]["labels"] = {"by": "them"}
    await api.ask("PUT", f"{PODS}/web", theirs)
    created["metadata"]["labels"] = {"by": "me"}
    code, reason, message = await api.refusal("PUT", f"{PODS}/web", created)
    assert (code, reason) == (409, "Conflict")
    assert message == (
        'Operation cannot be fulfilled on pods "web": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    assert (await api.get(f"{PODS}/web"))["metadata"]["labels"] == {"by": "them"}
    assert (await api.refusal("PUT", f"{PODS}/web?dryRun=All", created))[1] == "Conflict"


async def test_names_and_namespaces_must_agree_with_the_path(api: Api) -> None:
    elsewhere = pod()
    elsewhere["metadata"]["namespace"] = "user-bob"
    code, _, message = await api.refusal("POST", PODS, elsewhere)
    assert code == 400
    assert message == "the namespace of the provided object does not match the namespace sent on the request"
    await api.post(PODS, pod())
    _, _, message = await api.refusal("PUT", f"{PODS}/web", pod("other"))
    assert message == "the name of the object (other) does not match the name on the URL (web)"
    code, _, message = await api.refusal("POST", PODS, {"apiVersion": "apps/v1", "kind": "Deployment"})
    assert code == 400
    assert "does not match the expected API version" in message


@pytest.mark.parametrize("data", [b"{", b"[1]", b"null", b'"text"'])
async def test_body_that_is_no_object_is_a_bad_request(api: Api, data: bytes) -> None:
    headers = {"Authorization": "Bearer alice", "Content-Type": "application/json"}
    async with api.http.post(PODS, data=data, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["reason"] == "BadRequest"


async def test_body_in_an_unknown_format_is_refused(api: Api) -> None:
    headers = {"Authorization": "Bearer alice", "Content-Type": "text/csv"}
    async with api.http.post(PODS, data=b"a,b", headers=headers) as response:
        assert response.status == 415
        assert "accepted media types include: application/json" in (await response.json())["message"]


def _drop_path(obj: Obj, *path: str | int) -> Obj:
    obj = copy.deepcopy(obj)
    at: Any = obj
    for part in path[:-1]:
        at = at[part]
    del at[path[-1]]
    return obj


def _with(obj: Obj, value: Any, *path: str | int) -> Obj:
    obj = copy.deepcopy(obj)
    at: Any = obj
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return obj


DNS = "a lowercase RFC 1123 subdomain must consist of"


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (
            _drop_path(pod(), "spec", "containers", 0, "image"),
            'Pod "web" is invalid: spec.containers[0].image: Required value',
        ),
        (_with(pod(), [], "spec", "containers"), 'Pod "web" is invalid: spec.containers: Required value'),
        (
            _with(pod(), "Sometimes", "spec", "restartPolicy"),
            (
                'Pod "web" is invalid: spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", '
                '"OnFailure", "Never"'
            ),
        ),
        (
            _with(pod(), [{"containerPort": 70000}], "spec", "containers", 0, "ports"),
            (
                'Pod "web" is invalid: spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 '
                "and 65535, inclusive"
            ),
        ),
        (
            _with(pod(), [{"name": "data", "mountPath": "/data"}], "spec", "containers", 0, "volumeMounts"),
            'Pod "web" is invalid: spec.containers[0].volumeMounts[0].name: Not found: "data"',
        ),
        (
            _with(pod(), [{"name": "a", "image": "x"}, {"name": "a", "image": "y"}], "spec", "containers"),
            'Pod "web" is invalid: spec.containers[1].name: Duplicate value: "a"',
        ),
        (pod("Mon_API"), f'Pod "Mon_API" is invalid: metadata.name: Invalid value: "Mon_API": {DNS}'),
        (
            _drop_path(pod(), "metadata", "name"),
            'Pod "" is invalid: metadata.name: Required value: name or generateName',
        ),
    ],
)
async def test_invalid_pod(api: Api, sent: Obj, message: str) -> None:
    code, reason, words = await api.refusal("POST", PODS, sent)
    assert (code, reason) == (422, "Invalid")
    assert words.startswith(message)
    assert (await api.get(PODS))["items"] == []


NAME = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"


@pytest.mark.parametrize(
    ("key", "faults"),
    [
        ("bad key", [f"name part {NAME}"]),
        ("a/b/c", [DNS]),
        ("Bad_Prefix/x", [DNS]),
        ("pre/", [f"name part {NAME}"]),
        ("app.kubernetes.io/Name_1", []),
    ],
)
async def test_the_keys_of_labels(api: Api, key: str, faults: list[str]) -> None:
    answer = await api.post(PODS, _with(pod(), {key: "x"}, "metadata", "labels"))
    assert answer["kind"] == ("Status" if faults else "Pod")
    causes = [cause["message"] for cause in answer["details"]["causes"]] if faults else []
    assert len(causes) == len(faults)
    for cause, fault in zip(causes, faults, strict=True):
        assert cause.startswith(f'Invalid value: "{key}": {fault}')


async def test_all_that_is_wrong_is_said_at_once(api: Api) -> None:
    sent = pod()
    sent["spec"]["containers"] = [{"name": "Bad Name"}]
    answer = await api.post(PODS, sent)
    assert len(answer["details"]["causes"]) == 2
    assert answer["message"].startswith(
        'Pod "web" is invalid: [spec.containers[0].name: Invalid value: "Bad Name": '
    )


async def test_udp_port_is_valid(api: Api) -> None:
    sent = _with(pod(), [{"containerPort": 53, "protocol": "UDP"}], "spec", "containers", 0, "ports")
    assert (await api.post(PODS, sent))["spec"]["containers"][0]["ports"] == [
        {"containerPort": 53, "protocol": "UDP"}
    ]


async def test_unknown_service_account(api: Api) -> None:
    sent = _with(pod(), "ghost", "spec", "serviceAccountName")
    _, reason, message = await api.refusal("POST", PODS, sent)
    assert (reason, message) == (
        "Forbidden",
        'pods "web" is forbidden: error looking up service account user-alice/ghost: serviceaccount "ghost" not found',
    )


async def test_pod_cannot_be_changed_into_another(api: Api) -> None:
    created = await api.post(PODS, pod())
    changed = _with(created, ["sleep"], "spec", "containers", 0, "command")
    code, _, message = await api.refusal("PUT", f"{PODS}/web", changed)
    assert code == 422
    assert (
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`" in message
    )
    image = _with(created, "nginx:2", "spec", "containers", 0, "image")
    assert (await api.ask("PUT", f"{PODS}/web", image))["spec"]["containers"][0]["image"] == "nginx:2"


def _make(api_version: str, kind: str, spec: Obj) -> Obj:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}


def _workload(kind: str, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": pod()["spec"]}
    return _make("apps/v1", kind, {"selector": {"matchLabels": {"app": "a"}}, "template": template, **spec})


STATEFUL_WORDS = (
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
    "forbidden"
)
CLAIM_WORDS = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
    "bound claims"
)
IMMUTABLE = [
    (_workload("Deployment"), ("spec", "selector", "matchLabels", "app"), "b", "field is immutable"),
    (_workload("ReplicaSet"), ("spec", "selector", "matchLabels", "app"), "b", "field is immutable"),
    (_workload("StatefulSet", serviceName="a"), ("spec", "serviceName"), "b", STATEFUL_WORDS),
    (
        _make("batch/v1", "Job", {"template": {"spec": {**pod()["spec"], "restartPolicy": "Never"}}}),
        ("spec", "template", "spec", "containers", 0, "image"),
        "nginx:2",
        "field is immutable",
    ),
    (
        _make(
            "v1",
            "PersistentVolumeClaim",
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        ),
        ("spec", "storageClassName"),
        "fast",
        CLAIM_WORDS,
    ),
    (
        _make("v1", "Service", {"ports": [{"port": 80}]}),
        ("spec", "clusterIP"),
        "10.43.0.77",
        'spec.clusterIPs[0]: Invalid value: ["10.43.0.77"]: may not change once set',
    ),
    (
        pod("x"),
        ("spec", "containers"),
        [{"name": name, "image": "nginx:1"} for name in ("main", "second")],
        "spec.containers: Forbidden: pod updates may not add or remove containers",
    ),
    (
        pod("x"),
        ("spec", "nodeName"),
        "elsewhere",
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`",
    ),
]


@pytest.mark.parametrize(("body", "path", "value", "words"), IMMUTABLE)
async def test_immutable_field_keeps_its_value(
    api: Api, body: Obj, path: tuple[Any, ...], value: Any, words: str
) -> None:
    version = body["apiVersion"]
    root = "api" if version == "v1" else "apis"
    collection = f"/{root}/{version}/namespaces/user-alice/{body['kind'].lower()}s"
    created = await api.post(collection, body)
    assert created["kind"] == body["kind"], created
    code, reason, message = await api.refusal("PUT", f"{collection}/x", _with(created, value, *path))
    assert (code, reason) == (422, "Invalid")
    assert words in message


@pytest.mark.parametrize("subresource", ["exec", "attach"])
async def test_command_in_a_pod_is_refused_in_words(api: Api, subresource: str) -> None:
    await api.post(PODS, pod())
    for method in ("GET", "POST"):
        code, reason, message = await api.refusal(method, f"{PODS}/web/{subresource}?command=ls")
        assert (code, reason) == (400, "BadRequest")
        assert message == "the sandbox cannot run commands in pods: exec, attach and cp need a real cluster"


async def test_account_of_a_binding_is_in_its_namespace(api: Api) -> None:
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}],
    }
    assert (await api.post(BINDINGS, binding))["subjects"] == [{"kind": "ServiceAccount", "name": "default"}]
    everywhere = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    _, _, message = await api.act_as("admin").refusal("POST", everywhere, binding)
    assert message.endswith("subjects[0].namespace: Required value")


async def test_role_of_a_binding_cannot_be_changed(api: Api) -> None:
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "oidc-bob"}],
    }
    created = await api.post(BINDINGS, binding)
    changed = _with(created, "edit", "roleRef", "name")
    _, _, message = await api.refusal("PUT", f"{BINDINGS}/b", changed)
    assert message == (
        'RoleBinding.rbac.authorization.k8s.io "b" is invalid: roleRef: Invalid value: '
        '{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"}: cannot change roleRef'
    )
