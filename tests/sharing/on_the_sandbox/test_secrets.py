"""Places in which a share's password, and the users' tokens, must never appear."""

import base64
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sspcloud_magics as ssp
from sspcloud_magics.cluster.requests import object_reads
from sspcloud_magics.session import current_cluster
from tests.sharing.on_the_sandbox.notebook import kubectl
from tests.support.database import DATABASE
from tests.support.notebooks import run_and_save
from tests.support.shares import nothing_shared, superuser

SESSION = Path(__file__).with_name("verbose_session.py")
KINDS = "jobs,roles,rolebindings,networkpolicies,pods,configmaps,events,services,endpoints"

CELLS = (
    "import logging, sys; logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)",
    "%load_ext sspcloud_magics",
    "%xmode Verbose",
    "%k8s_login --kubeconfig {owner}",
    "%share_db {database} --with bob --via network --dry-run",
    "opened = %share_db {database} --with bob\nopened",
    "%shares",
    "%k8s_login --kubeconfig {colleague}",
    "%connect_db user-alice/{database}",
    "import sspcloud_magics as ssp\nconnection = ssp.connect_db('user-alice/{database}')\nvars(connection)",
    "%query_db SELECT * FROM nowhere",
    "1 / 0  # a traceback that shows all variables",
    "%k8s_doctor user-alice/{database}",
    "%forwards",
    "%databases",
    "connection._login, connection._session.info.dsn",
    "%history",
)


@pytest.fixture
def alice(sandbox):
    with nothing_shared(lambda: ssp.login(kubeconfig=sandbox.kubeconfig())):
        yield
    ssp.close()


def token(sandbox, person):
    (user,) = yaml.safe_load(sandbox.kubeconfig(person).read_text())["users"]
    return user["user"]["token"]


@contextlib.contextmanager
def server_that_logs_all_statements(sandbox):
    """Log every statement of Alice's server, and yield a function that reads the log."""
    with superuser().psycopg as owner:
        owner.execute("ALTER SYSTEM SET log_statement = 'all'")
        owner.execute("SELECT pg_reload_conf()")
        try:
            yield lambda: kubectl(
                sandbox, "alice", "logs", "-l", f"cnpg.io/cluster={DATABASE}", "--tail=-1"
            ).encode()
        finally:
            owner.execute("ALTER SYSTEM RESET log_statement")
            owner.execute("SELECT pg_reload_conf()")


def canaries(sandbox):
    """Return the passwords and the tokens, and the passwords as a Secret holds them."""
    cluster = current_cluster()
    names = (f"{DATABASE}-share-bob", f"{DATABASE}-superuser")
    passwords = [object_reads.secret(cluster, name).value("password").reveal() for name in names]
    found = [*passwords, token(sandbox, "alice"), token(sandbox, "bob")]
    found += [base64.b64encode(each.encode()).decode() for each in passwords]
    assert all(len(each) > 8 for each in found)
    return found


def search(places, found):
    for canary in found:
        for name, place in places.items():
            at = place.find(canary.encode())
            assert at < 0, name + ": " + place[max(0, at - 900) : at].decode(errors="replace")


def files(folder):
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_secrets_are_not_shown_saved_or_logged(alice, sandbox, tmp_path):
    with server_that_logs_all_statements(sandbox) as log:
        ssp.share_db(DATABASE, "bob")
        found = canaries(sandbox)
        done = subprocess.run(
            [sys.executable, SESSION, sandbox.kubeconfig("alice"), sandbox.kubeconfig("bob"), DATABASE],
            env=sandbox.env() | {"IPYTHONDIR": str(tmp_path), "COLUMNS": "300", "NO_COLOR": "1"},
            capture_output=True,
            timeout=110,
            check=False,
        )
        logged = log()
    shown = done.stdout + done.stderr
    assert b"END" in done.stdout, shown[-2000:].decode()
    assert shown.count(b"KeyboardInterrupt()") >= 3, shown.decode()  # the provoked errors came through
    assert shown.count(b"RuntimeError('a defect')") >= 3
    saved = files(tmp_path)
    assert b"share_db" in saved  # the history is there
    assert b"PASSWORD 'SCRAM-SHA-256$" in logged
    listed = kubectl(sandbox, "alice", "get", KINDS, "-o", "yaml").encode()
    search({"shown": shown, "saved": saved, "logged": logged, "listed": listed}, found)


def test_saved_notebook_and_history_hold_no_secret(alice, sandbox, tmp_path, monkeypatch):
    """Run by a real kernel, with debug logs and verbose tracebacks among its outputs."""
    ssp.share_db(DATABASE, "bob")
    found = canaries(sandbox)
    words = {
        "owner": sandbox.kubeconfig("alice"),
        "colleague": sandbox.kubeconfig("bob"),
        "database": DATABASE,
    }
    for name in ("IPYTHONDIR", "XDG_STATE_HOME", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    saved = run_and_save([cell.format(**words) for cell in CELLS], tmp_path).read_bytes()
    for proof in (b"ZeroDivisionError", b"connected as share_bob", b"Send them this line", b"DEBUG"):
        assert proof in saved, proof
    kept = files(tmp_path)
    assert b"namespaces.json" in b"".join(str(file).encode() for file in tmp_path.rglob("*"))
    search({"saved": saved, "kept": kept}, found)
