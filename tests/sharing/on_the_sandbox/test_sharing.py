"""Shares on the sandbox: Alice shares, Bob joins, Carol may not; shares expire, are revoked, and are completed."""

import json
import stat
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.cluster.api.resources import JOBS, SECRETS
from sspcloud_magics.cluster.requests import object_reads
from sspcloud_magics.errors import (
    CredentialsNotFound,
    DatabaseHibernated,
    DatabaseNotFound,
    Forbidden,
    LoginRefused,
    SspcloudError,
    TargetNotFound,
    UsageProblem,
)
from sspcloud_magics.session import recent_namespaces
from sspcloud_magics.sharing import apply
from sspcloud_magics.sharing.apply import ShareResult
from sspcloud_magics.sharing.plan import SharePlan
from tests.sharing.on_the_sandbox import notebook
from tests.sharing.on_the_sandbox.notebook import kubectl
from tests.support.database import DATABASE
from tests.support.shares import superuser
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PATH = f"user-alice/{DATABASE}"
KILLED = Path(__file__).with_name("share_until.py")
AWKWARD = 'enquête "2026"; DROP TABLE regions; --'


def share_name(colleague):
    return f"{DATABASE}-share-{colleague}"


def test_colleague_joins_with_the_owners_line(be):
    opened = ssp.share_db(DATABASE, ["bob", "carol"], reason="le cours")
    assert isinstance(opened, ShareResult)
    assert opened.line == f"%connect_db {PATH}"
    assert "check the spelling of the names" in opened.notes[0]  # nothing proves that they exist
    for person in ("bob", "carol"):
        be(person)
        connection = ssp.connect_db(opened.line.partition(" ")[2])
        assert (connection.user, connection.route.name) == (f"share_{person}", "forward")
        assert ssp.query_db("SELECT count(*) AS n FROM individus")["n"][0] > 100_000


def test_later_table_is_readable_and_nothing_writable(be):
    ssp.share_db(DATABASE, "bob")
    ssp.connect_db(DATABASE)
    ssp.query_db("CREATE TABLE later AS SELECT 42 AS answer")
    be("bob")
    ssp.connect_db(PATH)
    assert ssp.query_db("SELECT answer FROM later")["answer"][0] == 42
    with pytest.raises(SspcloudError, match="read-only transaction"):
        ssp.query_db("DELETE FROM later")
    with pytest.raises(SspcloudError, match="permission denied"):
        ssp.query_db("SET default_transaction_read_only = off; DELETE FROM later")
    be("alice")
    ssp.connect_db(DATABASE)
    ssp.query_db("DROP TABLE later")


def test_carol_sees_nothing_of_what_bob_was_given(be, sandbox):
    ssp.share_db(DATABASE, "bob")
    be("carol")
    with pytest.raises((CredentialsNotFound, Forbidden)):
        ssp.connect_db(PATH)
    # The network of this database is open to the cluster, as before the share: her own relay reaches the port.
    with ssp.forward(f"user-alice/svc/{DATABASE}-rw", ":5432") as forward:
        assert forward.destination == f"{DATABASE}-rw.user-alice.svc:5432"
    refused = kubectl(sandbox, "carol", "get", "secret", share_name("bob"), "-n", "user-alice")
    assert "Forbidden" in refused


def test_bob_reaches_no_other_pod_and_no_other_secret(be, sandbox):
    ssp.share_db(DATABASE, "bob")
    be("bob")
    with ssp.forward(f"user-alice/svc/{DATABASE}-rw", ":5432") as forward:
        assert forward.pod
    with pytest.raises(Forbidden):
        ssp.forward("user-alice/pod/mon-api-abcdef-12345", 8000)
    for secret in (DATABASE, f"{DATABASE}-superuser", f"{DATABASE}-ca"):
        assert "Forbidden" in kubectl(sandbox, "bob", "get", "secret", secret, "-n", "user-alice")
    assert "Forbidden" in kubectl(sandbox, "bob", "get", "pods", "-n", "user-alice")


def test_kubectl_may_forward_only_when_asked_for(be, sandbox):
    ask = ("auth", "can-i", "list", "pods", "-n", "user-alice")
    ssp.share_db(DATABASE, "bob")
    assert kubectl(sandbox, "bob", *ask).startswith("no")
    ssp.share_db(DATABASE, "bob", for_kubectl=True)
    assert kubectl(sandbox, "bob", *ask) == "yes"


