"""Notebook 7, nbconvert and GitHub: live where widgets run, readable text where none do, and no secret anywhere.

Notebook 7 is made of JupyterLab's parts and loads its extensions, in another shell. What it saves is what VS Code,
nbconvert and GitHub are given.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Error, Locator, Page, expect

from tests.browser.lab import Lab, jupyterlab, open_notebook, outputs, run_cell, write_notebook
from tests.testbed import Sandbox

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect.set_options(timeout=60_000)

CELLS = [
    "%load_ext sspcloud_magics\n%sspcloud",
    """
import urllib.request, sspcloud_magics as ssp
urllib.request.urlopen(f"http://localhost:{ssp.session.open_forwards()[-1].local_port}/").status
""",
    "%sspcloud",
    "%forwards",
    "%k8s_pods",
]
PORT = "Forward port 8000 http of mon-api-abcdef-12345"
# Notebook 7.6's own, in a page without any of our extensions: its shortcuts hear of other plugins' settings before
# they have their own, and its colours are looked for before there are any.
ITS_OWN = {
    "Cannot read properties of undefined (reading 'schema')",
    "Cannot convert undefined or null to object",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Lab]:
    """A Notebook 7 in which one is alice."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "notebooks").mkdir()
    write_notebook(folder / "notebooks" / "panel.ipynb", CELLS, title="# The panel")
    environment = {
        "SSPCLOUD_SANDBOX_HOME": str(sandbox.home),
        "KUBECONFIG": str(sandbox.kubeconfig("alice")),
        "HOME": str(folder / "home"),
    }
    place = folder / "notebooks"
    with jupyterlab(place, folder / "home", environment, application="notebook") as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page; what its console calls an error is kept in `page.errors`, but for what is Notebook's own."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.errors = []  # type: ignore[attr-defined]

    def keep(text: str, where: str) -> None:
        if not (text in ITS_OWN and "/static/notebook/" in where and "sspcloud" not in where):
            opened.errors.append(f"{text} {where}")  # type: ignore[attr-defined]

    def keep_error(error: Error) -> None:
        keep(error.message, error.stack or "")

    opened.on("pageerror", keep_error)
    opened.on("console", lambda said: keep(said.text, said.location["url"]) if said.type == "error" else None)
    yield opened
    opened.close()


def live(within: Locator) -> Locator:
    panel = within.locator(".jp-SSPCloudPanel:visible").first
    expect(panel.get_by_text("oidc-alice", exact=True)).to_be_visible()
    return panel


