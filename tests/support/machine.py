"""Isolate the tests from the settings of the machine and its user.

A test finds the same variables, the same home and the same Ctrl-C wherever it runs: as a job of a script in the
background, in a container without a home, under a user's proxies and locale.
"""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

KEPT = {
    *("PATH", "LD_LIBRARY_PATH", "TMPDIR", "USER", "LOGNAME", "TERM"),
    *("COMSPEC", "SYSTEMROOT", "PATHEXT", "TEMP", "TMP"),  # without these Windows starts no program
    *("CHROMIUM", "CI"),
}
"""The variables of the machine that tests see, besides those of pytest, coverage and pip (`OF_TOOLS`)."""

OF_TOOLS = ("PYTEST_", "COV_", "COVERAGE_", "PIP_", "HYPOTHESIS_", "PYTHON", "_PYTEST")
PROGRAMS = Path(__file__).with_name("programs")
"""What runs in the images of the tests, in a sandbox."""
LOCALE = {"LANG": "C.UTF-8", "TZ": "UTC"}


def restore_interrupts() -> None:
    """Let SIGINT interrupt us and our children: a shell without job control lets a background job ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def isolate(cache: Path | None) -> Path:
    """Give this process and its children an environment that is not the user's.

    Parameters
    ----------
    cache
        The folder for what may be kept from one process to the next, such as prepared databases; a new one where
        it is None.

    Returns
    -------
    Path
        The new home, which is the caller's to remove; the cache lies in it if it is new.
    """
    home = Path(tempfile.mkdtemp(prefix="sspcloud-home-"))
    home.chmod(0o711)  # as root, the sandbox's Postgres is another user, who must pass through
    for name in list(os.environ):
        if name not in KEPT and not name.startswith(OF_TOOLS):
            del os.environ[name]
    os.environ |= LOCALE | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(cache or home / ".cache"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        # Tests match messages in English, whatever the machine's language is.
        "SSPCLOUD_LANGUAGE": "en",
        "SSPCLOUD_SANDBOX_PROGRAMS": str(PROGRAMS),
    }
    return home
