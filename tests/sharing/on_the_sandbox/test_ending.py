"""The end of shares, by expiry and by revocation, while the colleague is connected; and their remains."""

import threading
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.cluster.api.resources import JOBS, ROLE_BINDINGS, ROLES, SECRETS
from sspcloud_magics.cluster.requests import object_reads, object_writes
from sspcloud_magics.errors import (
    CredentialsNotFound,
    DatabaseHibernated,
    DatabaseUnavailable,
    Forbidden,
    TargetNotFound,
    UsageProblem,
)
from sspcloud_magics.session import session as session_module
from sspcloud_magics.sharing import manifests, revoke
from tests.sharing.on_the_sandbox import notebook
from tests.sharing.on_the_sandbox.notebook import kubectl
from tests.sharing.test_manifests import a_share
from tests.support.database import DATABASE
from tests.support.shares import superuser
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PATH = f"user-alice/{DATABASE}"
NAME = f"{DATABASE}-share-bob"


def wait_until_gone(cluster, name=NAME):
    """Wait until nothing of a share is left in the cluster."""

    def list_left():
        return [
            item["metadata"]["name"]
            for resource in (JOBS, SECRETS, ROLE_BINDINGS, ROLES)
            for item in object_reads.list_objects(
                cluster, resource, label_selector="sspcloud-magics/database"
            )
        ]

    wait_until(lambda: name not in list_left(), within=60)


def test_share_ends_by_itself_during_a_session(be):
    ssp.share_db(DATABASE, "bob", duration="5s", read_write=True)
    be("bob")
    connected = ssp.connect_db(PATH)
    ssp.query_db("CREATE TABLE of_bob AS SELECT 7 AS x")
    be("alice")
    wait_until_gone(session.current_cluster())  # with nothing of ours running
    # What is open may live on, as the answer said; nothing new begins, neither login nor tunnel.
    assert connected.psycopg.execute("SELECT x FROM of_bob").fetchone() == (7,)
    with (
        ssp.forward(f"svc/{DATABASE}-rw", "5432") as mine,
        pytest.raises(psycopg.OperationalError, match="password"),
    ):
        psycopg.connect(
            host="127.0.0.1",
            port=mine.local_port,
            user="share_bob",
            password=connected._login.password.reveal(),
            dbname="defaultdb",
        )
    be("bob")
    with pytest.raises(Forbidden):
        ssp.forward(f"user-alice/pod/{DATABASE}-1", "15432:5432")
    with pytest.raises(CredentialsNotFound, match="No user and password") as refused:
        ssp.connect_db(PATH)
    assert f"%share_db {DATABASE} --with bob" in refused.value.hint
    # The owner sees what is left, and is offered the one command that removes it.
    be("alice")
    (left,) = ssp.shares().to_dict("records")
    assert (left["colleague"], left["state"], left["sessions"]) == ("bob", "ended", 1)
    (removed,) = ssp.unshare(ended=True)
    assert (removed.share.role, removed.sessions, removed.inherited) == (
        "share_bob",
        1,
        ("share_bob.of_bob",),
    )
    assert ssp.shares().empty
    assert ssp.unshare(ended=True) == []
    with pytest.raises(CredentialsNotFound, match="is not shared with you any more") as ended:
        connected.ready()
    assert "its expiry was " in ended.value.why
    ssp.connect_db(DATABASE)
    made = ssp.query_db("SELECT tableowner FROM pg_tables WHERE tablename = 'of_bob'")
    assert list(made["tableowner"]) == ["alice"]
    ssp.query_db("DROP SCHEMA share_bob CASCADE")
    assert ssp.query_db("SELECT 1 FROM pg_roles WHERE rolname = 'share_bob'").empty


def test_revoking_ends_the_session_at_once(be):
    ssp.share_db(DATABASE, "bob")
    be("bob")
    connected = ssp.connect_db(PATH)
    live = connected.psycopg
    be("alice")
    began = live.execute("SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()").fetchone()
    (row,) = ssp.shares().to_dict("records")
    assert (row["sessions"], row["since"]) == (1, *began)
    (closed,) = ssp.unshare(DATABASE[:-1], "bob")  # the beginning of a name, where one only begins so
    assert (closed.share.colleague, closed.sessions) == ("bob", 1)
    with pytest.raises(psycopg.OperationalError):
        live.execute("SELECT 1")
    assert ssp.shares().empty
    be("bob")
    with pytest.raises(CredentialsNotFound, match="not shared with you any more"):
        ssp.query_db("SELECT 1")
    with pytest.raises((CredentialsNotFound, Forbidden)):
        ssp.connect_db(PATH)
    be("alice")
    ssp.share_db(DATABASE, "bob")  # with another password
    assert connected.ready()[1]  # it was opened again
    assert connected.psycopg.execute("SELECT current_user").fetchone() == ("share_bob",)


