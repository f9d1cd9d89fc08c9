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


def test_mariadb(notebook, mariadb):
    login = Login(
        host="127.0.0.1",
        port=mariadb.port,
        user="root",
        password=Secret(mariadb.password),
        dbname="defaultdb",
    )
    connect(MariadbConnection(Database("m", "user-alice", "mariadb", "m", 3306), login))
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
    assert isinstance(notebook.fail("%%query_db --save x\nselect 1"), UsageProblem)
    assert "to_sql" in str(notebook.fail("%load_table df t2"))
    assert len(notebook.run("%queries")) > 5


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
