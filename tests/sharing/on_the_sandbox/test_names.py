"""Names with quotes, blanks, accents and SQL in them, of schemas, tables, databases and users; and an older chart."""

import base64
import json

import pytest
from psycopg import sql

import sspcloud_magics as ssp
from sspcloud_magics.errors import CredentialsNotFound, SspcloudError
from tests.sharing.on_the_sandbox.notebook import kubectl
from tests.support.database import DATABASE
from tests.support.shares import superuser

PATH = f"user-alice/{DATABASE}"
AWKWARD = 'enquête "2026"; DROP TABLE regions; --'
USER = 'al"ice é";--'
INSIDE = 'base d\'été "é";--'
"""The database inside the server."""


def quote(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture
def awkward(be, sandbox):
    """A database inside Alice's server, its owner, a schema and a table with such names."""
    first = superuser()
    for statement in ("CREATE ROLE {user} LOGIN PASSWORD 'x'", "CREATE DATABASE {inside} OWNER {user}"):
        first.psycopg.execute(
            sql.SQL(statement).format(user=sql.Identifier(USER), inside=sql.Identifier(INSIDE))
        )
    secret = ("secret", f"discoverable-{DATABASE}")
    before = json.loads(kubectl(sandbox, "alice", "get", *secret, "-o", "json"))["data"]["postgres-database"]

    def call_it(value):
        patch = json.dumps({"data": {"postgres-database": value}})
        assert "patched" in kubectl(sandbox, "alice", "patch", *secret, "-p", patch)

    call_it(base64.b64encode(INSIDE.encode()).decode())
    owner = superuser()
    for statement in (
        "CREATE SCHEMA {name} AUTHORIZATION {user}",
        "SET ROLE {user}",
        "CREATE TABLE {name}.{name} AS SELECT 1 AS {name}",
    ):
        owner.psycopg.execute(
            sql.SQL(statement).format(name=sql.Identifier(AWKWARD), user=sql.Identifier(USER))
        )
    yield owner.psycopg
    owner.close()
    be("alice")
    ssp.unshare(DATABASE, all_colleagues=True)
    call_it(before)
    for statement in ("DROP DATABASE {inside} WITH (FORCE)", "DROP ROLE {user}"):
        first.psycopg.execute(
            sql.SQL(statement).format(user=sql.Identifier(USER), inside=sql.Identifier(INSIDE))
        )
    first.close()


def test_awkward_names_are_shared_like_any_other(be, awkward):
    assert ssp.shareable_schemas(DATABASE) == [AWKWARD, "public"]
    reason = 'l\'enquête "ménages"; --'
    opened = ssp.share_db(DATABASE, "bob", schemas=[AWKWARD], reason=reason, read_write=True)
    assert AWKWARD in opened.granted
    awkward.execute(sql.SQL("CREATE TABLE {n}.later AS SELECT 2 AS x").format(n=sql.Identifier(AWKWARD)))
    name = quote(AWKWARD)
    be("bob")
    assert ssp.connect_db(PATH).dbname == INSIDE
    assert ssp.query_db(f"SELECT * FROM {name}.{name}").shape == (1, 1)
    assert ssp.query_db(f"SELECT x FROM {name}.later")["x"][0] == 2
    ssp.query_db(f"CREATE TABLE {quote(USER)} AS SELECT 3 AS x")
    with pytest.raises(SspcloudError, match="permission denied"):
        ssp.query_db("CREATE TABLE public.elsewhere (x int)")
    be("alice")
    (row,) = ssp.shares().to_dict("records")
    assert (row["schemas"], row["reason"], row["sessions"]) == (AWKWARD, reason, 1)
    (closed,) = ssp.unshare(DATABASE, "bob")
    assert closed.inherited == (f"share_bob.{quote(USER)}",)
    awkward.execute(sql.SQL("SET ROLE {u}").format(u=sql.Identifier(USER)))
    row = awkward.execute(sql.SQL("SELECT x FROM share_bob.{u}").format(u=sql.Identifier(USER)))
    assert row.fetchone() == (3,)  # its owner reads it


def test_database_of_the_older_chart_is_shared(be):
    be("carol")
    opened = ssp.share_db("postgresql-439617", "bob", read_write=True)
    assert opened.line == "%connect_db user-carol/postgresql-439617"
    try:
        be("bob")
        assert ssp.connect_db("user-carol/postgresql-439617").user == "share_bob"
        ssp.query_db("CREATE TABLE of_bob AS SELECT 7 AS x")
    finally:
        be("carol")
        (closed,) = ssp.unshare("postgresql-439617", "bob")
    assert closed.inherited == ("share_bob.of_bob",)
    ssp.connect_db("postgresql-439617")
    ssp.query_db("DROP SCHEMA share_bob CASCADE")


def test_secrets_looked_for_are_named_without_a_login(be, sandbox):
    secret = kubectl(sandbox, "alice", "get", "secret", f"{DATABASE}-superuser", "-o", "json")
    kubectl(sandbox, "alice", "delete", "secret", f"{DATABASE}-superuser")
    try:
        with pytest.raises(CredentialsNotFound) as refused:
            ssp.share_db(DATABASE, "bob")
    finally:
        kept = json.loads(secret)
        kept["metadata"] = {key: kept["metadata"][key] for key in ("name", "namespace", "labels")}
        kubectl(sandbox, "alice", "apply", "-f", "-", stdin=json.dumps(kept))
    assert f"{DATABASE}-superuser (password)" in refused.value.why
    assert f"{DATABASE} (postgres-password)" in refused.value.why
    assert refused.value.hint
    assert ssp.shares().empty
