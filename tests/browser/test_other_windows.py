"""The panel stays true when another window, or the REST interface, changes what it shows."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.lab import Lab, execute, jupyterlab, open_notebook, run_cell, write_notebook
from tests.testbed import Sandbox

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect.set_options(timeout=60_000)

CELLS = ["%load_ext sspcloud_magics\n%sspcloud", "import ipywidgets\nipywidgets.Widget.close_all()"]
PORT = "Forward port 8000 http of mon-api-abcdef-12345"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("windows")
    (folder / "notebooks").mkdir()
    for name in ("shared", "restarted"):
        write_notebook(folder / "notebooks" / f"{name}.ipynb", CELLS)
    environment = {
        "SSPCLOUD_SANDBOX_HOME": str(sandbox.home),
        "KUBECONFIG": str(sandbox.kubeconfig("alice")),
        "HOME": str(folder / "home"),
    }
    with jupyterlab(folder / "notebooks", folder / "home", environment) as running:
        yield running


def open_window(browser: Browser, lab: Lab, name: str) -> tuple[Page, Locator]:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    open_notebook(page, lab, f"{name}.ipynb")
    execute(page, "sspcloud:open-panel")
    return page, page.locator(".jp-SSPCloudSide")


def live(side: Locator) -> Locator:
    panel = side.locator(".jp-SSPCloudPanel:visible")
    expect(panel.get_by_text("oidc-alice", exact=True)).to_be_visible()
    return panel


@pytest.mark.timeout(240)
def test_two_windows_show_the_same_kernel(browser: Browser, lab: Lab) -> None:
    page, side = open_window(browser, lab, "shared")
    run_cell(page, 0)
    live(side).get_by_role("button", name=PORT).click()
    other, other_side = open_window(browser, lab, "shared")
    for each in (live(side), live(other_side)):
        expect(each.locator("[data-section=forwards]")).to_contain_text("mon-api-abcdef-12345")
    stop = live(other_side).get_by_role("button", name="Stop the forward to")
    stop.click()
    for each in (live(side), live(other_side)):
        expect(each.locator("[data-section=forwards]")).not_to_contain_text("mon-api-abcdef-12345")

    # A cell closes all widgets: the side panels get another one, and the output says what it was.
    run_cell(page, 1)
    for each in (side, other_side):
        live(each)
    text = page.locator(".jp-Notebook .jp-OutputArea").first
    expect(text.get_by_text("Run the cell in a notebook with widgets for the live panel.")).to_be_visible()
    live(other_side).get_by_role("button", name=PORT).click()
    expect(live(side).locator("[data-section=forwards]")).to_contain_text("mon-api-abcdef-12345")
    page.context.close()
    other.context.close()


@pytest.mark.timeout(240)
def test_restart_by_others_is_noticed_and_recovers(browser: Browser, lab: Lab) -> None:
    page, side = open_window(browser, lab, "restarted")
    run_cell(page, 0)
    live(side)
    kernel = page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
    request = urllib.request.Request(
        f"{lab.url}/api/kernels/{kernel}/restart",
        method="POST",
        headers={"Authorization": f"token {lab.token}"},
    )
    urllib.request.urlopen(request, timeout=60).close()

    # The side panel says so, and the panel in the output no longer pretends.
    expect(side.get_by_role("heading", name="Not loaded in this kernel")).to_be_visible()
    expect(page.locator(".jp-Notebook .jp-SSPCloudPanel").get_by_role("alert")).to_contain_text(
        "The kernel no longer has this panel"
    )
    # A click, and a cell, bring it back: their messages reach the new process.
    side.get_by_role("button", name="Load the extension").click()
    panel = live(side)
    panel.get_by_role("button", name=PORT).click()
    expect(panel.locator("[data-section=forwards]")).to_contain_text("active")

    # Saved, and opened again without that kernel, the output says what it was.
    page.evaluate(
        """async () => {
            const { commands, shell } = window.jupyterapp;
            await commands.execute('docmanager:save');
            await shell.currentWidget.sessionContext.shutdown();
            shell.currentWidget.dispose();
            void commands.execute('docmanager:open', { path: 'restarted.ipynb' });
        }"""
    )
    output = page.locator(".jp-Notebook .jp-OutputArea").first
    expect(output.get_by_text("oidc-alice in user-alice", exact=False)).to_be_visible()
    expect(output).not_to_contain_text("widget model not found")
    page.context.close()