def test_expired_role_may_not_log_in(be):
    ssp.share_db(DATABASE, "bob")
    be("bob")
    connected = ssp.connect_db(PATH)
    be("alice")
    owner = superuser()
    owner.psycopg.execute("ALTER ROLE share_bob VALID UNTIL '2000-01-01'")
    owner.close()
    connected.psycopg.close()
    with pytest.raises(LoginRefused, match="expired"):
        connected.ready()


def test_sharing_again_keeps_the_password(be):
    ssp.share_db(DATABASE, "bob", duration="1h")
    cluster = session.current_cluster()
    first = object_reads.secret(cluster, share_name("bob")).value("password")
    job = object_reads.get_object(cluster, JOBS, share_name("bob"))
    ssp.share_db(DATABASE, "bob", duration="2d", read_write=True)
    assert object_reads.secret(cluster, share_name("bob")).value("password") == first
    again = object_reads.get_object(cluster, JOBS, share_name("bob"))
    assert again["metadata"]["uid"] == job["metadata"]["uid"]
    assert again["spec"]["activeDeadlineSeconds"] >= 172_800
    (row,) = ssp.shares().to_dict("records")
    assert (row["access"], row["state"]) == ("read-write", "open")
    assert (row["until"] - datetime.now(UTC)).days == 1


def test_share_follows_a_renamed_replacement_pod(be, sandbox):
    ssp.share_db(DATABASE, "bob")
    claim = f"{DATABASE}-1"
    before = kubectl(sandbox, "alice", "get", "pods", "-l", f"cnpg.io/cluster={DATABASE}", "-o", "name")
    kubectl(sandbox, "admin", "delete", "pvc", claim, "-n", "user-alice", "--wait=false")
    kubectl(sandbox, "alice", "delete", before, "--wait=false")
    waited = ("wait", "--for=condition=Ready", f"cluster/{DATABASE}", "-n", "user-alice", "--timeout=30s")
    kubectl(sandbox, "admin", *waited)
    be("bob")
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = ssp.connect_db(PATH, timeout=10)
            break
        except SspcloudError:
            if time.monotonic() > deadline:
                raise
    assert connection.user == "share_bob"
    after = kubectl(sandbox, "alice", "get", "pods", "-l", f"cnpg.io/cluster={DATABASE}", "-o", "name")
    assert after != before


def test_sharing_again_without_the_network_closes_it(be, sandbox):
    policy = ("get", "networkpolicy", share_name("bob"), "-o", "name")
    opened = ssp.share_db(DATABASE, "bob", via="network")
    assert any("from now on, only" in note for note in opened.notes)
    assert share_name("bob") in kubectl(sandbox, "alice", *policy)
    ssp.share_db(DATABASE, "bob")
    assert "NotFound" in kubectl(sandbox, "alice", *policy)


def test_foreign_role_is_not_taken_over(be):
    owner = superuser()
    try:
        owner.psycopg.execute("CREATE ROLE share_bob")
        with pytest.raises(UsageProblem, match="no share created"):
            ssp.share_db(DATABASE, "bob")
        assert owner.psycopg.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'share_bob'"
        ).fetchone() == (False,)
        assert ssp.shares().empty
    finally:
        owner.psycopg.execute("DROP ROLE share_bob")
        owner.close()


def test_colleagues_read_what_one_of_them_will_create(be):
    ssp.share_db(DATABASE, "carol")
    ssp.share_db(DATABASE, "bob", read_write=True)
    be("bob")
    ssp.connect_db(PATH)
    ssp.query_db("CREATE TABLE of_bob AS SELECT 7 AS x")
    be("carol")
    ssp.connect_db(PATH)
    assert ssp.query_db("SELECT x FROM share_bob.of_bob")["x"][0] == 7
    with pytest.raises(SspcloudError, match="permission denied"):
        ssp.query_db("SET default_transaction_read_only = off; INSERT INTO share_bob.of_bob VALUES (8)")
    # Who may only read from now on does not keep what is his own.
    be("alice")
    ssp.share_db(DATABASE, "bob")
    be("bob")
    ssp.connect_db(PATH)
    with pytest.raises(SspcloudError, match="permission denied"):
        ssp.query_db("SET default_transaction_read_only = off; INSERT INTO share_bob.of_bob VALUES (8)")
    be("alice")
    ssp.connect_db(DATABASE)
    assert ssp.query_db("SELECT x FROM share_bob.of_bob")["x"][0] == 7
    ssp.query_db("DROP SCHEMA share_bob CASCADE")


