"""One browser and one JupyterLab for the tests of a module: Playwright keeps an event loop running as long as it lives."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, WebSocket

from tests.browser.lab import ROOT, Lab, chromium, close_documents, jupyterlab


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    environment = {
        "SSPCLOUD_SANDBOX_HOME": str(folder / "sandbox"),
        # Of no user yet: a login with a script writes it.
        "KUBECONFIG": str(folder / "kubeconfig"),
    }
    with jupyterlab(folder / "notebooks", folder / "home", environment) as running:
        yield running


@pytest.fixture(scope="module")
def shared_page(browser: Browser) -> Iterator[Page]:
    with open_page(browser) as opened:
        yield opened


@pytest.fixture
def page(shared_page: Page, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page of a module, in which nothing is open; after a failed test it is empty."""
    failed = request.session.testsfailed
    yield shared_page
    if request.session.testsfailed > failed:
        shared_page.goto("about:blank")
    elif urlsplit(shared_page.url).path.startswith("/lab"):
        close_documents(shared_page)
    shared_page.errors.clear()
    shared_page.received.clear()


@pytest.fixture
def own_page(browser: Browser) -> Iterator[Page]:
    """A page of the test's own, for what only a newly loaded page shows."""
    with open_page(browser) as opened:
        yield opened


@contextlib.contextmanager
def open_page(browser: Browser) -> Iterator[Page]:
    """Open a page: `page.errors` has what its console calls an error, `page.received` what its sockets are sent."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.errors = []
    opened.received = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda message: opened.received.append(message))  # noqa: PLW0108 - playwright writes to it

    def keep(text: str) -> None:
        # JupyterLab's own, now and then, while outputs arrive quickly; also where nothing of ours is in the page.
        if "removeChild" not in text:
            opened.errors.append(text)

    opened.on("websocket", listen)
    opened.on("pageerror", lambda error: keep(str(error)))
    opened.on("console", lambda message: keep(message.text) if message.type == "error" else None)
    yield opened
    context.close()


@pytest.fixture
def pictures() -> Path:
    """Where pictures of what a test saw are kept, to be looked at."""
    folder = ROOT / "build" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def shots() -> Path:
    """Where a picture of every state is kept, to be looked at."""
    place = ROOT / "build" / "screenshots"
    place.mkdir(parents=True, exist_ok=True)
    return place
