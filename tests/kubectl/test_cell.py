"""What a cell applies, judged by kubectl: the objects, the differences and the field managers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import sspcloud_magics as ssp
from sspcloud_magics import errors
from sspcloud_magics.cluster.api.api_errors import Conflict
from tests.kubectl.conftest import MANIFESTS, Kubectl, sleeper
from tests.testbed import Sandbox

pytestmark = pytest.mark.slow

COURSE = MANIFESTS / "course"
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": sleeper("x")["spec"]},
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 9000}]},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "web"},
    "stringData": {"word": "canary-word"},
}
SETTINGS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings"},
    "data": {"colour": "blue", "size": "3"},
}


def text_of(*objects: dict[str, Any]) -> str:
    return yaml.safe_dump_all(objects)


def managers(kubectl: Kubectl, ref: str) -> list[tuple[str, str, Any]]:
    """Return manager, operation and fields, without those that controllers write."""
    shown = kubectl("bob", "get", ref, "--show-managed-fields", "-o", "json").check_output()
    entries = json.loads(shown)["metadata"]["managedFields"]
    return sorted(
        (entry["manager"], entry["operation"], json.dumps(entry["fieldsV1"], sort_keys=True))
        for entry in entries
    )


@pytest.fixture(autouse=True)
def bob(sandbox: Sandbox, kubectl: Kubectl) -> Iterator[None]:
    """Bob's session; afterwards, the objects of these tests are gone."""
    ssp.login(kubeconfig=sandbox.kubeconfig("bob"))
    yield
    ssp.close()
    refs = [
        "deployment/web",
        "service/web",
        "secret/web",
        "configmap/settings",
        "configmap/other",
        "pod/pg-proxy",
    ]
    kubectl("bob", "delete", *refs, "--ignore-not-found", "--grace-period=1")


@pytest.mark.parametrize("server_side", [True, False])
def test_kubectl_diff_finds_a_cells_objects_unchanged(kubectl: Kubectl, server_side: bool) -> None:
    text = text_of(DEPLOYMENT, SERVICE, SECRET, SETTINGS)
    applied = ssp.apply(text)
    assert str(applied).splitlines() == [
        "deployment.apps/web created",
        "service/web created",
        "secret/web created",
        "configmap/settings created",
    ]
    said = kubectl("bob", "diff", *(["--server-side"] if server_side else []), "-f", "-", stdin=text)
    assert (said.out, said.err, said.code) == ("", "", 0)


@pytest.mark.parametrize("server_side", [True, False])
def test_cell_finds_kubectls_objects_unchanged(kubectl: Kubectl, server_side: bool) -> None:
    text = text_of(DEPLOYMENT, SERVICE, SECRET, SETTINGS)
    kubectl("bob", "apply", *(["--server-side"] if server_side else []), "-f", "-", stdin=text).check_output()
    assert {each.outcome for each in ssp.apply(text, dry_run=True).objects} == {"unchanged"}
    assert {each.outcome for each in ssp.apply(text).objects} == {"unchanged"}
    assert {each.outcome for each in ssp.apply(text).objects} == {"unchanged"}
    said = kubectl("bob", "diff", *(["--server-side"] if server_side else []), "-f", "-", stdin=text)
    assert (said.out, said.code) == ("", 0)


def test_field_managers_are_those_of_kubectl(kubectl: Kubectl) -> None:
    ssp.apply(SETTINGS)
    ours = managers(kubectl, "cm/settings")
    kubectl("bob", "delete", "cm", "settings").check_output()
    kubectl("bob", "apply", "--server-side", "-f", "-", stdin=text_of(SETTINGS)).check_output()
    assert managers(kubectl, "cm/settings") == ours


def test_any_character_is_stored_as_by_kubectl(kubectl: Kubectl) -> None:
    text = text_of({**SETTINGS, "data": {"colour": "🐘 été \u2028 \x1b[31m", "script": "a\n\n  b\t\n"}})
    assert str(ssp.apply(text)) == "configmap/settings created"
    assert kubectl("bob", "diff", "--server-side", "-f", "-", stdin=text).code == 0
    kubectl("bob", "apply", "--server-side", "-f", "-", stdin=text).check_output()
    assert str(ssp.apply(yaml.safe_load(text))) == "configmap/settings unchanged"


def test_client_side_apply_is_taken_over_as_by_kubectl(kubectl: Kubectl) -> None:
    """A field that the text no longer has is removed, although client-side apply had set it."""
    text = text_of(SETTINGS)
    later = {**SETTINGS, "data": {"colour": "green"}}
    kubectl("bob", "apply", "-f", "-", stdin=text).check_output()
    assert str(ssp.apply(later)) == "configmap/settings configured"
    ours = managers(kubectl, "cm/settings")
    data = json.loads(kubectl("bob", "get", "cm", "settings", "-o", "json").check_output())["data"]
    assert data == {"colour": "green"}
    assert kubectl("bob", "diff", "-f", "-", stdin=text_of(later)).code == 0
    kubectl("bob", "delete", "cm", "settings").check_output()
    kubectl("bob", "apply", "-f", "-", stdin=text).check_output()
    kubectl("bob", "apply", "--server-side", "-f", "-", stdin=text_of(later)).check_output()
    assert managers(kubectl, "cm/settings") == ours


