"""The doctor on a real cluster: what is fine, what is broken, and its hints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sspcloud_magics import session
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Finding, Verdict
from sspcloud_magics.doctor.report import Report
from sspcloud_magics.doctor.runner import examine
from sspcloud_magics.sandbox import account
from sspcloud_magics.session import session as session_module
from tests.support.database import DATABASE
from tests.support.kubectl import kubectl
from tests.testbed import Sandbox

pytestmark = pytest.mark.slow

Examine = Callable[..., Report]


@pytest.fixture
def doctor(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Examine]:
    monkeypatch.setattr(session_module, "session", session_module.Session())

    def run(person: str, wanted: str | None = None, kubeconfig: Path | None = None, **environ: str) -> Report:
        file = kubeconfig or sandbox.kubeconfig(person)
        context = DoctorContext(
            lambda: find_cluster(kubeconfig=file, environ={}), session_module.manager, wanted, None, environ
        )
        try:
            return examine(context)
        finally:
            if context.cluster is not None:
                context.cluster.close()

    yield run
    session.close()


@contextmanager
def apply_objects(sandbox: Sandbox, person: str, *objects: dict[str, Any]) -> Iterator[None]:
    manifest = yaml.safe_dump_all(objects)
    kubectl(sandbox, person, "apply", "-f", "-", stdin=manifest).check_output()
    try:
        yield
    finally:
        kubectl(sandbox, person, "delete", "--wait=false", "-f", "-", stdin=manifest).check_output()


def find_one(report: Report, step: str, verdict: Verdict | None = None) -> Finding:
    matching = [f for f in report.findings if f.step == step and verdict in (None, f.verdict)]
    assert matching, f"nothing on {step}:\n{report}"
    return matching[0]


def test_owner_is_told_all_is_well_but_the_network(doctor: Examine) -> None:
    report = doctor("alice", DATABASE)
    assert report.healthy, str(report)
    for step in ("Configuration", "Server", "Clock", "Identity", "Permissions", "Quota", "Target", "Pods", "Tunnel",
                 "Route", "Login", "Tables", "Connections", "Environment", "Roles", "Secrets"):  # fmt: skip
        assert find_one(report, step).verdict is Verdict.FINE, str(report)
    network = find_one(report, "Network")
    assert network.verdict is Verdict.LOOK
    assert f"{DATABASE}-isolation selects no pod" in " ".join([network.what, *network.evidence])
    assert "MiB/s" in " ".join(find_one(report, "Login").evidence)
    assert f"{DATABASE}-app" in find_one(report, "Secrets").what
    assert session_module.open_forwards() == [], "a forward was left open"


def test_a_colleague_is_told_of_what_was_shared(doctor: Examine) -> None:
    report = doctor("bob", f"user-alice/{DATABASE}")
    assert report.healthy, str(report)
    assert "write 0." in find_one(report, "Tables").what
    assert "of 10" in " ".join(find_one(report, "Connections").evidence)


def test_open_forwards_and_transactions_stay_open(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "session", session_module.Session())
    session.login(kubeconfig=sandbox.kubeconfig("alice"))
    try:
        connection = session.connect_db(DATABASE)
        connection.psycopg.execute("BEGIN")
        connection.psycopg.execute("CREATE TEMPORARY TABLE begun AS SELECT 42 AS answer")
        report = session.doctor(DATABASE)
        assert "it was open already" in find_one(report, "Tunnel", Verdict.FINE).evidence
        assert connection.psycopg.execute("SELECT answer FROM begun").fetchone() == (42,)
        (forward,) = session_module.open_forwards()
        assert forward.is_live
        mine = session.forward(f"svc/{DATABASE}-rw", "0:5432")
        session.doctor(f"svc/{DATABASE}-rw")
        assert mine.is_live
    finally:
        session.close()


def test_missing_target_checks_the_cluster_only(doctor: Examine) -> None:
    report = doctor("bob")
    assert report.healthy
    assert find_one(report, "Tunnel").verdict is Verdict.NOT_NEEDED
    assert "%k8s_doctor TARGET" in find_one(report, "Tunnel").what


def test_unknown_name_breaks_the_target_only(doctor: Examine) -> None:
    report = doctor("alice", "mon-apy")
    assert find_one(report, "Target").verdict is Verdict.BROKEN
    assert find_one(report, "Permissions").verdict is Verdict.FINE
    assert find_one(report, "Tunnel").verdict is Verdict.NOT_NEEDED


def test_down_server_ends_dependent_checks_only(doctor: Examine, sandbox: Sandbox, tmp_path: Path) -> None:
    document = yaml.safe_load(sandbox.kubeconfig("bob").read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(document))
    report = doctor("bob", DATABASE, file, PGHOST="elsewhere")
    server = find_one(report, "Server")
    assert server.verdict is Verdict.BROKEN
    assert "port 1" in server.what
    assert server.hint
    assert find_one(report, "Permissions").verdict is Verdict.NOT_NEEDED
    assert "PGHOST" in find_one(report, "Environment").what


def test_no_configuration_is_a_finding_too(doctor: Examine, tmp_path: Path) -> None:
    report = doctor("bob", None, tmp_path / "missing")
    assert find_one(report, "Configuration").verdict is Verdict.BROKEN
    assert {f.verdict for f in report.findings[1:]} == {Verdict.NOT_NEEDED}


def test_unverified_server_and_refused_token_are_told(
    doctor: Examine, sandbox: Sandbox, tmp_path: Path
) -> None:
    script = account.login_script("carol", sandbox.home, id_token_seconds=-60, login_seconds=-30)
    file = tmp_path / "config"
    subprocess.run(
        ["/bin/sh", "-e"],
        input=script,
        text=True,
        env=sandbox.env("carol") | {"KUBECONFIG": str(file)},
        check=True,
        capture_output=True,
    )
    report = doctor("carol", None, file)
    assert "copy the script again" in str(report)
    assert not report.healthy
    fresh = account.login_script("carol", sandbox.home)
    file.unlink()
    subprocess.run(
        ["/bin/sh", "-e"],
        input=fresh,
        text=True,
        env=sandbox.env("carol") | {"KUBECONFIG": str(file)},
        check=True,
        capture_output=True,
    )
    report = doctor("carol", None, file)
    assert report.healthy, str(report)
    assert "not verified" in find_one(report, "Server").what
    assert "renews itself" in find_one(report, "Credentials").what


def test_viewing_service_account_is_told_what_it_lacks(
    doctor: Examine, sandbox: Sandbox, tmp_path: Path
) -> None:
    name = "jupyter-viewer"
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": "user-carol"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "user-carol"}],
    }
    service_account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": "user-carol"},
    }
    with apply_objects(sandbox, "carol", service_account, binding):
        token = kubectl(sandbox, "carol", "create", "token", name).check_output().strip()
        document = yaml.safe_load(sandbox.kubeconfig("carol").read_text())
        document["users"][0]["user"] = {"token": token}
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(document))
        report = doctor("carol", None, file)
    rights = find_one(report, "Permissions")
    assert rights.verdict is Verdict.BROKEN
    assert "may not forward to pods" in rights.evidence
    assert "may list pods" in rights.evidence
    assert rights.hint
    assert find_one(report, "Roles").verdict is Verdict.NOT_NEEDED


def test_useless_and_leaking_roles_are_told(doctor: Examine, sandbox: Sandbox) -> None:
    group = "rbac.authorization.k8s.io"

    def role(name: str, resource: str, *names: str) -> dict[str, Any]:
        rule = {"apiGroups": [""], "resources": [resource], "verbs": ["get"], "resourceNames": list(names)}
        return {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": name}, "rules": [rule]}

    def make_binding(name: str, user: str) -> dict[str, Any]:
        return {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        }

    everything = role("course", "services/portforward"), role("leak", "secrets", DATABASE)
    with apply_objects(sandbox, "admin", *({**each, "metadata": {**each["metadata"], "namespace": "user-carol"}} for each in (
        *everything, make_binding("course", "user-bob"), make_binding("leak", "oidc-bob")))):  # fmt: skip
        report = doctor("carol")
    told = [f.what for f in report.findings if f.step == "Roles" and f.verdict is Verdict.BROKEN]
    assert len(told) == 3, str(report)
    assert "services/portforward" in told[0]
    assert "user-bob" in told[1]
    assert "own password" in told[2]
    clean = str(report.redact())
    assert "bob" not in clean
    assert "carol" not in clean


def unpullable(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "nope/nope:1"}]},
    }


@pytest.mark.parametrize("target", ["pod/stuck", "svc/stuck"])
def test_pod_whose_image_cannot_be_had_is_told(doctor: Examine, sandbox: Sandbox, target: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "stuck"},
        "spec": {"selector": {"app": "stuck"}, "ports": [{"port": 80}]},
    }
    with apply_objects(sandbox, "alice", unpullable("stuck"), service):
        reason = "jsonpath={.status.containerStatuses[0].state.waiting.message}"
        subprocess.run(
            ["kubectl", "wait", f"--for={reason}", "pod/stuck", "--timeout=60s"],
            env=sandbox.env("alice"),
            check=True,
            capture_output=True,
        )
        report = doctor("alice", target)
    assert not report.healthy
    said = " ".join(find_one(report, "Pods", Verdict.BROKEN).evidence)
    assert "ImagePull" in said
    assert "pull access denied" in said


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """Return a Deployment or a StatefulSet of a pod that cannot be had."""
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": unpullable("x")["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": pod, **spec},
    }


@pytest.mark.parametrize(
    ("kind", "short"), [("Deployment", "deploy"), ("StatefulSet", "sts")], ids=["deploy", "sts"]
)
def test_workload_says_what_its_pods_wait_for(
    doctor: Examine, sandbox: Sandbox, kind: str, short: str
) -> None:
    name = f"stuck-{short}"
    more = {"serviceName": name} if kind == "StatefulSet" else {}
    with apply_objects(sandbox, "alice", workload(kind, name, **more)):
        for what, state in (
            (f"{short}/{name}", "replicas}=1"),
            ("pod", "containerStatuses[0].state.waiting.message}"),
        ):
            one = ("-l", f"app={name}") if what == "pod" else ()
            wait = ("wait", f"--for=jsonpath={{.status.{state}", what, *one, "--timeout=60s")
            kubectl(sandbox, "alice", *wait).check_output()
        report = doctor("alice", f"{short}/{name}")
    said = " ".join(find_one(report, "Pods", Verdict.BROKEN).evidence)
    assert "ImagePull" in said
    assert "pull access denied" in said


def test_workload_without_pods_says_why(doctor: Examine, sandbox: Sandbox) -> None:
    with apply_objects(sandbox, "alice", workload("Deployment", "asleep", replicas=0)):
        report = doctor("alice", "deploy/asleep")
    assert "scaled to zero" in " ".join(find_one(report, "Pods", Verdict.BROKEN).evidence)


def test_a_quota_that_is_full_is_told(doctor: Examine, sandbox: Sandbox) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": "user-carol"},
        "spec": {"hard": {"pods": "0"}},
    }
    with apply_objects(sandbox, "admin", quota):
        report = doctor("carol")
    assert find_one(report, "Quota").verdict is Verdict.LOOK
    assert "of 0" in " ".join(find_one(report, "Quota").evidence)


def test_terminal_gets_text_and_an_exit_code(sandbox: Sandbox) -> None:
    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "sspcloud_magics", "doctor", *words]
        command += ["--kubeconfig", str(sandbox.kubeconfig("alice"))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert not done.stderr
        return done.returncode, done.stdout

    code, text = run("svc/mon-api", "--json", "--redacted")
    assert code == 0
    assert json.loads(text)["healthy"] is True
    assert "alice" not in text
    code, text = run("nonsense")
    assert code == 1
    assert "✗ Target" in text
