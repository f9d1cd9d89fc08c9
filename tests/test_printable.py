"""Untrusted text moves no cursor and reverses no text, wherever it is displayed."""

from __future__ import annotations

import argparse
import io
import json
import unicodedata
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter

from sspcloud_magics.cluster.requests.permissions import Identity
from sspcloud_magics.cluster.workloads.tables import TableColumn, TableView, table
from sspcloud_magics.databases.postgres.catalogue import TableDescription
from sspcloud_magics.databases.postgres.query import QueryResult, StatementResult
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.doctor.findings import Finding, Verdict
from sspcloud_magics.doctor.report import Report
from sspcloud_magics.errors import ServerError
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.magics import dataframe_display
from sspcloud_magics.magics.completion import KnownNames, candidates
from sspcloud_magics.magics.display import Note
from sspcloud_magics.magics.status_line import steps
from sspcloud_magics.printable import printable, printable_values, shorten
from sspcloud_magics.sharing.rendering import Answer
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.transient_text import NotebookOutput, TerminalLine
from sspcloud_magics.tunnel.ipc import ForwardCounters, ForwardSpec, ForwardState, State
from sspcloud_magics.widgets import static_fallback
from sspcloud_magics.widgets.controller import Controller

# Colours, a bell, an 8-bit CSI, an OSC that sets a title, bidirectional and invisible marks.
HOSTILE = "a\x1b[31mb\x07c\x9b2Jd\x1b]0;x\x07e\u202ef\u2066g\u200bh\u2028i\rj\x7f"
ACTING = [mark for mark in HOSTILE if not mark.isprintable()]


def make_target(name: str) -> Target:
    return Target(name, "pod", name)


def forward() -> Forward:
    spec = ForwardSpec(HOSTILE, "pod", HOSTILE, (), "localhost")
    made = Forward(
        None,  # type: ignore[arg-type]  # nothing is asked of its manager here
        forward_id=1,
        access_id=0,
        target=make_target(HOSTILE),
        wanted=(PortText(80, 1500),),
        spec=spec,
    )
    made.take(ForwardState(1, State.ACTIVE, pod=HOSTILE, protocol="spdy", local_ports=(1500,)))
    made.take(ForwardState(1, State.RECONNECTING, reason=HOSTILE, pod=HOSTILE, local_ports=(1500,)))
    made.take(ForwardCounters(1, last_error=HOSTILE))
    return made


def report() -> Report:
    return Report((Finding(HOSTILE, Verdict.BROKEN, HOSTILE, (HOSTILE,), HOSTILE),))


def resources() -> Any:
    view = TableView((TableColumn("name", "NAME"),), "pod", HOSTILE)
    return table([{"name": HOSTILE, HOSTILE: 1}], {"name": "str", HOSTILE: "int64"}, view)


def connection() -> Any:
    """Return what a connection shows of itself, without a server."""
    made = DatabaseConnection.__new__(DatabaseConnection)
    made.database = SimpleNamespace(path=HOSTILE, kind=HOSTILE)  # type: ignore[assignment]
    made._closed = False
    made._login = SimpleNamespace(user=HOSTILE, dbname=HOSTILE)  # type: ignore[assignment]
    made.is_pooled = False
    made.tls, made._lease, made.route = "verified", None, None  # type: ignore[assignment]
    return made


def description() -> TableDescription:
    made = pd.DataFrame({"definition": [HOSTILE]})
    return TableDescription(HOSTILE, resources(), made, None, 0, HOSTILE, HOSTILE, made)


def share() -> str:
    told = Answer(
        granted=HOSTILE, line=HOSTILE, notes=(HOSTILE, HOSTILE), objects=HOSTILE, statements=HOSTILE
    )
    return told.as_text() + told.as_html()


def bundle(shown: Any) -> str:
    told = shown._repr_mimebundle_()
    return f"{told['text/plain']}\n{told['text/html']}\n{shown!r}"


def error() -> str:
    fault = ServerError(HOSTILE, why=HOSTILE, hint=HOSTILE)
    return "\n".join([str(fault), repr(fault), *fault._render_traceback_()])


def frame(show: Callable[[pd.DataFrame], str | None]) -> str:
    made = pd.DataFrame({HOSTILE: [HOSTILE]})
    shell: Any = SimpleNamespace(display_formatter=DisplayFormatter())
    dataframe_display.register(shell, made, 1.0)
    return str(show(made))


