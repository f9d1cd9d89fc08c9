"""Sharing a database: ``%share_db``, ``%shares``, ``%unshare``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.display import display

from sspcloud_magics import session
from sspcloud_magics.magics.arguments import argument, arguments, fill_in, magic_arguments, visible_variables
from sspcloud_magics.magics.display import Note, with_notes
from sspcloud_magics.magics.status_line import steps


@magics_class
class SharingMagics(Magics):
    """The magics for shares."""

    @no_var_expand
    @needs_local_scope
    @magic_arguments(interrupted="The same line completes what is half made.")
    @argument("database_name", metavar="DATABASE", help="a database of yours")
    @argument(
        "--with",
        dest="colleagues",
        metavar="NAME",
        nargs="+",
        required=True,
        help="the accounts of colleagues, such as bob; projet-NAME for a group",
    )
    @argument(
        "--read-write",
        action="store_true",
        help="let them change rows, and create in a schema of their own; they only read otherwise",
    )
    @argument(
        "--create",
        action="store_true",
        help="let them create in your schemas too: their functions there may run with your rights",
    )
    @argument(
        "--schema", dest="schemas", metavar="SCHEMA", nargs="+", default=[], help="open these schemas only"
    )
    @argument(
        "--for", dest="duration", metavar="TIME", default="7d", help="for how long: 7d, 12h, 1d12h (7d)"
    )
    @argument(
        "--via",
        choices=["forward", "network", "network-only"],
        default="forward",
        help="network: also let their namespaces reach the port without a forward; network-only: that port alone",
    )
    @argument("--reason", metavar="TEXT", default="", help="why, for whoever looks at it later")
    @argument(
        "--for-kubectl",
        action="store_true",
        help="also grant what kubectl port-forward needs: to list all your pods",
    )
    @argument(
        "--prefix", metavar="PREFIX", help="what the cluster puts before users' names, if it cannot be learnt"
    )
    @argument("--dry-run", action="store_true", help="show what would be made, and make nothing")
    @line_magic
    def share_db(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Open a database of yours to colleagues, for a time.

        Each gets a login of their own and the right to reach this database and nothing else. It ends by
        itself, and %unshare takes it back at once. The answer has the line to send them; it holds no
        secret. Run again, it renews or changes the share.

        Examples::

            %share_db postgresql-cnpg-951239 --with bob carol
            %share_db postgresql-cnpg-951239 --with {students}
            %share_db postgresql-cnpg-951239 --with bob --read-write --schema public --for 30d

        The same in Python: ``ssp.share_db("postgresql-cnpg-951239", ["bob", "carol"])``.
        """
        variables = visible_variables(self, local_ns)
        given = arguments(self, "share_db", fill_in(line, variables, values_only=True))
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

    @magic_arguments()
    @argument("database_name", metavar="DATABASE", nargs="?", help="only the shares of this database")
    @argument("-n", "--namespace", metavar="NAMESPACE", help="of that namespace, instead of your own")
    @line_magic
    def shares(self, line: str) -> Any:
        """List what you share: with whom, what they may do, until when, who is connected now and since when.

        What belongs to nobody any more is listed, too: shares that have ended and left a Postgres role behind, and shares
        of a database that is gone; %unshare --ended removes it.

        Example::

            %shares

        The same in Python: ``ssp.shares()``.
        """
        given = arguments(self, "shares", line)
        from sspcloud_magics.sharing.inventory import LEFT  # noqa: PLC0415 - at first use

        listed = session.shares(given.database_name, namespace=given.namespace)
        left = int(listed["state"].isin(LEFT).sum())
        if left:
            display(_offer(left))  # type: ignore[no-untyped-call]  # IPython's
        return with_notes(listed)

    @no_var_expand
    @needs_local_scope
    @magic_arguments(interrupted="The same line completes what is half done.")
    @argument(
        "database_name", metavar="DATABASE", nargs="?", help="a database of yours; all of them with --ended"
    )
    @argument("colleagues", metavar="NAME", nargs="*", help="whose share to take back")
    @argument("--all", dest="all_colleagues", action="store_true", help="take back everybody's")
    @argument("--ended", action="store_true", help="only remove what shares that have ended have left behind")
    @line_magic
    def unshare(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Take a share back: the colleague's sessions end at once; what they have made in the database stays.

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
            "Nothing was left behind." if given.ended else f"{given.database_name} was shared with nobody."
        )
        said = "\n".join(each.words for each in closed) or nothing
        return Note(said, ("%shares   lists what you still share",))


def _offer(left: int) -> Note:
    what = "One of these belongs" if left == 1 else f"{left} of these belong"
    return Note(
        f"{what} to nobody any more, and something is left.",
        (
            "%unshare --ended   removes it; sessions that are still open end, and what colleagues have made stays yours",
        ),
    )
