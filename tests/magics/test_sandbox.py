"""The magics on a real cluster: their main use, and mistakes that lose nothing."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell
from kubernetes import client, config

import sspcloud_magics as ssp
from sspcloud_magics import errors, session
from sspcloud_magics.session import session as session_module
from tests.magics.conftest import Notebook, open_shell
from tests.support.database import DATABASE
from tests.support.waiting import wait_until
from tests.testbed import Sandbox

pytestmark = pytest.mark.slow

ALICES = f"user-alice/{DATABASE}"
HIBERNATED = "postgresql-cnpg-204871"


@pytest.fixture
def bob(notebook: Notebook, sandbox: Sandbox) -> Notebook:
    """A notebook of bob's."""
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('bob')}")
    return notebook


@pytest.fixture
def alice(notebook: Notebook, sandbox: Sandbox) -> Notebook:
    """A notebook of alice's."""
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    return notebook


def test_the_main_job(bob: Notebook) -> None:
    assert bob.run("%k8s_whoami").user == "oidc-bob"
    connected = bob.run(f"%connect_db {ALICES}")
    assert connected.database.name == DATABASE
    bob.run("departement = '35'")
    frame = bob.run("df = %query_db SELECT * FROM communes WHERE departement = :departement ORDER BY code")
    frame = bob.run("df")
    assert isinstance(frame, pd.DataFrame)
    assert set(frame["departement"]) == {"35"}
    (forward,) = session.open_forwards()
    assert str(forward.target) == f"user-alice/svc/{DATABASE}-rw"
    assert "active" in str(bob.run("%forwards"))
    bob.run("%unforward --all")
    assert session.open_forwards() == []


def test_a_cell_keeps_its_rows_in_a_variable(bob: Notebook) -> None:
    bob.run(f"%connect_db {ALICES}")
    bob.run(
        "%%query_db --into few --limit 3\nSELECT code,\n       nom\nFROM communes -- a comment\nORDER BY code;"
    )
    assert bob.shell.user_ns["few"].shape == (3, 2)


def test_variables_of_a_function_are_bound_too(bob: Notebook) -> None:
    bob.run(f"%connect_db {ALICES}")
    bob.run(
        "def twice(n):\n"
        "    frame = %query_db SELECT :n * 2 AS double, '{n}' || ':n' AS text, ARRAY[1,2]::int[] @> ARRAY[:n::int] AS has\n"
        "    return frame\n"
    )
    row = bob.run("twice(1)").iloc[0]
    assert (row["double"], row["text"], bool(row["has"])) == (2, "{n}:n", True)


def test_server_notices_are_shown_with_the_rows(bob: Notebook) -> None:
    bob.run(f"%connect_db {ALICES}")
    bob.run("%%query_db --into one\nDO $$ BEGIN RAISE NOTICE 'hear this'; END $$;\nSELECT 1 AS one")
    assert "hear this" in bob.printed


def test_lists_are_tables_and_dataframes(alice: Notebook) -> None:
    pods = alice.run("%k8s_pods")
    assert isinstance(pods, pd.DataFrame)
    assert f"{DATABASE}-1" in alice.printed
    assert len(alice.run("%k8s_pods mon-api")) == 1
    assert len(alice.run("%k8s_pods 'mon-api-*-12345'")) == 1
    assert f"{DATABASE}-rw" in str(alice.run("%k8s_services"))
    alice.run("%databases")
    assert DATABASE in alice.printed
    assert "hibernated" in alice.printed