@pytest.mark.timeout(300)
def test_panel_is_live_in_notebook_7_else_text(
    page: Page, lab: Lab, sandbox: Sandbox, shots: Path, tmp_path: Path
) -> None:
    open_notebook(page, lab, "panel.ipynb")
    run_cell(page, 1)
    panel = live(page.locator(".jp-Notebook"))
    panel.get_by_role("button", name=PORT, exact=True).click()
    expect(panel.get_by_role("list", name="Forwards")).to_contain_text("active")
    run_cell(page, 2)
    answered: Any = outputs(page)[-1]
    assert answered["data"]["text/plain"] == "200", answered
    page.screenshot(path=shots / "notebook-7.png")

    # Its shell has side panels, too: the same kernel is seen there.
    page.evaluate("() => void window.jupyterapp.commands.execute('sspcloud:open-panel')")
    side = live(page.locator(".jp-SSPCloudSide"))
    expect(side.get_by_role("list", name="Forwards")).to_contain_text("active")
    page.screenshot(path=shots / "notebook-7-side.png")

    for index in range(3, len(CELLS) + 1):
        run_cell(page, index)
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    side.get_by_role("button", name="Stop the forward to user-alice/pod/mon-api-abcdef-12345").click()
    expect(side.get_by_role("button", name="Forwards none")).to_be_visible()
    # The page that lists files has no kernel to show, and nothing of ours.
    page.goto(f"{lab.url}/tree?token={lab.token}")
    expect(page.locator(".jp-DirListing-item").filter(has_text="panel.ipynb")).to_be_visible()
    assert page.errors == []  # type: ignore[attr-defined]

    saved = lab.log.parent.parent / "notebooks" / "panel.ipynb"
    bundles = [
        output["data"]
        for cell in json.loads(saved.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    panels = [bundle for bundle in bundles if "application/vnd.jupyter.widget-view+json" in bundle]
    assert len(panels) == 2
    texts = ["".join(bundle["text/plain"]).splitlines() for bundle in panels]
    assert texts[0][1].strip().startswith("oidc-alice in user-alice, https://")
    assert re.search(r"active localhost:\d+ → user-alice/pod/mon-api-abcdef-12345:8000", texts[1][2])

    # As GitHub draws it: without style, script or class, each line still stands on its own.
    sanitised = page.evaluate(
        """bundles => {
            const page = new DOMParser().parseFromString(bundles.join('<hr>'), 'text/html');
            page.querySelectorAll('script, style').forEach(each => each.remove());
            for (const each of page.querySelectorAll('*')) {
                for (const name of ['style', 'class']) each.removeAttribute(name);
            }
            return page.body.innerHTML;
        }""",
        ["".join(bundle["text/html"]) for bundle in bundles if "text/html" in bundle],
    )
    page.set_content(f"<body style='font-family: sans-serif'>{sanitised}</body>")
    page.screenshot(path=shots / "github.png")
    drawn = page.inner_text("body").splitlines()
    for line in texts[1][1:]:
        assert line.strip() in drawn

    tokens = _tokens(sandbox.kubeconfig("alice"))
    for form in ("html", "markdown"):
        converted = _convert(saved, form, tmp_path)
        for said in (
            "oidc-alice in user-alice",
            "localhost:",
            "mon-api-abcdef-12345",
            "postgresql-cnpg-951239",
        ):
            assert said in converted, form
        assert "vnd.jupyter.widget" not in converted, form
        assert [token for token in tokens if token in converted] == [], form
    page.goto(f"file://{tmp_path}/panel.html")
    expect(
        page.get_by_text("Run the cell in a notebook with widgets for the live panel.").last
    ).to_be_visible()
    page.screenshot(path=shots / "nbconvert.png", full_page=True)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_executed_page_shows_the_text(
    page: Page, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    """nbconvert saves the state of widgets and prefers them; without a network, their place would stay blank."""
    write_notebook(tmp_path / "panel.ipynb", CELLS[:1])
    monkeypatch.setenv("KUBECONFIG", str(sandbox.kubeconfig("alice")))
    monkeypatch.setenv("SSPCLOUD_LANGUAGE", language)
    monkeypatch.setenv("HOME", str(tmp_path))
    _convert(tmp_path / "panel.ipynb", "html", tmp_path, "--execute")
    page.route("http*://**", lambda route: route.abort())
    page.goto(f"file://{tmp_path}/panel.html")
    sentence, answered = {
        "en": ("oidc-alice in user-alice, https://", "not answered"),
        "fr": ("oidc-alice dans user-alice, https://", "pas encore répondu"),
    }[language]
    expect(page.get_by_text(sentence)).to_be_visible()
    expect(page.locator("body")).not_to_contain_text(answered)


def _tokens(kubeconfig: Path) -> list[str]:
    """Return the credentials in a kubeconfig."""
    users = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["users"]
    found = [value for user in users for value in user["user"].values() if isinstance(value, str)]
    assert found
    return found


def _convert(notebook: Path, form: str, into: Path, *options: str) -> str:
    """Return the result of nbconvert for a notebook."""
    command = [sys.executable, "-m", "nbconvert", "--to", form, "--output-dir", str(into), *options]
    command.append(str(notebook))
    subprocess.run(command, check=True, capture_output=True)
    return (into / f"panel.{'md' if form == 'markdown' else form}").read_text(encoding="utf-8")
