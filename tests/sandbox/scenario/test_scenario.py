"""The scenario of a new sandbox, as its users see it through the API and through a tunnel."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.support.kubectl import KUBECTL, kubectl
from tests.testbed import Sandbox

pytestmark = pytest.mark.slow

ALICE, CAROL = "user-alice", "user-carol"
SHARED, HIBERNATED, OLDER = "postgresql-cnpg-951239", "postgresql-cnpg-204871", "postgresql-439617"
INVITATION = f"{SHARED}-share-bob"


def fetch(sandbox: Sandbox, person: str, namespace: str, kind: str, *name: str) -> dict[str, Any]:
    got: dict[str, Any] = json.loads(
        kubectl(sandbox, person, "-n", namespace, "get", kind, *name, "-o", "json").check_output()
    )
    return got


def secret(sandbox: Sandbox, person: str, namespace: str, name: str) -> dict[str, str]:
    data = fetch(sandbox, person, namespace, "secret", name)["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items() if key != "postgres-port"}


@contextmanager
def forward(sandbox: Sandbox, namespace: str, target: str) -> Iterator[int]:
    """Forward to a database with kubectl, as the admin, and give the local port."""
    command = [KUBECTL, "-n", namespace, "port-forward", target, ":5432"]
    with subprocess.Popen(
        command, env=sandbox.env("admin"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline().split(" -> ")[0].rpartition(":")[2])
        finally:
            process.terminate()


def test_what_runs(sandbox: Sandbox) -> None:
    columns = ["-o", "custom-columns=:metadata.namespace,:metadata.name,:status.phase", "--no-headers"]
    rows = {tuple(line.split()) for line in kubectl(sandbox, "admin", "get", "pods", "-A", *columns).lines}
    assert {
        (ALICE, "mon-api-abcdef-12345", "Running"),
        (ALICE, f"{SHARED}-1", "Running"),
        (CAROL, f"{OLDER}-0", "Running"),
    } <= rows
    assert not [row for row in rows if row[1].startswith(HIBERNATED)]


@pytest.mark.parametrize("person", ["alice", "bob", "carol"])
def test_person_is_admin_at_home_and_nowhere_else(sandbox: Sandbox, person: str) -> None:
    who = fetch(sandbox, person, f"user-{person}", "rolebinding", "full_control_namespace")
    assert who["subjects"][0]["name"] == f"oidc-{person}"
    other = "user-carol" if person != "carol" else ALICE
    assert kubectl(sandbox, person, "auth", "can-i", "list", "secrets", "-n", other).out == "no\n"


def test_discovery_secret_has_the_charts_layout(sandbox: Sandbox) -> None:
    found = fetch(sandbox, "alice", ALICE, "secret", f"discoverable-{SHARED}")
    assert found["metadata"]["annotations"]["onyxia/discovery"] == "postgres"
    assert found["data"]["postgres-port"] == "5432", "raw digits, as in the chart"
    values = secret(sandbox, "alice", ALICE, f"discoverable-{SHARED}")
    assert values["postgres-service"] == f"{SHARED}-rw"
    assert values["postgres-database"] == "defaultdb"
    user = secret(sandbox, "alice", ALICE, f"{SHARED}-user")
    superuser = secret(sandbox, "alice", ALICE, f"{SHARED}-superuser")
    assert values["password"] == user["password"] == superuser["password"]
    assert secret(sandbox, "alice", ALICE, f"{SHARED}-app")["username"] == "app"


def test_the_charts_network_policy_selects_no_pod(sandbox: Sandbox) -> None:
    policy = fetch(sandbox, "alice", ALICE, "networkpolicy", f"{SHARED}-isolation")
    labels = fetch(sandbox, "alice", ALICE, "pod", f"{SHARED}-1")["metadata"]["labels"]
    assert not policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_bob_reads_what_he_is_invited_to_only(sandbox: Sandbox, tmp_path: Path) -> None:
    said = secret(sandbox, "bob", ALICE, INVITATION)
    (tmp_path / "ca.crt").write_text(said["ca.crt"])
    with (
        forward(sandbox, ALICE, f"pod/{SHARED}-1") as port,
        psycopg.connect(
            host=said["host"],
            hostaddr="127.0.0.1",
            port=port,
            dbname=said["database"],
            user=said["user"],
            password=said["password"],
            sslmode="verify-full",
            sslrootcert=str(tmp_path / "ca.crt"),
            autocommit=True,
        ) as connection,
    ):
        counted = connection.execute("SELECT count(*), count(salaire_net) FROM individus").fetchone()
        assert counted is not None
        assert counted[0] > 100_000
        assert 0 < counted[1] < counted[0]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TABLE mine (a int)")
        connection.execute("SET default_transaction_read_only = off")
        for statement in ("CREATE TABLE mine (a int)", "DELETE FROM individus", "DROP TABLE regions"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    for words in (
        ["get", "secret", f"{SHARED}-superuser"],
        ["get", "secrets"],
        ["get", "pods"],
        ["get", "endpoints", "mon-api"],
    ):
        assert "Error from server (Forbidden)" in kubectl(sandbox, "bob", "-n", ALICE, *words).err


def test_carol_may_not_read_bobs_invitation(sandbox: Sandbox) -> None:
    assert "Forbidden" in kubectl(sandbox, "carol", "-n", ALICE, "get", "secret", INVITATION).err


def test_the_older_chart_has_a_database_too(sandbox: Sandbox) -> None:
    said = secret(sandbox, "carol", CAROL, f"discoverable-{OLDER}")
    login = {
        "dbname": said["postgres-database"],
        "user": said["postgres-username"],
        "password": said["password"],
    }
    with (
        forward(sandbox, CAROL, f"svc/{OLDER}") as port,
        psycopg.connect(host="127.0.0.1", port=port, **login) as connection,
    ):
        assert connection.execute("SELECT current_user").fetchone() == ("carol",)
        assert not connection.pgconn.ssl_in_use


def test_hibernated_database_wakes_without_its_claim(sandbox: Sandbox) -> None:
    def hibernate(state: str) -> None:
        what = ["clusters.postgresql.cnpg.io", HIBERNATED, f"cnpg.io/hibernation={state}"]
        kubectl(sandbox, "admin", "-n", ALICE, "annotate", "--overwrite", *what).check_output()

    def wait(*words: str) -> None:
        kubectl(sandbox, "alice", "wait", "--timeout=60s", *words).check_output()

    user = secret(sandbox, "alice", ALICE, f"{HIBERNATED}-user")
    login = {
        "dbname": "defaultdb",
        "user": user["username"],
        "password": user["password"],
        "sslmode": "require",
    }
    first, second = f"{HIBERNATED}-1", f"{HIBERNATED}-2"
    hibernate("off")
    try:
        wait("--for=create", f"pod/{first}")
        wait("--for=condition=Ready", f"pod/{first}")
        with (
            forward(sandbox, ALICE, f"pod/{first}") as port,
            psycopg.connect(host="127.0.0.1", port=port, **login) as connection,
        ):
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        kubectl(sandbox, "alice", "delete", "pvc", first).check_output()
        kubectl(sandbox, "alice", "delete", "pod", first).check_output()
        wait("--for=create", f"pod/{second}")
        wait("--for=condition=Ready", f"pod/{second}")
        with (
            forward(sandbox, ALICE, f"svc/{HIBERNATED}-rw") as port,
            psycopg.connect(host="127.0.0.1", port=port, **login) as connection,
        ):
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        hibernate("on")
        wait("--for=delete", f"pod/{second}")


def test_secrets_are_in_no_log_and_no_command_line(sandbox: Sandbox) -> None:
    hidden = {secret(sandbox, "bob", ALICE, INVITATION)["password"]}
    for namespace in (ALICE, CAROL):
        for item in fetch(sandbox, "admin", namespace, "secrets")["items"]:
            hidden |= {
                base64.b64decode(item["data"].get(key, "")).decode()
                for key in ("password", "postgres-password")
            }
    hidden |= {
        str(line.split()[-1])
        for line in sandbox.kubeconfig("bob").read_text().splitlines()
        if "token:" in line
    }
    hidden.discard("")
    assert len(hidden) >= 5
    written = [(sandbox.home / "sandbox.log").read_text()]
    server = psutil.Process(sandbox.pid)
    written += [" ".join(process.cmdline()) for process in [server, *server.children(recursive=True)]]
    written += [log.read_text() for log in sandbox.home.rglob("*.log")]
    assert not [text for text in written for value in hidden if value in text]
