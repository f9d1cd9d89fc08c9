"""JupyterLab's side panel: it says what is true of the kernel in front, whatever becomes of that kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.kernels import add_bare, add_echo
from tests.browser.lab import (
    ROOT,
    Lab,
    execute,
    has_ended,
    jupyterlab,
    open_notebook,
    run_cell,
    save_setting,
    wait_for_cell,
    write_notebook,
)
from tests.browser.log import errors_in
from tests.testbed import Sandbox

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect.set_options(timeout=40_000)

LOAD = "%load_ext sspcloud_magics"
UNTIL_SEEN = "import pathlib, time\nwhile not pathlib.Path({name!r}).exists(): time.sleep(0.02)"
ASK = """
import urllib.request, sspcloud_magics as ssp
urllib.request.urlopen(f"http://localhost:{ssp.session.open_forwards()[-1].local_port}/").status
"""
NOTEBOOKS = {
    "one": ("python3", [LOAD, UNTIL_SEEN.format(name="one-seen"), ASK]),
    "two": ("python3", [LOAD]),
    "other": ("python3", [LOAD]),
    "busy": ("python3", [LOAD, UNTIL_SEEN.format(name="busy-seen")]),
    "keys": ("python3", []),
    "auto": ("python3", []),
    "forgotten": ("python3", ["%k8s_pods"]),
    "french": ("python3", [LOAD]),
    "bare": ("bare", [f"sys.path.append({str(ROOT)!r})"]),
    "echo": ("echo", ["hello"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("side")


@pytest.fixture(scope="module")
def lab(folder: Path, sandbox: Sandbox) -> Iterator[Lab]:
    """A JupyterLab in which one is alice, with kernels that have the package, that lack it, and that are not Python."""
    (folder / "notebooks").mkdir()
    add_bare(folder / "home")
    add_echo(folder / "home")
    for name, (kernel, cells) in NOTEBOOKS.items():
        write_notebook(folder / "notebooks" / f"{name}.ipynb", cells or [""], kernel=kernel)
    environment = {
        # The language is JupyterLab's, or the browser's.
        "SSPCLOUD_LANGUAGE": "",
        "SSPCLOUD_SANDBOX_HOME": str(sandbox.home),
        "KUBECONFIG": str(sandbox.kubeconfig("alice")),
        "HOME": str(folder / "home"),
    }
    with jupyterlab(folder / "notebooks", folder / "home", environment) as running:
        yield running
        # An error of the server, or of a kernel, lands in its log.
        errors = errors_in(running.log.read_text())
        assert not errors, "\n\n".join(errors)


def open_side(page: Page, lab: Lab, notebook: str, **options: str) -> Locator:
    """Open a notebook and the side panel beside it."""
    open_notebook(page, lab, f"{notebook}.ipynb", **options)
    execute(page, "sspcloud:open-panel")
    side = page.locator(".jp-SSPCloudSide")
    expect(side).to_be_visible()
    return side


def button(within: Locator, name: str) -> Locator:
    return within.get_by_role("button", name=name, exact=True)


def live(side: Locator) -> Locator:
    """The widget in the side panel, when it has told who one is."""
    widget = side.locator(".jp-SSPCloudPanel:visible")
    expect(widget.get_by_text("oidc-alice", exact=True)).to_be_visible()
    return widget


def errors_of(page: Page) -> list[str]:
    found: list[str] = page.errors  # type: ignore[attr-defined]
    return found


@pytest.mark.timeout(240)
def test_panel_is_live_until_the_kernel_ends(page: Page, lab: Lab, folder: Path, shots: Path) -> None:
    side = open_side(page, lab, "one")
    expect(side.get_by_role("heading", name="Not loaded in this kernel")).to_be_visible()
    page.screenshot(path=shots / "not-loaded.png")
    button(side, "Load the extension").click()
    panel = live(side)
    status = page.locator(".jp-SSPCloudStatus")
    expect(status).to_contain_text("0 forwards")

    # While a cell runs, a click is answered.
    run_cell(page, 1, wait=False)
    button(panel, "Forward port 8000 http of mon-api-abcdef-12345").click()
    expect(panel.get_by_role("list", name="Forwards")).to_contain_text("active")
    expect(status).to_contain_text("1 forward")
    assert not has_ended(page, 1)
    page.screenshot(path=shots / "live.png")
    (folder / "notebooks" / "one-seen").touch()
    wait_for_cell(page, 1)

    # A restart takes all of it away, and says so; a cell brings it back.
    page.evaluate("() => void window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    expect(button(side, "Load the extension")).to_be_visible()
    expect(status).to_be_hidden()
    run_cell(page, 0)
    expect(live(side).get_by_role("button", name="Forwards none")).to_be_visible()
    expect(status).to_contain_text("0 forwards")

    # Unloaded, it says so at once.
    page.evaluate(
        "() => void window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code: '%unload_ext sspcloud_magics'})"
    )
    expect(button(side, "Load the extension")).to_be_visible()

    page.evaluate("() => void window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    expect(side.get_by_role("heading", name="There is no kernel")).to_be_visible()
    page.screenshot(path=shots / "no-kernel.png")
    assert errors_of(page) == []


@pytest.mark.timeout(240)
def test_notebook_and_console_have_their_own_panel(own_page: Page, lab: Lab, shots: Path) -> None:
    page = own_page
    side = open_side(page, lab, "two")
    button(side, "Load the extension").click()
    panel = live(side)
    button(panel, "Forward port 8000 http of mon-api-abcdef-12345").click()
    expect(panel.get_by_role("list", name="Forwards")).to_contain_text("active")

    # The other notebook's kernel has its own state, and its own panel.
    execute(page, "docmanager:open", {"path": "other.ipynb"})
    button(side, "Load the extension").click()
    expect(live(side).get_by_role("button", name="Forwards none")).to_be_visible()
    expect(page.locator(".jp-SSPCloudStatus")).to_contain_text("0 forwards")

    # A console with the notebook's kernel shows the panel of that kernel; one with its own kernel its own.
    execute(page, "docmanager:open", {"path": "two.ipynb"})
    expect(live(side).get_by_role("list", name="Forwards")).to_contain_text("active")
    expect(page.locator(".jp-SSPCloudStatus")).to_contain_text("1 forward")
    execute(page, "notebook:create-console")
    page.locator(".jp-CodeConsole-promptCell").wait_for()
    expect(live(side).get_by_role("list", name="Forwards")).to_contain_text("active")
    execute(page, "console:create", {"kernelPreference": {"name": "python3"}, "activate": True})
    button(side, "Load the extension").click()
    expect(live(side).get_by_role("button", name="Forwards none")).to_be_visible()

    # Closed and opened again, the panel is as true as before.
    execute(page, "docmanager:open", {"path": "two.ipynb"})
    execute(page, "application:toggle-right-area")
    expect(side).to_be_hidden()
    execute(page, "sspcloud:open-panel")
    expect(live(side).get_by_role("list", name="Forwards")).to_contain_text("active")
    page.screenshot(path=shots / "two-notebooks.png")
    assert errors_of(page) == []


@pytest.mark.timeout(240)
def test_a_reloaded_page_finds_its_kernel_idle_or_busy(
    page: Page, lab: Lab, folder: Path, shots: Path
) -> None:
    side = open_side(page, lab, "busy")
    run_cell(page, 0)
    live(side)
    page.reload()
    live(side)  # the layout is restored, and with it the panel
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady")
    run_cell(page, 1, wait=False)
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"
    )
    page.reload()
    expect(side.get_by_role("heading", name="The kernel is busy")).to_be_visible()
    page.screenshot(path=shots / "busy.png")
    (folder / "notebooks" / "busy-seen").touch()
    live(side)
    assert errors_of(page) == []


@pytest.mark.timeout(240)
def test_panel_tells_cannot_load_from_not_loaded(page: Page, lab: Lab, shots: Path) -> None:
    side = open_side(page, lab, "echo")
    expect(side.get_by_role("heading", name="Not a Python kernel")).to_be_visible()
    expect(side).to_contain_text("This kernel runs echo.")
    page.screenshot(path=shots / "not-python.png")

    execute(page, "docmanager:open", {"path": "bare.ipynb"})
    button(side, "Load the extension").click()
    expect(side.get_by_role("heading", name="Not installed in this kernel")).to_be_visible()
    expect(side).to_contain_text("%pip install sspcloud-magics")
    page.screenshot(path=shots / "not-installed.png")
    button(side, "Insert into a new cell").click()
    inserted = page.evaluate(
        "window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source"
    )
    assert inserted == "%pip install sspcloud-magics"
    run_cell(page, 0)  # as an installation would, it brings the package onto the path
    button(side, "Try again").click()
    live(side)

    page.evaluate("() => [...window.jupyterapp.shell.widgets('main')].forEach(each => each.dispose())")
    expect(side.get_by_role("heading", name="No notebook is open")).to_be_visible()
    page.screenshot(path=shots / "no-notebook.png")
    assert errors_of(page) == []


@pytest.mark.timeout(240)
def test_settings_load_the_panel_and_place_it(own_page: Page, lab: Lab) -> None:
    page, plugin = own_page, "sspcloud-magics:plugin"
    save_setting(lab, plugin, {"loadAutomatically": True, "side": "left", "statusBar": False})
    try:
        side = open_side(page, lab, "auto")
        live(side)
        assert page.evaluate("() => [...window.jupyterapp.shell.widgets('left')].map(each => each.id)").count(
            "sspcloud-panel"
        )
        expect(page.locator(".jp-SSPCloudStatus")).to_have_count(0)
        # Once for each start of a kernel: what a user has unloaded stays so.
        page.evaluate(
            "() => void window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code: '%unload_ext sspcloud_magics'})"
        )
        expect(button(side, "Load the extension")).to_be_visible()
        assert errors_of(page) == []
    finally:
        save_setting(lab, plugin, {})


@pytest.mark.timeout(240)
def test_forgotten_extension_is_offered(page: Page, lab: Lab) -> None:
    side = open_side(page, lab, "forgotten")
    expect(button(side, "Load the extension")).to_be_visible()
    run_cell(page, 0)
    offer = page.locator(".Toastify__toast").filter(has_text="%k8s_pods belongs to sspcloud_magics")
    expect(offer.get_by_role("button", name="Always")).to_be_visible()
    offer.get_by_role("button", name="Load the extension").click()
    live(side)
    assert errors_of(page) == []


@pytest.mark.timeout(240)
def test_it_speaks_french_in_the_dark(own_page: Page, lab: Lab, shots: Path) -> None:
    page, plugin = own_page, "@jupyterlab/translation-extension:plugin"
    save_setting(lab, plugin, {"locale": "fr_FR"})
    try:
        side = open_side(page, lab, "french", theme="JupyterLab Dark")
        expect(side.get_by_role("heading", name="Extension non chargée dans ce noyau")).to_be_visible()
        page.screenshot(path=shots / "not-loaded-french-dark.png")
        button(side, "Charger l'extension").click()
        panel = live(side)
        expect(panel.get_by_text("Redirections", exact=True)).to_be_visible()
        expect(page.locator(".jp-SSPCloudStatus")).to_contain_text("0 redirection")
        page.screenshot(path=shots / "live-french-dark.png")
        assert errors_of(page) == []
    finally:
        save_setting(lab, plugin, {"locale": "default"})


@pytest.mark.timeout(240)
def test_the_keyboard_is_enough(page: Page, lab: Lab) -> None:
    # What it says of the kernel is settled, and hidden, before the keys open it: a change would take the focus.
    side = open_side(page, lab, "keys")
    expect(button(side, "Load the extension")).to_be_visible()
    execute(page, "application:toggle-right-area")
    expect(side).to_be_hidden()
    page.locator(".jp-Notebook").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input").wait_for()
    page.keyboard.type("Open the SSPCloud Panel")
    page.keyboard.press("Enter")
    expect(button(side, "Load the extension")).to_be_focused()
    page.keyboard.press("Enter")
    panel = live(side)
    wanted = button(panel, "Forward port 8000 http of mon-api-abcdef-12345")
    expect(wanted).to_be_visible()
    for _ in range(60):
        if wanted.evaluate("each => each === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("list", name="Forwards")).to_contain_text("active")
    assert errors_of(page) == []
