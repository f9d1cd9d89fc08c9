"""Excess privileges, as an earlier version granted them, are found and revoked."""

import psycopg
import pytest
from psycopg import errors

from sspcloud_magics.sharing import role_sql
from sspcloud_magics.sharing.excess_privileges import find_excess
from tests.sharing.study import DATABASE, ROLE, alice, share, superuser

__all__ = ["alice", "superuser"]

FORMER = """
GRANT USAGE, CREATE ON SCHEMA public TO share_bob;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES ON ALL TABLES IN SCHEMA public TO share_bob;
ALTER DEFAULT PRIVILEGES FOR ROLE alice IN SCHEMA public GRANT SELECT, REFERENCES, TRIGGER ON TABLES TO share_bob
"""


@pytest.fixture
def bob(server, superuser, alice):
    """The session of Bob, who has used a share of the earlier version."""
    alice.execute("CREATE TABLE public.houses (id int PRIMARY KEY)")
    share(superuser)
    superuser.execute(FORMER)
    with psycopg.connect(
        **server.conninfo(dbname=DATABASE, user=ROLE, password="b"), autocommit=True
    ) as session:
        session.execute("CREATE TABLE public.of_bob (house int REFERENCES public.houses (id))")
        session.execute("CREATE FUNCTION public.count(int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
        session.execute("CREATE OPERATOR public.+ (leftarg = name, rightarg = name, function = nameeq)")
        yield session


def narrow(superuser, creators=()):
    excess = find_excess(superuser, creators)
    with superuser.transaction():
        role_sql.run(superuser, excess.statements)
    return excess


def test_former_share_is_narrowed_change_by_change(superuser, alice, bob):
    words = " ".join(narrow(superuser).notes)
    for said in ("create in public", "foreign keys", "of_bob_house_fkey", "public.count(", "public.+("):
        assert said in words
    assert find_excess(superuser, ()).statements == []
    bob.execute("INSERT INTO public.houses VALUES (1); INSERT INTO public.of_bob VALUES (99)")
    for refused in ("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                    "CREATE TABLE share_bob.t (h int REFERENCES public.houses (id))"):  # fmt: skip
        with pytest.raises(errors.InsufficientPrivilege):
            bob.execute(refused)
    alice.execute("CREATE TABLE public.later (id int PRIMARY KEY)")
    with pytest.raises(errors.InsufficientPrivilege):
        bob.execute("CREATE TABLE share_bob.t (h int REFERENCES public.later (id))")
    assert alice.execute("SELECT count(7)").fetchone() == (1,)
    moved = superuser.execute(
        "SELECT pronamespace::regnamespace::text FROM pg_proc WHERE pronargs = 1 AND oid >= 16384"
    )
    assert all(schema.startswith("sspcloud_archive_") for (schema,) in moved.fetchall())


def test_colleague_who_may_create_keeps_that(superuser, alice, bob):
    narrow(superuser, [ROLE])
    bob.execute("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")


def test_new_share_holds_nothing_beyond(superuser, alice):
    share(superuser)
    share(superuser, "share_carol", read_write=False)
    assert find_excess(superuser, ()).statements == []


def test_members_of_a_colleagues_role_are_removed(superuser, alice):
    share(superuser)
    superuser.execute("GRANT share_bob TO alice")
    assert narrow(superuser).notes == ("alice may no longer act as share_bob.",)
    assert superuser.execute("SELECT pg_has_role('alice', 'share_bob', 'MEMBER')").fetchone() == (False,)


def test_colleagues_read_what_each_of_them_creates(server, superuser, alice):
    share(superuser)
    share(superuser, "share_carol", read_write=False)
    with psycopg.connect(**server.conninfo(dbname=DATABASE, user=ROLE, password="b"), autocommit=True) as bob:
        bob.execute("CREATE TABLE later AS SELECT 7 AS x")
    login = server.conninfo(dbname=DATABASE, user="share_carol", password="b")
    with psycopg.connect(**login, autocommit=True) as carol:
        carol.execute("SET default_transaction_read_only = off")
        for reader in (alice, carol):
            assert reader.execute("SELECT x FROM share_bob.later").fetchone() == (7,)
            with pytest.raises(errors.InsufficientPrivilege):
                reader.execute("DELETE FROM share_bob.later")
