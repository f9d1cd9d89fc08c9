"""A real kernel, as JupyterLab starts it: load, forward, query, interrupt, restart."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.forwards.manager import ForwardManager
from tests.support.database import DATABASE_PATH as DATABASE
from tests.support.ports import free_port
from tests.support.queries import connect, query
from tests.testbed import Sandbox

pytestmark = pytest.mark.slow

SECONDS = 60.0


class Kernel:
    """A kernel and the client that talks to it."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self._client = client

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.manager.provisioner.pid)

    def begin(self, cell: str, *, watched: bool = False, stop_on_error: bool = True) -> str:
        """Send a cell and return its message's id; if a user watches, the kernel may ask questions."""
        return self._client.execute(cell, allow_stdin=watched, stop_on_error=stop_on_error)

    def open_subshell(self) -> str:
        """Return the id of a new subshell."""
        self._client.control_channel.send(self._client.session.msg("create_subshell_request", {}))
        while True:
            message = self._client.get_control_msg(timeout=SECONDS)
            if message["msg_type"] == "create_subshell_reply":
                return str(message["content"]["subshell_id"])

    def begin_in_subshell(self, cell: str, subshell: str) -> str:
        """Send a cell that runs while the main shell is busy, and return its message's id."""
        content = {"code": cell, "silent": False, "store_history": True, "user_expressions": {}}
        message = self._client.session.msg("execute_request", content)
        message["header"]["subshell_id"] = subshell
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def end(self, request: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the reply to a cell, and all of its output."""
        shown: list[dict[str, Any]] = []
        while True:
            message = self._client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
            shown.append(message)
        while True:  # answers to questions of `wait_for_ready` may still come
            message = self._client.get_shell_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") == request:
                return message["content"], shown

    def run(self, cell: str) -> str:
        """Run a cell that must succeed, and return its value as text."""
        reply, shown = self.end(self.begin(cell))
        assert reply["status"] == "ok", "\n".join(reply.get("traceback", []))
        results = [each["content"]["data"] for each in shown if each["msg_type"] == "execute_result"]
        return str(results[0]["text/plain"]) if results else ""

    def complete(self, cell: str, cursor: int) -> dict[str, Any]:
        """Return the completions, as JupyterLab requests them."""
        reply: dict[str, Any] = self._client.complete(cell, cursor, reply=True, timeout=SECONDS)
        return dict(reply["content"])

    def next_output(self) -> dict[str, Any]:
        """Return the next message of any cell."""
        message: dict[str, Any] = self._client.get_iopub_msg(timeout=SECONDS)
        return message

    def restart(self) -> None:
        """Restart the kernel after its death, as JupyterLab does."""
        self.manager.restart_kernel(now=True)
        self._client.wait_for_ready(timeout=SECONDS)

    def wait_for_stream(self, request: str, text: str) -> None:
        """Wait until a running cell has printed that."""
        seen = ""
        while text not in seen:
            message = self._client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") == request and message["msg_type"] == "stream":
                seen += message["content"]["text"]


@pytest.fixture
def kernel(sandbox: Sandbox, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel of bob's, in a directory of its own."""
    with run_kernel(sandbox, "bob", tmp_path) as running:
        yield running


@contextlib.contextmanager
def run_kernel(sandbox: Sandbox, person: str, folder: Path) -> Iterator[Kernel]:
    """Run a user's kernel in a directory."""
    own = {
        "KUBECONFIG": str(sandbox.kubeconfig(person)),
        "IPYTHONDIR": str(folder),
        "XDG_STATE_HOME": str(folder),
    }
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=os.environ | own, cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SECONDS)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_load_connect_query(kernel: Kernel) -> None:
    kernel.run("%load_ext sspcloud_magics")
    assert "oidc-bob" in kernel.run("%k8s_whoami")
    assert "user-alice" in kernel.run(f"%connect_db {DATABASE}")
    kernel.run("df = %query_db SELECT count(*) AS people FROM individus")
    assert int(kernel.run("int(df['people'][0])")) >= 100_000
    assert "active" in kernel.run("%forwards")


def test_a_mistake_fails_the_cell_with_one_message(kernel: Kernel) -> None:
    kernel.run("%load_ext sspcloud_magics")
    reply, shown = kernel.end(kernel.begin("%forward svc/nothing 80"))
    assert reply["status"] == "error"
    assert reply["ename"] == "TargetNotFound"
    (error,) = [each["content"] for each in shown if each["msg_type"] == "error"]
    assert "\n".join(error["traceback"]) == f"TargetNotFound: {reply['evalue']}"
    assert not [each for each in shown if each["msg_type"] == "stream"]


def test_password_prompt_is_refused_without_a_user(kernel: Kernel) -> None:
    kernel.run("%load_ext sspcloud_magics")
    reply, _ = kernel.end(kernel.begin(f"%connect_db {DATABASE} --user ana"))
    assert reply["ename"] == "CredentialsNotFound"
    assert "--url-env" in reply["evalue"]


