"""Which program stands for a container image.

The table is short on purpose: an image that is not in it cannot be pulled, as in a cluster without a way
to the registry.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sspcloud_magics.sandbox.store import Obj

_PROGRAMS: Final = Path(__file__).with_name("programs")
# Where programs of one's own are: NAME.py runs in the image ``sspcloud-sandbox/NAME``, for the tests.
OWN_PROGRAMS: Final = "SSPCLOUD_SANDBOX_PROGRAMS"


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of an image."""

    name: str  # of one of `programs`
    # The executables in it, of which a container's ``command`` may name one; the first is its entry point.
    commands: Sequence[str]
    serves: int = 0  # the port that must be open before a readiness probe is asked; 0 for any
    keeps_data: bool = False  # whether it works on a volume
    folder: Path = _PROGRAMS

    @property
    def program(self) -> Path:
        """The Python file that it runs."""
        return self.folder / f"{self.name}.py"


_POSTGRES: Final = Image(
    "postgres",
    ("postgres", "/controller/manager", "/opt/bitnami/scripts/postgresql/entrypoint.sh"),
    5432,
    True,
)
_API: Final = Image("api", ("uvicorn", "fastapi", "python", "python3"))

IMAGES: Final = {
    "ghcr.io/cloudnative-pg/postgresql": _POSTGRES,
    "docker.io/bitnami/postgresql": _POSTGRES,
    "docker.io/bitnamilegacy/postgresql": _POSTGRES,
    "docker.io/alpine/socat": Image("relay", ("socat", "/usr/bin/socat", "/usr/bin/socat1")),
}


def canonical(image: str) -> str:
    """Return the full reference of an image, as a container runtime writes it: ``docker.io/alpine/socat:latest``."""
    name, at, digest = image.partition("@")
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    if not at and ":" not in name.rpartition("/")[2]:
        name += ":latest"
    return name + at + digest


def find(image: str) -> Image | None:
    """Return the image of that reference, or None if it cannot be had."""
    full = canonical(image).partition("@")[0]
    repository = full.rpartition(":")[0] if ":" in full.rpartition("/")[2] else full
    owner, _, name = repository.removeprefix("docker.io/").rpartition("/")
    if name == "mon-api":
        return _API
    if owner == "sspcloud-sandbox" and OWN_PROGRAMS in os.environ:
        return Image(name, (name,), folder=Path(os.environ[OWN_PROGRAMS]))
    return IMAGES.get(repository) or IMAGES.get(repository.removeprefix("docker.io/"))


def pull_error(image: str) -> str:
    """Return containerd's words about an image that cannot be had."""
    full = canonical(image)
    return (
        f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": pull access denied, '
        "repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"
    )


def executable(container: Obj, image: Image) -> str | None:
    """Return the first word of a container's command where the image does not have it."""
    command = container.get("command") or []
    if command and command[0] not in image.commands:
        return str(command[0])
    return None
