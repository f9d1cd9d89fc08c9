"""Bob, alice and carol in one JupyterLab: a script is pasted, a port is clicked, a database is shared and taken back.

Everything is done in the panel, and every claim is checked in a cell: what answers there is real.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from sspcloud_magics import sandbox
from sspcloud_magics.cluster.api.resources import PODS, Attempt
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests import object_reads, object_writes
from sspcloud_magics.sandbox import account
from tests.browser.lab import Lab, open_notebook, outputs, run_cell, write_notebook
from tests.browser.stage import faults
from tests.support.database import DATABASE as NAME
from tests.support.database import DATABASE_PATH as DATABASE
from tests.support.waiting import wait_until

IMAGE = "ghcr.io/ensai/mon-api:1.0"
pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = [
    "import urllib.request, sspcloud_magics as ssp\n%load_ext sspcloud_magics\n%sspcloud",
    """
port = ssp.session.open_forwards()[-1].local_port
urllib.request.urlopen(f"http://localhost:{port}/").status
""",
    'urllib.request.urlopen(f"http://localhost:{port}/").status',
    "ssp.query_db('SELECT current_user AS me')['me'][0]",
    "ssp.query_db('SELECT 1')",
    "int(ssp.query_db('SELECT 7 * 6 AS answer')['answer'][0])",
]
expect.set_options(timeout=40_000)


@pytest.fixture(scope="module")
def home(lab: Lab) -> Iterator[Path]:
    """The home of a sandbox that runs."""
    place = lab.log.parent.parent / "sandbox"
    sandbox.start(place)
    yield place
    sandbox.stop(place)
    sandbox.reset(place)


@pytest.fixture
def notebook(lab: Lab, request: pytest.FixtureRequest) -> Path:
    """A notebook of the test's own, so that its kernel is, too."""
    file = lab.log.parent.parent / "notebooks" / f"{request.node.name}.ipynb"
    write_notebook(file, CELLS)
    return file


@pytest.fixture
def panel(page: Page, lab: Lab, home: Path, notebook: Path) -> Locator:
    """The panel of a kernel without a login."""
    open_notebook(page, lab, notebook.name)
    run_cell(page, 0)
    return page.locator(".jp-Notebook .jp-SSPCloudPanel").first


