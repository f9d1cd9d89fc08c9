"""The first tutorial in a real JupyterLab: every cell runs, looks right, and leaves nothing behind."""

import json

import psutil
import pytest

from tests.browser.lab import open_notebook, outputs, run_all

pytestmark = pytest.mark.browser


@pytest.mark.timeout(180)
def test_the_tutorial_runs_in_jupyterlab(page, lab, pictures):
    open_notebook(page, lab, "first-steps.ipynb")
    run_all(page)
    failed = [output for output in outputs(page) if output["output_type"] == "error"]
    # One cell shows what Bob may not do.
    assert [output["ename"] for output in failed] == ["QueryFailed"]
    shown = json.dumps(outputs(page))
    assert "salaire_moyen" in shown
    assert "101796" in shown
    table = page.locator(".jp-OutputArea table").first
    assert table.is_visible()
    assert page.errors == []
    page.screenshot(path=pictures / "first-steps.png")
    assert not [process for process in psutil.process_iter(["cmdline"]) if _is_sandbox_of(process, lab)]


def _is_sandbox_of(process, lab):
    return str(lab.log.parent.parent / "sandbox") in " ".join(process.info["cmdline"] or ())
