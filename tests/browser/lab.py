"""A real JupyterLab and a real browser, for tests and pictures.

    with jupyterlab(folder, home) as lab, chromium() as browser:
        page = open_notebook(browser, lab, "en/1-first-steps.ipynb")
        run_all(page)

`folder` holds the notebooks; nothing of the user's Jupyter configuration is read, and nothing is left in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support import notebooks
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
DEAF = Path(__file__).with_name("deaf_chromium.py")
STARTUP = 60.0
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that runs: its address, the token of its address, its log, and under which path it opens files."""

    url: str
    token: str
    log: Path
    files: str = "lab/tree"


def execute(page: Page, command: str, arguments: dict[str, Any] | None = None) -> None:
    """Run a command of JupyterLab, and do not wait for its end."""
    page.evaluate(
        "([command, given]) => void window.jupyterapp.commands.execute(command, given)",
        arg=[command, arguments or {}],
    )


@contextlib.contextmanager
def jupyterlab(
    folder: Path, home: Path, environment: dict[str, str] | None = None, *, application: str = "jupyterlab"
) -> Iterator[Lab]:
    """Run JupyterLab, or Notebook 7, on `folder`; its settings, kernels' files and log are kept in `home`.

    Parameters
    ----------
    folder
        What it shows.
    home
        Where it keeps what is its own.
    environment
        More variables for it and its kernels.
    application
        The Python module to run: ``jupyterlab`` or ``notebook``, which is made of the same parts.
    """
    home.mkdir(parents=True, exist_ok=True)
    port, token = free_port(), secrets.token_hex(16)
    places = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "IPYTHONDIR": home / "ipython",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
    }
    _settings(home / "settings")
    _without_others(home / "config" / "labconfig")
    log = home / "lab.log"
    command = [
        *(sys.executable, "-m", application, "--no-browser", "--expose-app-in-browser", "--ip=127.0.0.1"),
        *(f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"),
        *(f"--ServerApp.root_dir={folder}", "--LabApp.check_for_updates_class="),
    ]
    command[-1] += "jupyterlab.NeverCheckForUpdate"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={
                **os.environ,
                **{name: str(place) for name, place in places.items()},
                "PATH": path,
                **(environment or {}),
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    files = "notebooks" if application == "notebook" else "lab/tree"
    lab = Lab(f"http://127.0.0.1:{port}", token, log, files)
    try:
        _wait_until_up(lab, process)
        yield lab
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _settings(folder: Path) -> None:
    """Ask nothing at the first start, and render every cell, also those outside the window."""
    wanted = {
        "apputils-extension/notification": {"fetchNews": "false"},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }
    for name, values in wanted.items():
        file = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))


def _without_others(folder: Path) -> None:
    """Leave out the extension that JupySQL brings, with which the benchmarks compare: it logs an error of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page_config.json").write_text(json.dumps({"disabledExtensions": {"jupysql-plugin": True}}))


def _wait_until_up(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        assert process.poll() is None, f"JupyterLab did not start:\n{lab.log.read_text()}"
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{lab.url}/api?token={lab.token}", timeout=5),
        ):
            return True
        return False

    wait_until(answers, within=STARTUP)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser that $CHROMIUM names, as `make` does, else the one that tools/browser.py finds."""
    path = os.environ.get("CHROMIUM") or _find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=DEAF if sys.platform == "linux" else path,
            args=BROWSER_ARGUMENTS,
            env=os.environ | {"CHROMIUM": path},
        )
        try:
            yield browser
        finally:
            browser.close()


def _find_browser() -> str:
    found = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "browser.py")], stdout=subprocess.PIPE, text=True, check=True
    )
    return found.stdout.strip()


def write_notebook(file: Path, cells: Sequence[str], *, kernel: str = "python3", title: str = "") -> None:
    """Write a notebook that has not run: below its title, where there is one, these cells of code."""
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    notebooks.write(notebooks.new_notebook(cells, title=title, metadata=metadata), file)


def open_notebook(page: Page, lab: Lab, name: str, *, theme: str = "JupyterLab Light") -> None:
    """Open a notebook of the lab's folder and wait until its kernel is there.

    Loading JupyterLab takes 5 seconds of processor time: a page that shows it already stays.
    """
    if page.url.startswith(f"{lab.url}/lab"):
        execute(page, "docmanager:open", {"path": name})
        page.wait_for_function(
            "name => window.jupyterapp.shell.currentWidget?.context?.path === name", arg=name, timeout=60_000
        )
    else:
        page.goto(f"{lab.url}/{lab.files}/{name}?token={lab.token}&reset")
        page.wait_for_function("() => Boolean(window.jupyterapp)", timeout=60_000)
        page.evaluate("() => window.jupyterapp.restored.then(() => null)")
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", arg=theme
    )
    page.locator(".jp-NotebookPanel .jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    page.wait_for_function(
        """() => {
            const panel = window.jupyterapp.shell.currentWidget;
            const kernel = panel && panel.sessionContext && panel.sessionContext.session?.kernel;
            return kernel && kernel.status === 'idle';
        }""",
        timeout=60_000,
    )


def close_documents(page: Page) -> None:
    """Close what is open in a page of JupyterLab, and forget what the panel keeps in the browser."""
    page.mouse.move(0, 0)
    page.evaluate(
        """() => {
            const { shell } = window.jupyterapp;
            for (const each of [...shell.widgets('main')]) each.dispose();
            shell.collapseRight();
            localStorage.clear();
        }"""
    )


def save_setting(lab: Lab, plugin: str, values: dict[str, Any]) -> None:
    """Save the settings of a plugin, for pages that are loaded afterwards."""
    request = urllib.request.Request(
        f"{lab.url}/lab/api/settings/{plugin}",
        method="PUT",
        data=json.dumps({"raw": json.dumps(values)}).encode(),
        headers={"Authorization": f"token {lab.token}"},
    )
    urllib.request.urlopen(request, timeout=60).close()


def run_all(page: Page, *, timeout: float = 90.0) -> None:
    """Run every cell of the notebook in front and wait until the last one has ended."""
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(
        """() => {
            const cells = window.jupyterapp.shell.currentWidget.content.widgets;
            const code = cells.filter(cell => cell.model.type === 'code' && cell.model.sharedModel.source.trim());
            return code.every(cell => cell.model.executionCount !== null);
        }""",
        timeout=timeout * 1000,
    )


def outputs(page: Page) -> list[dict[str, object]]:
    """Return the outputs of the notebook in front, as nbformat has them, of all cells in order."""
    found: list[dict[str, object]] = page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.widgets
            .filter(cell => cell.model.type === 'code')
            .flatMap(cell => cell.model.outputs.toJSON())"""
    )
    return found


def run_cell(page: Page, index: int, *, wait: bool = True, timeout: float = 60.0) -> None:
    """Run one cell of the notebook in front, and wait until it has ended."""
    page.evaluate(
        """index => {
            window.jupyterapp.shell.currentWidget.content.activeCellIndex = index;
            void window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        arg=index,
    )
    if wait:
        wait_for_cell(page, index, timeout=timeout)


def wait_for_cell(page: Page, index: int, *, timeout: float = 60.0) -> None:
    """Wait until a cell has ended."""
    page.wait_for_function(
        "index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.executionCount !== null",
        arg=index,
        timeout=timeout * 1000,
    )


def has_ended(page: Page, index: int) -> bool:
    """Whether a cell has ended."""
    ended: bool = page.evaluate(
        "index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.executionCount !== null",
        arg=index,
    )
    return ended
