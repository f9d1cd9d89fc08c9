import re

import pandas as pd

from sspcloud_magics.forwards import formatting
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.ports import specify
from sspcloud_magics.forwards.table import forward_table
from sspcloud_magics.target import PortText, Target
from sspcloud_magics.tunnel.ipc import ForwardCounters, ForwardSpec, ForwardState, State

TARGET = Target("user-bob", "pod", "mon-api")


WANTED = (PortText(8000, 1500),)


def make_forward(*events, ports=WANTED, address="localhost") -> Forward:
    spec = ForwardSpec("user-bob", "pod", "mon-api", specify(TARGET, ports), address)
    forward = Forward(None, forward_id=1, access_id=0, target=TARGET, wanted=tuple(ports), spec=spec)
    for event in events:
        forward.take(event)
    return forward


ACTIVE = ForwardState(1, State.ACTIVE, pod="mon-api-abcdef-12345", protocol="spdy", local_ports=(1500,))


def test_one_line_says_state_and_both_ends():
    assert repr(make_forward(ACTIVE)) == "● active localhost:1500 → user-bob/pod/mon-api:8000"


def test_starting_forward_shows_what_was_asked_for():
    assert repr(make_forward()) == "◐ starting localhost:1500 → user-bob/pod/mon-api:8000"
    assert (
        repr(make_forward(ports=(PortText("http"),))) == "◐ starting localhost:… → user-bob/pod/mon-api:http"
    )


def test_ipv6_address_is_written_in_brackets():
    assert "[::1]:1500 →" in repr(make_forward(ACTIVE, address="::1"))


def test_text_tells_pod_traffic_and_last_error():
    counters = ForwardCounters(1, 10, 2048, 1, 3, 1, 0, "connection refused")
    text = make_forward(ACTIVE, counters)._repr_mimebundle_()["text/plain"]
    assert "mon-api-abcdef-12345" in text
    assert "10 bytes sent, 2 KiB received, 1 open of 3 connections, 1 failed" in text
    assert "last error: connection refused" in text


def test_forward_without_a_connection_shows_no_zeros():
    assert (
        make_forward(ACTIVE)
        ._repr_mimebundle_()["text/plain"]
        .splitlines()[1]
        .endswith(" · no connection yet")
    )


def test_html_escapes_what_the_cluster_says():
    evil = "<img onerror=alert(1)>"
    forward = make_forward(
        ACTIVE,
        ForwardState(1, State.RECONNECTING, reason=evil, pod=evil, local_ports=(1500,)),
        ForwardCounters(1, last_error=evil),
    )
    forward.notes = (evil,)
    html = forward._repr_mimebundle_()["text/html"]
    assert html.count("&lt;img onerror") == 4
    assert "<img" not in html
    assert "<img" not in forward_table([forward])._repr_html_()


def test_html_tells_the_state_by_word_shape_and_colour():
    for state, shape in formatting.SHAPES.items():
        forward = (
            make_forward(ACTIVE, ForwardState(1, state)) if state is not State.STARTING else make_forward()
        )
        html = forward._repr_mimebundle_()["text/html"]
        assert f">{shape}</span> {state}</span>" in html
        assert "var(--jp-" in html


def test_failed_forward_says_why():
    error = {"code": "DialFailed", "what": "Nothing listens.", "why": "", "mend": ""}
    assert (
        "  Nothing listens."
        in make_forward(ForwardState(1, State.FAILED, error=error))._repr_mimebundle_()["text/plain"]
    )


def test_empty_table_is_a_dataframe_with_dtypes():
    for table in (
        forward_table([]),
        forward_table([make_forward(ACTIVE, ForwardCounters(1, 10, 2048, 1, 3)), make_forward()]),
    ):
        assert isinstance(table, pd.DataFrame)
        assert table["sent"].dtype == "int64"
        assert str(table["since"].dtype) == "datetime64[us, UTC]"
    assert list(table["local"]) == ["localhost:1500"] * 2
    assert list(table[table.state == "active"].received) == [2048]


def test_table_shows_itself():
    assert repr(forward_table([])) == "No forward is open."
    shown = repr(forward_table([make_forward(ACTIVE, ForwardCounters(1, 10, 2048, 1, 3))]))
    heading, row = shown.splitlines()
    assert heading.split() == ["STATE", "LOCAL", "TARGET", "POD", "SENT", "RECEIVED", "CONNECTIONS", "SINCE"]
    assert row.split()[:2] == ["active", "localhost:1500"]
    assert "2 KiB      1 open of 3   " in row
    assert re.search(r"\d\d:\d\d:\d\d$", row)


def test_table_tells_what_is_wrong():
    counters = ForwardCounters(1, connections=2, failed_connections=1, last_error="connection refused")
    shown = repr(forward_table([make_forward(ACTIVE, counters), make_forward()]))
    assert "LAST ERROR" in shown
    assert "0 open of 2, 1 failed" in shown
    assert "connection refused" in shown


def test_table_of_several_ports_is_one_row():
    both = make_forward(
        ForwardState(1, State.ACTIVE, local_ports=(1500, 1501)), ports=(PortText(8000, 0), PortText(9000, 0))
    )
    (row,) = forward_table([both]).to_dict("records")
    assert row["local"] == "localhost:1500, localhost:1501"
    assert row["target"] == "user-bob/pod/mon-api:8000, user-bob/pod/mon-api:9000"
