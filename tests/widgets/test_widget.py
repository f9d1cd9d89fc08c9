"""The widget without a browser: its text forms, its traits, and that nothing is imported too early."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import comm
import pytest

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import Source, choose
from sspcloud_magics.widgets import static_fallback, widget
from tests.testbed import Sandbox


@pytest.fixture
def panel(fresh_session: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[widget.Panel]:
    monkeypatch.setattr(widget, "_panel", None)
    made = ssp.panel()
    yield made
    made.close()


def test_it_is_readable_where_no_widget_runs(panel: widget.Panel, sandbox: Sandbox) -> None:
    session.login(kubeconfig=sandbox.kubeconfig("alice"))
    forward = session.forward("svc/mon-api", ":http")
    data, _ = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "oidc-alice in user-alice" in data["text/plain"]
    assert f"localhost:{forward.local_port} → user-alice/svc/mon-api:http" in data["text/html"]
    assert "<script" not in data["text/html"]


def test_without_a_cluster_its_text_says_what_to_do(panel: widget.Panel) -> None:
    data, _ = panel._repr_mimebundle_()
    assert "→" in data["text/plain"]
    assert repr(panel) == data["text/plain"]


def test_what_comes_from_the_cluster_is_escaped() -> None:
    who = {"user": "<b>", "namespace": "n", "server": "s"}
    assert "&lt;b&gt;" in static_fallback.html({"who": who})


@pytest.mark.parametrize(("mode", "is_refused"), [("run", True), ("edit", False), (None, False)])
def test_marimo_app_has_no_panel(
    panel: widget.Panel, monkeypatch: pytest.MonkeyPatch, mode: str | None, is_refused: bool
) -> None:
    """Its visitors are threads of one process; `marimo edit` runs a process for each notebook."""

    def stop(_predicate: bool, output: object) -> None:
        raise StopIteration(output)

    marimo = SimpleNamespace(
        running_in_notebook=lambda: mode is not None,
        app_meta=lambda: SimpleNamespace(mode=mode),
        stop=stop,
        callout=lambda shown, kind: f"{kind}: {shown}",
        plain_text=str,
    )
    monkeypatch.setitem(sys.modules, "marimo", marimo)
    if is_refused:
        with pytest.raises(StopIteration, match=r"warn: .*\n.*share one login"):
            ssp.panel()
    else:
        assert ssp.panel() is panel


@pytest.fixture
def free_language() -> Iterator[None]:
    """Let the test choose languages; afterwards none is chosen."""
    yield
    for source in Source:
        choose(source, "")


@pytest.mark.usefixtures("free_language")
def test_panel_follows_the_language_at_once(panel: widget.Panel) -> None:
    assert ssp.panel() is panel
    assert panel.language == "en"
    assert ssp.panel(language="fr").language == "fr"
    assert ssp.language() == "fr"
    assert "panneau" in repr(panel).lower()
    ssp.language("")
    assert panel.language == "en"
    with pytest.raises(UsageProblem):
        ssp.panel(language="de")


def test_cluster_facts_are_not_saved_in_the_notebook(panel: widget.Panel, sandbox: Sandbox) -> None:
    session.login(kubeconfig=sandbox.kubeconfig("alice"))
    panel.controller.poll_once(30)
    assert "who" in panel.controller.snapshot
    own = set(panel.get_state()) - {name for name in panel.get_state() if name.startswith("_")}
    assert own <= {"comm_id", "language", "layout", "static_text", "tabbable", "tooltip"}


def test_page_that_closes_its_model_gets_another(panel: widget.Panel) -> None:
    """Another window has closed it: what this process would send arrives nowhere."""
    assert panel.comm_id == panel.model_id
    message = {"content": {"comm_id": panel.comm_id}}
    comm.get_comm_manager().comm_close(None, None, message)
    another = ssp.panel()
    assert another is not panel
    another.close()


LIGHT = """
import sys
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_line_magic("load_ext", "sspcloud_magics")
assert not {"anywidget", "ipywidgets", "pandas", "psycopg"} & set(sys.modules), sys.modules.keys()
"""


def test_loading_the_extension_imports_no_widgets() -> None:
    subprocess.run([sys.executable, "-c", LIGHT], check=True)
