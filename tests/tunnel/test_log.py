"""The helper's log and its language."""

from __future__ import annotations

import logging

import pytest

from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.tunnel.ipc import Logged, SetLanguage, SetLog
from tests.tunnel.apiserver import ApiServer
from tests.tunnel.conftest import echo
from tests.tunnel.helper_process import HelperProcess
from tests.tunnel.test_forward import ask


def test_helper_is_silent_until_asked(api: ApiServer, helper: HelperProcess, programs) -> None:
    api.put_pod("web-0", {8000: programs(echo)})
    assert ask(helper.forward("pod", "web-0", 8000).local_ports[0]) == b"ping"
    assert not [event for event in helper.events if isinstance(event, Logged)]
    helper.say(SetLog(logging.DEBUG))
    assert ask(helper.forward("pod", "web-0", 8000).local_ports[0]) == b"ping"
    helper.wait_for(lambda event: isinstance(event, Logged) and "ended, " in event.text)
    told = [event for event in helper.events if isinstance(event, Logged)]
    text = "\n".join(event.text for event in told)
    for words in ("uses the pod web-0", "opened in spdy", "active", "connection"):
        assert words in text
    assert api.token not in text
    assert {event.name.rpartition(".")[0] for event in told} == {"sspcloud_magics.tunnel"}


def test_helper_speaks_the_kernels_language(api: ApiServer, helper: HelperProcess) -> None:
    helper.say(SetLanguage("fr"))
    with pytest.raises(SspcloudError) as failed:
        helper.forward("pod", "missing", 8000)
    assert "Introuvable dans" in failed.value.what
