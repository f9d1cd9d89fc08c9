"""Find or install a Chromium for the tests and screenshots, and print its path.

    python tools/browser.py

It tries, in this order: $CHROMIUM, the PATH, Debian's package if this user may install it, and Playwright's download.
If none of them works, it fails with a message.
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
    """Return the browser in $CHROMIUM."""
    return os.environ.get("CHROMIUM")


def find_installed_browser() -> str | None:
    """Return a browser that is installed on this system."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or next((path for path in MACOS if Path(path).exists()), None)


def install_debians_package() -> str | None:
    """Install Debian's package, if apt is available and this user may use it."""
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


def install_playwrights_browser() -> str | None:
    """Install Playwright's browser."""
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


SOURCES: tuple[Callable[[], str | None], ...] = (
    get_named_browser,
    find_installed_browser,
    install_debians_package,
    install_playwrights_browser,
)


def main() -> None:
    """Print the path of a browser, or fail with the sources that were tried."""
    for find in SOURCES:
        path = find()
        if path and Path(path).exists():
            print(path)
            return
    sys.exit(
        "No Chromium found: not in $CHROMIUM, not on the PATH, not from apt-get, and\n"
        "'playwright install chromium' failed. Install Chromium or Chrome, or set CHROMIUM to its path."
    )


if __name__ == "__main__":
    main()
