"""What a colleague tries in MariaDB, whose code runs with its definer's or with its caller's privileges.

In the SQL, ``share_bob`` is the colleague's own database, ``defaultdb`` is shared, and ``secretdb`` is not.
"""

from __future__ import annotations

from dataclasses import dataclass

SECRET = "42000"
"""A value in ``secretdb``."""

_CANARY = "INSERT INTO canary.runs VALUES (CURRENT_USER())"


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack.

    Parameters
    ----------
    name
        A word.
    sql
        What the colleague runs.
    bait
        What the owner runs for the attack to succeed; empty if the colleague needs no help.
    gain
        What the colleague runs afterwards, to read or to stop what is not theirs.
    """

    name: str
    sql: tuple[str, ...]
    bait: str = ""
    gain: str = ""


_FUNCTION = (
    "CREATE FUNCTION share_bob.called() RETURNS int SQL SECURITY INVOKER BEGIN " + _CANARY + "; RETURN 1; END"
)

CODE = (
    Attack(
        name="function",
        sql=(_FUNCTION,),
        bait="SELECT share_bob.called()",
    ),
    Attack(
        name="view of a function",
        sql=(_FUNCTION, "CREATE SQL SECURITY INVOKER VIEW share_bob.vue AS SELECT share_bob.called() AS a"),
        bait="SELECT * FROM share_bob.vue",
    ),
    Attack(
        name="procedure",
        sql=(f"CREATE PROCEDURE share_bob.called() SQL SECURITY INVOKER {_CANARY}",),
        bait="CALL share_bob.called()",
    ),
    Attack(
        name="trigger that calls",
        sql=(
            "CREATE TABLE share_bob.own (a int)",
            _FUNCTION,
            "CREATE SQL SECURITY INVOKER VIEW share_bob.vue AS SELECT * FROM share_bob.own WHERE share_bob.called()",
        ),
        bait="DELETE FROM share_bob.vue",
    ),
)
"""Code of the colleague that runs as the owner; it needs more than a share grants."""

LASTING = (
    Attack(
        name="merge",
        sql=("CREATE TABLE share_bob.m (a int) ENGINE = MERGE UNION = (defaultdb.old) INSERT_METHOD = LAST",),
        gain="SELECT a FROM share_bob.m",
    ),
    Attack(
        name="merge that writes",
        sql=("CREATE TABLE share_bob.w (a int) ENGINE = MERGE UNION = (defaultdb.old) INSERT_METHOD = LAST",),
        gain="INSERT INTO share_bob.w VALUES (-1)",
    ),
    Attack(
        name="foreign key",  # it tells whether the other table has a value
        sql=(
            "CREATE TABLE share_bob.`f``k` (a int, CONSTRAINT `c``k` FOREIGN KEY (a) REFERENCES defaultdb.t (a))",
        ),
        gain="INSERT INTO share_bob.`f``k` VALUES (77)",
    ),
)
"""What works on after the privileges that it was made with."""

DENIED = frozenset({1044, 1045, 1142, 1143, 1227, 1370, 1698})
"""The server's errors for a missing privilege."""

