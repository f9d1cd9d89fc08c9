"""Shares at the level of SQL: Alice's database on a real PostgreSQL, and a superuser's session with a pinned path."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from sspcloud_magics.databases.postgres.session.search_path import PATH
from sspcloud_magics.sharing import handover, role_sql

DATABASE, OWNER, ROLE = "study", "alice", "share_bob"


@pytest.fixture
def superuser(server):
    """The superuser's session in Alice's database, with a pinned path; afterwards, everything is removed."""
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
        for name in (ROLE, "share_carol", role_sql.ARCHIVE, OWNER):
            first.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.fixture
def alice(server, superuser):
    with psycopg.connect(
        **server.conninfo(dbname=DATABASE, user=OWNER, password="a"), autocommit=True
    ) as session:
        yield session


def share(superuser, role=ROLE, *, read_write=True):
    wanted = role_sql.Privileges(
        role=role,
        dbname=DATABASE,
        schemas=("public",),
        owners=(OWNER,),
        schema_owner=OWNER,
        read_write=read_write,
    )
    verifier = superuser.pgconn.encrypt_password(b"b", role.encode(), b"scram-sha-256").decode()
    until = datetime.now(UTC) + timedelta(days=1)
    role_sql.run(superuser, role_sql.create_role(role, verifier, until, exists=False, read_write=read_write))
    role_sql.run(superuser, role_sql.grant(wanted))
    role_sql.run(
        superuser,
        role_sql.grant_between_colleagues(superuser.execute(role_sql.COLLEAGUES).fetchall(), wanted),
    )


def take_back(superuser, role=ROLE):
    heir = role_sql.find_heir(superuser)
    for statement in (role_sql.forbid_login(role), role_sql.end_sessions(role)):
        superuser.execute(statement)
    given = handover.hand_over(superuser, role, heir, leaves=True)
    for step in given.steps:
        with superuser.transaction():
            role_sql.run(superuser, step)
    role_sql.run(superuser, role_sql.drop(role))
    return given