def test_conflict_names_the_field_and_force_takes_it(kubectl: Kubectl) -> None:
    kubectl(
        "bob", "apply", "--server-side", "--field-manager=ci", "-f", "-", stdin=text_of(SETTINGS)
    ).check_output()
    other = {**SETTINGS, "data": {"colour": "red"}}
    with pytest.raises(Conflict, match=r"configmap/settings") as raised:
        ssp.apply(other)
    assert 'conflict with "ci": .data.colour' in raised.value.why
    assert "--force-conflicts" in raised.value.hint
    assert str(ssp.apply(other, force_conflicts=True)) == "configmap/settings configured"


def test_course_texts_name_their_placeholders(kubectl: Kubectl) -> None:
    found = {}
    for path in sorted(COURSE.glob("*.yaml")):
        with pytest.raises(errors.UsageProblem, match="placeholder") as raised:
            ssp.apply(path)
        found[path.name] = raised.value.why
    assert found["pg-proxy.yaml"] == "line 13: user-XXXXXXXX (spec.containers[0].args[1])"
    assert found["role.yaml"] == "line 5: user-XXXXXX (metadata.namespace)"
    assert "line 8: user-XXXXXX (subjects[0].name)" in found["rolebinding.yaml"]
    assert kubectl("bob", "get", "pod", "pg-proxy").code == 1


def test_course_proxy_works_once_filled_in(kubectl: Kubectl) -> None:
    text = (COURSE / "pg-proxy.yaml").read_text().replace("user-XXXXXXXX", "user-alice")
    assert str(ssp.apply(text, wait=True)) == "pod/pg-proxy created"
    row = kubectl("bob", "get", "pods", "-l", "app=pg-proxy").table()[0]
    assert (row["NAME"], row["READY"], row["STATUS"]) == ("pg-proxy", "1/1", "Running")
    with pytest.raises(errors.ServerError, match="does not allow this change") as raised:
        ssp.apply(text.replace(":5432,fork", ":5433,fork"))
    assert raised.value.hint == "delete it and apply the text again: %k8s_delete pod pg-proxy"
    assert ssp.delete("pod", "pg-proxy").gone
    assert kubectl("bob", "get", "pod", "pg-proxy").code == 1


def test_course_role_is_refused_with_what_works(sandbox: Sandbox) -> None:
    ssp.login(kubeconfig=sandbox.kubeconfig("alice"))
    role, binding = (
        (COURSE / f"{name}.yaml").read_text().replace("user-XXXXXX", "user-alice")
        for name in ("role", "rolebinding")
    )
    with pytest.raises(errors.Forbidden) as raised:
        ssp.apply(f"{role}---\n{binding}")
    assert "attempting to grant RBAC permissions not currently held" in raised.value.why
    assert "Not sent: rolebinding" in raised.value.why
    assert raised.value.hint.startswith("%share_db DATABASE --with NAME")
    with pytest.raises(errors.TargetNotFound) as missing:
        ssp.apply(binding)
    assert missing.value.hint.startswith("%share_db DATABASE --with NAME")


def test_secret_values_are_in_no_output(kubectl: Kubectl) -> None:
    """Client-side apply leaves a copy of the Secret in an annotation."""
    kubectl("bob", "apply", "-f", "-", stdin=text_of(SECRET)).check_output()
    changed = {**SECRET, "stringData": {"word": "canary-other"}}
    preview = ssp.apply(changed, dry_run=True)
    shown = [
        ssp.get_yaml("secret", "web"),
        ssp.get_yaml("secrets"),
        ssp.get("secret", wide=True).to_csv(),
        repr(ssp.describe("secret/web")),
        repr(preview),
        "\n".join(preview.objects[0].difference),
    ]
    coded = kubectl("bob", "get", "secret", "web", "-o", "jsonpath={.data.word}").check_output()
    assert not [text for text in shown if "canary" in text or coded in text]
    assert [line for line in preview.objects[0].difference if line[0] in "+-"] == [
        "-  word: ●●●●●● (before)",
        "+  word: ●●●●●● (after)",
    ]


def test_table_has_kubectls_columns_and_cells(kubectl: Kubectl) -> None:
    ssp.apply(text_of(DEPLOYMENT, SERVICE), wait=True)
    for kind in ("deployments", "services", "pods"):
        listed = ssp.get(kind)
        rows = kubectl("bob", "get", kind).table()
        lines = repr(listed).splitlines()
        assert lines[0].split("   ")[0].strip() == "NAME"
        assert [word.strip() for word in lines[0].split("   ") if word.strip()] == list(rows[0])
        assert list(listed["name"]) == [row["NAME"] for row in rows]
    assert str(ssp.get("deploy", "web")["age"].dtype) == "timedelta64[us]"
