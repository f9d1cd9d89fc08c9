"""The lines that connect a database's own client: valid Python, without a login."""

from __future__ import annotations

import ast

import pytest

from sspcloud_magics.databases.charts import CHARTS_BY_KIND
from sspcloud_magics.databases.clients import CLIENTS, ClientGuide
from sspcloud_magics.databases.discovery import Database, require_usable
from sspcloud_magics.errors import DatabaseHibernated


def guide(kind):
    return ClientGuide("user-alice/x-1", kind, service="x-1", namespace="user-alice", port=1234)


@pytest.mark.parametrize("kind", CLIENTS)
def test_lines_are_python_for_a_cell(kind):
    install, _newline, code = guide(kind).code.partition("\n")
    assert install.startswith("%pip install -q ")
    ast.parse(code)
    assert "{service}" not in code
    assert ("endpoint.login" in code) == bool(CHARTS_BY_KIND[kind].login)
    assert "ssp.endpoint('user-alice/x-1')" in code or kind == "kafka"


def test_kafka_is_dialled_by_its_service():
    assert '"x-1.user-alice.svc:1234"' in guide("kafka").code


def test_guide_is_an_answer_and_an_error():
    with pytest.raises(ClientGuide) as raised:
        require_usable(Database("x-1", "user-alice", "qdrant", "qdrant", 6333))
    assert "is a qdrant database: its own client connects to it." in raised.value.what
    assert "%connect_db user-alice/x-1" in raised.value.hint
    shown = raised.value._repr_mimebundle_()
    assert "QdrantClient(" in shown["text/plain"]
    assert "&quot;http://127.0.0.1:{endpoint.port}&quot;" in shown["text/html"]


def test_paused_database_is_resumed_first():
    with pytest.raises(DatabaseHibernated):
        require_usable(Database("x-1", "user-alice", "qdrant", "qdrant", 6333, state="suspended"))
