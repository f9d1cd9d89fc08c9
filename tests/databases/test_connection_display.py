"""What a connection shows of itself: the next steps in sight, the technical rows folded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sspcloud_magics.databases.login import Tls
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection


def show(tls: Tls, *, is_closed: bool = False) -> dict[str, str]:
    made: Any = DatabaseConnection.__new__(DatabaseConnection)
    made.database = SimpleNamespace(path="user-alice/db", kind="postgres")
    made._login = SimpleNamespace(user="reader", dbname="defaultdb")
    made._closed, made.is_pooled = is_closed, False
    made.tls, made._lease, made.route = tls, None, None
    shown: dict[str, str] = made._repr_mimebundle_()
    return shown


def test_connection_ends_with_the_next_step() -> None:
    shown = show(Tls.VERIFIED)
    lines = shown["text/plain"].split("\n")
    assert lines[0] == "user-alice/db (postgres): connected as reader"
    assert [line.split("   ")[0] for line in lines[1:]] == ["→ %tables", "→ %query_db SELECT …"]
    head, _fold, folded = shown["text/html"].partition("<details>")
    assert "<code>%tables</code>" in head
    assert "defaultdb" not in head
    assert "defaultdb" in folded


@pytest.mark.parametrize("tls", [Tls.UNVERIFIED, Tls.ABSENT])
def test_missing_protection_is_not_folded(tls: Tls) -> None:
    shown = show(tls)
    assert "TLS" in shown["text/html"].partition("<details>")[0]
    assert "TLS" in shown["text/plain"]


def test_closed_connection_has_no_next_step() -> None:
    shown = show(Tls.VERIFIED, is_closed=True)
    assert shown["text/plain"] == "user-alice/db (postgres): closed"
    assert "<details>" not in shown["text/html"]
