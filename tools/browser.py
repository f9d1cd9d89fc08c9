"""Find a Chromium for the tests and pictures that need one, or bring one; print its path.

    python tools/browser.py

In this order: the one that $CHROMIUM names; one on the PATH; Debian's package where this user may install
it; Playwright's own download. If none of them works it says so and fails: nothing is skipped silently.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MACOS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def get_named_browser() -> str | None:
    """Return the browser that the environment names."""
    return os.environ.get("CHROMIUM")


def find_installed_browser() -> str | None:
    """Return a browser of this system."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or next((path for path in MACOS if Path(path).exists()), None)


def from_debian() -> str | None:
    """Install Debian's package, where apt is there and this user may use it."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (
        ["update"],
        ["install", "--yes", "--no-install-recommends", "chromium", "fonts-dejavu-core"],
    ):
        done = subprocess.run(
            [apt, "-qq", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            check=False,
        )
        if done.returncode:
            return None
    return find_installed_browser()


def from_playwright() -> str | None:
    """Let Playwright download its own."""
    done = subprocess.run(
        [sys.executable, "-m", "playwright", "install", "chromium"],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        return None
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where it is needed

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


WAYS: tuple[Callable[[], str | None], ...] = (
    get_named_browser,
    find_installed_browser,
    from_debian,
    from_playwright,
)


def main() -> None:
    """Print the path of a browser, or fail with the ways that were tried."""
    for way in WAYS:
        path = way()
        if path and Path(path).exists():
            print(path)
            return
    sys.exit(
        "No Chromium: $CHROMIUM names none, none is on the PATH, apt-get could not install one, and\n"
        "'playwright install chromium' failed. Install Chromium or Chrome, or set CHROMIUM to its path."
    )


if __name__ == "__main__":
    main()
