"""``apply``, ``create``, ``patch``, ``scale`` and ``delete``; the course's own manifests among them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.kubectl.conftest import MANIFESTS, Apply, Kubectl, manifest, sleeper
from tests.support.kubectl import Said

pytestmark = pytest.mark.slow


@pytest.fixture
def proxy(kubectl: Kubectl, apply: Apply) -> dict[str, Any]:
    (pod,) = manifest("pg-proxy.yaml")
    assert apply("bob", pod).out == "pod/pg-proxy created\n"
    return pod


@pytest.mark.usefixtures("proxy")
def test_apply_the_courses_proxy(kubectl: Kubectl) -> None:
    path = str(MANIFESTS / "pg-proxy.yaml")
    assert kubectl("bob", "apply", "-f", path).out == "pod/pg-proxy unchanged\n"
    assert kubectl("bob", "wait", "--for=condition=Ready", "pod/pg-proxy", "--timeout=60s").code == 0
    row = kubectl("bob", "get", "pods", "-l", "app=pg-proxy").table()[0]
    assert (row["NAME"], row["READY"], row["STATUS"]) == ("pg-proxy", "1/1", "Running")


def test_apply_changes_what_may_be_changed(kubectl: Kubectl, proxy: dict[str, Any]) -> None:
    proxy["metadata"]["labels"] = {"team": "three"}
    assert kubectl("bob", "apply", "-f", "-", stdin=yaml.safe_dump(proxy)).out == "pod/pg-proxy configured\n"
    labels = kubectl("bob", "get", "pod", "pg-proxy", "-o", "jsonpath={.metadata.labels}").out
    assert json.loads(labels) == {"team": "three"}


def test_apply_refuses_a_running_pods_new_command(kubectl: Kubectl, proxy: dict[str, Any]) -> None:
    proxy["spec"]["containers"][0]["args"] = ["TCP-LISTEN:1,fork", "TCP:x:1"]
    said = kubectl("bob", "apply", "-f", "-", stdin=yaml.safe_dump(proxy))
    assert said.err.startswith(
        'The Pod "pg-proxy" is invalid: spec: Forbidden: pod updates may not change fields other than '
        "`spec.containers[*].image`"
    )
    assert said.code == 1


def test_admin_may_not_make_the_courses_role(kubectl: Kubectl) -> None:
    path = str(MANIFESTS / "portforward-role.yaml")
    said = kubectl("alice", "apply", "-f", path)
    assert said.out == ""
    assert said.err == (
        f'Error from server (Forbidden): error when creating "{path}": roles.rbac.authorization.k8s.io '
        '"postgres-service-portforward" is forbidden: user "oidc-alice" '
        '(groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["services/portforward"], Verbs:["get" "list" "create"]}\n'
        f'Error from server (NotFound): error when creating "{path}": roles.rbac.authorization.k8s.io '
        '"postgres-service-portforward" not found\n'
    )
    assert said.code == 1


def test_courses_role_of_an_admin_grants_nothing(kubectl: Kubectl, apply: Apply) -> None:
    objects = manifest("portforward-role.yaml")
    objects[1]["subjects"][0]["name"] = "oidc-bob"
    assert apply("admin", *objects).out == (
        "role.rbac.authorization.k8s.io/postgres-service-portforward created\n"
        "rolebinding.rbac.authorization.k8s.io/postgres-service-portforward-binding created\n"
    )
    asked = ("auth", "can-i", "create", "pods/portforward", "-n", "user-alice")
    assert kubectl("bob", *asked).out == "no\n"


def test_role_within_own_rights_can_be_made_and_bound(kubectl: Kubectl) -> None:
    try:
        said = kubectl("alice", "create", "role", "readers", "--verb=get,list", "--resource=pods,pods/log")
        assert said.out == "role.rbac.authorization.k8s.io/readers created\n"
        said = kubectl("alice", "create", "rolebinding", "readers", "--role=readers", "--user=oidc-carol")
        assert said.out == "rolebinding.rbac.authorization.k8s.io/readers created\n"
        assert kubectl("carol", "auth", "can-i", "list", "pods", "-n", "user-alice").out == "yes\n"
        assert kubectl("carol", "get", "pods", "-n", "user-alice").code == 0
    finally:
        kubectl("alice", "delete", "role,rolebinding", "readers", "--ignore-not-found")
    assert kubectl("carol", "auth", "can-i", "list", "pods", "-n", "user-alice").out == "no\n"


CREATED = [
    ("configmap settings --from-literal=a=b", "configmap/settings created"),
    ("secret generic hidden --from-literal=user=bob", "secret/hidden created"),
    ("serviceaccount robot", "serviceaccount/robot created"),
    ("service clusterip front --tcp=80:8080", "service/front created"),
    (
        "deployment web --image=sspcloud-sandbox/helper --port=9000 -- echo 9000",
        "deployment.apps/web created",
    ),
    ("job once --image=sspcloud-sandbox/helper -- true", "job.batch/once created"),
    ("role r --verb=get --resource=pods --resource-name=web-1", "role.rbac.authorization.k8s.io/r created"),
    (
        "rolebinding b --clusterrole=view --user=oidc-carol --group=team --serviceaccount=user-bob:robot",
        "rolebinding.rbac.authorization.k8s.io/b created",
    ),
]


@pytest.mark.parametrize(("words", "answer"), CREATED)
def test_create(kubectl: Kubectl, words: str, answer: str) -> None:
    """Objects that kubectl sends as protobuf arrive with the same content as in JSON."""
    said = kubectl("bob", "create", *words.split())
    kind_and_name = answer.removesuffix(" created")
    try:
        assert (said.out, said.err) == (f"{answer}\n", "")
        command, dashes, rest = words.partition(" -- ")
        dry = [
            *command.split(),
            "--dry-run=client",
            "-o",
            "json",
            *([dashes.strip(), *rest.split()] if rest else []),
        ]
        wanted = json.loads(kubectl("bob", "create", *dry).out)
        found = json.loads(kubectl("bob", "get", kind_and_name, "-o", "json").out)
        assert _contains(found, wanted), wanted
    finally:
        kubectl("bob", "delete", kind_and_name, "--ignore-not-found", "--grace-period=0", "--force")


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        empty = (None, {}, "")
        return all(
            value in empty or _contains((found or {}).get(name), value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_contains, found, wanted))
    return bool(found == wanted)


def test_secret_in_plain_text_is_stored_encoded(kubectl: Kubectl, apply: Apply) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "plain"},
        "stringData": {"word": "café"},
    }
    assert apply("bob", secret).out == "secret/plain created\n"
    found = json.loads(kubectl("bob", "get", "secret", "plain", "-o", "json").out)
    assert (found["type"], found["data"]) == ("Opaque", {"word": "Y2Fmw6k="})
    assert "stringData" not in found


def test_pod_without_an_image(kubectl: Kubectl) -> None:
    pod = sleeper("imageless")
    del pod["spec"]["containers"][0]["image"]
    said = kubectl("bob", "apply", "-f", "-", stdin=yaml.safe_dump(pod))
    assert said.err == 'The Pod "imageless" is invalid: spec.containers[0].image: Required value\n'


def test_misspelt_field(kubectl: Kubectl) -> None:
    pod = sleeper("misspelt")
    pod["spec"]["containers"][0]["imagee"] = "x"
    said = kubectl("bob", "apply", "-f", "-", stdin=yaml.safe_dump(pod))
    assert said.err == (
        'Error from server (BadRequest): error when creating "STDIN": Pod in version "v1" cannot be handled as a '
        'Pod: strict decoding error: unknown field "spec.containers[0].imagee"\n'
    )
    said = kubectl(
        "bob", "apply", "--validate=warn", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod)
    )
    assert said.err == 'Warning: unknown field "spec.containers[0].imagee"\n'
    assert said.out == "pod/misspelt created (server dry run)\n"


def test_value_of_the_wrong_type(kubectl: Kubectl) -> None:
    pod = sleeper("mistyped")
    pod["spec"]["containers"][0]["ports"] = [{"containerPort": "9000"}]
    said = kubectl("bob", "apply", "-f", "-", stdin=yaml.safe_dump(pod))
    assert said.err == (
        'Error from server (BadRequest): error when creating "STDIN": Pod in version "v1" cannot be handled as a '
        "Pod: json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort "
        "of type int32\n"
    )


def test_list_of_objects_is_applied(kubectl: Kubectl) -> None:
    maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in ("one", "two")]
    listed = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": maps})
    assert (
        kubectl("bob", "apply", "-f", "-", stdin=listed).out
        == "configmap/one created\nconfigmap/two created\n"
    )
    assert kubectl("bob", "delete", "-f", "-", stdin=listed).code == 0


def test_missing_kind_is_told_and_the_rest_applied(kubectl: Kubectl, apply: Apply) -> None:
    strange = {"apiVersion": "example.org/v1", "kind": "Gadget", "metadata": {"name": "g"}}
    said = apply("bob", strange, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rest"}})
    assert said.out == "configmap/rest created\n"
    assert (
        'no matches for kind "Gadget" in version "example.org/v1"\nensure CRDs are installed first'
        in said.err
    )


@pytest.mark.parametrize(("group", "kind", "name"), [("apps/v1", "Deployment", "d"), ("v1", "Service", "s")])
def test_apply_refuses_immutable_field(
    kubectl: Kubectl, apply: Apply, group: str, kind: str, name: str
) -> None:
    labels = {"app": "a"}
    spec: dict[str, Any] = {"ports": [{"port": 80}], "clusterIP": "None"}
    if kind == "Deployment":
        template = {"metadata": {"labels": labels}, "spec": sleeper("x")["spec"]}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    obj = {"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": spec}
    assert apply("bob", obj).code == 0
    if kind == "Deployment":
        spec["template"]["metadata"]["labels"] = spec["selector"]["matchLabels"] = {"app": "b"}
        words = 'spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable\n'
    else:
        spec["clusterIP"] = "10.43.0.99"
        words = 'spec.clusterIPs[0]: Invalid value: ["10.43.0.99"]: may not change once set\n'
    said = kubectl("bob", "apply", "-f", "-", stdin=yaml.safe_dump(obj))
    assert said.err == f'The {kind} "{name}" is invalid: {words}'


def test_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    said = kubectl("bob", "apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(sleeper("dry")))
    assert said.out == "pod/dry created (server dry run)\n"
    assert kubectl("bob", "get", "pod", "dry").err == 'Error from server (NotFound): pods "dry" not found\n'


def test_dry_run_deletes_nothing(kubectl: Kubectl, apply: Apply) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}
    apply("alice", body)
    said = kubectl("alice", "delete", "configmap", "kept", "--dry-run=server")
    assert said.code == 0, said.err
    assert said.out.endswith("(server dry run)\n")
    assert kubectl("alice", "get", "configmap", "kept").code == 0


def test_create_twice(kubectl: Kubectl, apply: Apply) -> None:
    apply("bob", sleeper("twice"))
    said = kubectl("bob", "create", "-f", "-", stdin=yaml.safe_dump(sleeper("twice")))
    assert (
        said.err
        == 'Error from server (AlreadyExists): error when creating "STDIN": pods "twice" already exists\n'
    )


def test_label_annotate_patch(kubectl: Kubectl, apply: Apply) -> None:
    apply("bob", sleeper("marked"))
    assert kubectl("bob", "label", "pod", "marked", "a=1").out == "pod/marked labeled\n"
    assert kubectl("bob", "annotate", "pod", "marked", "b=2").out == "pod/marked annotated\n"
    for kind, patch in (
        ("merge", '{"metadata":{"labels":{"c":"3"}}}'),
        ("strategic", '{"metadata":{"labels":{"a":null}}}'),
        ("json", '[{"op":"add","path":"/metadata/labels/d","value":"4"}]'),
    ):
        assert (
            kubectl("bob", "patch", "pod", "marked", f"--type={kind}", "-p", patch).out
            == "pod/marked patched\n"
        )
    labels = kubectl("bob", "get", "pod", "marked", "-o", "jsonpath={.metadata.labels}").out
    assert json.loads(labels) == {"c": "3", "d": "4"}


def test_strategic_merge_keeps_what_others_added(kubectl: Kubectl, apply: Apply) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "merged"},
        "spec": {"selector": {"app": "front"}, "ports": [{"name": "a", "port": 80}]},
    }
    apply("bob", service)
    other = '{"spec":{"ports":[{"name":"b","port":81}]}}'
    kubectl("bob", "patch", "svc", "merged", "-p", other)
    service["spec"]["ports"] = [{"name": "a", "port": 80, "targetPort": 8080}]  # type: ignore[index]
    assert (
        kubectl("bob", "apply", "-f", "-", stdin=yaml.safe_dump(service)).out == "service/merged configured\n"
    )
    ports = json.loads(kubectl("bob", "get", "svc", "merged", "-o", "jsonpath={.spec.ports}").out)
    assert [(p["name"], p["port"], p["targetPort"]) for p in ports] == [("a", 80, 8080), ("b", 81, 81)]


def test_server_side_apply(kubectl: Kubectl) -> None:
    def apply(value: str, *words: str) -> Said:
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa"}, "data": {"a": value}}
        return kubectl("bob", "apply", "--server-side", *words, "-f", "-", stdin=yaml.safe_dump(obj))

    try:
        assert apply("1").out == "configmap/ssa serverside-applied\n"
        said = apply("2", "--field-manager=other")
        conflict = 'error: Apply failed with 1 conflict: conflict with "kubectl": .data.a\nPlease review'
        assert said.err.startswith(conflict)
        assert apply("2", "--field-manager=other", "--force-conflicts").code == 0
        shown = kubectl("bob", "get", "cm", "ssa", "--show-managed-fields", "-o", "json").out
        (entry,) = json.loads(shown)["metadata"]["managedFields"]
        assert (entry["manager"], entry["fieldsV1"]) == ("other", {"f:data": {"f:a": {}}})
    finally:
        kubectl("bob", "delete", "cm", "ssa", "--ignore-not-found")


def test_server_side_apply_takes_over_client_side(kubectl: Kubectl, apply: Apply) -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "moved"},
        "data": {"a": "1", "b": "2"},
    }
    apply("bob", obj)
    del obj["data"]["b"]  # type: ignore[attr-defined]
    said = kubectl("bob", "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(obj))
    assert (said.out, said.err) == ("configmap/moved serverside-applied\n", "")
    assert kubectl("bob", "get", "cm", "moved", "-o", "jsonpath={.data}").out == '{"a":"1"}'


def test_scale_and_roll_out(kubectl: Kubectl, apply: Apply) -> None:
    pod = sleeper("unused", app="scaled")
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "scaled"},
        "spec": {
            "selector": {"matchLabels": {"app": "scaled"}},
            "template": {"metadata": {"labels": {"app": "scaled"}}, "spec": pod["spec"]},
        },
    }
    assert apply("bob", deployment).out == "deployment.apps/scaled created\n"
    assert kubectl("bob", "scale", "deploy/scaled", "--replicas=2").out == "deployment.apps/scaled scaled\n"
    said = kubectl("bob", "rollout", "status", "deploy/scaled", "--timeout=60s")
    assert said.lines[-1] == 'deployment "scaled" successfully rolled out'
    assert kubectl("bob", "get", "deploy", "scaled").table()[0]["READY"] == "2/2"


def test_delete_with_its_dependents(kubectl: Kubectl, apply: Apply) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
    apply("bob", owner)
    uid = kubectl("bob", "get", "cm", "owner", "-o", "jsonpath={.metadata.uid}").out
    for policy in ("background", "foreground", "orphan"):
        apply("bob", owner)
        uid = kubectl("bob", "get", "cm", "owner", "-o", "jsonpath={.metadata.uid}").out
        reference = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "owner",
            "uid": uid,
            "blockOwnerDeletion": True,
        }
        owned = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"owned-{policy}", "ownerReferences": [reference]},
        }
        apply("bob", owned)
        said = kubectl("bob", "delete", "cm", "owner", f"--cascade={policy}")
        assert said.out == 'configmap "owner" deleted from user-bob namespace\n'
        if policy == "orphan":
            path = "jsonpath={.metadata.ownerReferences}"
            assert kubectl("bob", "get", "secret", "owned-orphan", "-o", path).out == ""
        else:
            assert kubectl("bob", "wait", "--for=delete", f"secret/owned-{policy}", "--timeout=30s").code == 0


def test_namespace_comes_and_goes_with_all_in_it(kubectl: Kubectl) -> None:
    assert kubectl("admin", "create", "ns", "brief").out == "namespace/brief created\n"
    assert kubectl("admin", "wait", "--for=create", "sa/default", "-n", "brief", "--timeout=30s").code == 0
    assert kubectl("admin", "create", "cm", "x", "-n", "brief").code == 0
    assert kubectl("admin", "delete", "ns", "brief").out == 'namespace "brief" deleted\n'
    said = kubectl("admin", "get", "ns", "brief")
    assert said.err == 'Error from server (NotFound): namespaces "brief" not found\n'


def test_object_in_a_namespace_that_is_not_there(kubectl: Kubectl) -> None:
    said = kubectl("admin", "create", "cm", "x", "-n", "nowhere")
    assert said.err == 'error: failed to create configmap: namespaces "nowhere" not found\n'