def make_pod(cluster: Cluster) -> None:
    container = {"name": "api", "image": IMAGE, "ports": [{"name": "http", "containerPort": 8000}]}
    metadata, spec = {"name": "seen"}, {"containers": [container]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    cluster.api.ask(Attempt("create", PODS, cluster.namespace), body=body)


def become(panel: Locator, person: str) -> None:
    panel.get_by_role("button", name=person, exact=True).click()
    expect(panel.get_by_text(f"oidc-{person}", exact=True)).to_be_visible()


def passwords(home: Path) -> list[str]:
    """Return Carol's password, and that of Alice's project, also as a Secret holds them."""
    alice = find_cluster(kubeconfig=sandbox.kubeconfig("alice", home))
    kept = [object_reads.secret(alice, f"{NAME}-{name}") for name in ("share-carol", "superuser")]
    alice.close()
    found = [each.value("password").reveal() for each in kept]  # type: ignore[union-attr]
    return found + [base64.b64encode(each.encode()).decode() for each in found]


def read_output(page: Page) -> Any:
    """Return the last output of the notebook, as text or as an error's name."""
    last: Any = outputs(page)[-1]
    return last.get("ename") or last["data"]["text/plain"]


def save_all(page: Page, notebook: Path) -> bytes:
    """Save the notebook; return all that is kept of it: in its file, the log, the page, and what the kernel has sent."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    saved = notebook.read_text(encoding="utf-8")
    assert "SSPCloud" in saved, "the panel itself is there, as text"
    frames: list[str | bytes] = page.received  # type: ignore[attr-defined]
    messages = b"".join(each.encode() if isinstance(each, str) else each for each in frames)
    assert b"comm_msg" in messages
    shown_now = page.evaluate("document.documentElement.outerHTML")
    log = (notebook.parent.parent / "home" / "lab.log").read_text(encoding="utf-8")
    return (saved + log + shown_now).encode() + messages


@pytest.fixture
def no_login(lab: Lab) -> Iterator[None]:
    """No login is left in the kubeconfig for the next test."""
    yield
    (lab.log.parent.parent / "kubeconfig").unlink()


@pytest.mark.usefixtures("no_login")
@pytest.mark.timeout(240)
def test_pasted_script_logs_in_and_is_kept_nowhere(
    page: Page, panel: Locator, home: Path, notebook: Path
) -> None:
    script = account.login_script("bob", home)
    tokens = [word.split("=", 2)[-1] for word in script.split() if "-token=" in word]
    expect(panel.get_by_role("heading", name="Welcome")).to_be_visible()
    panel.get_by_role("button", name="I have an account").click()
    page.evaluate(
        """script => {
            const data = new DataTransfer();
            data.setData('text/plain', script);
            document.activeElement.dispatchEvent(
                new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
        }""",
        arg=script,
    )
    expect(panel.get_by_text("oidc-bob", exact=True)).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(panel.get_by_text("certificate not verified")).to_be_visible()
    panel.get_by_text("Details", exact=True).click()
    expect(panel.get_by_text("login ends in")).to_be_visible()
    expect(panel.get_by_text("The server's certificate is not verified")).to_be_visible()
    panel.get_by_role("button", name="Renew now").click()
    expect(panel.locator("[aria-busy]")).to_have_count(0)

    everywhere = save_all(page, notebook)
    assert [token for token in tokens if token.encode() in everywhere] == []
    assert page.errors == []  # type: ignore[attr-defined]


@pytest.mark.timeout(240)
def test_clicked_port_outlives_its_pod(page: Page, panel: Locator, home: Path, pictures: Path) -> None:
    # A pod appears by itself, and a click leads to it.
    become(panel, "bob")
    bob = find_cluster(kubeconfig=sandbox.kubeconfig("bob", home))
    make_pod(bob)
    expect(panel.get_by_role("listitem").filter(has_text="seen")).to_contain_text("Running")
    panel.get_by_role("button", name="Forward port 8000 http of seen").click()
    expect(panel.get_by_role("list", name="Forwards")).to_contain_text("active")
    run_cell(page, 1)
    assert read_output(page) == "200"
    opened = panel.get_by_role("link", name="in the browser")
    assert str(opened.get_attribute("href")).startswith("http://localhost:")
    page.screenshot(path=pictures / "panel-bob.png")

    # The pod is killed: the forward waits for it, and comes back by itself.
    object_writes.delete_object(bob, PODS, "seen", bob.namespace)
    expect(panel.get_by_role("list", name="Forwards")).to_contain_text("reconnecting")
    wait_until(lambda: "seen" not in {each["name"] for each in object_reads.list_metadata(bob, PODS)})
    make_pod(bob)
    expect(panel.get_by_role("list", name="Forwards")).to_contain_text("active")
    run_cell(page, 2)
    assert read_output(page) == "200"
    panel.get_by_role("button", name="Stop the forward to user-bob/pod/seen").click()
    expect(panel.get_by_role("button", name="Forwards none")).to_be_visible()
    object_writes.delete_object(bob, PODS, "seen", bob.namespace)
    bob.close()
    assert page.errors == []  # type: ignore[attr-defined]


def share_with_carol(page: Page, panel: Locator, pictures: Path) -> None:
    """Look, as alice, at what sharing with carol would make, and make it."""
    dialog = page.get_by_role("dialog")
    become(panel, "alice")
    panel.get_by_role("button", name=f"More actions for {NAME}", exact=True).click()
    page.get_by_role("menuitem", name=f"Share {DATABASE}").click()
    dialog.get_by_label("Colleagues").fill("carol")
    expect(dialog.get_by_role("checkbox", name="public")).to_be_checked()
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog.get_by_text("What the share grants")).to_be_visible()
    page.screenshot(path=pictures / "panel-share.png")
    dialog.get_by_role("button", name="Share", exact=True).click()
    expect(dialog.get_by_text(f"%connect_db {DATABASE}", exact=True)).to_be_visible()
    assert faults(page, ".jp-Notebook .jp-SSPCloudPanel") == []
    dialog.get_by_role("button", name="Close").last.click()


def join_as_carol(page: Page, panel: Locator) -> None:
    """Connect, as carol, by the name that alice would send her; a cell of hers is answered."""
    become(panel, "carol")
    panel.get_by_label("A colleague's database", exact=True).click()
    page.keyboard.type(DATABASE)
    page.keyboard.press("Enter")
    # Where it fails, this says what stands there instead.
    expect(panel.locator("[data-section=databases]")).to_contain_text("as share_carol")
    run_cell(page, 3)
    assert read_output(page) == "'share_carol'"


@pytest.mark.timeout(240)
def test_database_is_shared_joined_and_revoked(
    page: Page, panel: Locator, home: Path, notebook: Path, pictures: Path
) -> None:
    share_with_carol(page, panel, pictures)
    revoke = panel.get_by_role("button", name=f"Revoke the share of {NAME} with carol")
    expect(revoke).to_be_visible()
    join_as_carol(page, panel)

    # Alice sees her, and takes it back while she is connected.
    become(panel, "alice")
    carol = panel.locator("[data-section=shares]").get_by_role("listitem").filter(has_text="carol")
    expect(carol).to_contain_text("1 connected")
    secrets = passwords(home)
    revoke.click()
    panel.get_by_role("button", name="Revoke", exact=True).click()
    expect(revoke).to_have_count(0)
    run_cell(page, 4)
    assert read_output(page) in {
        "LoginRefused",
        "CredentialsNotFound",
        "ConnectionLost",
        "DatabaseUnavailable",
        "Forbidden",
        "TargetNotFound",
    }

    everywhere = save_all(page, notebook)
    assert b"share_carol" in everywhere
    assert [secret for secret in secrets if secret.encode() in everywhere] == []
    assert page.errors == []  # type: ignore[attr-defined]


@pytest.mark.timeout(240)
def test_table_gives_a_select_in_a_new_cell(page: Page, panel: Locator) -> None:
    dialog = page.get_by_role("dialog")
    become(panel, "alice")
    panel.get_by_role("button", name=f"Connect to {DATABASE}").click()
    expect(panel.locator("[data-section=databases]").get_by_text("as alice")).to_be_visible()
    run_cell(page, 5)
    assert read_output(page) == "42"
    panel.get_by_role("button", name=f"Tables of {DATABASE}").click()
    dialog.locator("[data-expand]").first.click()
    dialog.get_by_role("button", name="Insert SELECT").click()
    expect(dialog).to_be_hidden()
    cells = "window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.sharedModel.source)"
    assert [cell for cell in page.evaluate(cells) if cell.startswith("%%query_db\nSELECT ")]
    assert page.errors == []  # type: ignore[attr-defined]