def progress() -> str:
    stream = io.StringIO()
    TerminalLine(stream).show(HOSTILE)
    told: list[str] = []
    output = NotebookOutput()
    output._send = lambda data: told.extend(data.values())  # type: ignore[method-assign]
    output.show(HOSTILE)
    return stream.getvalue().removeprefix("\r") + "".join(told)


def panel() -> str:
    told: list[Any] = []
    scheduler = Controller(told.append).scheduler
    scheduler._collect = lambda: {HOSTILE: {"name": [HOSTILE]}}  # type: ignore[method-assign]
    scheduler._replies.append({"type": "reply", "key": HOSTILE, "id": "1", "value": [HOSTILE]})
    scheduler._owes_all = True
    scheduler._turn()
    assert [message["type"] for message in told] == ["reply", "snapshot"]
    return json.dumps(told, ensure_ascii=False)


SURFACES: dict[str, Callable[[], str]] = {
    "error": error,
    "note": lambda: bundle(Note(HOSTILE, (f"%x   {HOSTILE}",))),
    "table": lambda: f"{resources()!r}{resources()._repr_html_()}",
    "empty table": lambda: f"{resources()[:0]!r}{resources()[:0]._repr_html_()}",
    "grouped table": lambda: f"{resources().set_index('name')!r}",
    "card": lambda: bundle(forward()),
    "report": lambda: bundle(report()) + report().to_json(),
    "identity": lambda: (
        f"{Identity(HOSTILE, (HOSTILE,), HOSTILE, HOSTILE, HOSTILE)}"
        + Identity(HOSTILE, (HOSTILE,), HOSTILE, HOSTILE, HOSTILE)._repr_html_()
    ),
    "notices": lambda: bundle(
        QueryResult(None, (StatementResult(HOSTILE, 1),), (f"NOTICE: {HOSTILE}",), 1.0)
    ),
    "connection": lambda: bundle(connection()),
    "table's description": lambda: bundle(description()),
    "share": share,
    "values as text": lambda: frame(dataframe_display.render_text),
    "values as HTML": lambda: frame(dataframe_display.render_html),
    "progress": progress,
    "panel": panel,
    "panel without a kernel": lambda: (
        static_fallback.text({"who": {"user": HOSTILE, "namespace": HOSTILE, "server": HOSTILE}})
        + static_fallback.html({"source/who": {"what": HOSTILE, "hint": HOSTILE}})
    ),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_no_surface_lets_it_through(surface: str) -> None:
    shown = SURFACES[surface]()
    assert r"\x1b[31m" in shown.replace(r"\\", "\\")
    assert r"\u202e" in shown.replace(r"\\", "\\")
    assert not [mark for mark in ACTING if mark in shown]


def test_the_status_line_is_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with steps(quiet=0) as tell:
        tell(HOSTILE)
        shown = capsys.readouterr().err
    assert not [mark for mark in ACTING if mark in shown.removeprefix("\r")]


def test_completion_leaves_out_what_cannot_be_typed() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    offered = candidates(
        parser, [""], KnownNames().names, {"target": lambda _names, _words: [HOSTILE, "db-1"]}
    )
    assert offered == ["db-1"]


@given(st.text())
def test_nothing_acts_and_all_else_stays(text: str) -> None:
    shown = printable(text)
    for mark in shown:
        category = unicodedata.category(mark)
        assert category not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or mark in "\n\t\u200c\u200d"
    assert printable(shown) == shown
    assert "\n" not in printable(text, one_line=True)


@pytest.mark.parametrize("text", ["é→ü 日本", "a\nb\tc", "1\u202f000\u00a0€", "👩\u200d👧", "", "\\x1b"])
def test_what_is_harmless_stays(text: str) -> None:
    assert printable(text) == text


def test_a_lone_surrogate_can_be_encoded() -> None:
    assert printable("a\udcff").encode() == rb"a\udcff"


def test_values_of_json_keep_their_shape() -> None:
    assert printable_values({"a\x1b": [1, None, True, ("\x1b",)]}) == {r"a\x1b": [1, None, True, [r"\x1b"]]}


def test_a_long_text_says_how_much_is_left_out() -> None:
    assert shorten("a" * 4001) == "a" * 4000 + " … (1 more character)"
    assert shorten("a" * 4000) == "a" * 4000
