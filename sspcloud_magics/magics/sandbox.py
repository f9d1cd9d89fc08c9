"""``%sandbox``: a practice cluster on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class

from sspcloud_magics import sandbox_session
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments
from sspcloud_magics.magics.display import Note
from sspcloud_magics.magics.status_line import steps
from sspcloud_magics.sandbox_session import PEOPLE

if TYPE_CHECKING:
    from sspcloud_magics.cluster.requests.permissions import Identity
    from sspcloud_magics.sandbox import Status

NEXT_STEPS = {
    "alice": (
        N_("%k8s_pods   lists what runs in your namespace"),
        N_("%connect_db postgresql-cnpg-951239   connects to your database"),
        N_("%sandbox as bob   switches to bob, a colleague"),
    ),
    "bob": (
        N_(
            "%connect_db user-alice/postgresql-cnpg-951239   connects to the database that alice shares with you"
        ),
        N_("%sandbox as alice   switches to alice"),
    ),
    "carol": (
        N_("%databases   lists your databases"),
        N_("%sandbox as alice   switches to alice, a colleague"),
    ),
    "admin": (N_("%k8s_pods -A   lists all pods"), N_("%sandbox as bob   switches to bob, an ordinary user")),
}


@magics_class
class SandboxMagics(Magics):
    """The magic for the sandbox."""

    @magic_arguments(interrupted=N_("%sandbox status shows the state of the practice cluster."))
    @argument(
        "order",
        nargs="?",
        default="status",
        choices=["start", "status", "as", "stop", "reset"],
        help=N_("the command for the practice cluster; without it, its state is shown"),
    )
    @argument("person", nargs="?", choices=PEOPLE, help=N_("with `as`: the user to become"))
    @line_magic
    def sandbox(self, line: str) -> Any:
        """Practise on a small cluster on this machine: real Postgres, real permissions, no account.

        `start` starts it and switches to bob, a colleague of alice, who has a database to share; `as` switches to
        another user; `stop` stops it and restores your own identity. Databases, objects and shares are kept for the
        next `start`, until `reset` deletes all changes. Without a command, its state is shown.

        Examples::

            %sandbox start
            %sandbox as alice
            %sandbox stop

        The same in Python: ``from sspcloud_magics import sandbox; sandbox.start()``.
        """
        given = arguments(self, "sandbox", line)
        if (given.order == "as") == (given.person is None):
            raise UsageProblem(
                _("`as` needs a user; the other commands take none."),
                hint=f"%sandbox as {'|'.join(PEOPLE)}",  # not translated: a command
            )
        if given.order == "start":
            started, identity = sandbox_session.start()
            return _describe_user("bob", identity, _("The sandbox runs at {server}.", server=started.server))
        if given.order == "as":
            return _describe_user(given.person, sandbox_session.become(given.person))
        if given.order == "status":
            return _describe(sandbox_session.status())
        return _end(given.order)


def _describe_user(person: str, identity: Identity, first: str = "") -> Note:
    you = _(
        "You are {person} ({user}), in the namespace {namespace}.",
        person=person,
        user=identity.user,
        namespace=identity.namespace,
    )
    return Note(f"{first} {you}".strip(), tuple(map(_, NEXT_STEPS[person])))


def _describe(status: Status) -> Note:
    if status.running:
        return Note(
            _("The sandbox runs at {server}.", server=status.server),
            (_("%sandbox as bob   switches to bob in it"),),
        )
    if status.keeps:
        reset = _("%sandbox reset   deletes all changes in it")
        return Note(
            _("The sandbox is not running; its changes are kept."), (_("%sandbox start   starts it"), reset)
        )
    return Note(_("The sandbox is not running."), (_("%sandbox start   starts it"),))


def _end(order: str) -> Note:
    """Stop or reset the sandbox, and leave it if this notebook is in it."""
    with steps() as progress:
        ended = sandbox_session.end(forget=order == "reset", progress=progress)
    what = _("The sandbox is stopped.") if order == "stop" else _("The sandbox is reset.")
    if ended.status.running:
        return Note(what, (_("%sandbox as bob   switches to bob in it"),))
    then = [_("%sandbox start   starts it again")]
    if ended.has_login:
        then.append(_("%k8s_whoami   shows who you are now"))
    elif ended.was_used:
        then.append(_("%k8s_login FILE   logs in with the script of your account page"))
    return Note(what, tuple(then))