def test_writers_objects_stay_with_the_owner(be):
    ssp.share_db(DATABASE, "bob", read_write=True)
    with superuser().psycopg as other:
        other.execute('CREATE DATABASE "autre é"')
    try:
        with superuser("autre é").psycopg as elsewhere:
            elsewhere.execute("CREATE SCHEMA share_bob; GRANT CREATE, USAGE ON SCHEMA share_bob TO share_bob")
        be("bob")
        for database in (None, "autre é"):
            ssp.connect_db(PATH, database=database)
            ssp.query_db("CREATE TABLE of_bob AS SELECT 7 AS x; SELECT lo_create(4711)")
        be("alice")
        (closed,) = ssp.unshare(DATABASE, "bob")
        assert closed.inherited == ("share_bob.of_bob", "large object 4711")
        assert "share_bob.of_bob and large object 4711 now belong to alice" in closed.words
        assert (
            "in autre é: the role sspcloud_archive keeps share_bob.of_bob and large object 4711"
            in closed.words
        )
        for database, owner in ((None, "alice"), ("autre é", "sspcloud_archive")):
            with superuser(database).psycopg as there:
                row = there.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'of_bob'").fetchone()
                assert row == (owner,)
                assert there.execute("SELECT x FROM share_bob.of_bob").fetchone() == (7,)
                there.execute("DROP SCHEMA share_bob CASCADE")
                there.execute("SELECT lo_unlink(4711)")
    finally:
        be("alice")
        with superuser().psycopg as other:
            other.execute('DROP DATABASE "autre é" WITH (FORCE)')


def test_share_without_its_job_is_offered_for_removal(be, sandbox):
    ssp.share_db(DATABASE, "bob")
    kubectl(sandbox, "alice", "delete", "job", NAME)
    wait_until_gone(session.current_cluster())
    assert list(ssp.shares()["state"]) == ["ended"]
    (removed,) = ssp.unshare(DATABASE, ended=True)
    assert removed.share.colleague == "bob"
    assert ssp.shares().empty


def share_of(database):
    """Create a share's objects for a database that does not exist."""
    share = replace(a_share(), database=database)
    cluster = session.current_cluster()
    job = object_writes.create_object(cluster, JOBS, manifests.job(share))
    object_writes.create_object(cluster, ROLES, manifests.role(share, job["metadata"]["uid"]))
    object_writes.create_object(cluster, ROLE_BINDINGS, manifests.role_binding(share, job["metadata"]["uid"]))
    return share


def test_share_of_a_vanished_database_is_removed(be):
    share = share_of("postgresql-cnpg-000000")
    (row,) = ssp.shares().to_dict("records")
    assert (row["database"], row["state"]) == ("postgresql-cnpg-000000", "orphaned")
    (removed,) = ssp.unshare(ended=True)
    assert removed.share.name == share.name
    assert ssp.shares().empty
    share_of("postgresql-cnpg-000000")  # and by its name
    (removed,) = ssp.unshare("postgresql-cnpg-000000", "bob")
    assert removed.role_left == ""
    assert ssp.shares().empty
    share_of("postgresql-cnpg-000000")  # together with a colleague who has no share
    with pytest.raises(TargetNotFound, match="is not shared with dave") as partly:
        ssp.unshare("postgresql-cnpg-000000", ["bob", "dave"])
    assert "bob" in partly.value.why
    assert ssp.shares().empty


def test_sleeping_database_keeps_the_role_only(be):
    share = share_of("postgresql-cnpg-204871")
    (removed,) = ssp.unshare("postgresql-cnpg-204871", "bob")
    assert "is hibernated" in removed.role_left
    assert "%unshare --ended" in removed.words
    wait_until_gone(session.current_cluster(), share.name)


def test_sleeping_database_gets_no_relay(be, sandbox):
    ssp.share_db(DATABASE, "bob")
    hibernate = ("annotate", "cluster", DATABASE, "-n", "user-alice", "--overwrite")
    try:
        kubectl(sandbox, "admin", *hibernate, "cnpg.io/hibernation=on")
        selected = ("-l", f"cnpg.io/cluster={DATABASE}", "-n", "user-alice", "--timeout=30s")
        kubectl(sandbox, "admin", "wait", "--for=delete", "pod", *selected)
        be("bob")
        assert list(ssp.databases(namespace="user-alice")["state"]) == ["not running"]
        with pytest.raises(DatabaseUnavailable, match="has no ready pod") as asleep:
            ssp.connect_db(PATH)
        assert "my-services" in asleep.value.hint
        assert "No resources found" in kubectl(sandbox, "bob", "get", "pods")
        be("alice")
        with pytest.raises(DatabaseHibernated):
            ssp.share_db(DATABASE, "bob")
    finally:
        kubectl(sandbox, "admin", *hibernate, "cnpg.io/hibernation=off")
        kubectl(sandbox, "admin", "wait", "--for=condition=Ready", f"cluster/{DATABASE}", *selected[2:])