def test_python_functions_equal_their_magics(alice: Notebook) -> None:
    assert ssp.whoami().user == "oidc-alice"
    assert len(ssp.pods("mon-api")) == 1
    with ssp.forward("svc/mon-api", ":http") as forward:
        with socket.create_connection(("127.0.0.1", forward.local_port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").readline().startswith(b"HTTP/1.")
        assert len(ssp.forwards()) == 1
    ssp.connect_db(DATABASE)
    assert ssp.connection().execute("SELECT current_database()").fetchone() == ("defaultdb",)
    assert ssp.query_db("SELECT :a || 'b' AS ab", {"a": "a"})["ab"].tolist() == ["ab"]


def test_reconnecting_replaces_and_keeps_another_user(alice: Notebook) -> None:
    first = alice.run(f"%connect_db {DATABASE}")
    second = alice.run(f"%connect_db {DATABASE}")
    assert first.closed
    assert not second.closed
    third = alice.run(f"%connect_db {DATABASE} --database postgres")
    assert not second.closed
    assert alice.run("%query_db SELECT current_database() AS d")["d"].tolist() == ["postgres"]
    assert session.current_connection() is third


def test_reloading_keeps_forward_and_connection(bob: Notebook) -> None:
    connected = bob.run(f"%connect_db {ALICES}")
    (forward,) = session.open_forwards()
    bob.run("%reload_ext sspcloud_magics")
    assert session.open_forwards() == [forward]
    assert session.current_connection() is connected
    assert bob.run("%query_db SELECT 1 AS one")["one"].tolist() == [1]


def test_password_comes_from_a_prompt_or_environment(
    bob: Notebook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = _api(sandbox, "bob").read_namespaced_secret(f"{DATABASE}-share-bob", "user-alice")
    user, password = (_decode(secret.data[key]) for key in ("user", "password"))
    asked: list[str] = []

    def type_it(prompt: str) -> str:
        asked.append(prompt)
        return password

    monkeypatch.setattr("getpass.getpass", type_it)
    assert bob.run(f"%connect_db {ALICES} --user {user}").user == user
    assert asked
    monkeypatch.setenv("DB_URL", f"postgresql://{user}:{password}@ignored/defaultdb")
    assert bob.run(f"%connect_db {ALICES} --url-env DB_URL").user == user
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "wrong")
    assert isinstance(bob.fail(f"%connect_db {ALICES} --user {user}"), errors.LoginRefused)
    assert password not in bob.printed

    def refuse_to_answer(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", refuse_to_answer)
    assert isinstance(bob.fail(f"%connect_db {ALICES} --user {user}"), errors.CredentialsNotFound)
    assert isinstance(bob.fail(f"%connect_db {ALICES} --url-env NOT_SET"), errors.CredentialsNotFound)
    assert bob.run("%query_db SELECT 1 AS one")["one"].tolist() == [1]


def test_names_for_tab_are_fetched_in_the_background(alice: Notebook) -> None:
    known = alice.shell._sspcloud_magics.known
    alice.run("%k8s_pods")
    known.wait(30)
    assert "%forward mon-api-abcdef-12345" in alice.complete("%forward mon")
    assert alice.complete("%forward svc/mon-api ht") == ["%forward svc/mon-api http"]
    assert f"%connect_db {DATABASE}" in alice.complete("%connect_db postgresql-cnpg-95")
    assert alice.complete("%k8s_pods -n user-") == ["%k8s_pods -n user-alice"]


def test_open_forwards_are_offered_to_unforward(alice: Notebook) -> None:
    port = alice.run("%forward svc/mon-api :http").local_port
    assert alice.complete("%unforward svc") == ["%unforward svc/mon-api"]
    assert alice.complete(f"%unforward {str(port)[:2]}") == [f"%unforward {port}"]
    alice.run(f"%unforward {port}")
    assert alice.complete("%unforward svc") == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
def test_a_forward_on_a_unix_socket(alice: Notebook) -> None:
    forward = alice.run("%forward --unix svc/mon-api http")
    (path,) = forward.sockets
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.")
    assert path in str(alice.run("%forwards"))
    assert alice.complete(f"%unforward {path[:5]}") == [f"%unforward {path}"]
    alice.run(f"%unforward {path}")
    assert not Path(path).parent.exists()
    with pytest.raises(errors.UsageProblem, match="not on both"):
        ssp.forward("svc/mon-api", unix=True, address="127.0.0.1")


def test_no_secret_is_in_what_the_notebook_shows(bob: Notebook, sandbox: Sandbox) -> None:
    secret = _api(sandbox, "bob").read_namespaced_secret(f"{DATABASE}-share-bob", "user-alice")
    token = yaml.safe_load(sandbox.kubeconfig("bob").read_text())["users"][0]["user"]["token"]
    canaries = [_decode(secret.data["password"]), token]
    shown = ""
    for cell in (
        "%k8s_whoami",
        f"%connect_db {ALICES}",
        "%forwards",
        "%databases -n user-alice",
        "%config SSPCloud",
    ):
        value = bob._run(cell).result
        bundle = bob.shell.display_formatter.format(value)[0] if value is not None else {}
        shown += bob.printed + repr(value) + repr(bundle)
    shown += repr(session_module.session)
    assert not [canary for canary in canaries if canary in shown]


def _open_now(sandbox: Sandbox) -> tuple[set[str], set[psutil.Process], set[str]]:
    """Return the threads, child processes and sockets of this process; the sandbox's pods come and go."""
    me = psutil.Process()
    children = {child for child in me.children() if child.pid != sandbox.pid}
    threads = {thread.name for thread in threading.enumerate()}
    return threads, children, {str(x) for x in me.net_connections()}


def test_closing_leaves_no_thread_process_or_socket(notebook: Notebook, sandbox: Sandbox) -> None:
    before = _open_now(sandbox)
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('bob')}")
    notebook.run("%k8s_pods")
    notebook.run(f"%connect_db {ALICES}")
    notebook.run("%query_db SELECT * FROM communes")
    assert _open_now(sandbox) != before
    notebook.shell._sspcloud_magics.known.wait(30)
    notebook.shell._sspcloud_magics.tables.wait(30)
    ssp.close()
    # What an earlier test of this process had open may have ended since.
    assert [now - then for now, then in zip(_open_now(sandbox), before, strict=True)] == [set(), set(), set()]
    assert str(notebook.run("%forwards")) == "No forward is open."


# --- Mistakes: each says what to do, and what was open stays open ----------------------------------------


@pytest.fixture(scope="class")
def working_shell(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    """Alice's IPython with a forward and a connection, for all tests of a class."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setattr(session_module, "session", session_module.Session())
        with open_shell(tmp_path_factory.mktemp("working"), environ) as shell:
            shell.run_line_magic("k8s_login", f"--kubeconfig {sandbox.kubeconfig('alice')}")
            shell.run_line_magic("forward", "svc/mon-api :http")
            shell.run_line_magic("connect_db", DATABASE)
            yield shell
        session.close()


@pytest.fixture
def working(working_shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> Iterator[Notebook]:
    """Alice's notebook with a forward and a connection, which must work still when the test is over."""
    alice = Notebook(working_shell, capsys)
    forwards, connected = session.open_forwards(), session.current_connection()
    yield alice
    assert session.open_forwards() == forwards
    assert {forward.state for forward in forwards} == {"active"}
    assert session.current_connection() is connected
    assert alice.run("%query_db SELECT 1 AS one")["one"].tolist() == [1]
    assert alice.run("%k8s_whoami").user == "oidc-alice"


class TestMistakes:
    """They share a login, which none of them may change."""

    @pytest.mark.usefixtures("troubled")
    @pytest.mark.parametrize(
        ("cell", "kind", "says"),
        [
            ("%forward no-such-pod 80", errors.TargetNotFound, "no-such-pod"),
            ("%forward svc/mon-apo 80", errors.TargetNotFound, "mon-api"),
            ("%forward deploy/mon-apo 80", errors.TargetNotFound, "mon-api"),
            ("%forward svc/postgresql 5432", errors.AmbiguousTarget, "rw"),
            ("%forward svc/mon-api 81", errors.PortNotFound, "no port 81"),
            ("%forward svc/mon-api htpt", errors.PortNotFound, "htpt"),
            ("%forward svc/udp-and-tcp 53", errors.PortNotFound, "UDP"),
            ("%forward svc/udp-and-tcp", errors.PortNotFound, "ports"),
            ("%forward pod/crashes 9000", errors.TargetError, "crashes"),
            ("%forward pod/no-image 9000", errors.TargetError, "no-image"),
            (f"%forward pod/{DATABASE}-1 7", errors.DialFailed, "7"),
            ("%forward user-bob/svc/anything 80", errors.Forbidden, "user-bob"),
            ("%k8s_pods -n user-bob", errors.Forbidden, "pods"),
            ("%k8s_pods -n no-such-namespace", errors.Forbidden, "no-such-namespace"),
            ("%k8s_pods -A", errors.Forbidden, "list"),
            ("%k8s_services -n user-bob", errors.Forbidden, "services"),
            ("%databases -n user-bob", errors.Forbidden, "user-bob"),
            ("%connect_db no-such-db", errors.DatabaseNotFound, "no-such-db"),
            (f"%connect_db {HIBERNATED}", errors.DatabaseHibernated, "resume"),
            (f"%connect_db {DATABASE} --database nonsense", errors.DatabaseError, "nonsense"),
            ("%connect_db user-bob/anything", errors.SspcloudError, "user-bob"),
            ("%query_db SELECT * FROM comunes", errors.QueryFailed, "comunes"),
            ("%query_db SELECT :no_such_variable", errors.ParameterError, "no_such_variable"),
            ("%unforward svc/nothing", errors.TargetNotFound, "mon-api"),
            ("%k8s_login --context nobody", errors.SspcloudError, "→"),
            ("%k8s_login --kubeconfig /no/such/file", errors.SspcloudError, "/no/such/file"),
            ("%k8s_login --kubeconfig /", errors.KubeconfigInvalid, "directory"),
            (
                "%k8s_login --server https://127.0.0.1:1 --token-file /no/such/file",
                errors.SspcloudError,
                "/no/such/file",
            ),
            ("%k8s_login --token-file x", errors.UsageProblem, "server"),
        ],
    )
    def test_a_mistake_is_told_and_nothing_is_lost(
        self, working: Notebook, cell: str, kind: type[Exception], says: str
    ) -> None:
        error = working.fail(cell)
        assert isinstance(error, kind), error
        assert says in working.printed

    def test_an_sql_error_marks_the_place(self, working: Notebook) -> None:
        working.fail("%%query_db\nSELECT code\nFROM communes\nWHERE populaton > 1")
        lines = working.printed.splitlines()
        at = next(index for index, line in enumerate(lines) if "populaton > 1" in line)
        assert lines[at + 1].strip() == "^" or lines[at + 1].index("^") == lines[at].index("populaton")

    def test_a_port_that_is_taken_names_who_has_it(self, working: Notebook) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            error = working.fail(f"%forward svc/mon-api {port}:http")
        assert isinstance(error, errors.PortTaken)
        assert str(port) in working.printed
        mine = session.open_forwards()[0].local_port
        error = working.fail(f"%forward pod/mon-api-abcdef-12345 {mine}:8000")
        assert isinstance(error, errors.PortTaken)
        assert "mon-api" in working.printed

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            ({"token": "of-nobody"}, errors.TokenExpired),
            ({"server": "https://127.0.0.1:9"}, errors.ServerUnreachable),
            ({"ca": None}, errors.CertificateNotTrusted),
            ({"malformed": "apiVersion: [v1"}, errors.KubeconfigInvalid),
            ({"malformed": ""}, errors.KubeconfigInvalid),
        ],
    )
    def test_a_login_that_fails_leaves_one_who_one_was(
        self,
        working: Notebook,
        sandbox: Sandbox,
        tmp_path: Path,
        change: dict[str, Any],
        kind: type[Exception],
    ) -> None:
        said = yaml.safe_load(sandbox.kubeconfig("bob").read_text())
        if "token" in change:
            said["users"][0]["user"] = {"token": change["token"]}
        if "server" in change:
            said["clusters"][0]["cluster"]["server"] = change["server"]
        if "ca" in change:
            said["clusters"][0]["cluster"].pop("certificate-authority-data", None)
            said["clusters"][0]["cluster"].pop("certificate-authority", None)
        file = tmp_path / "kubeconfig"
        file.write_text(change.get("malformed", yaml.safe_dump(said)))
        error = working.fail(f"%k8s_login --kubeconfig {file}")
        assert isinstance(error, kind), error
        assert "→" in working.printed


@pytest.mark.parametrize(
    "cell", [f"%connect_db {DATABASE}", "%k8s_pods", "%forward x 80", "%databases", "%k8s_whoami"]
)
def test_missing_configuration_says_how_to_log_in(notebook: Notebook, cell: str) -> None:
    error = notebook.fail(cell)
    assert isinstance(error, errors.NotLoggedIn)
    assert "→" in notebook.printed


@pytest.fixture(scope="module")
def troubled(sandbox: Sandbox) -> Iterator[None]:
    """Objects in alice's namespace that cannot be forwarded to."""
    api = _api(sandbox, "alice")
    pods = {
        "crashes": {"image": "sspcloud-sandbox/helper", "args": ["no-such-helper", "9000"]},
        "no-image": {"image": "nowhere.example/nothing:1"},
    }
    for name, container in pods.items():
        spec = {"containers": [{"name": "main", "ports": [{"containerPort": 9000}], **container}]}
        api.create_namespaced_pod("user-alice", {"metadata": {"name": name}, "spec": spec})
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "one", "port": 8001, "protocol": "TCP"},
        {"name": "two", "port": 8002, "protocol": "TCP"},
    ]
    service = {"metadata": {"name": "udp-and-tcp"}, "spec": {"selector": {"app": "none"}, "ports": ports}}
    api.create_namespaced_service("user-alice", service)
    for name in pods:
        wait_until(lambda name=name: _is_waiting(api.read_namespaced_pod(name, "user-alice")))
    yield
    for name in pods:
        api.delete_namespaced_pod(name, "user-alice", grace_period_seconds=0)
    api.delete_namespaced_service("udp-and-tcp", "user-alice")


def _is_waiting(pod: client.V1Pod) -> bool:
    """Whether its container has failed once, and the kubelet waits before it tries again."""
    failed = {"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff"}
    waiting = [each.state.waiting for each in pod.status.container_statuses or ()]
    return any(each and each.reason in failed for each in waiting)


def _api(sandbox: Sandbox, person: str) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(sandbox.kubeconfig(person))))


def _decode(value: str) -> str:
    import base64

    return base64.b64decode(value).decode()
