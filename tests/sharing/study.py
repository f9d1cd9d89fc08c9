"""Alice's database on a real PostgreSQL, its superuser's session with a pinned path, and shares at the level of SQL."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from sspcloud_magics.databases.postgres.session.pinned import PATH
from sspcloud_magics.sharing import grants, handover

DATABASE, OWNER, ROLE = "study", "alice", "share_bob"


@pytest.fixture
def superuser(server):
    """The superuser's session in Alice's database, pinned, and the removal of all that a test makes."""
    options = "-c search_path=" + PATH.replace(" ", r"\ ")
    with psycopg.connect(**server.conninfo(), autocommit=True) as first:
        first.execute("CREATE ROLE alice LOGIN PASSWORD 'a'")
        first.execute("CREATE DATABASE study OWNER alice")
        with psycopg.connect(**server.conninfo(dbname=DATABASE, options=options), autocommit=True) as session:
            session.execute(
                "CREATE TABLE public.orders AS SELECT 1 AS n; ALTER TABLE public.orders OWNER TO alice"
            )
            yield session
        first.execute("DROP DATABASE study WITH (FORCE)")
        for name in (ROLE, "share_carol", grants.ARCHIVE, OWNER):
            first.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.fixture
def alice(server, superuser):
    with psycopg.connect(
        **server.conninfo(dbname=DATABASE, user=OWNER, password="a"), autocommit=True
    ) as session:
        yield session


def share(superuser, role=ROLE, *, read_write=True):
    wanted = grants.Privileges(
        role=role, dbname=DATABASE, schemas=("public",), owners=(OWNER,), keeper=OWNER, read_write=read_write
    )
    verifier = superuser.pgconn.encrypt_password(b"b", role.encode(), b"scram-sha-256").decode()
    until = datetime.now(UTC) + timedelta(days=1)
    grants.run(superuser, grants.login(role, verifier, until, exists=False, read_write=read_write))
    grants.run(superuser, grants.grant(wanted))
    grants.run(superuser, grants.between_colleagues(superuser.execute(grants.COLLEAGUES).fetchall(), wanted))


def take_back(superuser, role=ROLE):
    heir = grants.heir_of_database(superuser)
    for statement in (grants.forbid_login(role), grants.end_sessions(role)):
        superuser.execute(statement)
    given = handover.hand_over(superuser, role, heir, leaves=True)
    for step in given.steps:
        with superuser.transaction():
            grants.run(superuser, step)
    grants.run(superuser, grants.drop(role))
    return given
