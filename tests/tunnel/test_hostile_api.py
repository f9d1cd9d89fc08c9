"""The helper and an untrusted API server: its memory is bounded, and open connections stay open."""

from __future__ import annotations

import psutil
import pytest
import trustme

from sspcloud_magics.access import Access
from sspcloud_magics.errors import ServerError, ServerUnreachable
from sspcloud_magics.secret import Secret
from sspcloud_magics.tunnel.ipc import State
from sspcloud_magics.tunnel.timings import Timings
from tests.hostile import api as hostile
from tests.tunnel.conftest import echo
from tests.tunnel.helper_process import HelperProcess
from tests.tunnel.test_forward import ask

pytestmark = pytest.mark.servers

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("behave", "says"),
    [
        (hostile.gzip_bomb(100), "not a Kubernetes object"),
        (hostile.endless, "more than 32 MiB"),
        (hostile.brackets(), "more than 100 levels"),
        (hostile.brackets(101), "more than 100 levels"),
        (hostile.many_values(20), "more than 1,200,000 values"),
        (hostile.answer(b"nonsense"), "not a Kubernetes object"),
        (hostile.json_answer([]), "not a Kubernetes object"),
        (hostile.json_answer({"items": [None]}), "not a Kubernetes object"),
        (hostile.json_answer({"metadata": []}), "KeyError"),
        (hostile.answer(b'{"message": ' + b"[" * 200_000, status=b"500 No"), "500"),
        (hostile.answer(b"[]", status=b"500 No"), "500"),
        (hostile.answer(b'{"message": "canary is not known"}', status=b"500 No"), "●●●●●● is not known"),
    ],
)
def test_a_malformed_answer_fails_the_forward(behave, says):
    authority = trustme.CA()
    with hostile.serve(authority, behave) as url:
        ca = authority.cert_pem.bytes().decode()
        with HelperProcess(Access(server=url, ca=ca, token=Secret("canary"))) as helper:
            failed = helper.failure("service", "web", 80)
            assert isinstance(failed, ServerUnreachable | ServerError)
            assert says in failed.why
            assert "canary" not in str(failed)
            assert psutil.Process(helper.process.pid).memory_info().rss < 200 * MEBIBYTE


def test_helpers_watch_has_a_total_time(api, programs):
    """Whatever the server sends in it."""
    api.put_pod("web-0", {8000: programs(echo)})
    with HelperProcess(api.access(), Timings(watch_timeout=0.5)) as helper:
        state = helper.forward("pod", "web-0", 8000)
        api.wait_for_request("watch pods", 2)
        assert ask(state.local_ports[0]) == b"ping"


@pytest.mark.parametrize("spec", ["x", {"containers": "x"}, {"containers": [{"ports": [None]}]}])
def test_an_odd_pod_costs_no_forward(api, helper, programs, spec):
    """It arrives in a watch and in later lists; once it is gone, pods are watched as before."""
    real = programs(echo)
    api.put_pod("web-0", {8000: real})
    api.put("Deployment", "web", spec={"selector": {"matchLabels": {"app": "web"}}})
    state = helper.forward("deployment", "web", 8000)
    api.wait_for_watches()
    api.requests.clear()
    api.put("Pod", "odd", metadata={"labels": {"app": "web"}}, spec=spec)
    api.wait_for_request("list pods")
    assert ask(state.local_ports[0]) == b"ping"
    api.delete("Pod", "odd")
    api.put_pod("web-1", {8000: real})
    api.delete("Pod", "web-0")
    again = helper.wait_for(
        lambda event: getattr(event, "pod", "") == "web-1" and event.state is State.ACTIVE
    )
    assert again.local_ports == state.local_ports
    assert ask(state.local_ports[0]) == b"ping"
