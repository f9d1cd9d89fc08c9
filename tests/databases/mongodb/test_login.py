"""The login, the rights of a user, and Decimal128, on a server that has them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.login import Login
from sspcloud_magics.databases.mongodb import catalogue
from sspcloud_magics.databases.mongodb.connection import MongodbConnection
from sspcloud_magics.databases.mongodb.query import run
from sspcloud_magics.databases.query_options import QueryOptions
from sspcloud_magics.errors import LoginRefused, QueryFailed
from sspcloud_magics.secret import Secret
from tests.support.mongodb_servers import PASSWORD, start_mongodb


@pytest.fixture(scope="module")
def port():
    with start_mongodb(logins=True) as port:
        yield port


def connect(port, user="alice", password=PASSWORD, dbname="defaultdb"):
    login = Login(host="127.0.0.1", port=port, user=user, password=Secret(password), dbname=dbname)
    return MongodbConnection(Database("m", "user-alice", "mongodb", "mongodb-headless", 27017), login)


@pytest.fixture
def alice(port):
    made = connect(port)
    yield made
    made.close()


@pytest.mark.parametrize(
    "login",
    [{"password": "wrong"}, {"user": "bob"}, {"dbname": "other"}],
    ids=["password", "user", "authSource"],
)
def test_wrong_login_is_refused(port, login):
    with pytest.raises(LoginRefused, match="refuses the user") as caught:
        connect(port, **login)
    assert "the database, which MongoDB authenticates in" in caught.value.hint
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ({"dropUser": "alice"}, 13),
        ({"listDatabases": 1}, 13),
        ({"nosuch": 1}, 59),
        ({"find": "d", "filter": {"$no": 1}}, 2),
    ],
)
def test_errors_have_their_numbers(alice, command, number):
    with pytest.raises(QueryFailed, match=rf"\({number}\)") as caught:
        run(alice, command)
    assert ("ask the owner" in caught.value.hint) == (number == 13)


def test_decimals_go_both_ways(alice):
    exact = Decimal("12345678901234567890.123456789")
    run(
        alice,
        '{"insert": "d", "documents": [{"_id": 1, "n": :a}, {"_id": 2, "n": :b}]}',
        {"a": Decimal("1.50"), "b": exact},
    )
    found = run(alice, {"find": "d", "sort": {"_id": 1}}, options=QueryOptions(numeric="decimal")).frame
    assert found["n"].tolist() == [Decimal("1.50"), exact]
    assert run(alice, {"find": "d", "sort": {"_id": 1}}).frame["n"].dtype == "float64"
    least = run(alice, '{"find": "d", "filter": {"n": {"$gt": :least}}}', {"least": Decimal("1.5")}).frame
    assert least["_id"].tolist() == [2]
    described = catalogue.describe_table(alice, "d").columns.set_index("name")
    assert described.loc["n", "type"] == "decimal"
