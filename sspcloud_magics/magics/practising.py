"""``%sandbox``: a practice cluster on this machine. The only place of the product that starts one."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from sspcloud_magics import session
from sspcloud_magics.errors import SandboxFailed, UsageProblem
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments
from sspcloud_magics.magics.display import Note

PEOPLE = ("alice", "bob", "carol", "admin")
NEXT_STEPS = {
    "alice": (
        "%k8s_pods   lists what runs in your namespace",
        "%connect_db postgresql-cnpg-951239   connects to your database",
        "%sandbox as bob   makes you a colleague",
    ),
    "bob": (
        "%connect_db user-alice/postgresql-cnpg-951239   connects to the database that alice shares with you",
        "%sandbox as alice   makes you alice",
    ),
    "carol": ("%databases   lists your databases", "%sandbox as alice   makes you a colleague"),
    "admin": ("%k8s_pods -A   lists all that runs", "%sandbox as bob   makes you an ordinary user again"),
}


@magics_class
class PractisingMagics(Magics):
    """The magic for the sandbox."""

    @magic_arguments()
    @argument(
        "order",
        choices=["start", "status", "as", "stop", "reset"],
        help="what to do with the practice cluster",
    )
    @argument("person", nargs="?", choices=PEOPLE, help="with `as`: who to be")
    @line_magic
    def sandbox(self, line: str) -> Any:
        """Practise on a small cluster on this machine: real Postgres, real rights, no account.

        `start` starts it and makes you bob, a colleague of alice, who has a database to share; `as` makes you
        somebody else; `stop` stops it, and you are yourself again; `reset` forgets all that was done in it.

        Examples::

            %sandbox start
            %sandbox as alice
            %sandbox stop

        The same in Python: ``from sspcloud_magics import sandbox; sandbox.start()``.
        """
        given = arguments(self, "sandbox", line)
        if (given.order == "as") == (given.person is None):
            raise UsageProblem(
                "`as` needs to know who, and nothing else does.", mend=f"%sandbox as {'|'.join(PEOPLE)}"
            )
        sandbox = _module()
        try:
            if given.order == "start":
                started = sandbox.start()
                return _be("bob", f"The sandbox runs at {started.server}.")
            if given.order == "as":
                if not sandbox.status().running:
                    raise SandboxFailed("The sandbox is not running.", mend="%sandbox start")
                return _be(given.person, "")
            if given.order == "status":
                return _described(sandbox.status())
            return _ended(given.order)
        except sandbox.SandboxError as error:
            raise SandboxFailed(error.what, why=error.why, mend=error.mend) from None


def _module() -> Any:
    try:
        from sspcloud_magics import sandbox  # noqa: PLC0415 - whoever never practises needs none of it
    except ImportError as error:
        raise SandboxFailed(
            "The sandbox is not installed, or not for this system.",
            why=str(error),
            mend='%pip install "sspcloud-magics[sandbox]"   (on Linux and macOS)',
        ) from None
    return sandbox


def _be(person: str, first: str) -> Note:
    """Make `person` the identity of this notebook."""
    identity = session.login(kubeconfig=_module().kubeconfig(person))
    you = f"You are {person} ({identity.user}), in the namespace {identity.namespace}."
    return Note(f"{first} {you}".strip(), NEXT_STEPS[person])


def _described(status: Any) -> Note:
    if status.running:
        return Note(f"The sandbox runs at {status.server}.", ("%sandbox as bob   makes you bob in it",))
    return Note("The sandbox is not running.", ("%sandbox start   starts it",))


def _ended(order: str) -> Note:
    """Stop the sandbox or make it new, and leave it if this notebook is in it."""
    sandbox = _module()
    server = sandbox.status().server
    after = sandbox.stop() if order == "stop" else sandbox.reset()
    left = server is not None and session.leave(server)
    what = "The sandbox is stopped." if order == "stop" else "The sandbox is as new."
    if after.running:
        return Note(what, ("%sandbox as bob   makes you bob in it",))
    whom = ("%k8s_whoami   says who you are now",) if left else ()
    return Note(what, ("%sandbox start   starts it again", *whom))
