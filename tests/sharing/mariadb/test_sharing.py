"""A share of MariaDB, from the owner's line to its end, and a colleague's attempts to make it more or longer."""

from __future__ import annotations

import pymysql
import pytest

import sspcloud_magics as ssp
from sspcloud_magics.databases import discovery
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.errors import (
    CredentialsNotFound,
    LoginRefused,
    QueryFailed,
    SspcloudError,
    UsageProblem,
)
from tests.support.mariadb_sandbox import RELEASE
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
PATH = f"user-alice/{RELEASE}"


@pytest.fixture
def tables(be, root):
    """Two databases with a table each; only the first is the chart's. Nothing is shared before and after."""
    ssp.unshare(RELEASE, all_colleagues=True)
    for sql in (
        "CREATE OR REPLACE TABLE t (a int)",
        "INSERT INTO t VALUES (1), (2)",
        "CREATE OR REPLACE DATABASE defaultxdb",
        "CREATE TABLE defaultxdb.secret (a int)",
        "CREATE OR REPLACE DATABASE my_database",
        "CREATE OR REPLACE DATABASE myxdatabase",
        "CREATE TABLE myxdatabase.secret (a int)",
        "DROP DATABASE IF EXISTS share_bob",
    ):
        root.execute(sql)
    yield
    be("alice")
    ssp.unshare(RELEASE, all_colleagues=True)


def bob(be):
    be("bob")
    return ssp.connect_db(PATH)


def users(root) -> set[str]:
    with root.turn, root.ready()[0].cursor() as cursor:
        cursor.execute("SELECT User FROM mysql.user WHERE User LIKE 'share%'")
        return {row[0] for row in cursor.fetchall()}


def test_preview_creates_nothing(be, tables, root):
    plan = ssp.preview_share(RELEASE, ["bob"])
    text = repr(plan)
    assert "-- In MariaDB" in text
    assert "GRANT SELECT ON `defaultdb`.* TO 'share_bob'@'%'" in plan.sql()
    assert "kind: Secret" in plan.yaml()
    assert any("no expiry" in note for note in plan.notes)
    assert not users(root) - {"sspcloud_share"}


def test_colleague_reads_and_no_more(be, tables, root):
    result = ssp.share_db(RELEASE, "bob", duration="1h")
    assert result.line == f"%connect_db {PATH}"
    connected = bob(be)
    assert (connected.user, connected.dbname, connected.database.access) == (
        "share_bob",
        "defaultdb",
        "read-only",
    )
    assert ssp.query_db("select a from t")["a"].tolist() == [1, 2]
    for sql in REFUSED:
        with pytest.raises(QueryFailed):
            ssp.query_db(sql)
    assert set(ssp.query_db("show databases").iloc[:, 0]) == {"defaultdb", "information_schema"}
    be("alice")
    listed = ssp.shares().set_index("database")
    assert listed.loc[RELEASE, ["colleague", "access", "state"]].tolist() == ["bob", "read-only", "open"]
    assert repr(ssp.shares())


REFUSED = [
    "insert into t values (3)",
    "delete from t",
    "drop table t",
    "create table x (a int)",
    "create temporary table x (a int)",
    "select * from defaultxdb.secret",
    "select * from mysql.global_priv",
    "create view v as select 1",
    "create procedure p() select 1",
    "create event e on schedule every 1 day do select 1",
    "lock tables t write",
    "select 1 into outfile '/tmp/of-bob'",
    "create user x",
    "create database x",
    "grant select on defaultdb.* to public",
    "alter user share_bob@'%' with max_user_connections 0",
    "kill 1",
    "set global max_connections = 1",
]


def test_writer_creates_data_and_no_code(be, tables, root):
    ssp.share_db(RELEASE, "bob", read_write=True, schemas=["defaultdb", "my_database"], duration="1h")
    bob(be)
    ssp.query_db(
        "insert into t values (3); create table share_bob.own (a int); insert into share_bob.own values (7)"
    )
    for sql in (
        "drop table t",
        "alter table t add b int",
        "select * from myxdatabase.secret",
        "create table myxdatabase.x (a int)",
        "create view share_bob.v as select 1",
        "create sql security invoker view share_bob.v as select 1",
        "create definer = root@'%' view share_bob.v as select 1",
        "create procedure share_bob.p() select 1",
        "create function share_bob.f() returns int return 1",
        "create trigger share_bob.g before insert on share_bob.own for each row set new.a = 1",
        "create trigger g before insert on t for each row set new.a = 1",
        "create event share_bob.e on schedule every 1 day do select 1",
        "execute immediate 'create view share_bob.v as select 1'",
        "begin not atomic create view share_bob.v as select 1; end",
        "create table share_bob.f (a int) engine = connect",
        "grant select on share_bob.* to public",
    ):
        with pytest.raises(QueryFailed):
            ssp.query_db(sql)
    be("alice")
    connected = ssp.connect_db(RELEASE)
    assert connected.user == "alice"
    assert ssp.query_db("select a from share_bob.own")["a"].tolist() == [7]
    ssp.unshare(RELEASE, "bob")
    assert ssp.query_db("select a from share_bob.own")["a"].tolist() == [7]
    assert "share_bob" not in users(root)


