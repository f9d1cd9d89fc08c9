"""``%forward``, ``%forwards``, ``%unforward``: local ports that lead into the cluster."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from sspcloud_magics import session
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments
from sspcloud_magics.magics.display import Note, with_notes
from sspcloud_magics.magics.status_line import steps


@magics_class
class ForwardingMagics(Magics):
    """The magics for forwards."""

    @magic_arguments()
    @argument(
        "target",
        metavar="TARGET",
        help=N_("NAME, KIND/NAME or NAMESPACE/KIND/NAME; HOST:PORT with --relay"),
    )
    @argument(
        "ports",
        metavar="[LOCAL]:REMOTE",
        nargs="*",
        default=[],
        help=N_(
            "a port of the target, by number or name, with the local port before it if it matters; "
            ":REMOTE uses any free local port; without ports, the target's only port"
        ),
    )
    @argument(
        "-n", "--namespace", metavar="NAMESPACE", help=N_("the target's namespace, instead of your own")
    )
    @argument(
        "--address",
        metavar="ADDRESS",
        default="localhost",
        help=N_("the address to listen on, instead of localhost"),
    )
    @argument(
        "--unix",
        action="store_true",
        help=N_(
            "listen on a Unix socket, which only you can reach, instead of a port, which every user of this "
            "machine can reach: for shared hosts"
        ),
    )
    @argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help=N_("how long to wait for the target (30 seconds)"),
    )
    @argument(
        "--relay",
        action="store_true",
        help=N_(
            "reach HOST:PORT through a small pod of yours, removed with the forward: for targets whose network "
            "is open to your namespace, but where you have no permissions; one local port may follow"
        ),
    )
    @argument(
        "--image",
        metavar="IMAGE",
        help=N_("with --relay: an image of socat, if yours cannot pull alpine/socat"),
    )
    @line_magic
    def forward(self, line: str) -> Any:
        """Open a local port that leads to a pod or a service of the cluster.

        It works in the background until %unforward or the end of the kernel, and reconnects when the pod is
        replaced. Variables of the notebook are filled in: %forward $pod 8000.

        Examples::

            %forward mon-api-abcdef-12345 1500:8000
            %forward svc/mon-api http
            %forward user-alice/svc/postgresql-cnpg-951239-rw 5432
            %forward --unix svc/postgresql-cnpg-951239-rw 5432
            %forward --relay postgresql-cnpg-951239-rw.user-alice.svc.cluster.local:5432

        The same in Python: ``ssp.forward("svc/mon-api", "1500:8000")``, and ``ssp.forward_through_relay``.
        """
        given = arguments(self, "forward", line)
        if given.relay:
            with steps() as progress:
                return session.forward_through_relay(
                    given.target,
                    *given.ports,
                    address=given.address,
                    unix=given.unix,
                    image=given.image,
                    progress=progress,
                )
        if given.image:
            raise UsageProblem(_("--image needs --relay."), hint="%forward --relay HOST:PORT --image IMAGE")
        return session.forward(
            given.target,
            *given.ports,
            namespace=given.namespace,
            address=given.address,
            unix=given.unix,
            timeout=given.timeout,
        )

    @magic_arguments()
    @argument(
        "--restore",
        action="store_true",
        help=N_("first reopen the forwards of the last kernel in this folder"),
    )
    @line_magic
    def forwards(self, line: str) -> Any:
        """List the forwards of this notebook: their state, target and traffic.

        Examples::

            %forwards
            %forwards --restore

        The same in Python: ``ssp.forwards()``.
        """
        given = arguments(self, "forwards", line)
        return with_notes(session.forwards(restore=given.restore))

    @magic_arguments()
    @argument(
        "open_forward", metavar="TARGET|PORT", nargs="?", help=N_("the forward's target, or its local port")
    )
    @argument("--all", action="store_true", dest="everything", help=N_("stop all forwards of this notebook"))
    @line_magic
    def unforward(self, line: str) -> Any:
        """Stop a forward: by its local port, by its target, or all of them.

        Examples::

            %unforward 1500
            %unforward svc/mon-api
            %unforward --all

        The same in Python: ``ssp.unforward(1500)``.
        """
        given = arguments(self, "unforward", line)
        stopped = session.unforward(given.open_forward, everything=given.everything)
        if not stopped:
            return Note(_("No forward was open."))
        return Note(_("Stopped: {targets}.", targets=", ".join(str(each.target) for each in stopped)))
