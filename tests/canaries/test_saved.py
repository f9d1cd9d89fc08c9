"""What the notebook's file has after a real kernel has run it, with the panel and its saved state."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.canaries.test_canaries import CANARY, ME, PODS, V1, Stage, credential, echo_token, list_leaks
from tests.support.api_server import ApiServer
from tests.support.notebooks import run_and_save

pytestmark = pytest.mark.servers

CELLS = (
    "import logging, sys; logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)",
    "%load_ext sspcloud_magics\nimport sspcloud_magics as ssp",
    "%xmode Verbose",
    "%k8s_whoami",
    "%k8s_pods",
    "%sspcloud",
    "ssp.panel()",
    "%k8s_doctor",
    "%whos",
    "%history",
)
USERS = {
    "token": lambda stage: stage.user({"token": CANARY}),
    "login command": lambda stage: stage.plugin(credential(token=CANARY)),
    "login command that talks": lambda stage: stage.plugin(
        # It is still there when the quiet second is over.
        f"import time\nfor _ in range(1000): print({CANARY!r}, file=sys.stderr, flush=True)\ntime.sleep(2)\n{credential(token='t')}"
    ),
    "refused token": lambda stage: stage.user({"token": f"{CANARY}\nX"}),
    "proxy": lambda stage: stage.user(
        {"exec": {"apiVersion": V1, "command": "false"}}, **{"proxy-url": f"http://b:{CANARY}@127.0.0.1:1"}
    ),
}


@pytest.mark.parametrize("user", USERS)
def test_saved_notebook_holds_no_secret(
    api: ApiServer,
    tmp_path: Path,
    write_kubeconfig: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    user: str,
) -> None:
    for name in ("IPYTHONDIR", "XDG_STATE_HOME", "JUPYTER_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    api.answers |= {PODS: echo_token, ME: {"status": {"userInfo": {"username": "bob"}}}}
    USERS[user](Stage(api, tmp_path, write_kubeconfig, monkeypatch))
    before = list_leaks(tmp_path)
    saved = json.loads(run_and_save(CELLS, tmp_path).read_text())
    state = saved["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert any("static_text" in model["state"] for model in state.values())
    assert "DEBUG" in json.dumps(saved["cells"])
    assert list_leaks(tmp_path) == before
