"""Take the pictures of README and docs from a running JupyterLab, so that they stay true.

    python tools/screenshots.py          all of them
    python tools/screenshots.py panel    those of the panel alone: its view, told of a session in which much goes on

A tutorial is run in a real JupyterLab, on a sandbox of its own; the pictures go to ``docs/images``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import stage  # noqa: E402
from tests.browser.lab import Lab, chromium, jupyterlab, open_notebook, run_all  # noqa: E402

IMAGES = ROOT / "docs" / "images"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
FIRST, LAST = "Bob joins it", "salaires.dtypes"


def to_the_point(page: Page) -> None:
    """Leave only the cells from the heading `FIRST` up to the cell `LAST`, and nothing around the notebook."""
    page.evaluate(
        """([first, last]) => {
            const { shell } = window.jupyterapp;
            shell.collapseLeft();
            const cells = shell.currentWidget.content.widgets;
            const source = cell => cell.model.sharedModel.source;
            const begin = cells.findIndex(cell => source(cell).includes(first));
            const end = cells.findIndex(cell => source(cell).startsWith(last));
            cells.forEach((cell, place) => {
                if (place < begin || place >= end) { cell.node.style.display = 'none'; }
            });
            shell.currentWidget.content.activeCellIndex = begin;
            shell.currentWidget.node.querySelector('.jp-WindowedPanel-outer').scrollTop = 0;
        }""",
        arg=[FIRST, LAST],
    )


def picture(browser: Browser, lab: Lab, name: str, theme: str) -> None:
    """Run the tutorial under a theme and keep what matters of it."""
    page = browser.new_page(viewport={"width": 1000, "height": 1230}, device_scale_factor=1.5)
    open_notebook(page, lab, "en/2-a-colleagues-database.ipynb", theme=theme)
    run_all(page)
    to_the_point(page)
    page.wait_for_timeout(1000)  # the theme and the scrolling are animated
    page.locator(".jp-NotebookPanel-notebook").first.screenshot(
        path=IMAGES / f"{name}.png", animations="disabled"
    )
    page.close()


def panels() -> None:
    """Take the pictures of the panel."""
    with chromium() as browser:
        for theme in ("light", "dark"):
            page = stage.stage(browser, theme=theme, width=1100, scale=1.5)
            stage.tell(page, stage.session())
            page.locator(".jp-SSPCloudPanel").screenshot(path=IMAGES / f"panel-{theme}.png")
            page.close()
        page = stage.stage(browser, width=760, height=820, scale=1.5)
        stage.tell(page, stage.session())
        page.get_by_role("button", name=f"Share {stage.DATABASE}").click()
        page.get_by_label("Colleagues").fill("bob carol")
        page.get_by_role("button", name="Preview").click()
        stage.answer(page, "plan share", stage.PLAN)
        page.screenshot(path=IMAGES / "panel-share.png")
        page.close()
    print(f"{IMAGES.relative_to(ROOT)}/panel-*.png")


def main() -> None:
    """Take every picture."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    panels()
    if sys.argv[1:] == ["panel"]:
        return
    for name, theme in THEMES.items():
        with tempfile.TemporaryDirectory() as folder:
            notebooks = Path(folder) / "notebooks"
            shutil.copytree(ROOT / "notebooks", notebooks)
            environment = {"SSPCLOUD_SANDBOX_HOME": f"{folder}/sandbox"}
            with jupyterlab(notebooks, Path(folder) / "home", environment) as lab, chromium() as browser:
                picture(browser, lab, f"first-steps-{name}", theme)
        print(f"{IMAGES.relative_to(ROOT)}/first-steps-{name}.png")


if __name__ == "__main__":
    main()
