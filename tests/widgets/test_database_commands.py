"""Sharing with a preview, and browsing tables, from the panel, on a real database."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from sspcloud_magics import session
from sspcloud_magics.errors import QueryFailed
from sspcloud_magics.widgets.controller import Controller
from tests.support.database import DATABASE_PATH as DATABASE
from tests.support.waiting import wait_until
from tests.testbed import Sandbox
from tests.widgets.conftest import Browser, answer, as_alice, outcome

WISH = {"database": DATABASE, "colleagues": "carol", "write": False, "schemas": "all", "duration": "2h"}


def test_a_share_is_previewed_then_made_then_revoked(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    browser.wait_until(lambda facts: facts.get("source/shares") is True)
    controller.receive({"do": "list_schemas", "database": DATABASE, "key": "schemas", "id": "0"})
    schemas = answer(browser, "schemas", "0")
    assert "public" in schemas
    controller.receive({"do": "preview_share", "key": "plan", "id": "1", **WISH | {"schemas": ["public"]}})
    assert answer(browser, "plan", "1")["schemas"] == ["public"]
    controller.receive({"do": "preview_share", "key": "plan", "id": "1b", **WISH})
    plan = answer(browser, "plan", "1b")
    assert plan["colleagues"] == ["carol"]
    assert not plan["read_write"]
    assert plan["schemas"] == plan["every"] == schemas
    assert "kind: RoleBinding" in plan["yaml"]
    assert "GRANT" in plan["sql"]
    dangers = [note["is_danger"] for note in plan["notes"]]
    assert dangers == sorted(dangers, reverse=True)
    assert "share/postgresql-cnpg-951239/carol" not in browser.facts, "nothing is made"
    sizes = [len(json.dumps(part, separators=(",", ":"))) for _, part in browser.parts()]
    assert max(sizes) <= 2000

    controller.receive({"do": "share", "key": "share", "id": "2", **WISH})
    made = answer(browser, "share", "2")
    assert made["line"] == f"%connect_db {DATABASE}"
    share = browser.wait_until(lambda facts: facts.get("share/postgresql-cnpg-951239/carol"))
    assert (share["state"], share["access"]) == ("open", "read-only")

    # As carol, in the same process: the route, the credentials and the session are hers.
    session.login(kubeconfig=sandbox.kubeconfig("carol"))
    joined = session.connect_db(DATABASE)
    session.login(kubeconfig=sandbox.kubeconfig("alice"))
    numbers = itertools.count(30)

    def list_sessions() -> Any:
        controller.receive({"do": "list_sessions", "key": "sessions", "id": (number := str(next(numbers)))})
        return answer(browser, "sessions", number)["postgresql-cnpg-951239/carol"]

    # The server may still count a session that carol ended a moment ago.
    wait_until(lambda: list_sessions()[0] == 1)
    _, since = list_sessions()
    assert 0 <= time.time() - since < 600
    session.connect_db(DATABASE)
    controller.receive({"do": "refresh", "key": "again", "id": "4"})
    browser.wait_until(
        lambda facts: facts.get("share/postgresql-cnpg-951239/carol", {}).get("sessions") == [1, since]
    )
    assert joined.user == "share_carol"

    controller.receive(
        {
            "do": "revoke",
            "database": "postgresql-cnpg-951239",
            "colleague": "carol",
            "key": "revoke",
            "id": "5",
        }
    )
    assert outcome(browser, "revoke", "5")["state"] == "done"
    browser.wait_until(lambda facts: "share/postgresql-cnpg-951239/carol" not in facts)


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"colleagues": ""}, "UsageProblem"),
        ({"duration": "soon"}, "UsageProblem"),
        ({"schemas": ["nowhere"]}, "UsageProblem"),
        ({"schemas": []}, "UsageProblem"),
        ({"schemas": "nowhere"}, "UsageProblem"),
    ],
)
def test_impossible_wish_is_refused_with_its_reason(
    controller: Controller, browser: Browser, sandbox: Sandbox, wish: dict[str, Any], code: str
) -> None:
    as_alice(controller, sandbox)
    controller.receive({"do": "preview_share", "key": "plan", "id": "1", **WISH, **wish})
    failed = outcome(browser, "plan", "1")
    assert failed["error"]["code"] == code
    assert failed["error"]["hint"]


def test_tables_are_browsed_after_a_failed_transaction(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    session.connect_db(DATABASE)
    with pytest.raises(QueryFailed):
        session.query_db("BEGIN; SELECT 1 / 0")
    controller.receive({"do": "list_tables", "database": DATABASE, "key": "tables", "id": "1"})
    listed = answer(browser, "tables", "1")
    assert listed["all"] == len(listed["tables"]) > 0
    schema, table, kind, rows, size, _, _ = next(
        each for each in listed["tables"] if each[2] == "table" and each[3]
    )
    assert (kind, rows > 0, size > 0) == ("table", True, True)
    controller.receive(
        {
            "do": "describe_table",
            "database": DATABASE,
            "schema": schema,
            "table": table,
            "key": "columns",
            "id": "2",
        }
    )
    described = answer(browser, "columns", "2")
    assert [len(each) for each in described["columns"]] == [4] * described["all"]
    assert session.current_connection().in_transaction, "the user's own transaction is left alone"
    session.query_db("ROLLBACK")
    frame = session.query_db(described["select"])
    assert list(frame.columns) == [name for name, *_ in described["columns"]]
    assert (
        session.query_db("SELECT count(*) AS n FROM pg_stat_activity WHERE usename = current_user")["n"][0]
        == 1
    )
    controller.receive(
        {
            "do": "describe_table",
            "database": DATABASE,
            "schema": "x",
            "table": 'y"',
            "key": "columns",
            "id": "3",
        }
    )
    assert outcome(browser, "columns", "3")["error"]["code"] == "QueryFailed"


def test_disconnect_closes_a_databases_connections(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    session.connect_db(DATABASE)
    browser.wait_until(lambda facts: any(key.startswith("connection/") for key in facts))
    for number in ("1", "2"):
        controller.receive({"do": "disconnect", "database": DATABASE, "key": "disconnect", "id": number})
        assert outcome(browser, "disconnect", number)["state"] == "done"
    browser.wait_until(lambda facts: not any(key.startswith("connection/") for key in facts))
    assert session.open_connections() == []


def test_revoke_all_revokes_each_share_of_a_database(
    controller: Controller, browser: Browser, sandbox: Sandbox
) -> None:
    as_alice(controller, sandbox)
    controller.receive({"do": "share", "key": "share", "id": "1", **WISH | {"colleagues": "bob carol"}})
    assert outcome(browser, "share", "1")["state"] == "done"
    browser.wait_until(lambda facts: "share/postgresql-cnpg-951239/carol" in facts)
    name = DATABASE.rpartition("/")[2]
    controller.receive({"do": "revoke_all", "database": name, "key": "revoke-all", "id": "2"})
    assert outcome(browser, "revoke-all", "2")["state"] == "done"
    browser.wait_until(lambda facts: not any(key.startswith("share/") for key in facts))
    session.share_db(DATABASE, "bob", duration="30d")
