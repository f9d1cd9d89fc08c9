"""Commands over MongoDB's protocol (`tests.support.mongodb_servers` says what its server cannot show)."""

from __future__ import annotations

import os
import socket

import pytest

from sspcloud_magics.databases import kinds
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.login import Login
from sspcloud_magics.databases.mongodb import kind
from sspcloud_magics.databases.mongodb.connection import MongodbConnection
from sspcloud_magics.databases.mongodb.query import run
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.errors import (
    ConnectionBusy,
    DatabaseUnavailable,
    NotConnected,
    QueryFailed,
    UsageProblem,
)
from sspcloud_magics.secret import Secret
from tests.support.mongodb_servers import client, start_mongodb
from tests.support.ports import free_port

COMMUNES = [
    {"nom": f"c{number}", "pop": number, "dep": "35" if number % 2 else "29"} for number in range(300)
]


@pytest.fixture(scope="module")
def port():
    with start_mongodb() as port:
        with client(port) as found:
            found["defaultdb"].communes.insert_many(COMMUNES)
            found["defaultdb"].nested.insert_many([{"n": {"a": 1}}, {"n": {"a": "x"}, "m": [1]}])
        yield port


def connect(port: int, timeout: float = 30.0) -> MongodbConnection:
    login = Login(
        host="127.0.0.1", port=port, user="", password=Secret(""), dbname="defaultdb", timeout=timeout
    )
    return MongodbConnection(Database("mongodb-1", "user-alice", "mongodb", "mongodb-headless", 27017), login)


@pytest.fixture
def connection(port):
    made = connect(port)
    yield made
    made.close()


FIND = '{"find": "communes", "filter": {"dep": :dep, "pop": {"$lt": :most}}, "projection": {"_id": 0}}'


def test_find(connection):
    frame = run(connection, FIND, {"dep": "35", "most": 5}).frame
    assert frame.to_dict("list") == {"nom": ["c1", "c3"], "pop": [1, 3], "dep": ["35", "35"]}
    assert frame.dtypes.map(str).tolist() == ["string", "Int64", "string"]


def test_aggregate(connection):
    text = '{"aggregate": "communes", "pipeline": [{"$group": {"_id": "$dep", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}]}'
    assert run(connection, text).frame.to_dict("list") == {"_id": ["29", "35"], "n": [150, 150]}


def test_other_commands(connection):
    assert run(connection, {"count": "communes"}).frame.to_dict("list") == {"n": [300]}
    assert len(run(connection, {"distinct": "communes", "key": "dep"}).frame) == 2
    assert len(run(connection, {"find": "absent"}).frame) == 0


def test_limit_and_batches(connection):
    found = run(connection, {"find": "communes", "batchSize": 7}, options=QueryOptions(limit=20))
    assert len(found.frame) == 20
    assert found.notes == ("The first 20 rows; there are more.",)
    assert len(run(connection, {"find": "communes", "batchSize": 7}).frame) == 300


def test_chunks_and_files(connection, tmp_path):
    read, whole = QueryOptions(), {"find": "communes"}
    chunks = kind.run(connection, whole, None, read, Output(chunks=100))
    with pytest.raises(ConnectionBusy):
        run(connection, whole)
    assert [len(chunk) for chunk in chunks] == [100, 100, 100]
    done = kind.run(connection, whole, None, read, Output(to=tmp_path / "x.parquet"))
    assert done.rows == 300
    nested = kind.run(connection, {"find": "nested"}, None, read, Output(to=tmp_path / "x.csv"))
    assert '{""a"": 1}' in nested.file.read_text()
    assert kind.run(connection, whole, None, read, Output(as_="arrow")).num_rows == 300


def test_collections_and_fields(connection):
    listed = kind.tables(connection, "com*")
    assert listed[["schema", "name", "kind", "rows_about"]].to_numpy().tolist() == [
        ["defaultdb", "communes", "collection", 300]
    ]
    described = kind.describe_table(connection, "nested")
    fields = described.columns.set_index("name")
    assert fields.loc["n.a", "type"] in ("int or string", "string or int")
    assert fields.loc["m", ["type", "nullable", "comment"]].tolist() == [
        "array",
        True,
        "in 50 % of the documents",
    ]
    assert len(described.head) == 2
    assert "_id_" in described.indexes["name"].tolist()
    assert kind.columns(connection, "", "communes").select == '{"find": "communes", "limit": 100}'
    with pytest.raises(QueryFailed) as caught:
        kind.describe_table(connection, "comunes")
    assert "did you mean communes?" in str(caught.value)


def test_own_object_and_end(port):
    connection = connect(port)
    assert kind.native(connection).communes.count_documents({"dep": "29"}) == 150
    connection.close()
    connection.close()
    with pytest.raises(NotConnected):
        run(connection, {"ping": 1})


def test_child_has_its_own_client(connection):
    run(connection, {"ping": 1})
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writes, str(len(run(connection, {"find": "communes"}).frame)).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reads, 100) == b"300"
    os.close(reads)
    os.close(writes)
    assert len(run(connection, {"find": "communes"}).frame) == 300


def test_no_server_is_reported():
    with pytest.raises(DatabaseUnavailable, match="failed"):
        connect(free_port(), timeout=0.2)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ('{"insert": "t", "documents": {"a": 1}}', "are lists"),
        ('{"insert": "t", "documents": [1]}', "are lists"),
        ('{"update": "t", "updates": {"q": {}}}', "are lists"),
        ('{"insert": "t", "documents": [{"a": {"b\\u0000": 1}}]}', "are lists"),
        ('{"find": "t", "filter": {"b\\u0000": 1}}', "are lists"),
        ('{"Find": "communes"}', "begin the document with the command"),
    ],
)
def test_misshapen_command_is_an_error_with_a_hint(connection, command, hint):
    with pytest.raises(QueryFailed) as raised:
        run(connection, command)
    assert hint in raised.value.hint
    assert len(run(connection, '{"find": "communes", "limit": 2}').frame) == 2


def test_sql_and_transactions_are_refused(connection):
    with pytest.raises(UsageProblem, match="no command document"):
        run(connection, "SELECT 1")
    with pytest.raises(UsageProblem, match="Transactions"):
        connection.transaction()
    with pytest.raises(UsageProblem, match="SQLAlchemy"):
        kind.engine(connection)


def test_probe_is_answered(port):
    probe = kinds.PROBES["mongodb"]
    with socket.create_connection(("127.0.0.1", port), 5) as plain:
        plain.sendall(probe.request)
        assert probe.answers(plain.recv(32))
