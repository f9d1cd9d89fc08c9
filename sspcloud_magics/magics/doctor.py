"""``%k8s_doctor``: check the route to a target."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from sspcloud_magics import session
from sspcloud_magics.i18n import N_, current, in_language
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments


@magics_class
class DoctorMagics(Magics):
    """The magic of the doctor."""

    @magic_arguments()
    @argument(
        "target", nargs="?", metavar="TARGET", help=N_("a pod, a service or a database; may be left out")
    )
    @argument(
        "-n", "--namespace", metavar="NAMESPACE", help=N_("the target's namespace, instead of your own")
    )
    @argument("--json", action="store_true", help=N_("print JSON, for machines"))
    @argument(
        "--redacted", action="store_true", help=N_("remove tokens and the names of people, to show to others")
    )
    @line_magic
    def k8s_doctor(self, line: str) -> Any:
        """Check each step of the route to the cluster, and to a target or a database.

        Nothing changes. For a broken step, the report gives the evidence and a hint.

        Examples::

            %k8s_doctor
            %k8s_doctor user-alice/postgresql-cnpg-951239
            %k8s_doctor svc/mon-api --redacted

        The same in Python: ``ssp.doctor("svc/mon-api")``; in a terminal: ``sspcloud doctor``.
        """
        given = arguments(self, "k8s_doctor", line)
        # Programs read the JSON, so it is the same in each language.
        with in_language("en" if given.json else current()):
            report = session.doctor(given.target, namespace=given.namespace, redacted=given.redacted)
            return _Json(report.to_json()) if given.json else report


class _Json(str):
    """A string that a cell displays as it is, not as a Python literal."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))
