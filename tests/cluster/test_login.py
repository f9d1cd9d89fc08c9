"""Logging in at a real server and a real identity provider: the sandbox's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sspcloud_magics import errors
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.login import log_in
from sspcloud_magics.cluster.login_script import parse
from sspcloud_magics.cluster.requests.permissions import who_am_i
from sspcloud_magics.forwards import ForwardManager
from sspcloud_magics.sandbox import account
from sspcloud_magics.secret import Secret
from sspcloud_magics.target import PortText, Target
from tests.support.waiting import wait_until
from tests.testbed import Sandbox

BEFORE = "apiVersion: v1\nkind: Config\ncurrent-context: work\nusers: []\nclusters: []\ncontexts: []\n"
Script = Callable[..., str]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    file = tmp_path / "config"
    file.write_text(BEFORE)
    return file


@pytest.fixture
def script(sandbox: Sandbox) -> Script:
    """A fresh login script of carol, who logs in only in this test."""

    def write(**asked: Any) -> str:
        return account.login_script("carol", sandbox.home, **asked)

    return write


@pytest.fixture
def clusters(kubeconfig: Path) -> Iterator[Callable[[], Cluster]]:
    found: list[Cluster] = []

    def find() -> Cluster:
        found.append(find_cluster(kubeconfig=kubeconfig, environ={}))
        return found[-1]

    yield find
    for each in found:
        each.close()


def settings(kubeconfig: Path) -> dict[str, str]:
    [user] = yaml.safe_load(kubeconfig.read_text())["users"]
    found: dict[str, str] = user["user"]["auth-provider"]["config"]
    return found


def with_ended_token(script: Script) -> str:
    """Return a script whose ID token has ended, and whose refresh token is good."""
    ended = re.search(r"id-token=(\S+)", script(id_token_seconds=-60))
    assert ended
    return re.sub(r"id-token=\S+", f"id-token={ended.group(1)}", script())


def test_script_becomes_the_identity_with_its_end(
    script: Script, kubeconfig: Path, clusters: Callable[[], Cluster]
) -> None:
    log_in(parse(script(login_seconds=7200)), [kubeconfig])
    identity = who_am_i(clusters())
    assert (identity.user, identity.namespace) == ("oidc-carol", "user-carol")
    assert re.search(r"until .*, 1 hour and \d+ minutes more; the token renews itself", identity.valid)
    assert "not verified" in identity.warning
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert (kubeconfig.parent / "config.before-sspcloud").read_text() == BEFORE


def test_with_a_ca_the_server_is_verified(
    sandbox: Sandbox, script: Script, kubeconfig: Path, clusters: Callable[[], Cluster]
) -> None:
    log_in(parse(script()), [kubeconfig], sandbox.home / "certificates" / "ca.crt")
    cluster = clusters()
    assert who_am_i(cluster).warning == ""
    assert cluster.verifies
    log_in(parse(script()), [kubeconfig])
    assert clusters().verifies, "the next script forgot the authority"


def test_script_with_an_ended_token_is_renewed(
    script: Script, kubeconfig: Path, clusters: Callable[[], Cluster]
) -> None:
    text = with_ended_token(script)
    log_in(parse(text), [kubeconfig])
    assert who_am_i(clusters()).user == "oidc-carol"
    assert settings(kubeconfig)["refresh-token"] not in text


@pytest.mark.parametrize(
    ("broken", "kind", "words"),
    [
        (lambda script: script(audience="nextcloud"), errors.ServerError, "audience"),
        (lambda script: script(id_token_seconds=-60, bound=True), errors.TokenExpired, "DPoP"),
        (lambda script: script(id_token_seconds=-60, login_seconds=-30), errors.TokenExpired, "ended"),
        (
            lambda script: re.sub(r"(id-token=\S+)\.\S+", r"\1.AAAA", script()),
            errors.TokenExpired,
            "does not accept the token of this script",
        ),
        (
            lambda script: re.sub(r"--server=\S+", "--server=https://127.0.0.1:1", script()),
            errors.ServerUnreachable,
            "cannot be reached",
        ),
        (
            lambda script: re.sub(
                r"idp-issuer-url=\S+", "idp-issuer-url=https://127.0.0.1:1", script(id_token_seconds=-60)
            ),
            errors.ServerError,
            "another identity provider",
        ),
    ],
    ids=["audience", "bound", "ended", "cut off", "server down", "issuer changed"],
)
def test_failed_login_leaves_everything_as_it_was(
    broken: Callable[[Script], str],
    kind: type[errors.SspcloudError],
    words: str,
    script: Script,
    kubeconfig: Path,
) -> None:
    text = broken(script)
    with pytest.raises(kind) as failed:
        log_in(parse(text), [kubeconfig])
    assert words in str(failed.value)
    assert "→" in str(failed.value)
    assert kubeconfig.read_text() == BEFORE
    assert {each.name for each in kubeconfig.parent.iterdir()} == {"config"}


def test_unwritable_kubeconfig_stops_the_login_first(kubeconfig: Path, script: Script) -> None:
    text = parse(script())
    kubeconfig.chmod(0o400)
    with pytest.raises(errors.KubeconfigInvalid, match="read-only"):
        log_in(text, [kubeconfig])
    kubeconfig.chmod(0o600)
    kubeconfig.write_text("x" * 10_000_000)
    with pytest.raises(errors.KubeconfigInvalid, match="MiB"):
        log_in(text, [kubeconfig])
    with pytest.raises(errors.KubeconfigInvalid, match="directory"):
        log_in(text, [kubeconfig.parent])


def test_ended_token_is_renewed_and_written_back(
    script: Script, kubeconfig: Path, clusters: Callable[[], Cluster]
) -> None:
    log_in(parse(script()), [kubeconfig])
    ended = re.search(r"id-token=(\S+)", script(id_token_seconds=-60))
    assert ended
    kubeconfig.write_text(kubeconfig.read_text().replace(settings(kubeconfig)["id-token"], ended.group(1)))
    before = settings(kubeconfig)
    assert who_am_i(clusters()).user == "oidc-carol"
    after = settings(kubeconfig)
    assert after["refresh-token"] != before["refresh-token"]
    assert after["client-id"] == before["client-id"]
    assert who_am_i(clusters()).user == "oidc-carol"
    assert settings(kubeconfig) == after, "a token that was valid was renewed"


_RENEW = """
import json, sys
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.cluster.requests.permissions import who_am_i
cluster = find_cluster(kubeconfig=sys.argv[1], environ={})
print("ready", flush=True)
sys.stdin.readline()
token = cluster.access().token
print(json.dumps([who_am_i(cluster).user, hash(token.reveal())]))
cluster.close()
"""


def test_several_kernels_renew_once(script: Script, kubeconfig: Path) -> None:
    # The provider ends a login whose refresh token is shown twice: two renewals would lock all of them out.
    log_in(parse(script()), [kubeconfig])
    ended = re.search(r"id-token=(\S+)", script(id_token_seconds=-60))
    assert ended
    kubeconfig.write_text(kubeconfig.read_text().replace(settings(kubeconfig)["id-token"], ended.group(1)))
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", _RENEW, str(kubeconfig)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONHASHSEED": "0"},
        )
        for _ in range(4)
    ]
    for kernel in kernels:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "ready\n"
    for kernel in kernels:  # all of them at once: who waits for one is renewed for
        assert kernel.stdin is not None
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    answers = [json.loads(kernel.communicate(timeout=60)[0]) for kernel in kernels]
    assert {user for user, _ in answers} == {"oidc-carol"}
    assert len({token for _, token in answers}) == 1


def list_waiting_renewals() -> list[threading.Timer]:
    """Return the timers of tokens that wait."""
    timers = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
    return [each for each in timers if each.name == "sspcloud-oidc" and not each.finished.is_set()]


def test_token_is_renewed_ahead_by_itself(
    script: Script, kubeconfig: Path, clusters: Callable[[], Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = set(list_waiting_renewals())  # of tests before this one, which let go of their clusters
    log_in(parse(script(id_token_seconds=5)), [kubeconfig])
    before = settings(kubeconfig)
    written = threading.Event()
    from sspcloud_magics.cluster.config import kubeconfig_file

    write = kubeconfig_file.write
    monkeypatch.setattr(kubeconfig_file, "write", lambda *given: (write(*given), written.set()))
    cluster = clusters()
    cluster.access()
    assert written.wait(60)
    assert settings(kubeconfig)["refresh-token"] != before["refresh-token"]
    # It is written before it is used: until then the old one is good.
    old = Secret(before["id-token"])
    wait_until(lambda: cluster.access().token != old)
    assert cluster.access().token is not None
    cluster.close()
    assert set(list_waiting_renewals()) <= others


def test_forward_heals_after_a_new_login(
    sandbox: Sandbox, kubeconfig: Path, clusters: Callable[[], Cluster]
) -> None:
    def log_in_as_alice(**asked: Any) -> None:
        log_in(parse(account.login_script("alice", sandbox.home, **asked)), [kubeconfig])

    import http.client

    def works(connection: http.client.HTTPConnection) -> bool:
        connection.request("GET", "/health")
        with connection.getresponse() as answer:
            answer.read()
            return answer.status < 500

    log_in_as_alice(id_token_seconds=2)
    cluster = clusters()
    manager = ForwardManager()
    try:
        forward = manager.forward(cluster, Target("user-alice", "service", "mon-api"), [PortText("http", 0)])
        running = http.client.HTTPConnection("localhost", forward.local_port, timeout=30)
        assert works(running)
        account.log_out("alice", sandbox.home)
        told: list[errors.TokenExpired] = []
        pause = threading.Event()
        while not told and not pause.wait(0.2):
            try:
                who_am_i(cluster)
            except errors.TokenExpired as error:
                told.append(error)
        assert "copy the script again" in told[0].hint
        assert works(running), "a connection that ran was cut"
        log_in_as_alice()
        new = http.client.HTTPConnection("localhost", forward.local_port, timeout=30)
        assert works(new)
        assert works(running)
        assert who_am_i(cluster).user == "oidc-alice", "the cluster of before did not take the new login up"
        new.close()
        running.close()
    finally:
        manager.close()
