"""One-line summaries of the error texts of the kubelet and containerd."""

from __future__ import annotations

import pytest

from sspcloud_magics.sandbox.node.connection import DialError
from sspcloud_magics.sandbox.node.relay import Sandbox, kubelet_words, make_refusal
from sspcloud_magics.tunnel.pod_errors import (
    is_pod_gone,
    is_reset,
    quote_cause,
    summarize,
)

ID = "3f1c" * 16
POD = Sandbox(ID, "/var/run/netns/cni-b1", DialError)  # type: ignore[arg-type] - it is never dialled
IN_NAMESPACE = f'failed to execute portforward in network namespace "{POD.netns}": '
RESET = kubelet_words(
    5432, POD, IN_NAMESPACE + "read tcp4 127.0.0.1:4->127.0.0.1:5432: read: connection reset by peer"
)
GONE = kubelet_words(5432, POD, f'failed to find sandbox "{ID}" in store: not found')


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (RESET, "The program in the pod reset the connection."),
        (
            RESET.replace("connection reset by peer", "broken pipe"),
            "The program in the pod reset the connection.",
        ),
        (GONE, "The pod is gone."),
        ("pod not found", "The pod is gone."),
        (
            kubelet_words(81, POD, make_refusal(81, POD)),
            "Nothing accepts connections on the port in the pod (connection refused).",
        ),
        ("dial tcp4 127.0.0.1:81: i/o timeout", "The program in the pod did not answer in time."),
        ("some new\nwords", "The cluster says: some new words"),
    ],
)
def test_error_becomes_one_line(text, line):
    assert summarize(text) == line


def test_unknown_error_keeps_its_end():
    line = summarize("story " * 100 + "of the disk quota exceeded")
    assert line.startswith("The cluster says: … ")
    assert line.endswith("disk quota exceeded")
    assert len(line) < 130
    assert "\n" not in line


def test_reset_and_gone_are_distinguished():
    assert [(is_reset(text), is_pod_gone(text)) for text in (RESET, GONE)] == [
        (True, False),
        (False, True),
    ]


def test_refusal_quoted_in_brief():
    text = kubelet_words(81, POD, make_refusal(81, POD))
    assert quote_cause(text) == "The cluster says: dial tcp4 127.0.0.1:81: connect: connection refused"
