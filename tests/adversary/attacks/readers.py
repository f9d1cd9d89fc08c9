"""Code that runs when another user reads a colleague's table or view, or writes to it."""

from __future__ import annotations

from tests.adversary.attack import Attack, trap

_TABLE = (
    "CREATE TABLE <mine>.relevés (id int, note text);;INSERT INTO <mine>.relevés VALUES (1, 'a'), (2, 'b');;"
)
_SHOWN = trap("'shown'")
_CALLED = f"CREATE FUNCTION <mine>.called(int) RETURNS bool {trap('true')};;"


def _cast(name: str, made: str, value: str, source: str = "<mine>.mine") -> Attack:
    """Return a table of a type whose cast to text runs code; psycopg alone never casts."""
    return Attack(
        name=name,
        sql=f"{made};;CREATE FUNCTION <mine>.shown({source}) RETURNS text {_SHOWN};;"
        f"CREATE CAST ({source} AS text) WITH FUNCTION <mine>.shown({source});;"
        f"CREATE TABLE <mine>.relevés (v {source});;INSERT INTO <mine>.relevés VALUES ({value})",
        bait=(("alice", "SELECT v::text FROM <mine>.relevés"),),
        relations=("relevés",),
    )


READERS = (
    _cast("cast:composite", "CREATE TYPE <mine>.mine AS (a text)", "ROW('x')"),
    _cast("cast:enum", "CREATE TYPE <mine>.mine AS ENUM ('x')", "'x'"),
    _cast("cast:range", "CREATE TYPE <mine>.mine AS RANGE (SUBTYPE = int)", "'[1,2]'"),
    _cast("cast:array", "CREATE TYPE <mine>.mine AS ENUM ('x')", "'{x}'", "<mine>.mine[]"),
    Attack(
        name="view",
        sql=_TABLE
        + _CALLED
        + "CREATE VIEW <mine>.vue AS SELECT * FROM <mine>.relevés WHERE <mine>.called(id)",
        bait=(("alice", "SELECT * FROM <mine>.vue"),),
        relations=("vue",),
    ),
    Attack(
        name="view:security_invoker",
        sql=_TABLE
        + _CALLED
        + "CREATE VIEW <mine>.vue WITH (security_invoker) AS SELECT * FROM <mine>.relevés WHERE <mine>.called(id)",
        bait=(("alice", "SELECT * FROM <mine>.vue"),),
        relations=("vue",),
        versions=(15, 99),
    ),
    Attack(
        name="view:constant",  # an immutable call is made by the planner, whatever is read
        sql=f"CREATE FUNCTION <mine>.constant() RETURNS int {trap('1', 'IMMUTABLE')};;"
        "CREATE VIEW <mine>.vue AS SELECT <mine>.constant() AS un",
        bait=(("alice", "EXPLAIN SELECT * FROM <mine>.vue"),),
        relations=("vue",),
    ),
    Attack(
        name="rule:select",
        sql=_CALLED + "CREATE VIEW <mine>.vue AS SELECT 1 AS id;;"
        'CREATE OR REPLACE RULE "_RETURN" AS ON SELECT TO <mine>.vue DO INSTEAD SELECT 1 AS id WHERE <mine>.called(1)',
        bait=(("alice", "SELECT * FROM <mine>.vue"),),
        relations=("vue",),
    ),
    Attack(
        name="policy",
        sql=_TABLE + _CALLED + "ALTER TABLE <mine>.relevés ENABLE ROW LEVEL SECURITY;;"
        "CREATE POLICY p ON <mine>.relevés USING (<mine>.called(id))",
        bait=(("alice", "SELECT * FROM <mine>.relevés"),),
        relations=("relevés",),
    ),
    Attack(
        name="policy:forced",
        sql=_TABLE + _CALLED + "ALTER TABLE <mine>.relevés ENABLE ROW LEVEL SECURITY;;"
        "ALTER TABLE <mine>.relevés FORCE ROW LEVEL SECURITY;;"
        "CREATE POLICY p ON <mine>.relevés USING (<mine>.called(id)) WITH CHECK (<mine>.called(id))",
        bait=(("alice", "SELECT * FROM <mine>.relevés"),),
        relations=("relevés",),
    ),
    Attack(
        name="materialized-view",
        sql=_TABLE
        + _CALLED
        + "CREATE MATERIALIZED VIEW <mine>.vue AS SELECT * FROM <mine>.relevés WHERE <mine>.called(id)",
        bait=(
            ("postgres", "REASSIGN OWNED BY share_bob TO alice"),
            ("alice", "REFRESH MATERIALIZED VIEW <mine>.vue"),
        ),
        relations=("vue",),
    ),
    Attack(
        name="trigger",
        sql=_TABLE + f"CREATE FUNCTION <mine>.fired() RETURNS trigger {trap('NEW')};;"
        "CREATE TRIGGER t BEFORE INSERT OR UPDATE ON <mine>.relevés FOR EACH ROW EXECUTE FUNCTION <mine>.fired()",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, 'c')"),),
        relations=("relevés",),
    ),
    Attack(
        name="trigger:truncate",
        sql=_TABLE + f"CREATE FUNCTION <mine>.fired() RETURNS trigger {trap('NULL')};;"
        "CREATE TRIGGER t BEFORE TRUNCATE ON <mine>.relevés EXECUTE FUNCTION <mine>.fired()",
        bait=(("postgres", "REASSIGN OWNED BY share_bob TO alice"), ("alice", "TRUNCATE <mine>.relevés")),
        relations=("relevés",),
    ),
    Attack(
        name="trigger:constraint",
        sql=_TABLE + f"CREATE FUNCTION <mine>.fired() RETURNS trigger {trap('NULL')};;"
        "CREATE CONSTRAINT TRIGGER t AFTER INSERT OR DELETE ON <mine>.relevés DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION <mine>.fired()",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, 'c')"),),
        relations=("relevés",),
    ),
    Attack(
        name="trigger:instead-of",
        sql=_TABLE + "CREATE VIEW <mine>.vue AS SELECT * FROM <mine>.relevés;;"
        f"CREATE FUNCTION <mine>.fired() RETURNS trigger {trap('NEW')};;"
        "CREATE TRIGGER t INSTEAD OF INSERT ON <mine>.vue FOR EACH ROW EXECUTE FUNCTION <mine>.fired()",
        bait=(("alice", "INSERT INTO <mine>.vue VALUES (3, 'c')"),),
        relations=("vue",),
    ),
    Attack(
        name="rule:insert",
        sql=_TABLE
        + _CALLED
        + "CREATE RULE r AS ON INSERT TO <mine>.relevés DO ALSO SELECT <mine>.called(NEW.id)",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, 'c')"),),
        relations=("relevés",),
    ),
    Attack(
        name="default",
        sql=_TABLE + f"CREATE FUNCTION <mine>.one() RETURNS int {trap('1')};;"
        "ALTER TABLE <mine>.relevés ADD COLUMN d int DEFAULT <mine>.one()",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, 'c')"),),
        relations=("relevés",),
    ),
    Attack(
        name="generated-column",
        sql=f"CREATE FUNCTION <mine>.twice(int) RETURNS int {trap('2 * $1', 'IMMUTABLE')};;"
        "CREATE TABLE <mine>.relevés (id int, d int GENERATED ALWAYS AS (<mine>.twice(id)) STORED);;"
        "INSERT INTO <mine>.relevés VALUES (1)",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3)"),),
        relations=("relevés",),
    ),
    Attack(
        name="check",
        sql=_TABLE + _CALLED + "ALTER TABLE <mine>.relevés ADD CHECK (<mine>.called(id))",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, 'c')"),),
        relations=("relevés",),
    ),
    Attack(
        name="domain",
        sql=_CALLED + "CREATE DOMAIN <mine>.montant AS int CHECK (<mine>.called(VALUE));;"
        "CREATE TABLE <mine>.relevés (id <mine>.montant);;INSERT INTO <mine>.relevés VALUES (1)",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3)"),),
        relations=("relevés",),
    ),
    Attack(
        name="domain:nested",
        sql=_CALLED + "CREATE DOMAIN <mine>.montant AS int CHECK (<mine>.called(VALUE));;"
        "CREATE DOMAIN <mine>.paie AS <mine>.montant;;CREATE TYPE <mine>.paire AS (a <mine>.paie, b int);;"
        "CREATE TABLE <mine>.relevés (id int DEFAULT (1::<mine>.paie), p <mine>.paire, t <mine>.montant[]);;"
        "INSERT INTO <mine>.relevés VALUES (1, ROW(1, 2), '{1,2}')",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, ROW(3, 4), '{5}')"),),
        relations=("relevés",),
    ),
    Attack(
        name="check:operator",
        sql=_TABLE + f"CREATE FUNCTION <mine>.like_it(text, text) RETURNS bool {trap('true', 'IMMUTABLE')};;"
        "CREATE OPERATOR <room>.=~= (LEFTARG = text, RIGHTARG = text, FUNCTION = <mine>.like_it);;"
        "ALTER TABLE <mine>.relevés ADD CHECK (note OPERATOR(<room>.=~=) 'a');;"
        "CREATE INDEX ON <mine>.relevés ((note OPERATOR(<room>.=~=) 'b')) WHERE note OPERATOR(<room>.=~=) 'c'",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, 'c')"),),
        relations=("relevés",),
    ),
    Attack(
        name="domain:default",
        sql=f"CREATE FUNCTION <mine>.one() RETURNS int {trap('1')};;"
        "CREATE DOMAIN <mine>.montant AS int DEFAULT <mine>.one();;"
        "CREATE TABLE <mine>.relevés (id int, m <mine>.montant);;INSERT INTO <mine>.relevés VALUES (1, 1)",
        bait=(("alice", "INSERT INTO <mine>.relevés (id) VALUES (3)"),),
        relations=("relevés",),
    ),
    Attack(
        name="index-expression",
        sql=_TABLE + f"CREATE FUNCTION <mine>.twice(int) RETURNS int {trap('2 * $1', 'IMMUTABLE')};;"
        "CREATE INDEX ON <mine>.relevés (<mine>.twice(id))",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, 'c')"),),
        relations=("relevés",),
    ),
    Attack(
        name="index-predicate",
        sql=_TABLE + f"CREATE FUNCTION <mine>.wanted(int) RETURNS bool {trap('true', 'IMMUTABLE')};;"
        "CREATE INDEX ON <mine>.relevés (id) WHERE <mine>.wanted(id)",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, 'c')"),),
        relations=("relevés",),
    ),
    Attack(
        name="exclusion",
        sql=_TABLE + f"CREATE FUNCTION <mine>.twice(int) RETURNS int {trap('2 * $1', 'IMMUTABLE')};;"
        "ALTER TABLE <mine>.relevés ADD EXCLUDE ((<mine>.twice(id)) WITH =)",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3, 'c')"),),
        relations=("relevés",),
    ),
    Attack(
        name="statistics-expression",
        sql=_TABLE + f"CREATE FUNCTION <mine>.twice(int) RETURNS int {trap('2 * $1', 'IMMUTABLE')};;"
        "CREATE STATISTICS <mine>.s ON (<mine>.twice(id)) FROM <mine>.relevés",
        bait=(("postgres", "REASSIGN OWNED BY share_bob TO alice"), ("postgres", "ANALYZE <mine>.relevés")),
        relations=("relevés",),
    ),
    Attack(
        name="range:subtype_diff",
        sql=f"CREATE FUNCTION <mine>.apart(int, int) RETURNS float8 {trap('$1 - $2', 'IMMUTABLE')};;"
        "CREATE TYPE <mine>.mine AS RANGE (SUBTYPE = int, SUBTYPE_DIFF = <mine>.apart);;"
        "CREATE TABLE <mine>.relevés (r <mine>.mine);;"
        "INSERT INTO <mine>.relevés SELECT <mine>.mine(n, n + 2) FROM generate_series(1, 20) AS n",
        bait=(("postgres", "REASSIGN OWNED BY share_bob TO alice"), ("postgres", "ANALYZE <mine>.relevés")),
        relations=("relevés",),
    ),
    Attack(
        name="partition-key",
        sql=f"CREATE FUNCTION <mine>.part(int) RETURNS int {trap('$1 % 2', 'IMMUTABLE')};;"
        "CREATE TABLE <mine>.relevés (id int) PARTITION BY LIST ((<mine>.part(id)));;"
        "CREATE TABLE <mine>.relevés_0 PARTITION OF <mine>.relevés FOR VALUES IN (0);;"
        "CREATE TABLE <mine>.relevés_1 PARTITION OF <mine>.relevés FOR VALUES IN (1);;"
        "INSERT INTO <mine>.relevés VALUES (1), (2)",
        bait=(("alice", "INSERT INTO <mine>.relevés VALUES (3)"),),
        relations=("relevés",),
    ),
    Attack(
        name="operator-in-view",
        sql=_TABLE + _CALLED + f"CREATE FUNCTION <mine>.like_it(text, text) RETURNS bool {trap('true')};;"
        "CREATE OPERATOR <room>.~~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = <mine>.like_it);;"
        "CREATE VIEW <mine>.vue AS SELECT * FROM <mine>.relevés WHERE note OPERATOR(<room>.~~~~) 'a'",
        bait=(("alice", "SELECT * FROM <mine>.vue"),),
        relations=("vue",),
    ),
    Attack(
        name="names",  # nothing runs; but what prints them, or puts them into SQL or HTML, must quote them
        sql='CREATE TABLE <room>."a"";DROP TABLE menages;--\n%s {x} <img src=x onerror=alert(1)> \x1b[31m" (id int, '
        '"%(c)s; {} <b>" int DEFAULT 1);;'
        f'CREATE TABLE <room>."{"é" * 31}" (id int);;'
        'COMMENT ON TABLE <room>."a"";DROP TABLE menages;--\n%s {x} <img src=x onerror=alert(1)> \x1b[31m" '
        "IS '<img src=x onerror=alert(1)>';;"
        f'CREATE FUNCTION <room>."called"";--"(int) RETURNS int {trap("1")}',
        relations=('a";DROP TABLE menages;--\n%s {x} <img src=x onerror=alert(1)> \x1b[31m',),
    ),
    Attack(
        name="hstore",
        sql=_CALLED + "CREATE TABLE <mine>.relevés (h hstore);;INSERT INTO <mine>.relevés VALUES ('a=>1');;"
        "CREATE VIEW <mine>.vue AS SELECT h FROM <mine>.relevés WHERE <mine>.called(1)",
        bait=(("alice", "SELECT * FROM <mine>.vue"),),
        relations=("relevés", "vue"),
        extension="hstore",
        versions=(15, 15),
    ),
)