@pytest.fixture(params=["view", "edit"])
def in_a_notebook(request, be, sandbox, tmp_path):
    ssp.share_db(DATABASE, "bob")
    cluster = notebook.identity(sandbox, "user-alice", request.param, tmp_path)
    session_module.set_cluster(cluster)
    yield request.param
    be("alice")
    cluster.close()


def test_notebook_without_admin_revokes_what_it_may(in_a_notebook):
    (row,) = ssp.shares().to_dict("records")
    assert (row["colleague"], row["state"]) == ("bob", "open")
    if in_a_notebook == "view":
        with pytest.raises(Forbidden) as refused:
            ssp.unshare(DATABASE, "bob")
        assert "kubernetes.role=%C2%ABedit%C2%BB" in refused.value.hint
        with pytest.raises(CredentialsNotFound):  # "nothing was left" would not be known
            ssp.unshare(ended=True)
    else:
        (closed,) = ssp.unshare(DATABASE, "bob")
        assert closed.role_left == ""
        wait_until_gone_from_jobs(session.current_cluster())


def wait_until_gone_from_jobs(cluster):
    wait_until(lambda: ssp.shares().empty)
    assert cluster.in_service


def test_role_in_use_ends_with_its_open_transactions(be):
    """A colleague's locks on their own objects do not block the owner."""
    ssp.share_db(DATABASE, "bob", read_write=True)
    be("bob")
    live = ssp.connect_db(PATH).psycopg
    live.execute("BEGIN")
    live.execute("CREATE TABLE never_committed (x int)")
    live.execute(sql.SQL("LOCK TABLE never_committed IN ACCESS EXCLUSIVE MODE"))
    be("alice")
    (closed,) = ssp.unshare(DATABASE, "bob")
    assert (closed.sessions, closed.inherited) == (1, ())


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((DATABASE,), {}),
        ((), {"all_colleagues": True}),
        ((DATABASE, "bob"), {"all_colleagues": True}),
        ((DATABASE, "bob"), {"ended": True}),
    ],
)
def test_what_is_not_said_or_said_twice_is_refused(arguments, options):
    with pytest.raises(UsageProblem) as refused:
        ssp.unshare(*arguments, **options)
    assert "%unshare --ended" in refused.value.hint


def test_session_that_is_still_logging_in_is_ended(be):
    """It has passed the check of LOGIN, and stays unidentified for a while."""
    ssp.share_db(DATABASE, "bob", read_write=True)
    be("bob")
    login = ssp.connect_db(PATH)._login
    slow = {"host": "127.0.0.1", "port": login.port, "user": login.user, "password": login.password.reveal()}
    met = []

    def log_in():
        try:
            with psycopg.connect(**slow, dbname=login.dbname, options="-c post_auth_delay=5") as session:
                session.execute("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
            met.append("made a function")
        except psycopg.OperationalError as error:
            met.append(str(error))

    bob = threading.Thread(target=log_in)
    bob.start()
    be("alice")
    with superuser().psycopg as owner:
        wait_until(lambda: owner.execute(revoke._LOGGING_IN).fetchall())
    ssp.unshare(DATABASE, "bob")
    bob.join()
    assert met != ["made a function"]
    with superuser().psycopg as owner:
        left = "SELECT rolname FROM pg_roles WHERE rolname = 'share_bob' UNION ALL SELECT proname FROM pg_proc WHERE proname = 'f'"
        assert owner.execute(left).fetchall() == []


def test_share_renewed_after_the_plan_is_kept(be, sandbox, monkeypatch):
    """Another session of the owner renews bob's share between the plan of carol's and the removal of bob's."""
    ssp.share_db(DATABASE, "bob", read_write=True)
    kubectl(sandbox, "alice", "delete", "job", NAME)
    wait_until_gone(session.current_cluster())
    remove_ended, renewed = revoke.remove_ended, []

    def renew_first(*arguments):
        if not renewed:
            renewed.append(True)
            ssp.share_db(DATABASE, "bob", duration="2d", read_write=True)
        return remove_ended(*arguments)

    monkeypatch.setattr(revoke, "remove_ended", renew_first)
    ssp.share_db(DATABASE, "carol", read_write=True)
    assert {row.colleague: row.state for row in ssp.shares().itertuples()} == {
        "bob": "open",
        "carol": "open",
    }