@pytest.mark.parametrize(
    "begin",
    [
        "from sspcloud_magics.magics.status_line import steps\nwith steps(quiet=0) as tell: tell('working')",
        (
            "import os, threading\n"
            "from sspcloud_magics.cluster.auth import login_prompt\n"
            "from sspcloud_magics.transient_text import NotebookOutput\n"
            "shown, show = threading.Event(), NotebookOutput.show\n"
            "NotebookOutput.show = lambda place, words, show=show: (show(place, words), shown.set())\n"
            "read, write = os.pipe()\n"
            "prompt = login_prompt.LoginPrompt('login', os.fdopen(read, 'rb'), quiet=0)\n"
            "written = os.write(write, b'working\\n')\n"
            "given = get_ipython().kernel._allow_stdin and shown.wait(60)\n"
            "prompt.close()"
        ),
    ],
    ids=["steps", "login command"],
)
def test_progress_is_shown_only_to_a_user(kernel: Kernel, begin: str) -> None:
    """An output of its own, empty at the end: text on the error stream would leave a band in the notebook."""
    _, shown = kernel.end(kernel.begin(begin))
    assert {each["msg_type"] for each in shown} <= {"status", "execute_input"}
    _, shown = kernel.end(kernel.begin(begin, watched=True))
    first, last = (each for each in shown if each["msg_type"] not in {"status", "execute_input"})
    assert (first["msg_type"], last["msg_type"]) == ("display_data", "update_display_data")
    assert "working" in first["content"]["data"]["text/html"]
    assert last["content"]["data"] == {}
    assert first["content"]["transient"] == last["content"]["transient"]


def test_interrupt_cancels_the_query_alone(kernel: Kernel) -> None:
    kernel.run("%load_ext sspcloud_magics")
    kernel.run(f"%connect_db {DATABASE}")
    kernel.run("import sspcloud_magics as ssp, threading; helper = ssp.session.open_forwards()[0]")
    slow = kernel.begin("print('begun', flush=True)\n%query_db SELECT pg_sleep(600), 'slow one'")
    kernel.wait_for_stream(slow, "begun")
    watcher = _is_sleeping(kernel)
    kernel.manager.interrupt_kernel()
    reply, _ = kernel.end(slow)
    assert reply["status"] == "error"
    assert reply["ename"] == "KeyboardInterrupt"
    told = "KeyboardInterrupt: %query_db was interrupted. Other forwards and connections stay open."
    assert reply["traceback"] == [told]
    assert watcher
    running = "%query_db SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%slow one%' AND state = 'active' AND pid <> pg_backend_pid()"
    kernel.run(f"left = {running}")
    assert kernel.run("int(left['n'][0])") == "0"
    assert "active" in kernel.run("%forwards")


def _is_sleeping(kernel: Kernel) -> bool:
    """Whether the kernel has a connection open; the interrupt may come before or after the server's start."""
    return bool(kernel.process.net_connections(kind="tcp"))


def test_a_kernel_that_ends_leaves_no_process_behind(kernel: Kernel) -> None:
    kernel.run("%load_ext sspcloud_magics")
    kernel.run(f"%connect_db {DATABASE}")
    helpers = kernel.process.children(recursive=True)
    assert [each for each in helpers if "sspcloud_magics.tunnel" in " ".join(each.cmdline())]
    kernel.manager.shutdown_kernel(now=True)
    _gone, alive = psutil.wait_procs(helpers, timeout=10)
    assert not alive


def test_query_of_a_killed_kernel_ends_on_the_server(kernel: Kernel, onlooker: DatabaseConnection) -> None:
    kernel.run("%load_ext sspcloud_magics")
    kernel.run(f"%connect_db {DATABASE}")
    kernel.begin("%query_db SELECT pg_sleep(600), 'of a killed kernel'")
    mine = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%of a killed kernel%' AND pid <> pg_backend_pid()"
    while not query(onlooker, mine + " AND state = 'active'")["n"].iloc[0]:
        pass
    kernel.process.kill()
    while query(onlooker, mine)["n"].iloc[0]:
        pass


@pytest.fixture
def onlooker(sandbox: Sandbox) -> Iterator[DatabaseConnection]:
    """The owner of the database, who sees every session."""
    cluster, manager = find_cluster(kubeconfig=str(sandbox.kubeconfig("bob"))), ForwardManager()
    opened = connect(cluster, manager, DATABASE)
    yield opened
    opened.close()
    manager.close()
    cluster.close()


def test_what_a_killed_kernel_had_open_can_be_restored(kernel: Kernel) -> None:
    # A port of its own: the one that a database gets by itself is wanted by every other process of the tests, too, and
    # one of them may have taken it when the kernel is there again.
    port = free_port()
    kernel.run("%load_ext sspcloud_magics")
    kernel.run(f"%forward user-alice/svc/postgresql-cnpg-951239-rw {port}:5432")
    kernel.process.kill()
    kernel.restart()
    kernel.run("%load_ext sspcloud_magics")
    assert "No forward" in kernel.run("%forwards")
    assert f"localhost:{port}" in kernel.run("%forwards --restore")
