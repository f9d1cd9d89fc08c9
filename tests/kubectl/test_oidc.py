"""kubectl's own OIDC provider logs in at the sandbox with the account page's script."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from sspcloud_magics.sandbox import account
from tests.support.kubectl import kubectl
from tests.testbed import Sandbox


def settings(kubeconfig: Path) -> dict[str, str]:
    [user] = yaml.safe_load(kubeconfig.read_text())["users"]
    found: dict[str, str] = user["user"]["auth-provider"]["config"]
    return found


def test_kubectl_logs_in_by_script_and_renews(sandbox: Sandbox, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    script = account.login_script("bob", sandbox.home)
    ended = re.search(r"id-token=(\S+)", account.login_script("bob", sandbox.home, id_token_seconds=-60))
    assert ended
    script = re.sub(r"id-token=\S+", f"id-token={ended.group(1)}", script)
    environment = sandbox.env("bob") | {"KUBECONFIG": str(kubeconfig)}
    subprocess.run(
        ["/bin/sh", "-e"], input=script, text=True, env=environment, check=True, capture_output=True
    )
    before = settings(kubeconfig)
    assert "oidc-bob" in kubectl(sandbox, "bob", "auth", "whoami", kubeconfig=kubeconfig).check_output()
    after = settings(kubeconfig)
    assert after["id-token"] != before["id-token"]
    assert after["refresh-token"] != before["refresh-token"]
    assert "oidc-bob" in kubectl(sandbox, "bob", "auth", "whoami", kubeconfig=kubeconfig).check_output()
