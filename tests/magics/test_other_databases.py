"""The magics on MariaDB and MongoDB, in a real IPython."""

from __future__ import annotations

import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.login import Login
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.databases.mongodb.connection import MongodbConnection
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.secret import Secret
from sspcloud_magics.session import session as session_module
from tests.support.mariadb_servers import start_mariadb
from tests.support.mongodb_servers import client, start_mongodb

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mariadb():
    with start_mariadb() as server:
        yield server


@pytest.fixture(scope="module")
def mongodb():
    with start_mongodb() as port:
        with client(port) as found:
            found["defaultdb"].t.insert_many([{"a": 1}, {"a": 2}])
        yield port


def connect(made):
    session_module.session.connections.append(made)


def connect_to(mariadb):
    login = Login(
        host="127.0.0.1",
        port=mariadb.port,
        user="root",
        password=Secret(mariadb.password),
        dbname="defaultdb",
    )
    connect(MariadbConnection(Database("m", "user-alice", "mariadb", "m", 3306), login))


def test_mariadb(notebook, mariadb):
    connect_to(mariadb)
    notebook.run("least = 1")
    notebook.run("%%query_db\ncreate or replace table t (a int);\ninsert into t values (1), (2)")
    assert notebook.run("%query_db select a from t where a > :least")["a"].tolist() == [2]
    assert notebook.run("df = %query_db select a from t\nlen(df)") == 2
    assert "key" in notebook.run("%%query_db --explain\nselect * from t").columns
    notebook.run("%query_db --begin")
    notebook.run("%query_db delete from t")
    notebook.run("%query_db --rollback")
    assert len(notebook.run("%query_db select a from t")) == 2
    notebook.run("%%query_db --begin --commit\ninsert into t values (3)")
    assert notebook.run("%tables")["name"].tolist() == ["t"]
    assert notebook.run("%describe_table t").columns["name"].tolist() == ["a"]
    assert len(notebook.run("%queries")) > 5


@pytest.fixture
def loaded(notebook, mariadb):
    """A table with names that need quotes, on the connection."""
    connect_to(mariadb)
    notebook.run(
        "import pandas as pd\nframe = pd.DataFrame({'revenu': [10, 20, 30], 'Code Insee': ['a', 'b', 'c']})"
    )
    assert "3 rows" in str(notebook.run('%load_table frame "Mes Revenus" --replace'))
    notebook.shell._sspcloud_magics.tables.wait(60)
    yield notebook
    with mariadb.connect(database="defaultdb") as root, root.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS `Mes Revenus`, menages")


def test_mariadb_saved_statements(loaded):
    """A saved query has MariaDB's comments, backticks and escapes; another uses it, and a third both."""
    loaded.run(
        "%%query_db --save riches\nselect revenu, `Code Insee` as c -- d'un\nfrom `Mes Revenus` # `x\nwhere revenu > 10 and 'it\\'s #' <> ''"
    )
    loaded.run("%%query_db --save deux --with riches\nselect max(revenu) as m from riches")
    found = loaded.run(
        "%%query_db --with deux\nwith trois as (select m + 1 as n from deux)\nselect n from trois"
    )
    assert found["n"].tolist() == [31]
    refused = loaded.fail(
        "%%query_db --with riches\ndelete from `Mes Revenus` where revenu in (select revenu from riches)"
    )
    assert "only SELECT can have WITH" in str(refused)
    assert "%load_table" in refused.hint
    assert "SELECT, VALUES or TABLE" in str(loaded.fail("%%query_db --save x\nshow tables"))
    assert "saved as rich" in str(loaded.fail("%%query_db --with rich\nselect 1"))


def test_mariadb_load_table(loaded):
    assert loaded.run("%query_db select sum(revenu) as s from `Mes Revenus`")["s"].tolist() == [60]
    assert "already exists" in str(loaded.fail('%load_table frame "Mes Revenus"'))
    loaded.run('%load_table frame "Mes Revenus" --append')
    assert len(loaded.run("%query_db select * from `Mes Revenus`")) == 6


def test_mariadb_completion(loaded):
    """Tables and columns, in backticks where they need them; nothing inside a string or a comment."""
    loaded.run("%query_db create or replace table menages (revenu int, nom text)")
    loaded.shell._sspcloud_magics.tables.wait(60)
    line = "%query_db SELECT * FROM "
    assert loaded.complete(line + "mena") == [line + "menages"]
    assert loaded.complete(line + "Mes") == [line + "`Mes Revenus`"]
    assert loaded.complete(line + "`Mes") == [line + "`Mes Revenus`"]
    cell = "%%query_db\nSELECT `x` # it's\nFROM `Mes Revenus` m WHERE m.Co"
    assert loaded.complete(cell) == [cell[:-2] + "`Code Insee`"]
    cell = "%%query_db\nSELECT * FROM menages WHERE rev"
    assert loaded.complete(cell) == [cell + "enu"]
    assert not loaded.complete("%query_db SELECT 'it\\' mena")
    assert not loaded.complete("%%query_db\nSELECT 1 # mena")
    assert "%load_table frame menages" in loaded.complete("%load_table frame mena")


def test_mongodb(notebook, mongodb):
    login = Login(host="127.0.0.1", port=mongodb, user="", password=Secret(""), dbname="defaultdb")
    connect(MongodbConnection(Database("m", "user-alice", "mongodb", "m", 27017), login))
    notebook.run("least = 1")
    line = '%query_db {"find": "t", "filter": {"a": {"$gt": :least}}, "projection": {"_id": 0}}'
    assert notebook.run(line)["a"].tolist() == [2]
    assert len(notebook.run('%%query_db --limit 1\n{"find": "t"}')) == 1
    assert notebook.run("%tables")["name"].tolist() == ["t"]
    assert notebook.run("%describe_table t").columns["name"].tolist() == ["_id", "a"]
    assert isinstance(notebook.fail("%query_db SELECT 1"), UsageProblem)
    assert isinstance(notebook.fail("%query_db --begin"), UsageProblem)
