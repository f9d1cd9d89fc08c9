"""The container images of the sandbox, and the programs that replace them.

Any other image cannot be pulled, as in a cluster without access to the registry.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sspcloud_magics.sandbox.store import Obj

_PROGRAMS: Final = Path(__file__).with_name("programs")
# Variable with a directory of further programs, for tests: NAME.py runs as the image ``sspcloud-sandbox/NAME``.
OWN_PROGRAMS: Final = "SSPCLOUD_SANDBOX_PROGRAMS"


@dataclass(frozen=True, slots=True)
class Image:
    """A container image."""

    name: str  # of its program
    # The executables in the image, for a container's ``command``; the first is the entry point.
    commands: Sequence[str]
    serves: int = 0  # the port that must be open before readiness probes start; 0 for any
    keeps_data: bool = False  # whether it needs a volume
    folder: Path = _PROGRAMS

    @property
    def program(self) -> Path:
        """The Python file of the program."""
        return self.folder / f"{self.name}.py"


_POSTGRES: Final = Image(
    "postgres",
    ("postgres", "/controller/manager", "/opt/bitnami/scripts/postgresql/entrypoint.sh"),
    5432,
    True,
)
_API: Final = Image("api", ("uvicorn", "fastapi", "python", "python3"))

_MARIADB: Final = Image("mariadb", ("mariadbd", "/opt/bitnami/scripts/mariadb/entrypoint.sh"), 3306, True)

IMAGES: Final = {
    "ghcr.io/cloudnative-pg/postgresql": _POSTGRES,
    "docker.io/bitnami/postgresql": _POSTGRES,
    "docker.io/bitnamilegacy/postgresql": _POSTGRES,
    "docker.io/bitnami/mariadb": _MARIADB,
    "docker.io/bitnamilegacy/mariadb": _MARIADB,
    "docker.io/alpine/socat": Image("relay", ("socat", "/usr/bin/socat", "/usr/bin/socat1")),
}


def canonical(image: str) -> str:
    """Return the full reference of an image: ``docker.io/alpine/socat:latest``."""
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
    """Return the image with that reference, None if it does not exist."""
    full = canonical(image).partition("@")[0]
    repository = full.rpartition(":")[0] if ":" in full.rpartition("/")[2] else full
    owner, _, name = repository.removeprefix("docker.io/").rpartition("/")
    if name == "mon-api":
        return _API
    if owner == "sspcloud-sandbox" and OWN_PROGRAMS in os.environ:
        return Image(name, (name,), folder=Path(os.environ[OWN_PROGRAMS]))
    return IMAGES.get(repository) or IMAGES.get(repository.removeprefix("docker.io/"))


def pull_error(image: str) -> str:
    """Return containerd's error for an image that does not exist."""
    full = canonical(image)
    return (
        f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": pull access denied, '
        "repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"
    )


def executable(container: Obj, image: Image) -> str | None:
    """Return the executable of a container's command if the image does not have it, else None."""
    command = container.get("command") or []
    if command and command[0] not in image.commands:
        return str(command[0])
    return None
