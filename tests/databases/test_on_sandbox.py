"""The whole route to a database on the sandbox: discovery, forward, verification, login."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import trustme
from kubernetes import client, config, watch

from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.databases import credentials
from sspcloud_magics.databases.discovery import Database, databases
from sspcloud_magics.databases.postgres import libpq
from sspcloud_magics.databases.postgres.libpq import Tls
from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import (
    ConnectionLost,
    CredentialsNotFound,
    DatabaseHibernated,
    DatabaseNotFound,
    DatabaseNotTrusted,
    Forbidden,
    LoginRefused,
    QueryFailed,
    UsageProblem,
)
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.secret import Secret
from tests.databases.test_forked_sessions import in_child
from tests.support.database import DATABASE as F
from tests.support.queries import connect, query

ASLEEP = "postgresql-cnpg-204871"


@pytest.fixture(scope="module")
def manager():
    made = ForwardManager()
    yield made
    made.close()


@pytest.fixture(scope="module")
def people(sandbox):
    """Return the cluster with the identity of a user."""
    clusters = {
        name: find_cluster(kubeconfig=str(sandbox.kubeconfig(name))) for name in ("alice", "bob", "carol")
    }
    yield clusters.__getitem__
    for cluster in clusters.values():
        cluster.close()


@pytest.fixture
def open_to(manager, people):
    """Connect as a user; everything is closed afterwards, and no forward stays."""
    opened: list[DatabaseConnection] = []

    def open_(person: str, name: str, **how: object) -> DatabaseConnection:
        opened.append(connect(people(person), manager, name, **how))
        return opened[-1]

    yield open_
    for made in opened:
        made.close()
    assert manager.forwards() == []


@pytest.fixture
def viewer(sandbox, people):
    """A notebook service of alice's with the role view: a service account, by its token."""
    api = config.new_client_from_config(str(sandbox.kubeconfig("alice")))
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    meta = {"name": "jupyter-viewer"}
    subject = {"kind": "ServiceAccount", "name": "jupyter-viewer", "namespace": "user-alice"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    core.create_namespaced_service_account("user-alice", {"metadata": meta})
    rbac.create_namespaced_role_binding(
        "user-alice", {"metadata": meta, "subjects": [subject], "roleRef": role}
    )
    token = core.create_namespaced_service_account_token(
        "jupyter-viewer", "user-alice", {"spec": {"audiences": []}}
    )
    alice = people("alice")
    file = sandbox.home / "viewer-token"
    file.write_text(token.status.token)
    authority = sandbox.home / "viewer-ca"
    authority.write_text(alice.access().ca)
    viewing = find_cluster(
        server=alice.server, token_file=str(file), ca_file=str(authority), namespace="user-alice"
    )
    yield viewing
    viewing.close()
    rbac.delete_namespaced_role_binding("jupyter-viewer", "user-alice")
    core.delete_namespaced_service_account("jupyter-viewer", "user-alice")
    api.close()


def states(cluster: Cluster, namespace: str | None = None) -> dict[str, str]:
    return {database.name: database.state for database in databases(cluster, namespace)}


def test_an_owner_sees_what_runs_and_what_hibernates(people):
    assert states(people("alice")) == {F: "running", ASLEEP: "hibernated"}
    assert states(people("carol")) == {"postgresql-439617": "running"}
    assert states(people("bob")) == {}


def test_viewer_sees_the_same_without_reading_a_secret(viewer, manager):
    assert states(viewer) == {F: "running", ASLEEP: "hibernated"}
    with pytest.raises(CredentialsNotFound) as raised:
        connect(viewer, manager, F)
    assert "You may not read the secret" in raised.value.why
    assert "--user" in raised.value.hint


def test_a_stranger_may_list_nothing(people):
    with pytest.raises(Forbidden, match="user-alice"):
        databases(people("bob"), "user-alice")


def test_an_owner_is_the_charts_user_over_verified_tls(open_to):
    connection = open_to("alice", F)
    row = query(
        connection,
        "select current_user as u, current_database() as d, rolsuper as s from pg_roles where rolname = current_user",
    )
    assert row.iloc[0].tolist() == ["alice", "defaultdb", False]
    assert connection.tls is Tls.VERIFIED
    assert connection.psycopg.pgconn.ssl_in_use


def test_a_unique_beginning_of_a_name_is_enough(open_to):
    assert open_to("alice", "postgresql-cnpg-95").database.name == F


def test_colleague_connects_by_their_own_secret(open_to):
    connection = open_to("bob", f"user-alice/{F}")
    assert connection.tls is Tls.VERIFIED
    assert query(connection, "select count(*) as n from individus")["n"].iloc[0] > 100_000
    for attempt in ("delete from individus", "create table stolen(a int)", "update communes set nom = ''"):
        with pytest.raises(QueryFailed, match=r"permission denied|read-only"):
            query(connection, attempt)


def test_a_namespace_may_be_said_apart(open_to):
    assert open_to("bob", F, namespace="user-alice").database.path == f"user-alice/{F}"


@pytest.mark.parametrize("superuser", ["postgres", "root"])
def test_a_superusers_secret_is_never_used(people, sandbox, superuser):
    api = config.new_client_from_config(str(sandbox.kubeconfig("alice")))
    core = client.CoreV1Api(api)
    secret = {"metadata": {"name": "odd-user"}, "stringData": {"username": superuser, "password": "x"}}
    core.create_namespaced_secret("user-alice", secret)
    try:
        with pytest.raises(CredentialsNotFound):
            credentials.read_credentials(
                people("alice"), Database("odd", "user-alice", "postgres", "odd-rw", 5432)
            )
    finally:
        core.delete_namespaced_secret("odd-user", "user-alice")
        api.close()


def test_what_is_not_shared_with_me_is_said(people, manager):
    with pytest.raises(CredentialsNotFound, match=F) as raised:
        connect(people("carol"), manager, f"user-alice/{F}")
    assert f"{F}-share-carol" in raised.value.why
    assert f"%share_db {F} --with carol" in raised.value.hint
    assert manager.forwards() == []


def test_the_older_chart_without_tls_is_said(open_to):
    connection = open_to("carol", "postgresql-439617")
    assert connection.tls is Tls.ABSENT
    assert "no TLS" in repr(connection)
    assert query(connection, "select current_user as u")["u"].tolist() == ["carol"]


def test_hibernated_and_missing_databases_are_told(people, manager):
    with pytest.raises(DatabaseHibernated, match="hibernated"):
        connect(people("alice"), manager, ASLEEP)
    with pytest.raises(DatabaseNotFound, match="nope") as raised:
        connect(people("alice"), manager, "nope")
    assert F in raised.value.why


def test_what_a_colleague_told_is_enough(open_to, people):
    """A user and a password that are typed, and a URL; the share's authority still verifies the server."""
    shared = open_to("bob", f"user-alice/{F}")
    password = shared._login.password
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return password.reveal()

    typed = open_to("bob", f"user-alice/{F}", user=shared.user, ask_password=ask)
    assert (typed.user, typed.tls) == (shared.user, Tls.VERIFIED)
    assert prompts == [f"Password of {shared.user} on user-alice/{F}: "]
    url = Secret(f"postgresql://{shared.user}:{password.reveal()}@whatever:1/defaultdb?sslmode=disable")
    assert query(open_to("bob", f"user-alice/{F}", url=url), "select 1 as a")["a"].tolist() == [1]


def test_forward_right_needs_name_and_password_only(open_to, sandbox):
    """Without permission to list anything or to read a Secret, the certificate cannot be verified."""
    password = open_to("bob", f"user-alice/{F}")._login.password
    api = config.new_client_from_config(str(sandbox.kubeconfig("alice")))
    rbac = client.RbacAuthorizationV1Api(api)
    meta = {"name": "carol-may-forward"}
    rules = [
        {
            "apiGroups": [""],
            "resources": ["endpoints"],
            "resourceNames": [f"{F}-rw"],
            "verbs": ["get", "list", "watch"],
        },
        {
            "apiGroups": [""],
            "resources": ["pods/portforward"],
            "resourceNames": [f"{F}-1"],
            "verbs": ["get", "create"],
        },
    ]
    subject = {"kind": "User", "name": "oidc-carol", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "carol-may-forward"}
    rbac.create_namespaced_role("user-alice", {"metadata": meta, "rules": rules})
    rbac.create_namespaced_role_binding(
        "user-alice", {"metadata": meta, "subjects": [subject], "roleRef": role}
    )
    try:
        connection = open_to(
            "carol", f"user-alice/{F}", user="share_bob", ask_password=lambda _: password.reveal()
        )
        assert query(connection, "select current_user as u")["u"].tolist() == ["share_bob"]
        assert connection.tls is Tls.UNVERIFIED
    finally:
        rbac.delete_namespaced_role_binding("carol-may-forward", "user-alice")
        rbac.delete_namespaced_role("carol-may-forward", "user-alice")
        api.close()


def test_share_is_found_by_user_from_any_namespace(people, manager):
    elsewhere = people("bob").with_namespace("default")
    connection = connect(elsewhere, manager, f"user-alice/{F}")
    assert connection.user == "share_bob"
    connection.close()


def test_a_wrong_password_leaves_what_was_open(open_to, people, manager):
    before = open_to("bob", f"user-alice/{F}")
    with pytest.raises(LoginRefused, match="share_bob"):
        connect(people("bob"), manager, f"user-alice/{F}", user="share_bob", ask_password=lambda _: "wrong")
    assert query(before, "select 1 as a")["a"].tolist() == [1]
    before.close()
    with pytest.raises(LoginRefused):
        connect(people("bob"), manager, f"user-alice/{F}", user="share_bob", ask_password=lambda _: "wrong")
    assert manager.forwards() == []


@pytest.mark.parametrize("ask", [None, lambda _: ""], ids=["no terminal", "nothing typed"])
def test_without_a_password_nothing_is_opened(people, manager, ask):
    with pytest.raises(CredentialsNotFound):
        connect(people("alice"), manager, F, user="alice", ask_password=ask)
    assert manager.forwards() == []


@pytest.mark.parametrize(
    "url", ["postgresql://%zz-canary", "canary", "postgresql://canary@host/db", "postgresql://:canary@host"]
)
def test_a_url_that_says_too_little_is_not_quoted(people, manager, url):
    with pytest.raises(UsageProblem) as raised:
        connect(people("alice"), manager, F, url=Secret(url))
    assert "canary" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_shared_forward_ends_with_its_last_connection(open_to, manager):
    first, second = open_to("bob", f"user-alice/{F}"), open_to("bob", f"user-alice/{F}")
    assert first.forward is second.forward
    assert len(manager.forwards()) == 1
    first.close()
    assert query(second, "select 1 as a")["a"].tolist() == [1]
    second.close()
    assert manager.forwards() == []


def test_a_forward_of_the_users_own_stays(open_to, manager, people):
    from sspcloud_magics.target import PortText, Target

    mine = manager.forward(people("alice"), Target("user-alice", "service", f"{F}-rw"), [PortText(5432)])
    connection = open_to("alice", F)
    assert connection.forward is mine
    connection.close()
    assert manager.forwards() == [mine]
    mine.stop()


def test_impostor_server_gets_no_password(open_to):
    connection = open_to("alice", F)
    stranger = trustme.CA().cert_pem.bytes().decode()
    with pytest.raises(DatabaseNotTrusted, match="cannot be trusted"):
        DatabaseConnection(connection.database, replace(connection._login, ca=stranger))
    with pytest.raises(DatabaseNotTrusted, match="cannot be trusted"):
        DatabaseConnection(connection.database, replace(connection._login, host="another-rw.user-alice.svc"))
    assert query(connection, "select 1 as a")["a"].tolist() == [1]


def test_tls_without_the_authority_is_told_unverified(open_to):
    connection = open_to("alice", F)
    unverified = DatabaseConnection(connection.database, replace(connection._login, ca=None))
    assert unverified.tls is Tls.UNVERIFIED
    assert unverified.psycopg.pgconn.ssl_in_use
    assert "not verified" in repr(unverified)
    unverified.close()


def test_environment_does_not_interfere_with_tls(open_to, hostile_login):
    login = open_to("alice", F)._login
    assert hostile_login(login).endswith("sspcloud-magics verified")
    assert hostile_login(replace(login, ca=None)).endswith("sspcloud-magics unverified")


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_authority_goes_with_the_connection(open_to, tmp_path, monkeypatch, platform):
    login = open_to("alice", F)._login
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.platform", platform)

    def list_kept() -> set[int]:
        """Return the inodes of the memory files; another thread may close a descriptor while they are listed."""
        kept = set()
        for file in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if "memfd:sspcloud" in str(file.readlink()):
                    kept.add(file.stat().st_ino)
        return kept

    before = list_kept()
    session, _ = libpq.log_in(login)
    if platform == "linux":
        assert list(tmp_path.iterdir()) == []
        assert len(list_kept() - before) == 1
    else:
        [directory] = tmp_path.iterdir()
        assert (directory.stat().st_mode & 0o777, (directory / "text.pem").stat().st_mode & 0o777) == (
            0o700,
            0o600,
        )
    session.cancel_safe()  # a second connection, which reads it again
    session.close()
    del session
    for _ in range(2):
        assert (list(tmp_path.iterdir()), list_kept() - before) == ([], set())
        with pytest.raises(psycopg.OperationalError, match="certificate"):
            libpq.log_in(replace(login, ca="nonsense"))


def test_an_interruption_cancels_through_the_tunnel(open_to):
    connection = open_to("bob", f"user-alice/{F}")
    query(connection, "set statement_timeout to '30s'")
    with pytest.raises(QueryFailed, match="24"):
        query(connection, "select time '24:00' from individus, individus as others")
    assert query(connection, "select 1 as a")["a"].tolist() == [1]


def test_a_replaced_pod_costs_at_most_one_statement(open_to, sandbox):
    connection = open_to("alice", F)
    query(connection, "select 1")
    api = config.new_client_from_config(str(sandbox.kubeconfig("alice")))
    core = client.CoreV1Api(api)
    gone = core.read_namespaced_pod(f"{F}-1", "user-alice").metadata.uid
    core.delete_namespaced_pod(f"{F}-1", "user-alice", grace_period_seconds=1)
    for event in watch.Watch().stream(core.list_namespaced_pod, "user-alice", timeout_seconds=60):
        pod = event["object"]
        ready = any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])
        if (pod.metadata.labels or {}).get("cnpg.io/cluster") == F and pod.metadata.uid != gone and ready:
            break
    api.close()
    try:
        result = run(connection, "select count(*) as n from individus")
    except ConnectionLost:
        result = run(connection, "select count(*) as n from individus")
    assert result.frame["n"].iloc[0] > 100_000


def test_forked_child_has_its_own_session_and_forward(open_to):
    connection = open_to("alice", F)
    query(connection, "begin; create temp table parents (n int)")
    port = connection.forward.local_port

    def ask() -> list[object]:
        gone = bool(query(connection, "select to_regclass('parents') is null as gone")["gone"][0])
        return [gone, connection.forward.local_port, str(connection.tls)]

    gone, childs_port, tls = in_child(ask)
    assert (gone, tls) == (True, Tls.VERIFIED)
    assert childs_port != port
    assert connection.forward.state == "active"
    assert connection.in_transaction
    assert query(connection, "select count(*) as n from parents")["n"].tolist() == [0]
    query(connection, "rollback")