REFUSED = {
    "view": "CREATE VIEW share_bob.v AS SELECT 1",
    "view:invoker": "CREATE SQL SECURITY INVOKER VIEW share_bob.v AS SELECT 1",
    "view:definer": "CREATE DEFINER = root@'%' VIEW share_bob.v AS SELECT * FROM secretdb.s",
    "view:in a block": "BEGIN NOT ATOMIC CREATE VIEW share_bob.v AS SELECT 1; END",
    "view:immediate": "EXECUTE IMMEDIATE 'CREATE VIEW share_bob.v AS SELECT 1'",
    "view:prepared": "PREPARE p FROM 'CREATE VIEW share_bob.v AS SELECT 1'",
    "procedure": "CREATE PROCEDURE share_bob.p() SELECT 1",
    "procedure:definer": "CREATE DEFINER = alice@'%' PROCEDURE share_bob.p() SELECT 1",
    "procedure of the owner": "CALL defaultdb.wipe()",
    "function": "CREATE FUNCTION share_bob.f() RETURNS int RETURN 1",
    "function of the owner": "SELECT defaultdb.tell()",
    "function:library": "CREATE FUNCTION sys_exec RETURNS string SONAME 'udf.so'",
    "trigger": "CREATE TRIGGER share_bob.g BEFORE INSERT ON share_bob.own FOR EACH ROW SET NEW.a = 1",
    "trigger on a shared table": "CREATE TRIGGER g BEFORE INSERT ON defaultdb.t FOR EACH ROW SET NEW.a = 1",
    "event": "CREATE EVENT share_bob.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    "event:shared": "CREATE EVENT defaultdb.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    "temporary table": "CREATE TEMPORARY TABLE share_bob.x (a int)",
    "file:outfile": "SELECT 1 INTO OUTFILE '/tmp/of-bob'",
    "file:dumpfile": "SELECT 1 INTO DUMPFILE '/tmp/of-bob'",
    "file:infile": "LOAD DATA INFILE '/etc/passwd' INTO TABLE share_bob.own",
    "grant": "GRANT SELECT ON defaultdb.t TO share_carol@'%'",
    "grant:public": "GRANT SELECT ON share_bob.* TO PUBLIC",
    "grant:own": "GRANT SELECT ON share_bob.* TO share_carol@'%'",
    "grant:role": "GRANT sspcloud_share TO share_carol@'%'",
    "grant:proxy": "GRANT PROXY ON root@'%' TO share_bob@'%'",
    "role": "CREATE ROLE r",
    "user": "CREATE USER x",
    "user:limit": "ALTER USER share_bob@'%' WITH MAX_USER_CONNECTIONS 0",
    "user:plugin": "ALTER USER CURRENT_USER() IDENTIFIED VIA unix_socket",
    "user:unlock": "ALTER USER CURRENT_USER() ACCOUNT UNLOCK",
    "user:other's password": "SET PASSWORD FOR root@'%' = PASSWORD('x')",
    "global:connections": "SET GLOBAL max_connections = 1",
    "global:log": "SET GLOBAL general_log = 1",
    "global:local_infile": "SET GLOBAL local_infile = 1",
    "session:binlog": "SET SESSION sql_log_bin = 0",
    "database": "CREATE DATABASE x",
    "database:like his": "CREATE DATABASE `shareXbob`",
    "table:create": "CREATE TABLE defaultdb.x (a int)",
    "table:alter": "ALTER TABLE defaultdb.t ADD b int",
    "table:drop": "DROP TABLE defaultdb.t",
    "table:truncate": "TRUNCATE defaultdb.t",
    "table:index": "CREATE INDEX i ON defaultdb.t (a)",
    "table:rename": "RENAME TABLE defaultdb.t TO share_bob.t",
    "table:exchange": "ALTER TABLE share_bob.part EXCHANGE PARTITION p0 WITH TABLE defaultdb.t",
    "table:lock": "LOCK TABLES defaultdb.t WRITE",
    "table:flush": "FLUSH TABLES defaultdb.t WITH READ LOCK",
    "secret:table": "SELECT * FROM secretdb.s",
    "secret:merge": "CREATE TABLE share_bob.x (a int) ENGINE = MERGE UNION = (secretdb.s)",
    "secret:reference": "CREATE TABLE share_bob.x (a int, FOREIGN KEY (a) REFERENCES secretdb.i (a))",
    "secret:view text": "SHOW CREATE VIEW defaultdb.vue",
    "leak:users": "SELECT * FROM mysql.global_priv",
    "leak:grants": "SHOW GRANTS FOR root@'%'",
    "leak:engine": "SHOW ENGINE INNODB STATUS",
    "leak:transactions": "SELECT * FROM information_schema.INNODB_TRX",
    "leak:accounts": "SELECT * FROM performance_schema.accounts",
    "leak:binlog": "SHOW BINARY LOGS",
    "server:plugin": "INSTALL SONAME 'ha_connect'",
    "server:remote": "CREATE SERVER x FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
    "server:replica": "CHANGE MASTER TO MASTER_HOST = 'x'",
    "server:stop": "SHUTDOWN",
}
"""What a writer may not do, nor a reader."""

LEAKS = (
    "SELECT * FROM information_schema.{}",
    ("SCHEMATA", "TABLES", "COLUMNS", "ROUTINES", "VIEWS", "TRIGGERS", "EVENTS", "STATISTICS", "PROCESSLIST"),
)
"""Catalogues in which a colleague may see only what is shared with them."""

ODD_TABLES = (
    "CREATE TABLE `x``; DROP TABLE defaultdb.t; --` (`<img src=x>` int, `a\nb` int)",
    "CREATE TABLE deep (a longtext CHECK (1 OR json_valid(`a`)))",
    "INSERT INTO deep VALUES (CONCAT(REPEAT('[', 100000), REPEAT(']', 100000))), ('no json'), (REPEAT('9', 5000))",
    "CREATE TABLE told (a text) COMMENT 'json_valid(`a`)'",
    "INSERT INTO told VALUES ('not json')",
    "CREATE TABLE moments (a date, b datetime, c time, d year)",
    "INSERT IGNORE INTO moments VALUES ('0000-00-00', '2020-00-00', '-838:59:59', 0)",
    "CREATE TABLE `%s %(a)s :a {x}` (`:a` int, `%s` int)",
    "CREATE TABLE wide (a char(255) DEFAULT (REPEAT('x', 255)), b int AS (1 / 0) VIRTUAL)",
    "INSERT INTO wide (a) VALUES ('x')",
    "CREATE SEQUENCE counted",
)
"""Tables whose names and values a command may misread."""
