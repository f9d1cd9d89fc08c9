"""Ctrl-C or a killed kernel at every step of sharing and revoking: the same command completes it.

After each step in turn: what lies between two steps changes nothing, so that is every state that can be left behind.
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sspcloud_magics as ssp
from sspcloud_magics.errors import TargetNotFound
from tests.sharing.on_the_sandbox import interrupted
from tests.sharing.on_the_sandbox.interrupted import interrupt_after
from tests.support.database import DATABASE

pytestmark = pytest.mark.slow

PATH = f"user-alice/{DATABASE}"

SHARING = {
    "GET rolebindings": [],  # nothing was made yet
    "POST /jobs": ["incomplete"],
    "CREATE ROLE": ["incomplete"],
    "ALTER DEFAULT SEQUENCES": ["incomplete"],  # not committed
    "POST /secrets": ["incomplete"],
    "POST /roles": ["incomplete"],
    "POST /rolebindings": ["open"],
    "POST /networkpolicies": ["open"],
}
"""The steps of sharing, each by words of its request or statement, and the state in `%shares` after it."""

TAKING_BACK = {
    "ALTER ROLE NOLOGIN": ["open"],
    "pg_terminate_backend": ["open"],
    "DELETE /rolebindings": ["incomplete"],
    "DELETE /roles": ["incomplete"],
    "DELETE /networkpolicies": ["incomplete"],
    "DELETE /secrets": ["incomplete"],
    "DROP OWNED": ["incomplete"],
    "DROP ROLE": ["incomplete"],
    "DELETE /jobs": [],
}

# Each of these leaves behind what one of the others leaves, in another object.
ALIKE = {"CREATE ROLE", "POST /roles", "POST /networkpolicies", "DELETE /roles", "DELETE /networkpolicies"}


def steps(table: dict[str, list[str]]) -> list[Any]:
    """Return the steps as parameters; those that are like others are for `make wide`."""
    return [pytest.param(step, marks=pytest.mark.wide if step in ALIKE else ()) for step in table]


@pytest.mark.parametrize("step", steps(SHARING))
def test_interrupted_share_is_completed_by_repeating(be, step):
    with interrupt_after(step.split()):
        ssp.share_db(DATABASE, "bob", via="network")
    assert list(ssp.shares()["state"]) == SHARING[step]
    ssp.share_db(DATABASE, "bob", via="network")
    assert list(ssp.shares()["state"]) == ["open"]
    be("bob")
    assert ssp.connect_db(PATH).user == "share_bob"


@pytest.mark.parametrize("step", steps(TAKING_BACK))
def test_interrupted_revoke_is_completed_by_repeating(be, step):
    ssp.share_db(DATABASE, "bob", via="network")
    with interrupt_after(step.split()):
        ssp.unshare(DATABASE, "bob")
    assert list(ssp.shares()["state"]) == TAKING_BACK[step]
    if TAKING_BACK[step]:
        ssp.unshare(DATABASE, "bob")
    else:  # it was done already
        with pytest.raises(TargetNotFound):
            ssp.unshare(DATABASE, "bob")
    assert ssp.shares().empty
    ssp.connect_db(DATABASE)
    assert ssp.query_db("SELECT 1 FROM pg_roles WHERE rolname = 'share_bob'").empty


@pytest.mark.parametrize(
    ("command", "step"),
    [
        pytest.param("share", "POST /jobs", marks=pytest.mark.wide),
        pytest.param("share", "CREATE ROLE", marks=pytest.mark.wide),
        ("share", "POST /secrets"),
        pytest.param("unshare", "pg_terminate_backend", marks=pytest.mark.wide),
        ("unshare", "DROP OWNED"),
        pytest.param("unshare", "DROP ROLE", marks=pytest.mark.wide),
    ],
)
def test_killed_kernels_work_is_completed_by_repeating(be, sandbox, command, step):
    """The server still has its session, with an open transaction and a lock."""
    run, table = (ssp.share_db, SHARING) if command == "share" else (ssp.unshare, TAKING_BACK)
    if command == "unshare":
        ssp.share_db(DATABASE, "bob")
    arguments = [Path(interrupted.__file__), sandbox.kubeconfig(), command, DATABASE, *step.split()]
    # As a module: its own folder on the path would hide packages.
    environment = sandbox.env() | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert list(ssp.shares()["state"]) == table[step]
    run(DATABASE, "bob")
    assert list(ssp.shares()["state"]) == (["open"] if command == "share" else [])
    be("bob")
    if command == "share":
        assert ssp.connect_db(PATH).user == "share_bob"
