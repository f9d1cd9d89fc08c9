"""The side panel where there is no panel to show: each reason, its sentence and its next step, brought about for real.

The reasons that belong to a kernel's ordinary life are in `test_side_panel`; here are a kernel that dies, one that is
cut off, one that starts slowly, one with an old or a broken package, one whose widgets another document holds, and a
JupyterLab without widgets. A picture of each is kept in ``build/screenshots``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.browser.kernels import add_python, add_with_package
from tests.browser.lab import (
    ROOT,
    Lab,
    execute,
    has_ended,
    jupyterlab,
    open_notebook,
    run_cell,
    write_notebook,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect.set_options(timeout=60_000)

LOAD = "%load_ext sspcloud_magics"
UNTIL = "import pathlib, time\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.02)"
OLD = "def load_ipython_extension(shell):\n    pass\n"
BROKEN = "def load_ipython_extension(shell):\n    raise RuntimeError('the disk is full')\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states") / "notebooks"


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[Lab]:
    """A JupyterLab with kernels in which something is wrong; it gives up soon on one that has died."""
    folder.mkdir()
    home = folder.parent / "home"
    add_with_package(home, "old", OLD)
    add_with_package(home, "broken", BROKEN)
    marks = [
        f"import pathlib, sys, time; dead, slow = pathlib.Path({str(folder)!r}, 'dead'), pathlib.Path({str(folder)!r}, 'slow')"
    ]
    add_python(home, "mortal", before=[*marks, "dead.exists() and sys.exit(1)"])
    add_python(home, "slow", before=[*marks, "any(slow.exists() or time.sleep(0.05) for _ in range(2000))"])
    (home / "config").mkdir()
    impatient = {"KernelRestarter": {"restart_limit": 1, "time_to_dead": 0.2}}
    (home / "config" / "jupyter_server_config.json").write_text(json.dumps(impatient))
    cells = {
        "old": [LOAD],
        "broken": [LOAD],
        "mortal": ["import os, pathlib\npathlib.Path('dead').touch()\nos._exit(1)"],
        "slow": [LOAD],
        "python3": [LOAD, UNTIL.format("seen")],
    }
    write_notebook(folder / "plain.ipynb", [LOAD])
    for kernel, sources in cells.items():
        write_notebook(folder / f"{kernel}.ipynb", sources, kernel=kernel)
    environment = {
        "SSPCLOUD_SANDBOX_HOME": str(folder / "sandbox"),
        "KUBECONFIG": str(folder / "none"),
        "HOME": str(home),
    }
    with jupyterlab(folder, home, environment) as running:
        yield running


def _shots() -> Path:
    place = ROOT / "build" / "screenshots"
    place.mkdir(parents=True, exist_ok=True)
    return place


def bring(page: Page, name: str) -> None:
    """Open a notebook, or go to it, and wait until the side panel is about its kernel."""
    execute(page, "docmanager:open", {"path": name})
    page.wait_for_function(
        """name => {
            const panel = window.jupyterapp.shell.currentWidget;
            return panel?.context?.path === name && panel.sessionContext.session?.kernel;
        }""",
        arg=name,
    )


def says(page: Page, title: str, text: str, step: str, name: str) -> Locator:
    """The side panel, when it says this and offers that step; a picture of it is kept."""
    side = page.locator(".jp-SSPCloudSide")
    expect(side.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect(side).to_contain_text(text)
    if step:
        button = side.get_by_role("button", name=step, exact=True)
        command = json.loads(str(button.get_attribute("data-action"))).get("command")
        possible = "name => !name || window.jupyterapp.commands.isEnabled(name)"
        assert page.evaluate(possible, command), f"{command} cannot be run"
    side.screenshot(path=_shots() / f"state-{name}.png")
    return side


@pytest.mark.timeout(400)
def test_reason_has_its_sentence_and_its_next_step(own_page: Page, lab: Lab, folder: Path) -> None:
    page = own_page
    sockets: list[WebSocketRoute] = []
    cut = False

    def connect_or_cut(socket: WebSocketRoute) -> None:
        if cut:
            socket.close()
            return
        sockets.append(socket)
        socket.connect_to_server()

    page.route_web_socket("**/channels*", connect_or_cut)
    open_notebook(page, lab, "old.ipynb")
    execute(page, "sspcloud:open-panel")
    side = says(page, "Not loaded in this kernel", LOAD, "Load the extension", "not-loaded")

    # A package from before the panel, and one that cannot be loaded.
    side.get_by_role("button", name="Load the extension").click()
    says(
        page,
        "Too old in this kernel",
        "%pip install --upgrade sspcloud-magics",
        "Insert into a new cell",
        "outdated",
    )
    bring(page, "broken.ipynb")
    side.get_by_role("button", name="Load the extension").click()
    says(page, "Loading the extension failed", "the disk is full", "Try again", "failed")

    # A kernel that takes its time to start.
    bring(page, "slow.ipynb")
    expect(side.get_by_role("heading", name="Asking the kernel…")).to_be_visible()
    says(page, "The kernel is starting", "as soon as the kernel is ready", "", "starting")
    (folder / "slow").touch()
    says(page, "Not loaded in this kernel", LOAD, "Load the extension", "started")

    # One whose page is cut off from it, and finds it again.
    cut = True
    for socket in sockets:
        socket.close()
    says(page, "Reconnecting to the kernel", "stay open", "Reconnect now", "disconnected")
    cut = False
    expect(side.get_by_role("button", name="Load the extension")).to_be_visible()

    # The extension is to be loaded while a cell runs.
    bring(page, "python3.ipynb")
    expect(side.get_by_role("button", name="Load the extension")).to_be_visible()
    run_cell(page, 1, wait=False)
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"
    )
    side.get_by_role("button", name="Load the extension").click()
    says(page, "Loading the extension…", "loads when the cell ends", "", "loading")
    assert not has_ended(page, 1)
    (folder / "seen").touch()
    expect(side.locator(".jp-SSPCloudPanel:visible")).to_contain_text("No configuration names a cluster.")

    # Its widgets stay with the notebook, which is closed while a console uses the same kernel.
    execute(page, "notebook:create-console")
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.handleComms === false"
    )
    page.evaluate(
        "() => [...window.jupyterapp.shell.widgets('main')].find(each => each.context?.path === 'python3.ipynb').dispose()"
    )
    says(page, "This kernel's widgets are elsewhere", "reload the page if it is closed", "", "shared")

    # One that dies, and does not come up again.
    bring(page, "mortal.ipynb")
    expect(side.get_by_role("button", name="Load the extension")).to_be_visible()
    run_cell(page, 0, wait=False)
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    says(page, "The kernel has died", "shares continue", "Restart the kernel…", "dead")
    (folder / "dead").unlink()
    side.get_by_role("button", name="Restart the kernel…").click()
    expect(side.get_by_role("button", name="Load the extension")).to_be_visible()
    # That a line was cut is the browser's to say, and what was under way on it is JupyterLab's.
    assert not [error for error in page.errors if "sspcloud" in error.lower()]  # type: ignore[attr-defined]


@pytest.fixture
def no_widgets(lab: Lab) -> Iterator[None]:
    """JupyterLab's pages have no widgets for the length of a test."""
    config = lab.log.parent / "config" / "labconfig" / "page_config.json"
    before = config.read_text()
    told = json.loads(before)
    told["disabledExtensions"] |= {"@jupyter-widgets/jupyterlab-manager": True, "anywidget": True}
    config.write_text(json.dumps(told))
    yield
    config.write_text(before)


@pytest.mark.usefixtures("no_widgets")
@pytest.mark.timeout(240)
def test_lab_without_widgets_says_what_to_install(own_page: Page, lab: Lab) -> None:
    page = own_page
    open_notebook(page, lab, "plain.ipynb")
    execute(page, "sspcloud:open-panel")
    says(page, "This JupyterLab shows no widgets", "pip install jupyterlab_widgets", "", "no-widgets")
