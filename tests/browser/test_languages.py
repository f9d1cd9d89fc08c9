"""The language of the reader in a real JupyterLab without language packs: the panel and the magics agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.lab import Lab, execute, jupyterlab, open_notebook, outputs, run_cell, write_notebook
from tests.testbed import Sandbox

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect.set_options(timeout=60_000)

CELLS = ["%load_ext sspcloud_magics", "%k8s_pods nothing*", "import sspcloud_magics as ssp\nssp.language()"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Lab]:
    """A JupyterLab as in the platform's images: LC_ALL is en_US.UTF-8, and the user chose no language."""
    folder = tmp_path_factory.mktemp("languages")
    (folder / "notebooks").mkdir()
    environment = {
        "SSPCLOUD_LANGUAGE": "",
        "LC_ALL": "en_US.UTF-8",
        "SSPCLOUD_SANDBOX_HOME": str(sandbox.home),
        "KUBECONFIG": str(sandbox.kubeconfig("alice")),
        "HOME": str(folder / "home"),
    }
    with jupyterlab(folder / "notebooks", folder / "home", environment) as running:
        yield running


def open_page(browser: Browser, lab: Lab, name: str, locale: str) -> tuple[Page, Locator]:
    """Open a notebook and the side panel in a browser with a language."""
    place = lab.log.parent.parent / "notebooks" / f"{name}.ipynb"
    write_notebook(place, CELLS)
    page = browser.new_context(locale=locale, viewport={"width": 1280, "height": 900}).new_page()
    open_notebook(page, lab, place.name)
    execute(page, "sspcloud:open-panel")
    side = page.locator(".jp-SSPCloudSide")
    expect(side).to_be_visible()
    return page, side


def answer(page: Page) -> str:
    last: Any = outputs(page)[-1]
    return str(last["data"]["text/plain"])


@pytest.mark.timeout(240)
def test_french_browser_makes_panel_and_magics_french(browser: Browser, lab: Lab, shots: Path) -> None:
    page, side = open_page(browser, lab, "french", "fr-FR")
    expect(side.get_by_role("heading", name="Extension non chargée dans ce noyau")).to_be_visible()
    side.get_by_role("button", name="Charger l'extension").click()
    expect(side.get_by_role("button", name="Nouvelle cellule SQL")).to_be_visible()
    expect(side.locator(".jp-SSPCloudPanel:visible")).to_contain_text("Redirections")
    run_cell(page, 1)
    assert answer(page).startswith("Aucune ressource comme")
    run_cell(page, 2)
    assert answer(page) == "'fr'"
    expect(page.locator(".jp-SSPCloudStatus")).to_contain_text("0 redirection")
    page.screenshot(path=shots / "language-french.png")

    # The panel's own choice holds at once, for the magics too.
    side.get_by_text("Détails", exact=True).click()
    side.get_by_label("Langue").select_option("en")
    expect(side.get_by_role("button", name="New SQL cell")).to_be_visible()
    expect(side.locator(".jp-SSPCloudPanel:visible")).to_contain_text("Forwards")
    run_cell(page, 2)
    assert answer(page) == "'en'"
    page.context.close()


@pytest.mark.timeout(240)
def test_english_browser_makes_all_english(browser: Browser, lab: Lab) -> None:
    page, side = open_page(browser, lab, "english", "en-GB")
    side.get_by_role("button", name="Load the extension").click()
    expect(side.locator(".jp-SSPCloudPanel:visible")).to_contain_text("Forwards")
    page.context.close()