def test_shared_with_me_is_listed_newest_first(be, sandbox):
    recent_namespaces.file().unlink(missing_ok=True)
    ssp.share_db(DATABASE, "bob", duration="1h")
    be("bob")
    assert "%databases -n user-NAME" in repr(ssp.databases())
    (row,) = ssp.databases(namespace="user-alice").to_dict("records")
    assert (row["namespace"], row["name"], row["database"]) == ("user-alice", DATABASE, "defaultdb")
    assert (row["state"], row["access"]) == ("running", "read-only")
    assert timedelta(0) < row["until"] - datetime.now(UTC) < timedelta(hours=1)
    ssp.close()  # as a new kernel
    be("bob")
    assert session.recent_use().namespaces == ()
    assert list(ssp.databases()["namespace"]) == ["user-alice"]
    assert PATH in repr(ssp.databases())  # as %connect_db takes it
    assert stat.S_IMODE(recent_namespaces.file().stat().st_mode) == 0o600
    be("carol")
    with pytest.raises(Forbidden):
        ssp.databases(namespace="user-alice")
    assert list(ssp.databases()["namespace"]) == ["user-carol"]  # what Bob has used is not hers


def test_the_newest_share_is_listed_first(be, sandbox):
    """Carol's copy of a share's Secret acts as the share of a second owner."""
    ssp.share_db(DATABASE, "bob")
    secret = yaml.safe_load(kubectl(sandbox, "alice", "get", "secret", share_name("bob"), "-o", "yaml"))
    copy = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": share_name("bob"),
            "namespace": "user-carol",
            "labels": secret["metadata"]["labels"],
        },
        "data": secret["data"],
    }
    rights = ("--verb=get", "--resource=secrets", f"--resource-name={share_name('bob')}")
    # Kubernetes counts the age of things in whole seconds.
    created = datetime.fromisoformat(secret["metadata"]["creationTimestamp"])
    wait_until(lambda: datetime.now(UTC) - created >= timedelta(seconds=1))
    try:
        notebook.apply(sandbox, copy)
        kubectl(sandbox, "carol", "create", "role", "copied", *rights)
        kubectl(sandbox, "carol", "create", "rolebinding", "copied", "--role=copied", "--user=oidc-bob")
        be("bob")
        ssp.databases(namespace="user-carol")
        ssp.databases(namespace="user-alice")
        assert list(ssp.databases()["namespace"]) == ["user-carol", "user-alice"]
    finally:
        kubectl(
            sandbox, "carol", "delete", "secret/" + share_name("bob"), "role/copied", "rolebinding/copied"
        )


def test_group_member_finds_the_groups_shares(be, sandbox):
    """Bob's namespace and name do not identify the share: the server says what he may read."""
    ssp.share_db(DATABASE, "projet-a-name-that-is-too-long-for-a-label-of-kubernetes")
    rights = list(ssp.shares()["role"])
    assert rights == ["share_projet-a-name-that-is-too-long-for-a-label-of-kubernetes"]
    (binding,) = kubectl(
        sandbox, "alice", "get", "rolebindings", "-l", "sspcloud-magics/database", "-o", "name"
    ).split()
    subject = '[{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": "oidc-bob"}}]'
    assert "patched" in kubectl(sandbox, "alice", "patch", binding, "--type=json", "-p", subject)
    be("bob")
    assert ssp.connect_db(PATH).user == rights[0]


def test_a_dry_run_makes_nothing_and_shows_no_password(be):
    plan = ssp.share_db(DATABASE, "bob", dry_run=True)
    assert isinstance(plan, SharePlan)
    assert ssp.shares().empty
    for shown in (repr(plan), plan._repr_html_()):
        assert "CREATE ROLE" in shown
        assert "activeDeadlineSeconds" in shown
        assert "SCRAM" not in shown


