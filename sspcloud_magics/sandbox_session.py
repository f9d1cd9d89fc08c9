"""Start and stop the sandbox, and log in to it as one of its users.

The sandbox is an optional extra, for Linux and macOS only. Its errors, and its absence, become the
`SandboxFailed` of this package. Nothing else in the package starts a sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sspcloud_magics import session
from sspcloud_magics.errors import SandboxFailed, SspcloudError
from sspcloud_magics.i18n import _, quote_words

if TYPE_CHECKING:
    from sspcloud_magics.cluster.requests.permissions import Identity
    from sspcloud_magics.sandbox import Status

PEOPLE = ("alice", "bob", "carol", "admin")


def status() -> Status:
    """Return the state of the sandbox: whether it runs, and at which address.

    Raises
    ------
    SandboxFailed
        If the sandbox is not installed.
    """
    with _module() as sandbox:
        return sandbox.status()  # type: ignore[no-any-return]


def start() -> tuple[Status, Identity]:
    """Start the sandbox, and log in to it as bob.

    Raises
    ------
    SandboxFailed
        If it does not start, or is not installed.
    """
    with _module() as sandbox:
        started = sandbox.start()
    return started, become("bob")


def become(person: str) -> Identity:
    """Log in to the sandbox as one of its users.

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
            hint = "%sandbox start"  # not translated: a command
            raise SandboxFailed(_("The sandbox is not running."), hint=hint)
        return session.login(kubeconfig=sandbox.kubeconfig(person))


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of `end`."""

    status: Status  # the state of the sandbox
    was_used: bool  # whether this process was logged in to it
    has_login: bool  # whether a configuration names another cluster, which this process uses from now on


def end(*, forget: bool = False, progress: Callable[[str], None] | None = None) -> Ended:
    """Stop the sandbox and save its state, and close the forwards and connections of this process to it.

    Parameters
    ----------
    forget
        Delete its state instead, and start it again.
    progress
        Called with a message if there is something to wait for.

    Returns
    -------
    Ended
        The state of the sandbox, and the login that applies now.

    Raises
    ------
    SandboxFailed
        If its last changes could not be saved, or it does not start again.
    """
    with _module() as sandbox:
        server = sandbox.status().server
        # First, so that no forward and no panel tries to reach a server that is stopping.
        left = server is not None and session.leave(server)
        after = (sandbox.reset if forget else sandbox.stop)(progress=progress)
    return Ended(after, left, left and _has_login(server))


def _has_login(stopped: str | None) -> bool:
    try:
        return session.current_cluster().configured_server != stopped
    except SspcloudError:
        return False


@contextmanager
def _module() -> Iterator[Any]:
    """Yield the module of the sandbox, and convert its errors."""
    try:
        from sspcloud_magics import sandbox  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise SandboxFailed(
            _("The sandbox is not installed, or does not support this system."),
            why=quote_words(str(error)),
            hint=_('%pip install "sspcloud-magics[sandbox]"   (on Linux and macOS)'),
        ) from None
    try:
        yield sandbox
    except sandbox.SandboxError as error:
        hint = error.hint.replace("sspcloud-sandbox ", "%sandbox ")
        raise SandboxFailed(error.what, why=error.why, hint=hint) from None
