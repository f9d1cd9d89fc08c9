"""A tutorial in a real JupyterLab, in English: every cell runs, looks right, and leaves nothing behind."""

import json

import psutil
import pytest

from tests.browser.lab import open_notebook, outputs, run_all

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.timeout(180)
def test_the_tutorial_runs_in_jupyterlab(page, lab, pictures):
    open_notebook(page, lab, "en/2-a-colleagues-database.ipynb")
    run_all(page)
    failed = [output for output in outputs(page) if output["output_type"] == "error"]
    # What Bob may not do, and what he may do no more.
    assert [output["ename"] for output in failed] == ["QueryFailed", "CredentialsNotFound"]
    shown = json.dumps(outputs(page))
    assert "salaire_moyen" in shown
    assert "101796" in shown
    assert "image/png" in shown
    table = page.locator(".jp-OutputArea table").first
    assert table.is_visible()
    assert page.errors == []
    page.screenshot(path=pictures / "colleagues-database.png")
    assert not [process for process in psutil.process_iter(["cmdline"]) if _is_sandbox_of(process, lab)]


def _is_sandbox_of(process, lab):
    return str(lab.log.parent.parent / "sandbox") in " ".join(process.info["cmdline"] or ())
