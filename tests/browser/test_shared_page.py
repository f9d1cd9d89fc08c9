"""A front end of a colleague, shared by the network, in a real browser: the page opens, and its links stay on the port."""

import pytest
from playwright.sync_api import Page, expect

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.cluster.api.resources import NETWORK_POLICIES
from sspcloud_magics.cluster.requests.object_writes import apply_object, delete_object
from tests.support.closed_service import CLOSED
from tests.testbed import Sandbox

pytestmark = [pytest.mark.browser]


def test_colleague_opens_a_shared_page(page: Page, sandbox: Sandbox) -> None:
    ssp.login(kubeconfig=sandbox.kubeconfig("alice"))
    owner = session.current_cluster()
    apply_object(owner, NETWORK_POLICIES, CLOSED)
    ssp.share("svc/mon-api", "carol", duration="1h")
    try:
        ssp.login(kubeconfig=sandbox.kubeconfig("carol"))
        with ssp.forward("user-alice/svc/mon-api", ":80") as opened:
            page.goto(f"http://localhost:{opened.local_port}/")
            expect(page.get_by_role("cell", name="Rennes")).to_be_visible()
            page.get_by_label("Département").fill("29")
            page.get_by_role("button", name="Afficher").click()
            expect(page.get_by_role("cell", name="Brest")).to_be_visible()
            assert page.url.endswith(f":{opened.local_port}/?departement=29")
    finally:
        ssp.login(kubeconfig=sandbox.kubeconfig("alice"))
        ssp.unshare("svc/mon-api", all_colleagues=True)
        delete_object(owner, NETWORK_POLICIES, CLOSED["metadata"]["name"], "user-alice")
        ssp.close()
