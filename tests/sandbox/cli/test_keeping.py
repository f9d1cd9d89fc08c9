"""The data of a sandbox survives a stop and a start, which all tests of this file share."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sspcloud_magics as ssp
from sspcloud_magics import sandbox, session
from sspcloud_magics.sandbox import account, daemon
from sspcloud_magics.session import session as session_module
from tests.support.database import DATABASE
from tests.support.kubectl import kubectl
from tests.testbed import Sandbox

pytestmark = pytest.mark.slow

PODS = ("mon-api-abcdef-12345", f"{DATABASE}-1")
LIST = "/api/v1/namespaces/user-alice/pods"
SHARES = "app.kubernetes.io/managed-by=sspcloud-magics"


@dataclass(frozen=True)
class Restarted:
    """A restarted sandbox, and values from before the restart."""

    sandbox: Sandbox
    kubeconfig: str
    uids: list[str]
    version: str
    token: str
    login: Path
    port: int
    stopped: str

    def kubectl(self, person: str, *words: str, **how: Any) -> str:
        return kubectl(self.sandbox, person, *words, **how).check_output()


@pytest.fixture(scope="module")
def restarted() -> Iterator[Restarted]:
    home = Path(tempfile.mkdtemp(prefix="sspcloud-"))
    home.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_module, "session", session_module.Session())
        try:
            pid = sandbox.start(home).pid
            assert pid
            yield restart(Sandbox(home, pid))
        finally:
            session.close()
            sandbox.stop(home)
            sandbox.reset(home)


def restart(running: Sandbox) -> Restarted:
    """Do something of every kind in a sandbox, stop it, and start it when carol's share has ended."""
    home = running.home
    session.login(kubeconfig=running.kubeconfig("alice"))
    connected = ssp.connect_db(DATABASE)
    ssp.query_db("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    ssp.unshare(DATABASE, "bob")
    ssp.share_db(DATABASE, ["carol", "dave"], duration="7d")

    def run(*words: str) -> str:
        return kubectl(running, "alice", *words).check_output()

    run("create", "configmap", "kept", "--from-literal=answer=42")
    run("run", "ended", "--image=sspcloud-sandbox/helper", "--restart=Never", "--", "nothing")
    run("wait", "pod/ended", "--for=jsonpath={.status.phase}=Failed")
    before = {
        "kubeconfig": running.kubeconfig("alice").read_text(),
        "uids": uids(running),
        "version": json.loads(run("get", "--raw", LIST))["metadata"]["resourceVersion"],
        "token": run("create", "token", "default").strip(),
        "login": log_in(running),
        "port": connected.forward.local_port,
    }
    stopped = str(sandbox.stop(home))
    let_carols_share_end(daemon.snapshot_file(home))
    sandbox.start(home)
    return Restarted(running, stopped=stopped, **before)


def uids(running: Sandbox) -> list[str]:
    """Return the uids of pods, and the id of the container that has ended."""
    pods = kubectl(running, "alice", "get", "pod", *PODS, "ended", "-o", "jsonpath={.items[*].metadata.uid}")
    container = "jsonpath={.status.containerStatuses[0].containerID}"
    ended = kubectl(running, "alice", "get", "pod", "ended", "-o", container)
    return [*pods.check_output().split(), ended.check_output()]


def log_in(running: Sandbox) -> Path:
    """Return a kubeconfig with a login of bob's, whose ID token must be renewed."""
    kubeconfig = running.home / "login"
    script = account.login_script("bob", running.home)
    ended = re.search(r"id-token=\S+", account.login_script("bob", running.home, id_token_seconds=-60))
    assert ended
    script = re.sub(r"id-token=\S+", ended.group(), script)
    environment = running.env("bob") | {"KUBECONFIG": str(kubeconfig)}
    subprocess.run(["/bin/sh", "-e"], input=script, text=True, env=environment, check=True)
    return kubeconfig


def let_carols_share_end(snapshot: Path) -> None:
    """Make it as if the sandbox had been stopped for longer than the share lasts."""
    found = json.loads(snapshot.read_text())
    (job,) = [
        each
        for each in found["objects"]
        if (each["kind"], each["metadata"]["name"]) == ("Job", f"{DATABASE}-share-carol")
    ]
    job["status"]["startTime"] = "2020-01-01T00:00:00Z"
    snapshot.write_text(json.dumps(found))


def test_loaded_table_is_read_through_the_same_port(restarted: Restarted) -> None:
    """The forward was open all the time, and its connection is another one."""
    assert ssp.query_db("SELECT count(*) AS n FROM kept")["n"].tolist() == [1000]
    assert [each.local_port for each in session.open_forwards()] == [restarted.port]


def test_revoked_and_ended_shares_stay_ended(restarted: Restarted) -> None:
    for kind in ("job", "secret", "role", "rolebinding"):
        found = restarted.kubectl("alice", "get", kind, "-l", SHARES, "-o", "name")
        assert found.split("/")[1:] == [f"{DATABASE}-share-dave\n"]
    assert "Forbidden" in kubectl(restarted.sandbox, "carol", "get", "secret", "-n", "user-alice").text


def test_objects_keep_their_content_and_uids(restarted: Restarted) -> None:
    content = restarted.kubectl("alice", "get", "configmap", "kept", "-o", "jsonpath={.data.answer}")
    assert content == "42"
    assert uids(restarted.sandbox) == restarted.uids


def test_older_watches_are_told_to_list_again(restarted: Restarted) -> None:
    path = f"{LIST}?watch=1&timeoutSeconds=10&resourceVersion={restarted.version}"
    event = json.loads(restarted.kubectl("alice", "get", "--raw", path))
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


def test_kubeconfigs_tokens_and_logins_stay_valid(restarted: Restarted) -> None:
    assert restarted.sandbox.kubeconfig("alice").read_text() == restarted.kubeconfig
    assert "default" in restarted.kubectl("alice", "auth", "whoami", f"--token={restarted.token}")
    assert "oidc-bob" in restarted.kubectl("bob", "auth", "whoami", kubeconfig=restarted.login)


def test_what_is_kept_is_private_and_said(restarted: Restarted) -> None:
    home = restarted.sandbox.home
    assert daemon.snapshot_file(home).stat().st_mode & 0o777 == 0o600
    assert daemon.status(home).keeps
    assert restarted.stopped == f"The sandbox is not running; its changes are kept (home: {home})."
