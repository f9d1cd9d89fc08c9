"""Take the screenshots of README and docs from a running JupyterLab.

    python tools/screenshots.py          all of them
    python tools/screenshots.py panel    those of the panel alone, with the snapshots of a busy session
    python tools/screenshots.py side     those of JupyterLab with the side panel open
    python tools/screenshots.py first    those at the top of README

A tutorial runs in a real JupyterLab, with its own sandbox. The screenshots are written to ``docs/images``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # where `tests` is

from tests.browser import stage  # noqa: E402
from tests.browser.lab import Lab, chromium, jupyterlab, open_notebook, run_all, write_notebook  # noqa: E402
from tests.testbed import open_sandbox  # noqa: E402

IMAGES = ROOT / "docs" / "images"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
FIRST, LAST = "## Bob connects", "salaires.dtypes"
ASIDE = ("%sandbox", "%tables")
"""The beginnings of cells to hide between the two."""
SIDE_TITLE = "# Who earns what, by region\nThe panel next to this notebook shows what its kernel holds open."
SIDE_CELLS = [
    "%connect_db postgresql-cnpg-951239",
    """%%query_db --into salaires
SELECT r.nom AS region, count(*) AS personnes,
       avg(i.salaire_net)::numeric(8, 2) AS salaire_moyen
