"""``%share_db``, ``%shares``, ``%unshare``: share databases with colleagues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.display import display

from sspcloud_magics import session
from sspcloud_magics.i18n import N_, _, _n
from sspcloud_magics.magics.arguments import argument, arguments, fill_in, magic_arguments, visible_variables
from sspcloud_magics.magics.display import Note, with_notes
from sspcloud_magics.magics.status_line import steps
from sspcloud_magics.sharing.durations import quote_duration

# Options of both %share_db and %share.
_COLLEAGUES = argument(
    "--with",
    dest="colleagues",
    metavar="NAME",
    nargs="+",
    required=True,
    help=N_("the accounts of colleagues, such as bob; projet-NAME for a group"),
)
_REASON = argument("--reason", metavar="TEXT", default="", help=N_("a reason, for later readers"))
_PREFIX = argument(
    "--prefix", metavar="PREFIX", help=N_("the cluster's prefix of user names, if it cannot be read")
)
_DRY_RUN = argument("--dry-run", action="store_true", help=N_("show the plan, and do nothing"))


@magics_class
class SharingMagics(Magics):
    """The magics for shares."""

    @no_var_expand
    @needs_local_scope
    @magic_arguments(interrupted=N_("Run the same line again to complete the share."))
    @argument("database_name", metavar="DATABASE", help=N_("one of your databases"))
    @_COLLEAGUES
    @argument(
        "--read-write",
        action="store_true",
        help=N_("let them change rows, and create in a schema of their own, instead of only reading"),
    )
    @argument(
        "--create",
        action="store_true",
        help=N_("let them create in your schemas too: their functions there may run with your privileges"),
    )
    @argument(
        "--schema",
        dest="schemas",
        metavar="SCHEMA",
        nargs="+",
        default=[],
        help=N_("share only these schemas"),
    )
    @argument(
        "--for",
        dest="duration",
        metavar="TIME",
        default="7d",
        help=N_("the duration: 7d, 12h, 3 weeks, 1 month, or the last day: 2026-12-30 (7d)"),
    )
    @argument(
        "--via",
        choices=["forward", "network", "network-only"],
        default="forward",
        help=N_(
            "network: also let their namespaces reach the port without a forward; network-only: only that port"
        ),
    )
    @_REASON
    @argument(
        "--for-kubectl",
        action="store_true",
        help=N_("also grant what kubectl port-forward needs: to list all your pods"),
    )
    @_PREFIX
    @_DRY_RUN
    @line_magic
    def share_db(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Share one of your databases with colleagues, for a limited time.

        Each colleague gets a login, and permission to reach this database and nothing else. The share expires
        automatically, and %unshare revokes it at once. The output has the line to send them, which contains no secret.
        Running it again renews or changes the share.

        Examples::

            %share_db postgresql-cnpg-951239 --with bob carol
            %share_db postgresql-cnpg-951239 --with {students}
            %share_db postgresql-cnpg-951239 --with bob --read-write --schema public --for 30d

        The same in Python: ``ssp.share_db("postgresql-cnpg-951239", ["bob", "carol"])``.
        """
        variables = visible_variables(self, local_ns)
        line = quote_duration(fill_in(line, variables, values_only=True))
        given = arguments(self, "share_db", line)
        with steps() as progress:
            return session.share_db(
                given.database_name,
                given.colleagues,
                read_write=given.read_write,
                create=given.create,
                schemas=given.schemas,
                duration=given.duration,
                via=given.via,
                reason=given.reason,
                for_kubectl=given.for_kubectl,
                prefix=given.prefix,
                dry_run=given.dry_run,
                progress=progress,
            )

    @no_var_expand
    @needs_local_scope
    @magic_arguments(interrupted=N_("Run the same line again to complete the share."))
    @argument("target", metavar="svc/NAME", help=N_("one of your services"))
    @argument("port", metavar="PORT", nargs="?", help=N_("its port, if it has several"))
    @_COLLEAGUES
    @argument(
        "--for", dest="duration", metavar="TIME", default="7d", help=N_("the duration: 7d, 12h, 1d12h (7d)")
    )
    @argument(
        "--via",
        choices=["network", "forward"],
        default="network",
        help=N_(
            "network: their namespaces reach this port; forward: they may forward to its pods, with all ports of these"
        ),
    )
    @_REASON
    @_PREFIX
    @_DRY_RUN
    @line_magic
    def share(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Share the address of one of your services with colleagues, for a limited time.

        The network admits their namespaces to one port, and nothing else. The share grants no login. It expires
        automatically, and %unshare revokes it at once. The output has the line to send them. For a database, %share_db
        gives each colleague a login.

        Examples::

            %share svc/mon-api --with bob --for 7d
            %share svc/vscode-python-1 --with bob carol --via forward
            %unshare svc/mon-api bob

        The same in Python: ``ssp.share("svc/mon-api", ["bob", "carol"])``.
        """
        variables = visible_variables(self, local_ns)
        given = arguments(self, "share", fill_in(line, variables, values_only=True))
        with steps() as progress:
            return session.share(
                given.target,
                given.colleagues,
                port=given.port,
                duration=given.duration,
                via=given.via,
                reason=given.reason,
                prefix=given.prefix,
                dry_run=given.dry_run,
                progress=progress,
            )

    @magic_arguments()
    @argument(
        "database_name",
        metavar="DATABASE",
        nargs="?",
        help=N_("only the shares of this database, or of svc/NAME"),
    )
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the owner's namespace, instead of your own"))
    @line_magic
    def shares(self, line: str) -> Any:
        """List your shares: the colleague, the access, the expiry, and the open sessions and their start.

        The list includes ended shares that left a Postgres role behind, and shares of deleted databases;
        %unshare --ended removes them.

        Example::

            %shares

        The same in Python: ``ssp.shares()``.
        """
        given = arguments(self, "shares", line)
        from sspcloud_magics.sharing.inventory import REMOVABLE  # noqa: PLC0415 - at first use

        listed = session.shares(given.database_name, namespace=given.namespace)
        left = [state for state in listed["state"] if state in REMOVABLE]
        if left:
            display(_suggest_removal(left))  # type: ignore[no-untyped-call]  # IPython's
        return with_notes(listed)

    @no_var_expand
    @needs_local_scope
    @magic_arguments(interrupted=N_("Run the same line again to complete it."))
    @argument(
        "database_name",
        metavar="DATABASE",
        nargs="?",
        help=N_("one of your databases; with --ended, all of them"),
    )
    @argument("colleagues", metavar="NAME", nargs="*", help=N_("the colleagues whose shares to revoke"))
    @argument(
        "--all", dest="all_colleagues", action="store_true", help=N_("revoke all shares of the database")
    )
    @argument("--ended", action="store_true", help=N_("remove only the remains of ended shares"))
    @line_magic
    def unshare(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Revoke a share: the colleague's sessions end at once; the objects that they created stay.

        Examples::

            %unshare postgresql-cnpg-951239 bob
            %unshare postgresql-cnpg-951239 bob carol
            %unshare postgresql-cnpg-951239 --all
            %unshare --ended

        The same in Python: ``ssp.unshare("postgresql-cnpg-951239", "bob")``.
        """
        variables = visible_variables(self, local_ns)
        given = arguments(self, "unshare", fill_in(line, variables, values_only=True))
        with steps() as progress:
            closed = session.unshare(
                given.database_name,
                given.colleagues or None,
                all_colleagues=given.all_colleagues,
                ended=given.ended,
                progress=progress,
            )
        nothing = (
            _("There was nothing to remove.")
            if given.ended
            else _("{database_name} was not shared.", database_name=given.database_name)
        )
        text = "\n".join(each.words for each in closed) or nothing
        return Note(text, (_("%shares   lists your remaining shares"),))


def _suggest_removal(states: list[str]) -> Note:
    left = len(states)
    if "orphaned" in states:
        what = _n(
            "{count} share has ended or lost its database; parts of it remain.",
            "{count} shares have ended or lost their databases; parts of them remain.",
            left,
        )
        return Note(
            what, (_("%unshare --ended   removes what remains; the colleagues' tables become yours"),)
        )
    what = _n(
        "{count} share has ended; its PostgreSQL role remains.",
        "{count} shares have ended; their PostgreSQL roles remain.",
        left,
    )
    step = _(
        "%unshare --ended   removes the roles and ends their sessions; the colleagues' tables become yours"
    )
    return Note(what, (step,))