def test_owners_code_is_not_run(be, tables, root):
    """A procedure of the owner runs with the owner's privileges: a colleague may not call it, nor create a view of it."""
    root.execute("CREATE OR REPLACE PROCEDURE defaultdb.wipe() DELETE FROM defaultdb.t")
    ssp.share_db(RELEASE, "bob", read_write=True, duration="1h")
    bob(be)
    with pytest.raises(QueryFailed):
        ssp.query_db("call wipe()")


def test_revoking_ends_open_sessions(be, tables, root):
    ssp.share_db(RELEASE, "bob", duration="1h")
    connected = bob(be)
    password, port = connected._login.password, connected.forward.local_port
    be("alice")
    (done,) = ssp.unshare(RELEASE, "bob")
    assert done.sessions == 1
    assert "share_bob" not in users(root)
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        pymysql.connect(host="127.0.0.1", port=port, user="share_bob", password=password.reveal())
    be("bob")
    with pytest.raises((CredentialsNotFound, LoginRefused, SspcloudError)):
        ssp.connect_db(PATH)


def test_downgrade_holds_for_open_sessions(be, tables, root):
    """The privileges of a database are those of the last USE: a downgrade has to end the sessions."""
    ssp.share_db(RELEASE, "bob", read_write=True, duration="1h")
    connected = bob(be)
    ssp.query_db("insert into t values (3)")
    old = connected.session
    be("alice")
    ssp.share_db(RELEASE, "bob", duration="1h")
    with pytest.raises(pymysql.Error):
        old.query("insert into t values (4)")
    bob(be)
    with pytest.raises(QueryFailed):
        ssp.query_db("insert into t values (4)")
    with pytest.raises(QueryFailed):
        ssp.query_db("create table share_bob.more (a int)")


def test_changed_password_does_not_last(be, tables, root):
    ssp.share_db(RELEASE, "bob", duration="1h")
    bob(be)
    ssp.query_db("set password = password('of-bob')")
    be("alice")
    ssp.share_db(RELEASE, "bob", duration="1h")
    bob(be)
    assert len(ssp.query_db("select * from t")) == 2


def test_user_without_a_share_is_removed(be, tables, root):
    """The Job has ended the share in the cluster: the next command of the owner removes the user."""
    ssp.share_db(RELEASE, "bob", duration="1s")
    assert "share_bob" in users(root)
    wait_until(lambda: RELEASE not in set(ssp.shares().query("state == 'open'")["database"]))
    ssp.unshare(ended=True)
    assert "share_bob" not in users(root)


def test_connections_are_limited(be, tables, root):
    ssp.share_db(RELEASE, "bob", duration="1h")
    connected = bob(be)
    opened = []
    try:
        with pytest.raises(SspcloudError, match="has no connection left"):  # noqa: PT012 - the last one fails
            for _number in range(12):
                opened.append(connected.copy_connection())  # noqa: PERF401 - those before the error are closed
        assert len(opened) == 9
    finally:
        for each in opened:
            each.close()


def test_foreign_user_is_not_taken_over(be, tables, root):
    root.execute("CREATE USER share_carol@'%'")
    try:
        with pytest.raises(UsageProblem, match="no share created"):
            ssp.share_db(RELEASE, "carol")
    finally:
        root.execute("DROP USER share_carol@'%'")


def test_code_of_an_old_user_is_refused(be, tables, root):
    """Code whose definer is a dropped user would run with the privileges of the next user of that name."""
    root.execute("CREATE DEFINER = share_bob@'%' VIEW defaultdb.trap AS SELECT * FROM defaultxdb.secret")
    try:
        with pytest.raises(UsageProblem, match="trap"):
            ssp.share_db(RELEASE, "bob")
    finally:
        root.execute("DROP VIEW defaultdb.trap")


def test_prepared_transaction_is_reported(be, tables, root):
    ssp.share_db(RELEASE, "bob", read_write=True, duration="1h")
    bob(be)
    ssp.query_db("xa start 'x'; insert into t values (9); xa end 'x'; xa prepare 'x'")
    be("alice")
    (done,) = ssp.unshare(RELEASE, "bob")
    assert "XA RECOVER" in done.words
    root.execute("XA ROLLBACK 'x'")


def test_create_is_refused(be, tables, root):
    with pytest.raises(UsageProblem, match="--create"):
        ssp.share_db(RELEASE, "bob", read_write=True, create=True)


def test_network_alone_is_shared(be, tables, root):
    ssp.share_db(RELEASE, "bob", via="network-only", duration="1h")
    connected = bob(be)
    assert connected.route.name == "relay"
    assert len(ssp.query_db("select * from t")) == 2
    be("carol")
    with pytest.raises(SspcloudError):
        ssp.connect_db(PATH)


def test_mongodb_says_what_can_be_shared(be, monkeypatch):
    """Its users are the owner's; a database of that kind need not run to be refused."""
    listed = [Database("mongodb-1", "user-alice", "mongodb", "mongodb-headless", 27017, state="running")]
    monkeypatch.setattr(discovery, "databases", lambda *_arguments: listed)
    with pytest.raises(UsageProblem, match="does not create") as caught:
        ssp.share_db("mongodb-1", "bob")
    assert "%share svc/mongodb-headless --with bob" in caught.value.hint