FROM individus i
JOIN menages m ON m.id = i.menage
JOIN communes c ON c.code = m.commune
JOIN departements d ON d.code = c.departement
JOIN regions r ON r.code = d.region
GROUP BY r.nom ORDER BY salaire_moyen DESC""",
    "import requests\nrequests.get('http://localhost:1500/').status_code",
]
SIDE_WIDTH = 560
"""The width of the side panel in pixels."""


def show_excerpt(page: Page) -> None:
    """Show only the cells from the heading `FIRST` up to the cell `LAST`, without those in `ASIDE`."""
    page.evaluate(
        """([first, last, aside]) => {
            const { shell } = window.jupyterapp;
            shell.collapseLeft();
            const cells = shell.currentWidget.content.widgets;
            const source = cell => cell.model.sharedModel.source;
            const begin = cells.findIndex(cell => source(cell).includes(first));
            const end = cells.findIndex(cell => source(cell).startsWith(last));
            if (begin < 0 || end < begin) { throw new Error('the tutorial has no such cells'); }
            cells.forEach((cell, place) => {
                const isAside = aside.some(start => source(cell).startsWith(start));
                if (place < begin || place >= end || isAside) { cell.node.style.display = 'none'; }
            });
            shell.currentWidget.content.activeCellIndex = begin;
            shell.currentWidget.node.querySelector('.jp-WindowedPanel-outer').scrollTop = 0;
        }""",
        arg=[FIRST, LAST, ASIDE],
    )


def picture(browser: Browser, lab: Lab, name: str, theme: str) -> None:
    """Run the tutorial under a theme, and take a screenshot of the excerpt."""
    page = browser.new_page(viewport={"width": 1000, "height": 1230}, device_scale_factor=1.5)
    open_notebook(page, lab, "en/2-a-colleagues-database.ipynb", theme=theme)
    run_all(page)
    show_excerpt(page)
    page.wait_for_timeout(1000)  # the theme and the scrolling are animated
    page.locator(".jp-NotebookPanel-notebook").first.screenshot(
        path=IMAGES / f"{name}.png", animations="disabled"
    )
    page.close()


def panels() -> None:
    """Take the screenshots of the panel."""
    with chromium() as browser:
        for theme in ("light", "dark"):
            page = stage.stage(browser, theme=theme, width=1100, scale=1.5)
            stage.tell(page, stage.session())
            page.locator(".jp-SSPCloudPanel").screenshot(path=IMAGES / f"panel-{theme}.png")
            page.close()
        page = stage.stage(browser, width=760, height=820, scale=1.5)
        stage.tell(page, stage.session())
        name = stage.DATABASE.rpartition("/")[2]
        page.get_by_role("button", name=f"More actions for {name}", exact=True).click()
        page.get_by_role("menuitem", name=f"Share {stage.DATABASE}").click()
        stage.answer(page, "list_schemas", stage.PLAN["schemas"])
        page.get_by_label("Colleagues").fill("bob carol")
        page.get_by_role("button", name="Preview").click()
        stage.answer(page, "preview_share", stage.PLAN)
        page.wait_for_timeout(1000)  # the view renders what has come twice a second
        page.screenshot(path=IMAGES / "panel-share.png")
        page.close()
    print(f"{IMAGES.relative_to(ROOT)}/panel-*.png")


def side_panel() -> None:
    """Take the screenshots of JupyterLab with its side panel: alice forwards a port by a click, and a cell uses it."""
    for name, theme in THEMES.items():
        with tempfile.TemporaryDirectory() as folder, open_sandbox() as sandbox:
            notebooks = Path(folder) / "notebooks"
            notebooks.mkdir()
            write_notebook(notebooks / "salaries.ipynb", SIDE_CELLS, title=SIDE_TITLE)
            environment = {
                "SSPCLOUD_SANDBOX_HOME": str(sandbox.home),
                "KUBECONFIG": str(sandbox.kubeconfig("alice")),
            }
            with jupyterlab(notebooks, Path(folder) / "home", environment) as lab, chromium() as browser:
                page = browser.new_page(viewport={"width": 1440, "height": 1290}, device_scale_factor=1.5)
                open_notebook(page, lab, "salaries.ipynb", theme=theme)
                photograph_side_panel(page)
                page.screenshot(path=IMAGES / f"side-panel-{name}.png", animations="disabled")
                page.close()
        print(f"{IMAGES.relative_to(ROOT)}/side-panel-{name}.png")


def photograph_side_panel(page: Page) -> None:
    """Open the side panel, forward a port in it, and run the notebook."""
    page.evaluate("""() => {
        window.jupyterapp.shell.collapseLeft();
        void window.jupyterapp.commands.execute('sspcloud:open-panel');
    }""")
    side = page.locator(".jp-SSPCloudSide")
    side.get_by_role("button", name="Load the extension", exact=True).click(timeout=60_000)
    side.get_by_role("button", name="Forward port 8000 http of mon-api-abcdef-12345", exact=True).click(
        timeout=60_000
    )
    forwards = side.get_by_role("list", name="Forwards")
    row = forwards.get_by_role("listitem").filter(has_text="active")
    port = row.get_by_text("localhost:").first.inner_text(timeout=60_000).rpartition(":")[2].strip()
    page.evaluate(
        """port => {
            const { model } = window.jupyterapp.shell.currentWidget.content.widgets.at(-1);
            model.sharedModel.source = model.sharedModel.source.replace('1500', port);
        }""",
        arg=port,
    )
    edge, width = side.evaluate("each => [each.getBoundingClientRect().left, each.clientWidth]")
    page.mouse.move(edge - 2, 450)
    page.mouse.down()
    page.mouse.move(edge + width - SIDE_WIDTH, 450, steps=5)
    page.mouse.up()
    run_all(page)
    page.evaluate(
        """() => {
            const { content } = window.jupyterapp.shell.currentWidget;
            content.activeCellIndex = 0;
            content.node.querySelector('.jp-WindowedPanel-outer').scrollTop = 0;
        }"""
    )
    page.wait_for_timeout(2500)  # the scrolling is animated, and the traffic is updated twice a second


def first_steps() -> None:
    """Take the screenshots at the top of README, of a tutorial."""
    for name, theme in THEMES.items():
        with tempfile.TemporaryDirectory() as folder:
            notebooks = Path(folder) / "notebooks"
            shutil.copytree(ROOT / "notebooks", notebooks)
            environment = {"SSPCLOUD_SANDBOX_HOME": f"{folder}/sandbox"}
            with jupyterlab(notebooks, Path(folder) / "home", environment) as lab, chromium() as browser:
                picture(browser, lab, f"first-steps-{name}", theme)
        print(f"{IMAGES.relative_to(ROOT)}/first-steps-{name}.png")


PICTURES = {"panel": panels, "side": side_panel, "first": first_steps}


def main() -> None:
    """Take all screenshots, or those that the command line names."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for each in sys.argv[1:] or PICTURES:
        PICTURES[each]()


if __name__ == "__main__":
    main()
