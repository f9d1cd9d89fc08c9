"""Find or install a Chromium for the tests and screenshots, and print its path.

    python tools/browser.py

It tries, in this order: $CHROMIUM, Chromium's headless shell on the PATH or of Debian, another browser on the PATH, and
Playwright's download. Debian's package is installed if this user may. If none of them works, it fails with a message.

The headless shell is Chromium without windows: a session of JupyterLab takes a fifth less processor time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HEADLESS_SHELL = "chromium-headless-shell"
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


def find_headless_shell() -> str | None:
    """Return the headless shell on the PATH, or that of Debian if apt already knows it."""
    return shutil.which(HEADLESS_SHELL) or run_apt(["install", HEADLESS_SHELL], errors=subprocess.DEVNULL)


def install_debians_package() -> str | None:
    """Install Debian's package of the headless shell, and a font."""
    return run_apt(["update"], ["install", HEADLESS_SHELL, "fonts-dejavu-core"])


def run_apt(*commands: list[str], errors: int | None = None) -> str | None:
    """Run commands of apt-get, if it is there and this user may, and return the headless shell if they succeed."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return None
    for command in commands:
        done = subprocess.run(
            [apt, "-qq", "--yes", "--no-install-recommends", *command],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if errors is None else errors,
            stderr=errors,
            check=False,
        )
        if done.returncode:
            return None
    return shutil.which(HEADLESS_SHELL)


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
    find_headless_shell,
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
