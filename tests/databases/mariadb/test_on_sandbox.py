"""MariaDB of the catalogue's chart: found, reached and queried by its name."""

from __future__ import annotations

import pandas as pd
import pytest

import sspcloud_magics as ssp
from sspcloud_magics import session
from tests.support.mariadb_sandbox import RELEASE, open_mariadb_sandbox

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def alice():
    with open_mariadb_sandbox() as sandbox:
        ssp.login(kubeconfig=sandbox.kubeconfig("alice"))
        yield sandbox
        ssp.close()


def test_found_and_queried(alice, tmp_path):
    listed = ssp.databases().set_index("name")
    assert listed.loc[RELEASE, ["kind", "service", "port"]].tolist() == ["mariadb", RELEASE, 3306]
    connected = ssp.connect_db(RELEASE)
    assert (connected.user, connected.dbname, connected.route.name) == ("alice", "defaultdb", "forward")
    assert "connected as alice" in repr(connected)
    ssp.query_db("create table t (a int); insert into t values (1), (2)")
    assert ssp.query_db("select a from t where a > :least", {"least": 1})["a"].tolist() == [2]
    assert ssp.tables()["name"].tolist() == ["t"]
    assert ssp.describe_table("t").columns["name"].tolist() == ["a"]
    assert ssp.query_db("select * from t", to=tmp_path / "t.csv").rows == 2
    with ssp.connection().cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchone() == (1,)
    ssp.load_table(pd.DataFrame({"a": [4, 5]}), "t2")
    assert ssp.query_db("select a from t2 order by a")["a"].tolist() == [4, 5]
    session.begin()
    ssp.query_db("insert into t values (3)")
    session.rollback()
    assert len(ssp.query_db("select * from t")) == 2
    with ssp.transaction():
        ssp.query_db("insert into t values (3)")
    assert len(ssp.query_db("select * from t")) == 3


def test_relay_and_doctor(alice):
    connected = ssp.connect_db(RELEASE, route="relay")
    assert connected.route.name == "relay"
    assert ssp.query_db("select 1 as a")["a"].tolist() == [1]
    report = ssp.doctor(RELEASE)
    assert "alice is logged in to defaultdb" in repr(report)