def test_no_object_but_the_secret_holds_the_password(be, sandbox):
    ssp.share_db(DATABASE, "bob", via="network")
    password = object_reads.secret(session.current_cluster(), share_name("bob")).value("password").reveal()
    kinds = "jobs,roles,rolebindings,networkpolicies,pods,configmaps,events"
    assert password not in kubectl(sandbox, "alice", "get", kinds, "-o", "yaml")
    assert password not in kubectl(sandbox, "alice", "logs", f"{DATABASE}-1")


def test_relay_reaches_the_database_in_an_open_network(be, sandbox):
    ssp.share_db(DATABASE, "bob", via="network")
    be("bob")
    connection = ssp.connect_db(PATH, route="relay")
    assert connection.route.name == "relay"
    assert ssp.query_db("SELECT current_user AS me")["me"][0] == "share_bob"
    be("carol")
    assert "Forbidden" in kubectl(sandbox, "carol", "get", "netpol", "-n", "user-alice")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((DATABASE, "alice"), UsageProblem),
        ((DATABASE, "Bob!"), UsageProblem),
        ((DATABASE, []), UsageProblem),
        (("postgresql-cnpg-204871", "bob"), DatabaseHibernated),
        (("no-such-database", "bob"), SspcloudError),
    ],
)
def test_what_cannot_be_shared_is_said(be, arguments, error):
    with pytest.raises(error) as refused:
        ssp.share_db(*arguments)
    assert refused.value.hint


@pytest.mark.parametrize(
    "more", [{"duration": "nonsense"}, {"duration": "0d"}, {"schemas": ["nowhere"]}, {"via": "pigeon"}]
)
def test_nonsense_is_refused_before_anything_is_made(be, more):
    with pytest.raises(UsageProblem):
        ssp.share_db(DATABASE, "bob", **more)
    assert ssp.shares().empty


def test_shares_are_listed_by_a_prefix_of_the_database(be):
    ssp.share_db(DATABASE, "bob")
    assert list(ssp.shares(DATABASE[:-2])["colleague"]) == ["bob"]
    with pytest.raises(DatabaseNotFound):
        ssp.shares("nothing")


def test_colleague_is_admitted_next_to_an_old_policy(be, sandbox):
    notebook.isolate(sandbox, "user-alice", DATABASE)
    try:
        plan = ssp.preview_share(DATABASE, "bob", via="network")
        assert any("network policy same-namespace-only restricts" in note for note in plan.notes)
        assert any("admits user-bob too, and restricts nothing" in note for note in plan.notes)
        ssp.share_db(DATABASE, "bob", via="network")
        be("bob")
        assert ssp.connect_db(PATH, route="relay").route.name == "relay"
    finally:
        notebook.open_again(sandbox, "user-alice")


def test_revoking_what_was_not_shared_names_the_shares(be):
    ssp.share_db(DATABASE, "bob")
    with pytest.raises(TargetNotFound) as refused:
        ssp.unshare(DATABASE, "dave")
    assert f"%unshare {DATABASE} bob" in refused.value.hint


@pytest.fixture
def no_jobs(sandbox):
    """A quota that leaves no room for a Job in Alice's namespace."""
    quota = ("quota", "no-jobs", "-n", "user-alice")
    kubectl(sandbox, "admin", "create", *quota, "--hard=count/jobs.batch=0")
    yield
    kubectl(sandbox, "admin", "delete", *quota)


def test_owners_next_session_ends_shares_without_jobs(be, no_jobs):
    opened = ssp.share_db(DATABASE, "bob", duration="1h")
    assert any("permissions in the cluster remain" in note for note in opened.notes)
    assert not any("new tunnels are refused" in note for note in opened.notes)
    be("bob")
    ssp.connect_db(PATH)
    be("alice")
    ssp.share_db(DATABASE, "bob", duration="1s")
    wait_until(lambda: list(ssp.shares()["state"]) == ["ended"])
    ssp.share_db(DATABASE, "carol")
    assert list(ssp.shares()["colleague"]) == ["carol"]
    ssp.connect_db(DATABASE)
    assert ssp.query_db("SELECT 1 FROM pg_roles WHERE rolname = 'share_bob'").empty


def test_ports_that_a_forward_opens_are_named(be):
    notes = ssp.preview_share(DATABASE, "bob").notes
    assert any(
        "every port of the pod (5432 (postgresql), 9187 (metrics) and 8000 (status))" in note
        for note in notes
    )


