"""``%sandbox``: a practice cluster on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class

from sspcloud_magics import sandbox_session
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments
from sspcloud_magics.magics.display import Note
from sspcloud_magics.magics.status_line import steps
from sspcloud_magics.sandbox_session import PEOPLE

if TYPE_CHECKING:
    from sspcloud_magics.cluster.requests.permissions import Identity
    from sspcloud_magics.sandbox import Status

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
class SandboxMagics(Magics):
    """The magic for the sandbox."""

    @magic_arguments(interrupted="%sandbox status says what became of the practice cluster.")
    @argument(
        "order",
        nargs="?",
        default="status",
        choices=["start", "status", "as", "stop", "reset"],
        help="what to do with the practice cluster; its state is shown where you name nothing",
    )
    @argument("person", nargs="?", choices=PEOPLE, help="with `as`: who to be")
    @line_magic
    def sandbox(self, line: str) -> Any:
        """Practise on a small cluster on this machine: real Postgres, real rights, no account.

        `start` starts it and makes you bob, a colleague of alice, who has a database to share; `as` makes you
        another person; `stop` stops it, and you are yourself again. Databases, objects and shares are kept for the
        next `start`, until `reset` forgets all that was done in it. Without an order, its state is shown.

        Examples::

            %sandbox start
            %sandbox as alice
            %sandbox stop

        The same in Python: ``from sspcloud_magics import sandbox; sandbox.start()``.
        """
        given = arguments(self, "sandbox", line)
        if (given.order == "as") == (given.person is None):
            raise UsageProblem(
                "`as` needs to know who, and nothing else does.", hint=f"%sandbox as {'|'.join(PEOPLE)}"
            )
        if given.order == "start":
            started, identity = sandbox_session.start()
            return _you("bob", identity, f"The sandbox runs at {started.server}.")
        if given.order == "as":
            return _you(given.person, sandbox_session.become(given.person))
        if given.order == "status":
            return _describe(sandbox_session.status())
        return _end(given.order)


def _you(person: str, identity: Identity, first: str = "") -> Note:
    you = f"You are {person} ({identity.user}), in the namespace {identity.namespace}."
    return Note(f"{first} {you}".strip(), NEXT_STEPS[person])


def _describe(status: Status) -> Note:
    if status.running:
        return Note(f"The sandbox runs at {status.server}.", ("%sandbox as bob   makes you bob in it",))
    if status.keeps:
        forget = "%sandbox reset   forgets what was done in it"
        return Note(
            "The sandbox is not running; what was done in it is kept.", ("%sandbox start   starts it", forget)
        )
    return Note("The sandbox is not running.", ("%sandbox start   starts it",))


def _end(order: str) -> Note:
    """Stop the sandbox or make it new, and leave it if this notebook is in it."""
    with steps() as tell:
        after, left = sandbox_session.end(forget=order == "reset", progress=tell)
    what = "The sandbox is stopped." if order == "stop" else "The sandbox is as new."
    if after.running:
        return Note(what, ("%sandbox as bob   makes you bob in it",))
    whom = ("%k8s_whoami   says who you are now",) if left else ()
    return Note(what, ("%sandbox start   starts it again", *whom))
