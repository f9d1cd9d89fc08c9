"""Interfaces of the machine that come and go are no fault of a page."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from tests.browser.lab import DEAF

ASK = "import socket; socket.socket(); socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Chromium asks in another way")
def test_browser_cannot_watch_the_interfaces() -> None:
    environment = os.environ | {"CHROMIUM": sys.executable}
    done = subprocess.run([DEAF, "-c", ASK], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.endswith(f"OSError: [Errno {errno.EAFNOSUPPORT}] {os.strerror(errno.EAFNOSUPPORT)}\n")
