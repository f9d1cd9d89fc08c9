"""What the password of a share, and the tokens of those who share, must never show up in."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sspcloud_magics as ssp
from sspcloud_magics.cluster import objects
from sspcloud_magics.session import current_cluster
from tests.sharing.on_the_sandbox.notebook import kubectl

DATABASE = "postgresql-cnpg-951239"
SESSION = Path(__file__).with_name("verbose_session.py")


@pytest.fixture
def alice(sandbox):
    ssp.login(kubeconfig=sandbox.kubeconfig())
    ssp.unshare(DATABASE, everybody=True)
    yield
    ssp.unshare(DATABASE, everybody=True)
    ssp.close()


def token(sandbox, person):
    (user,) = yaml.safe_load(sandbox.kubeconfig(person).read_text())["users"]
    return user["user"]["token"]


def test_no_secret_is_shown_saved_or_logged_whatever_goes_wrong(alice, sandbox, tmp_path):
    ssp.share_db(DATABASE, "bob")
    cluster = current_cluster()
    names = {f"{DATABASE}-share-bob": "password", f"{DATABASE}-superuser": "password"}
    passwords = [objects.secret(cluster, name).value(key).reveal() for name, key in names.items()]
    canaries = [*passwords, token(sandbox, "alice"), token(sandbox, "bob")]
    canaries += [base64.b64encode(each.encode()).decode() for each in passwords]
    assert all(len(each) > 8 for each in canaries)
    done = subprocess.run(
        [sys.executable, SESSION, sandbox.kubeconfig("alice"), sandbox.kubeconfig("bob"), DATABASE],
        env=sandbox.env() | {"IPYTHONDIR": str(tmp_path), "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        timeout=110,
        check=False,
    )
    shown = done.stdout + done.stderr
    assert b"END" in done.stdout, shown[-2000:].decode()
    assert shown.count(b"KeyboardInterrupt()") >= 3, shown.decode()  # the provoked errors came through
    assert shown.count(b"ValueError('a defect')") >= 3
    saved = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"share_db" in saved  # the history is there
    logged = kubectl(sandbox, "alice", "logs", f"{DATABASE}-1").encode()
    kinds = "jobs,roles,rolebindings,networkpolicies,pods,configmaps,events,services,endpoints"
    listed = kubectl(sandbox, "alice", "get", kinds, "-o", "yaml").encode()
    for canary in canaries:
        for place in (shown, saved, logged, listed):
            found = place.find(canary.encode())
            assert found < 0, place[max(0, found - 900) : found].decode(errors="replace")
