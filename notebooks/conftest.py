"""Each tutorial is run on a sandbox in which nothing was done, as it was when its outputs were written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sspcloud_magics import sandbox

# Not the user's own, which is not to be forgotten; the notebooks' kernels find it, too.
os.environ["SSPCLOUD_SANDBOX_HOME"] = str(Path(__file__).parents[1] / "build" / "sandbox")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget what the tutorial before has left in the sandbox, before the first cell of the next."""
    if getattr(item, "cell_num", None) == 0:
        sandbox.stop()
        sandbox.reset()
