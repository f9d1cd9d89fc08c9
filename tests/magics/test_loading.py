"""``%load_ext``, ``%reload_ext``, ``%unload_ext``."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from sspcloud_magics import i18n, platforms, session, share_keys
from sspcloud_magics.session import session as session_module
from sspcloud_magics.sharing.colleagues import parse_colleague
from tests.magics.conftest import Notebook

HEAVY = [
    "pandas",
    "psycopg",
    "kubernetes",
    "aiohttp",
    "sqlite3",
    "asyncio",
    "yaml",
    "requests",
    "urllib3",
    "psutil",
]

LOAD = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
before = set(sys.modules)
def no_network(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "subprocess.Popen")):
        raise SystemExit(f"loading did {event} {arguments}")
sys.addaudithook(no_network)
shell.run_line_magic("load_ext", "sspcloud_magics")
assert shell.find_line_magic("forward")
print(*sorted(set(sys.modules) - before))
"""


def test_loading_uses_no_network_and_no_heavy_import(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={"HOME": str(tmp_path), "PATH": "", "IPYTHONDIR": str(tmp_path), "KUBECONFIG": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    brought = {name.partition(".")[0] for name in done.stdout.split()}
    assert "sspcloud_magics" in brought
    assert not brought & set(HEAVY)


def test_importing_the_package_brings_nothing_else() -> None:
    code = "import sys, sspcloud_magics; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert "sspcloud_magics" in done.stdout.split()
    assert not {"IPython", "traitlets", "sspcloud_magics.session", *HEAVY} & set(done.stdout.split())


def test_unloading_leaves_nothing_behind(notebook: Notebook) -> None:
    shell = notebook.shell
    notebook.run("%unload_ext sspcloud_magics")
    assert shell.find_line_magic("forward") is None
    assert shell.find_cell_magic("query_db") is None
    assert not shell.Completer.custom_matchers
    assert not [each for each in shell.configurables if type(each).__module__.startswith("sspcloud_magics")]
    assert not [
        each
        for each in shell.events.callbacks["post_run_cell"]
        if "sspcloud" in getattr(each, "__module__", "")
    ]
    notebook.run("%load_ext sspcloud_magics")
    assert shell.find_line_magic("forward")


def test_reloading_keeps_the_session(notebook: Notebook) -> None:
    before = session_module.session
    notebook.run("%reload_ext sspcloud_magics")
    notebook.run("%reload_ext sspcloud_magics")
    assert session_module.session is before
    ours = [type(each).__name__ for each in notebook.shell.configurables]
    assert ours.count("SSPCloud") == 1
    assert len(notebook.shell.Completer.custom_matchers) == 2


def test_unloading_says_what_stays_open(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    used = SimpleNamespace(is_live=True, routes=[("127.0.0.1:5432", "bob/svc/db:5432")])
    other = SimpleNamespace(is_live=True, routes=[("127.0.0.1:1500", "bob/svc/mon-api:8000")])
    connected = SimpleNamespace(forward=used, database=SimpleNamespace(path="bob/db"), user="reader")
    monkeypatch.setattr(session, "open_forwards", lambda: [used, other])
    monkeypatch.setattr(session, "open_connections", lambda: [connected])
    notebook.run("%reload_ext sspcloud_magics")
    assert "stay open" not in notebook.printed
    notebook.run("%unload_ext sspcloud_magics")
    assert "bob/db, connected as reader\n127.0.0.1:1500 → bob/svc/mon-api:8000\n→ " in notebook.printed
    assert "5432" not in notebook.printed
    assert "ssp.close()" in notebook.printed
    notebook.run("1")
    assert "stay open" not in notebook.printed


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("SSPCloud.context = 3", "The value of SSPCloud.context is invalid"),
        ("SSPCloud.namespace = 'Not A Namespace'", "lower-case"),
        ("SSPCloud.server = 'apiserver'", "write a URL"),
        ("SSPCloud.server = 'https://user:CANARY@x'", "write a URL"),
        ("SSPCloud.insecure_skip_tls_verify = 'no'", "True or False"),
        ("SSPCloud.relay_image = 'two words'", "write an image"),
        ("SSPCloud.language = 'klingon'", "write one of en, fr"),
        ("SSPCloud.platform = 'datalab'", "write the address of its pages"),
        ("SSPCloud.platform = {'url': 'https://alice:CANARY@x.org'}", "write the address of its pages"),
        ("SSPCloud.platform = {'users': ''}", "write the address of its pages"),
        ("SSPCloud.platform = {'page': 'https://x.org'}", "write the address of its pages"),
    ],
)
def test_unfit_setting_is_refused_and_breaks_nothing(
    notebook: Notebook, value: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    notebook.run("%config SSPCloud.context = 'alice'")
    notebook.run(f"%config {value}")
    assert says in caplog.text + notebook.printed
    assert "CANARY" not in caplog.text + notebook.printed
    assert session_module.session.configured.context == "alice"
    with pytest.warns(UserWarning, match="ignored"):
        notebook.run("%reload_ext sspcloud_magics")
    assert notebook.shell.find_line_magic("forward")


def test_language_is_a_setting(notebook: Notebook) -> None:
    try:
        notebook.run("%config SSPCloud.language = 'fr'")
        assert i18n.current() == "fr"
        # Another setting does not end a choice of the API.
        notebook.run("%config SSPCloud.language = ''")
        i18n.choose(i18n.Source.SETTING, "fr")
        notebook.run("%config SSPCloud.search_path = 'public'")
        assert i18n.current() == "fr"
    finally:
        i18n.choose(i18n.Source.SETTING, "")
        notebook.run("%config SSPCloud.search_path = ''")


def test_relay_image_setting_leaves_the_cluster_alone(notebook: Notebook) -> None:
    notebook.run("%config SSPCloud.relay_image = 'my-registry:5000/socat@sha256:0af1'")
    assert session_module.session.relay_image == "my-registry:5000/socat@sha256:0af1"
    notebook.run("%config SSPCloud.relay_image = ''")
    assert session_module.session.relay_image is None


def test_platform_setting_changes_links_and_names(notebook: Notebook) -> None:
    try:
        notebook.run("%config SSPCloud.platform = {'url': 'https://datalab.example.org', 'users': 'u-'}")
        assert platforms.current().account_page == "https://datalab.example.org/account"
        assert share_keys.colleague_name("u-bob") == "bob"
        assert parse_colleague("bob").namespace == "u-bob"
    finally:
        notebook.run("%config SSPCloud.platform = ''")
    assert platforms.current() == platforms.SSPCLOUD


def test_settings_reach_the_session(notebook: Notebook) -> None:
    notebook.run("%config SSPCloud.kubeconfig = '~/of-bob'")
    notebook.run("%config SSPCloud.namespace = 'user-bob'")
    assert session_module.session.configured == session.ClusterChoice(
        kubeconfig="~/of-bob", namespace="user-bob"
    )
    notebook.run("%reload_ext sspcloud_magics")
    assert session_module.session.configured.namespace == "user-bob"
    notebook.run("%config SSPCloud.namespace = ''")
    assert session_module.session.configured.namespace is None


def test_settings_are_listed_with_their_help(notebook: Notebook) -> None:
    notebook.run("%config SSPCloud")
    assert "SSPCloud.kubeconfig" in notebook.printed
    assert "A kubeconfig file" in notebook.printed