@pytest.fixture
def reads_clusters(sandbox):
    """Permission to read the operator's objects, which some platforms grant to a namespace's owner."""
    rights = ("--verb=get", "--resource=clusters.postgresql.cnpg.io", "-n", "user-alice")
    kubectl(sandbox, "admin", "create", "role", "reads-clusters", *rights)
    bound = ("--role=reads-clusters", "--user=oidc-alice", "-n", "user-alice")
    kubectl(sandbox, "admin", "create", "rolebinding", "reads-clusters", *bound)
    yield
    kubectl(
        sandbox, "admin", "delete", "role/reads-clusters", "rolebinding/reads-clusters", "-n", "user-alice"
    )


@pytest.fixture
def backups(sandbox):
    """Backups of Alice's database, as the operator has them configured."""
    cluster = ("patch", "clusters.postgresql.cnpg.io", DATABASE, "-n", "user-alice", "--type=merge", "-p")
    set_up = {"spec": {"backup": {"barmanObjectStore": {"destinationPath": "s3://x/"}}}}
    assert "patched" in kubectl(sandbox, "admin", *cluster, json.dumps(set_up))
    yield
    kubectl(sandbox, "admin", *cluster, json.dumps({"spec": {"backup": None}}))


def backup_notes(**more):
    return [note for note in ssp.preview_share(DATABASE, "bob", **more).notes if "backups" in note]


def test_backups_behind_a_port_are_warned_of(be, reads_clusters, backups):
    (warning,) = backup_notes()
    assert warning.startswith("This database has backups")
    assert "--via network-only" in warning
    assert backup_notes(via="network-only") == []


def test_without_backups_nothing_is_said_of_them(be, reads_clusters):
    assert backup_notes() == []


def test_backups_that_cannot_be_seen_are_spoken_of(be):
    (note,) = backup_notes()
    assert "you may not check" in note


def test_network_alone_opens_one_port(be):
    ssp.share_db(DATABASE, "bob", via="network-only")
    be("bob")
    with pytest.raises(Forbidden):
        ssp.forward(f"user-alice/pod/{DATABASE}-1", ":8000")
    assert ssp.connect_db(PATH).route.name == "relay"


@pytest.fixture
def held_job(sandbox):
    """A function that blocks the deletion of the Job of bob's share, and one that allows it."""
    job = ("patch", "job", share_name("bob"), "--type=merge", "-p")

    def hold(finalizers):
        return kubectl(sandbox, "alice", *job, json.dumps({"metadata": {"finalizers": finalizers}}))

    yield hold
    hold([])


def test_sharing_again_waits_for_a_job_that_is_going(be, held_job):
    ssp.share_db(DATABASE, "bob")
    held_job(["example.org/hold"])
    ssp.unshare(DATABASE, "bob")
    release = threading.Timer(0.5, held_job, [[]])
    release.start()
    ssp.share_db(DATABASE, "bob")
    release.join()
    cluster = session.current_cluster()
    job = object_reads.get_object(cluster, JOBS, share_name("bob"))["metadata"]
    (owner,) = object_reads.get_object(cluster, SECRETS, share_name("bob"))["metadata"]["ownerReferences"]
    assert owner["uid"] == job["uid"]
    assert "deletionTimestamp" not in job


def test_share_completes_when_its_job_is_deleted(be, sandbox, monkeypatch):
    """Another session revokes the share between the Job and the other objects."""
    ssp.share_db(DATABASE, "bob")
    made = apply._ensure_role

    def role_and_loss(*arguments):
        kubectl(sandbox, "alice", "delete", "job", share_name("bob"))
        monkeypatch.setattr(apply, "_ensure_role", made)
        return made(*arguments)

    monkeypatch.setattr(apply, "_ensure_role", role_and_loss)
    ssp.share_db(DATABASE, "bob")
    assert list(ssp.shares()["state"]) == ["open"]
    be("bob")
    assert ssp.connect_db(PATH).user == "share_bob"


def test_two_owner_sessions_share_at_the_same_time(be, sandbox):
    """Two notebooks share at once: both succeed, and one share exists."""
    script = f"import sspcloud_magics as s; s.login(kubeconfig={str(sandbox.kubeconfig())!r}); s.share_db({DATABASE!r}, 'bob')"
    running = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) for _ in range(2)]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert list(ssp.shares()["state"]) == ["open"]
    be("bob")
    assert ssp.connect_db(PATH).user == "share_bob"
