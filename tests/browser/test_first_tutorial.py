"""The first tutorial in a real JupyterLab, whose last cell stops the sandbox."""

import pytest
from playwright.sync_api import expect

from tests.browser.lab import open_notebook, run_all

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.timeout(180)
def test_first_tutorial_ends_with_a_calm_panel(page, lab, pictures):
    """Its last cell stops the sandbox, which is no fault."""
    open_notebook(page, lab, "en/1-first-steps.ipynb")
    run_all(page)
    panel = page.locator(".jp-Notebook .jp-SSPCloudPanel").first
    expect(panel.get_by_role("heading", name="Welcome")).to_be_visible()
    expect(panel.locator("[data-tone=bad]")).to_have_count(0)
    expect(panel.get_by_role("alert")).to_have_count(0)
    page.screenshot(path=pictures / "first-steps-at-its-end.png")
