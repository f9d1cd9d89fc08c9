"""``%k8s_doctor``: what works, what does not, and what mends it."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from sspcloud_magics import session
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments


@magics_class
class DoctorMagics(Magics):
    """The magic that examines."""

    @magic_arguments()
    @argument("target", nargs="?", metavar="TARGET", help="a pod, a service or a database; may be left out")
    @argument("-n", "--namespace", metavar="NAMESPACE", help="the target's namespace, instead of your own")
    @argument("--json", action="store_true", help="for machines")
    @argument("--redacted", action="store_true", help="without tokens and names of people, to show to others")
    @line_magic
    def k8s_doctor(self, line: str) -> Any:
        """Walk the way to the cluster, and to a target or a database, and say how it stands with each step.

        Nothing is changed by it. What is broken is said with its evidence and with what mends it.

        Examples::

            %k8s_doctor
            %k8s_doctor user-alice/postgresql-cnpg-951239
            %k8s_doctor svc/mon-api --redacted

        The same in Python: ``ssp.doctor("svc/mon-api")``; in a terminal: ``python -m sspcloud_magics doctor``.
        """
        given = arguments(self, "k8s_doctor", line)
        report = session.doctor(given.target, namespace=given.namespace, redacted=given.redacted)
        return _Json(report.to_json()) if given.json else report


class _Json(str):
    """A text that a cell shows as it is, and not as a literal of Python."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))
