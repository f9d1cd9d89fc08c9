"""Objects that outlive the colleague's privileges: they work after his share is narrowed or revoked."""

from __future__ import annotations

from tests.adversary.attack import Attack, trap

_REASSIGN = ("postgres", "REASSIGN OWNED BY share_bob TO alice")
_TO_INT = f"CREATE FUNCTION <mine>.as_int(<mine>.e) RETURNS int {trap('1')};;"

LASTING = (
    Attack(
        name="definer",
        sql=f"CREATE FUNCTION <mine>.mine() RETURNS int {trap('1', 'SECURITY DEFINER')}",
        bait=(_REASSIGN, ("share_carol", "SELECT <mine>.mine()")),
    ),
    Attack(
        name="definer:superuser",
        sql=f"CREATE FUNCTION <mine>.mine() RETURNS int {trap('1', 'SECURITY DEFINER')}",
        bait=(
            ("postgres", "REASSIGN OWNED BY share_bob TO postgres"),
            ("share_carol", "SELECT <mine>.mine()"),
        ),
    ),
    Attack(
        name="definer:updates",
        sql=f"CREATE FUNCTION <mine>.mine() RETURNS int {trap('1', 'SECURITY DEFINER')};;"
        "GRANT ALL ON FUNCTION <mine>.mine() TO share_carol WITH GRANT OPTION",
        bait=(_REASSIGN, ("share_bob", "SELECT <mine>.mine()")),
    ),
    Attack(
        name="procedure",
        sql=f"CREATE PROCEDURE <mine>.mine() {trap('', 'SECURITY DEFINER')}",
        bait=(_REASSIGN, ("share_carol", "CALL <mine>.mine()")),
    ),
    Attack(
        name="view-of-another-schema",
        sql="CREATE VIEW <mine>.vue AS SELECT * FROM enquete.paies;;GRANT SELECT ON <mine>.vue TO PUBLIC, share_carol",
        bait=(_REASSIGN, ("share_carol", "SELECT * FROM <mine>.vue")),
        relations=("vue",),
    ),
    Attack(
        name="default-privileges",
        sql="ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;;"
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO share_carol WITH GRANT OPTION;;"
        "CREATE TABLE <mine>.relevés (id int);;CREATE SEQUENCE <mine>.suite",
        relations=("relevés",),
    ),
    Attack(
        name="grants",
        sql="CREATE TABLE <mine>.relevés (id int);;"
        "GRANT ALL ON <mine>.relevés TO PUBLIC;;GRANT ALL ON <mine>.relevés TO share_carol WITH GRANT OPTION;;"
        "GRANT SELECT (id) ON <mine>.relevés TO PUBLIC",
        relations=("relevés",),
    ),
    Attack(
        name="grants:chained",
        sql="CREATE TABLE <mine>.relevés (id int);;GRANT USAGE ON SCHEMA <room> TO share_carol;;"
        "GRANT SELECT, INSERT ON <mine>.relevés TO share_carol WITH GRANT OPTION",
        helped="GRANT SELECT, INSERT ON <mine>.relevés TO PUBLIC",
        relations=("relevés",),
        needs="shared",
    ),
    Attack(
        name="large-object",
        sql="SELECT lo_from_bytea(77001, 'of bob');;GRANT ALL ON LARGE OBJECT 77001 TO PUBLIC;;"
        "GRANT ALL ON LARGE OBJECT 77001 TO share_carol WITH GRANT OPTION",
    ),
    Attack(
        name="settings",
        sql="ALTER ROLE share_bob SET search_path = <room>;;ALTER ROLE share_bob SET default_transaction_read_only = off;;"
        "ALTER ROLE share_bob SET role = share_bob;;ALTER ROLE share_bob SET idle_session_timeout = 0",
    ),
    Attack(
        name="reference:of-his-own",  # both tables are the owner's in the end, and the check casts
        sql="CREATE TYPE <mine>.e AS (v text);;"
        + _TO_INT
        + "CREATE CAST (<mine>.e AS int) WITH FUNCTION <mine>.as_int(<mine>.e) AS IMPLICIT;;"
        "CREATE TABLE <mine>.parent (id int PRIMARY KEY);;INSERT INTO <mine>.parent VALUES (1);;"
        "CREATE TABLE <mine>.relevés (c <mine>.e REFERENCES <mine>.parent (id));;"
        "INSERT INTO <mine>.relevés VALUES (ROW('x'))",
        bait=(_REASSIGN, ("alice", "INSERT INTO <mine>.relevés VALUES (ROW('y'))")),
        relations=("relevés",),
    ),
    # A foreign key's check runs as the owner of the table that it refers to, and casts the value.
    Attack(
        name="reference",
        sql="CREATE TYPE <mine>.e AS (v text);;"
        + _TO_INT
        + "CREATE CAST (<mine>.e AS int) WITH FUNCTION <mine>.as_int(<mine>.e) AS IMPLICIT;;"
        "CREATE TABLE <mine>.relevés (c <mine>.e REFERENCES public.menages (id));;"
        "INSERT INTO <mine>.relevés VALUES (ROW('x'))",
        bait=(("share_bob", "INSERT INTO <mine>.relevés VALUES (ROW('y'))"),),
        relations=("relevés",),
        needs="rights",
    ),
    Attack(
        name="reference:superuser",
        sql="CREATE TYPE <mine>.e AS (v text);;"
        + _TO_INT
        + "CREATE CAST (<mine>.e AS int) WITH FUNCTION <mine>.as_int(<mine>.e) AS IMPLICIT;;"
        "CREATE TABLE <mine>.relevés (c <mine>.e REFERENCES public.spatial_ref_sys (srid));;"
        "INSERT INTO <mine>.relevés VALUES (ROW('x'))",
        bait=(("share_bob", "INSERT INTO <mine>.relevés VALUES (ROW('y'))"),),
        relations=("relevés",),
        needs="rights",
    ),
    Attack(
        name="reference:cascade",  # until PostgreSQL 17, what a cascade has queued is fired as the one who began
        sql="CREATE TABLE <mine>.relevés (c int REFERENCES public.menages (id) ON DELETE CASCADE);;"
        "INSERT INTO <mine>.relevés SELECT id FROM public.menages;;"
        f"CREATE FUNCTION <mine>.fired() RETURNS trigger {trap('NULL')};;"
        "CREATE TRIGGER t AFTER DELETE ON <mine>.relevés FOR EACH ROW EXECUTE FUNCTION <mine>.fired()",
        bait=(("alice", "DELETE FROM public.menages WHERE id = 1"),),
        relations=("relevés",),
        needs="rights",
        versions=(0, 17),
    ),
    Attack(
        name="trigger:of-the-owner",
        sql=f"CREATE FUNCTION <mine>.fired() RETURNS trigger {trap('NEW')};;"
        "CREATE TRIGGER t BEFORE INSERT ON public.menages FOR EACH ROW EXECUTE FUNCTION <mine>.fired()",
        bait=(("alice", "INSERT INTO public.menages (revenu) VALUES (1)"),),
        needs="rights",
    ),
)
