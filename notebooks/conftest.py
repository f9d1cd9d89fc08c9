"""Each tutorial is run on a sandbox in which nothing was done, as it was when its outputs were written."""

from __future__ import annotations

import os
import shutil

import pytest

from sspcloud_magics import sandbox
from tests.support.machine import make_folder


def pytest_configure(config: pytest.Config) -> None:
    """Use a sandbox that is not the user's, in memory; the notebooks' kernels find it, too."""
    folder = make_folder()
    os.environ["SSPCLOUD_SANDBOX_HOME"] = str(folder / "sandbox")

    def remove() -> None:
        sandbox.stop()
        shutil.rmtree(folder, ignore_errors=True)

    config.add_cleanup(remove)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget what the tutorial before has left in the sandbox, before the first cell of the next."""
    if getattr(item, "cell_num", None) == 0:
        sandbox.stop()
        sandbox.reset()
