"""The panel in a real JupyterLab: the practice cluster, a forward during a long cell, a share that is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from sspcloud_magics import sandbox
from tests.browser.lab import Lab, has_ended, open_notebook, outputs, run_cell, wait_for_cell, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = [
    "%load_ext sspcloud_magics\n%sspcloud",
    # It ends only when the test has seen the answer to its click.
    """
import pathlib, time, sspcloud_magics as ssp
ssp.forward("svc/mon-api", ":http")
while not pathlib.Path("seen").exists(): time.sleep(0.02)
""",
    """
import urllib.request
url = f"http://localhost:{ssp.session.open_forwards()[-1].local_port}/"
urllib.request.urlopen(url).status
""",
    "%sspcloud --language fr",
]
expect.set_options(timeout=40_000)


@pytest.fixture
def folder(lab: Lab) -> Iterator[Path]:
    """The lab's folder, with the notebook; a sandbox that a failed test leaves behind is stopped."""
    top = lab.log.parent.parent
    write_notebook(top / "notebooks" / "panel.ipynb", CELLS)
    yield top / "notebooks"
    sandbox.stop(top / "sandbox")
    sandbox.reset(top / "sandbox")


def button(panel: Locator, name: str) -> Locator:
    return panel.get_by_role("button", name=name, exact=True)


@pytest.mark.timeout(180)
def test_the_panel_is_driven_by_clicks(page: Page, lab: Lab, folder: Path, pictures: Path) -> None:
    open_notebook(page, lab, "panel.ipynb")
    run_cell(page, 0)
    panel = page.locator(".jp-Notebook .jp-SSPCloudPanel").first
    button(panel, "Try without one").click()
    expect(panel.get_by_text("oidc-bob", exact=True)).to_be_visible()
    button(panel, "alice").click()
    expect(panel.get_by_text("oidc-alice", exact=True)).to_be_visible()
    expect(button(panel, "alice")).to_have_attribute("aria-pressed", "true")

    # While a cell runs, clicks are answered, also when the kernel's last word on the comm was not an answer to
    # one: here it is the forward that the cell itself opens.
    run_cell(page, 1, wait=False)
    forwards = panel.get_by_role("list", name="Forwards")
    expect(forwards.get_by_role("listitem").filter(has_text="svc/mon-api")).to_contain_text("active")
    button(panel, "Forward port 8000 http of mon-api-abcdef-12345").focus()
    page.keyboard.press("Enter")
    clicked = forwards.get_by_role("listitem").filter(has_text="pod/mon-api-abcdef-12345")
    expect(clicked).to_contain_text("active")
    assert not has_ended(page, 1)
    button(panel, "Port 8000 http of mon-api-abcdef-12345 is forwarded").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Port 8000")
    (folder / "seen").touch()
    wait_for_cell(page, 1)

    run_cell(page, 2)
    shown: list[Any] = outputs(page)
    assert shown[-1]["data"]["text/plain"] == "200", shown[-1]
    expect(clicked).not_to_contain_text("↓ 0")
    page.screenshot(path=pictures / "panel.png")

    button(panel, "Revoke the share of postgresql-cnpg-951239 with bob").click()
    assert page.evaluate("document.activeElement.textContent") == "Keep"
    page.keyboard.press("Escape")
    expect(button(panel, "Revoke")).to_have_count(0)
    button(panel, "Revoke the share of postgresql-cnpg-951239 with bob").click()
    button(panel, "Revoke").click()
    expect(button(panel, "Shares none")).to_be_visible()

    stop = panel.get_by_role("button", name="Stop the forward to user-alice/pod/mon-api-abcdef-12345")
    stop.click()
    expect(stop).to_have_count(0)
    assert page.evaluate("document.activeElement.dataset.fold") == "forwards"

    panel.locator("input[name=database]").fill("user-bob/nothing")
    panel.locator("form button").click()
    expect(panel.get_by_role("alert")).to_contain_text("user-bob")

    run_cell(page, 3)
    expect(
        page.locator(".jp-Notebook .jp-SSPCloudPanel").last.get_by_text("Redirections", exact=True)
    ).to_be_visible()
    panel.get_by_role("button", name="Arrêter le bac à sable").click()
    expect(button(panel, "Démarrer le bac à sable")).to_be_visible()
    left = sandbox.status(folder.parent / "sandbox")
    assert (left.running, left.keeps) == (False, True)
    button(panel, "Réinitialiser le bac à sable").click()
    button(panel, "Tout supprimer").click()
    expect(button(panel, "Réinitialiser le bac à sable")).to_have_count(0)
    assert not left.keeps
    assert page.errors == []  # type: ignore[attr-defined]
