"""Arrays of user-defined types as lists: for one row and for many, nested, with NULL, in chunks and after changes."""

from __future__ import annotations

from decimal import Decimal

import psycopg
import pytest

from sspcloud_magics.databases.postgres.query import run
from tests.support.postgres_servers import Server, of_debian, start_server
from tests.support.queries import chunks, query

TYPES = """
create extension if not exists citext; create extension if not exists hstore; create extension if not exists ltree;
drop schema if exists own cascade; create schema own;
create type own.mood as enum ('sad', 'very "happy"', '{,}');
create domain own.age as int check (value > 0); create domain own.young as own.age; create domain own.price as numeric(9, 2);
create domain own.ages as own.age[]; create domain own.moods as own.mood[];
create type own.pair as (n int, t text);
create type own.span as range (subtype = time)
"""

ARRAYS = [
    ("own.mood[]", """'{sad,NULL,"very \\"happy\\"","{,}"}'""", ["sad", None, 'very "happy"', "{,}"]),
    ("own.mood[]", "'{{sad,NULL},{NULL,sad}}'", [["sad", None], [None, "sad"]]),
    ("own.mood[]", "'{}'", []),
    ("own.mood[]", "'[0:1]={sad,sad}'", ["sad", "sad"]),
    ("own.age[]", "'{1,NULL,3}'", [1, None, 3]),
    ("own.young[]", "'{{1},{2}}'", [[1], [2]]),
    ("own.price[]", "'{1.50,NULL}'", [Decimal("1.50"), None]),
    ("own.ages", "'{1,2}'", [1, 2]),
    ("own.ages[]", """'{"{1,2}",NULL}'""", [[1, 2], None]),
    ("own.moods[]", """'{"{sad,NULL}"}'""", [["sad", None]]),
    ("own.pair[]", """array[row(1, 'x y')::own.pair, null]""", ['(1,"x y")', None]),
    ("own.span[]", """'{"[10:00,11:00)"}'""", ["[10:00:00,11:00:00)"]),
    ("public.citext[]", "'{A,NULL,\"b c\"}'", ["A", None, "b c"]),
    ("public.hstore[]", """array['a=>1'::public.hstore, null]""", ['"a"=>"1"', None]),
    ("public.ltree[]", "'{a.b,c}'", ["a.b", "c"]),
    ("box[]", "'{(1,1),(0,0);(3,3),(2,2)}'", ["(1,1),(0,0)", "(3,3),(2,2)"]),
    ("money[]", "'{1.5}'", ["$1.50"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def server():
    """Debian's, which has the extensions."""
    with start_server(of_debian()) as running:
        yield running


@pytest.fixture
def bystander(server: Server):
    """Another session, for observation."""
    with psycopg.connect(**server.conninfo(), autocommit=True) as session:
        yield session


@pytest.fixture
def own(connection):
    """A schema with types of its own."""
    query(connection, TYPES)
    yield connection
    query(connection, "drop schema own cascade")


@pytest.mark.parametrize(("kind", "value", "expected"), ARRAYS, ids=range(len(ARRAYS)))
def test_arrays_of_own_types_are_lists(own, kind, value, expected):
    query(
        own, f"create table own.kept (n serial, v {kind}); insert into own.kept (v) values ({value}), (null)"
    )
    several = [expected, None] * 2_000
    one = "select v from own.kept order by n limit 1"
    many = "select v from own.kept, generate_series(1, 2000) i order by i, n"
    for _ in range(2):  # unknown, then known
        for fresh in (one, many):
            frame = query(own, fresh)
            assert frame["v"].dtype == object
            assert frame["v"].tolist() == (several if fresh is many else [expected])
    assert query(own, "select v, 1 as a from own.kept order by n", limit=1)["v"].tolist() == [expected]
    assert query(own, "select v from own.kept where false")["v"].dtype == object
    assert (
        query(own, "insert into own.kept (v) select v from own.kept returning v")["v"].tolist() == several[:2]
    )


@pytest.mark.parametrize("sql", ["select", "insert into own.kept select * from", "explain select"])
def test_chunks_have_lists_from_the_first_on(own, sql):
    query(own, "create table own.kept as select array['sad']::own.mood[] as v from generate_series(1, 3000)")
    asked = {
        "select": "select v from own.kept",
        "insert into own.kept select * from": "insert into own.kept select * from own.kept returning v",
        "explain select": "explain select v from own.kept",
    }[sql]
    with chunks(own, asked, size=1000) as read:
        values = [value for chunk in read for value in chunk.iloc[:, 0]]
    assert values[-1] == (["sad"] if "explain" not in sql else values[0])
    assert {type(value) for value in values} == ({list} if "explain" not in sql else {str})


def test_own_types_that_are_no_arrays_stay_texts(own):
    frame = query(own, "select 'sad'::own.mood as m, row(1, 'x')::own.pair as p, '1 2'::int2vector as w")
    assert frame.iloc[0].tolist() == ["sad", "(1,x)", "1 2"]
    assert [str(dtype) for dtype in frame.dtypes] == ["string"] * 3


def test_own_types_are_looked_up_once(own, bystander):
    pid = own.psycopg.info.backend_pid
    for _ in range(2):
        run(own, "select 'sad'::own.mood as m, array['sad']::own.mood[] as v")
        last = bystander.execute("select query from pg_stat_activity where pid = %s", [pid]).fetchone()[0]
    assert last.startswith("select 'sad'")


def test_own_operators_are_not_called_by_the_look_up(own):
    """They would run with the privileges of the reader."""
    query(
        own,
        """create function own.same(oid, oid) returns boolean language plpgsql as $$ begin raise 'called'; end $$;
        create operator own.= (leftarg = oid, rightarg = oid, function = own.same);
        set search_path to own, pg_catalog""",
    )
    assert query(own, "select array['sad']::own.mood[] as v")["v"].tolist() == [["sad"]]
    query(own, "reset search_path")
