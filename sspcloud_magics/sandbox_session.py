"""The practice cluster of this machine, and being somebody in it. The only place of the product that starts one.

The sandbox is an extra, and for Linux and macOS only; what it says is wrong, and its absence, become the
`SandboxFailed` of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sspcloud_magics import session
from sspcloud_magics.errors import SandboxFailed

if TYPE_CHECKING:
    from sspcloud_magics.cluster.requests.permissions import Identity
    from sspcloud_magics.sandbox import Status

PEOPLE = ("alice", "bob", "carol", "admin")


def status() -> Status:
    """Say whether the sandbox runs, and where.

    Raises
    ------
    SandboxFailed
        If the sandbox is not installed.
    """
    with _module() as sandbox:
        return sandbox.status()  # type: ignore[no-any-return]


def start() -> tuple[Status, Identity]:
    """Start the sandbox, and be bob in it.

    Raises
    ------
    SandboxFailed
        If it does not start, or is not installed.
    """
    with _module() as sandbox:
        started = sandbox.start()
    return started, become("bob")


def become(person: str) -> Identity:
    """Be one of the sandbox's people from now on.

    Parameters
    ----------
    person
        One of `PEOPLE`.

    Raises
    ------
    SandboxFailed
        If it is not running.
    """
    with _module() as sandbox:
        if not sandbox.status().running:
            raise SandboxFailed("The sandbox is not running.", hint="%sandbox start")
        return session.login(kubeconfig=sandbox.kubeconfig(person))


def end(*, forget: bool = False, progress: Callable[[str], None] | None = None) -> tuple[Status, bool]:
    """Stop the sandbox, which keeps what was done in it, and close what this process has open there.

    Parameters
    ----------
    forget
        Make it new instead: all that was done in it is forgotten.
    progress
        Is told what is waited for, if that takes more than a moment.

    Returns
    -------
    Status, bool
        The sandbox's state, and whether this process was logged in to it.

    Raises
    ------
    SandboxFailed
        If its last changes could not be kept, or it does not start again.
    """
    with _module() as sandbox:
        server = sandbox.status().server
        try:
            after = (sandbox.reset if forget else sandbox.stop)(progress=progress)
        finally:
            left = server is not None and session.leave(server)
    return after, left


@contextmanager
def _module() -> Iterator[Any]:
    """Give the sandbox's module; what it raises becomes an error of the product."""
    try:
        from sspcloud_magics import sandbox  # noqa: PLC0415 - whoever never practises needs none of it
    except ImportError as error:
        raise SandboxFailed(
            "The sandbox is not installed, or not for this system.",
            why=str(error),
            hint='%pip install "sspcloud-magics[sandbox]"   (on Linux and macOS)',
        ) from None
    try:
        yield sandbox
    except sandbox.SandboxError as error:
        hint = error.hint.replace("sspcloud-sandbox ", "%sandbox ")
        raise SandboxFailed(error.what, why=error.why, hint=hint) from None
