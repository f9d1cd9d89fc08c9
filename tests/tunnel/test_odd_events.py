"""Malformed events: after one, the helper watches again."""

from __future__ import annotations

import pytest

from sspcloud_magics.errors import ServerError, ServerUnreachable
from sspcloud_magics.tunnel.ipc import State
from tests.tunnel.conftest import echo
from tests.tunnel.test_forward import ask

pytestmark = pytest.mark.servers

ODD = {
    "an empty object": b'{"type": "MODIFIED", "object": {}}',
    "no object": b'{"type": "MODIFIED"}',
    "null": b'{"type": "ADDED", "object": null}',
    "numbers": b'{"type": "ADDED", "object": {"metadata": {"name": "web-0"}, "spec": 5, "status": 5}}',
    "a status that is no error": b'{"type": "MODIFIED", "object": {"kind": "Status"}}',
    "no type": b'{"object": {"metadata": {"name": "web-0", "resourceVersion": "1"}}}',
    "a spec that is a number": b'{"type": "ADDED", "object": {"metadata": {"name": "a", "resourceVersion": "1"}, '
    b'"spec": 7}}',
    "an error without a code": b'{"type": "ERROR", "object": {"kind": "Status"}}',
    "an error with an odd code": b'{"type": "ERROR", "object": {"code": "gone"}}',
    "an error without an object": b'{"type": "ERROR"}',
    "a list": b"[]",
    "a number": b"1e999",
    "no JSON": b"<html>",
    "no UTF-8": b'{"type": "\xff\xfe"}',
    "too deep": b"[" * 100_000,
    "101 levels": b'{"type": "ADDED", "object": {"metadata": {"name": "a"}, "spec": %s}}'
    % (b"[" * 99 + b"]" * 99),
}


@pytest.mark.parametrize("line", ODD.values(), ids=ODD)
def test_odd_event_followed_by_a_new_watch(api, helper, programs, line):
    real = programs(echo)
    api.put_pod("web-0", {8000: real})
    state = helper.forward("pod", "web-0", 8000)
    api.wait_for_watches()
    api.requests.clear()
    api.say_to_watches(line)
    api.wait_for_request("watch pods")
    api.delete("Pod", "web-0")
    helper.wait_for_state(state.forward_id, State.RECONNECTING)
    api.put_pod("web-0", {8000: real}, uid="the-next")
    helper.wait_for_state(state.forward_id, State.ACTIVE)
    assert ask(state.local_ports[0]) == b"ping"


def test_malformed_object_at_the_start_is_explained(api, helper):
    api.put("Pod", "web-0", spec=7, status=7)
    error = helper.failure("pod", "web-0", 8000)
    assert type(error) is ServerError
    assert "malformed object" in error.what


def test_answer_that_is_no_object_is_explained(api, helper):
    api.put("Pod", "web-0")
    api._objects["pods", "web-0"] = ["no", "object"]
    error = helper.failure("pod", "web-0", 8000)
    assert type(error) is ServerUnreachable
    assert "does not answer like an API server" in error.why
