"""``%%k8s_apply``, ``%k8s_get``, ``%k8s_describe``, ``%k8s_logs``, ``%k8s_delete``: kubectl's everyday in a cell."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class
from IPython.display import display

from sspcloud_magics import session
from sspcloud_magics.audience import is_watched
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _, _n
from sspcloud_magics.magics.arguments import (
    TOKEN,
    URL_WITH_PASSWORD,
    argument,
    arguments,
    magic_arguments,
)
from sspcloud_magics.magics.display import Note
from sspcloud_magics.magics.status_line import steps
from sspcloud_magics.printable import printable

if TYPE_CHECKING:
    from sspcloud_magics.cluster.requests.removal import Removal

_INTERRUPTED = N_("The cluster goes on with what was sent.")
# The answers that agree, in both languages.
_YES = frozenset({"y", "yes", "o", "oui"})
_COLOURS = {
    "+": ("32", "var(--jp-success-color1, #2e8b3d)"),
    "-": ("31", "var(--jp-error-color1, #e0433a)"),
    "@": ("36", "var(--jp-ui-font-color2, #808080)"),
}
"""Of a line of a difference, by its first character: the number for a terminal, the colour for a page."""
_CODE = (
    "font-family:var(--jp-code-font-family,monospace);color:var(--jp-content-font-color1,inherit);margin:0"
)


@dataclass(frozen=True, slots=True)
class ApplyAnswer:
    """The reply of ``%%k8s_apply``: kubectl's lines, and of a dry run the differences in colour."""

    result: session.ApplyResult  # the result of `session.apply`

    @property
    def objects(self) -> Any:
        """The objects, with ``ref`` and ``outcome``."""
        return self.result.objects

    def _lines(self) -> list[str]:
        lines: list[str] = []
        for each in self.result.objects:
            lines.append(str(each))
            lines += each.difference if each.dry_run else ()
        lines += [_("Warning: {note}", note=note) for note in self.result.notes]
        if any(each.dry_run for each in self.result.objects):
            lines.append(_("Nothing was stored."))
        return [printable(line, one_line=True) for line in lines]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        lines = self._lines()
        if any(each.dry_run for each in self.result.objects) and sys.stdout.isatty():
            lines = [
                f"\x1b[{_COLOURS[line[0]][0]}m{line}\x1b[0m" if line[:1] in _COLOURS else line
                for line in lines
            ]
        printer.text("\n".join(lines))

    def _repr_html_(self) -> str:
        lines = [
            f'<span style="color:{_COLOURS[line[0]][1]}">{escape(line)}</span>'
            if line[:1] in _COLOURS
            else escape(line)
            for line in self._lines()
        ]
        return f'<pre style="{_CODE}">' + "\n".join(lines) + "</pre>"


@magics_class
class ObjectMagics(Magics):
    """The magics for objects of any kind."""

    @magic_arguments(interrupted=_INTERRUPTED)
    @argument("file", nargs="?", metavar="FILE", help=N_("a file with YAML or JSON, instead of the cell"))
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the namespace of objects that name none"))
    @argument("--dry-run", action="store_true", help=N_("show what would change, and store nothing"))
    @argument("--wait", action="store_true", help=N_("wait until the objects are ready"))
    @argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=120.0,
        help=N_("the longest wait, in seconds (120)"),
    )
    @argument("--force-conflicts", action="store_true", help=N_("take over fields that other tools have set"))
    @line_cell_magic
    def k8s_apply(self, line: str, cell: str | None = None) -> Any:
        """Create or change objects from the YAML of the cell, as kubectl apply --server-side does.

        The namespace is filled in. Everything is checked before anything is sent, also placeholders such as user-XXXXXXXX that
        are still in the text. Several objects are separated by a line ---.

        Examples::

            %%k8s_apply --wait
            apiVersion: v1
            kind: ConfigMap
            metadata:
              name: settings
            data:
              colour: blue

            %k8s_apply pg-proxy.yaml --dry-run

        The same in Python: ``ssp.apply(text)``, ``ssp.apply(Path("pg-proxy.yaml"))``.
        """
        given = arguments(self, "k8s_apply", line)
        if (given.file is None) == (not (cell or "").strip()):
            raise UsageProblem(
                _("Give the YAML in the cell, or the name of a file: one of the two."),
                hint="%%k8s_apply\n%k8s_apply pg-proxy.yaml",  # not translated: commands
            )
        if given.file is None:
            _refuse_secrets(cell or "")
        with steps() as progress:
            return ApplyAnswer(
                session.apply(
                    cell or "" if given.file is None else Path(given.file),
                    namespace=given.namespace,
                    dry_run=given.dry_run,
                    force_conflicts=given.force_conflicts,
                    wait=given.wait,
                    timeout=given.timeout,
                    progress=progress,
                )
            )

    @magic_arguments()
    @argument("kind", metavar="KIND", help=N_("pods, deploy, secrets, …; kinds lists all of them"))
    @argument("object_name", metavar="NAME", nargs="?", help=N_("one object"))
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the namespace, instead of your own"))
    @argument("-A", "--all-namespaces", action="store_true", help=N_("all namespaces, if you may list them"))
    @argument(
        "-l", "--selector", metavar="LABEL=VALUE", default="", help=N_("only objects with these labels")
    )
    @argument(
        "-o",
        "--output",
        choices=["wide", "yaml"],
        help=N_("more columns, or the whole objects without secret values"),
    )
    @line_magic
    def k8s_get(self, line: str) -> Any:
        """List objects of any kind that the server knows, with kubectl's columns; the table is a DataFrame.

        Examples::

            %k8s_get deploy
            %k8s_get pod pg-proxy -o yaml
            %k8s_get clusters.postgresql.cnpg.io -n user-alice
            %k8s_get kinds

        The same in Python: ``ssp.get("deploy")``, ``ssp.get_yaml("pod", "pg-proxy")``.
        """
        given = arguments(self, "k8s_get", line)
        if given.output == "yaml":
            if given.all_namespaces:
                raise UsageProblem(
                    _("YAML of all namespaces is not supported."), hint="%k8s_get KIND -n NAMESPACE -o yaml"
                )
            return session.get_yaml(
                given.kind, given.object_name, namespace=given.namespace, labels=given.selector
            )
        return session.get(
            given.kind,
            given.object_name,
            namespace=given.namespace,
            all_namespaces=given.all_namespaces,
            labels=given.selector,
            wide=given.output == "wide",
        )

    @magic_arguments()
    @argument("kind", metavar="KIND", help=N_("the kind, such as pod; or pod/NAME"))
    @argument("object_name", metavar="NAME", nargs="?", help=N_("the object"))
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the namespace, instead of your own"))
    @line_magic
    def k8s_describe(self, line: str) -> Any:
        """Show the conditions and the events of an object: what is true of it, and what happened, in the order of time.

        Examples::

            %k8s_describe pod pg-proxy
            %k8s_describe deploy/web

        The same in Python: ``ssp.describe("pod", "pg-proxy")``.
        """
        given = arguments(self, "k8s_describe", line)
        return session.describe(given.kind, given.object_name, namespace=given.namespace)

    @magic_arguments(interrupted=N_("The pod goes on."))
    @argument("pod", metavar="POD", help=N_("a pod, or deploy/NAME for its newest pod"))
    @argument("-c", "--container", metavar="NAME", help=N_("the container, instead of the first one"))
    @argument(
        "-f",
        "--follow",
        action="store_true",
        help=N_("show new lines as they come, until you interrupt the cell"),
    )
    @argument("--tail", metavar="LINES", type=int, default=1000, help=N_("the last lines; -1 for all (1000)"))
    @argument("-p", "--previous", action="store_true", help=N_("the log before the last restart"))
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the namespace, instead of your own"))
    @line_magic
    def k8s_logs(self, line: str) -> Any:
        """Show the log of a pod.

        Examples::

            %k8s_logs pg-proxy
            %k8s_logs deploy/web -f
            text = %k8s_logs mon-api --tail 50

        The same in Python: ``ssp.logs("pg-proxy")``, ``ssp.follow_logs("pg-proxy")``.
        """
        given = arguments(self, "k8s_logs", line)
        tail = None if given.tail < 0 else given.tail
        where: dict[str, Any] = {"namespace": given.namespace, "container": given.container, "tail": tail}
        if given.follow:
            if given.previous:
                raise UsageProblem(
                    _("A container that has ended has no new lines."), hint="%k8s_logs POD --previous"
                )
            with suppress(KeyboardInterrupt):  # the way to end it
                for each in session.follow_logs(given.pod, **where):
                    print(each, flush=True)  # noqa: T201 - a stream has no value to return
            return None
        text = session.logs(given.pod, previous=given.previous, **where)
        if not text:
            return Note(_("The log is empty."))
        if tail and text.count("\n") + 1 >= tail:
            note = _n(
                "The last line; --tail -1 shows all.", "The last {count} lines; --tail -1 shows all.", tail
            )
            display(Note(note))  # type: ignore[no-untyped-call]  # IPython's
        return text

    @magic_arguments(interrupted=_INTERRUPTED)
    @argument("kind", metavar="KIND", help=N_("the kind, such as pod; or pod/NAME"))
    @argument("object_name", metavar="NAME", nargs="?", help=N_("the object"))
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the namespace, instead of your own"))
    @argument("--dry-run", action="store_true", help=N_("show what would be deleted, and delete nothing"))
    @argument("-y", "--yes", action="store_true", help=N_("do not ask about an object that may not be yours"))
    @line_magic
    def k8s_delete(self, line: str) -> Any:
        """Delete an object, and say what the cluster deletes with it.

        It asks before it deletes what may not be yours: an object in another namespace, a part of a service, or one that
        something else would create again.

        Examples::

            %k8s_delete pod pg-proxy
            %k8s_delete deploy/web --dry-run

        The same in Python: ``ssp.delete("pod", "pg-proxy")``.
        """
        given = arguments(self, "k8s_delete", line)
        with steps() as progress:
            deleted = session.delete(
                given.kind,
                given.object_name,
                namespace=given.namespace,
                yes=given.yes,
                ask=_ask if is_watched() else None,
                dry_run=given.dry_run,
                progress=progress,
            )
        if given.dry_run:
            words = _("{ref} would be deleted.", ref=deleted.ref)
        elif deleted.gone:
            words = _("{ref} deleted.", ref=deleted.ref)
        else:
            words = _("{ref} is still ending; the cluster goes on with it.", ref=deleted.ref)
        return Note("\n".join([words, *_name_dependents(deleted.dependents)]))


def _refuse_secrets(cell: str) -> None:
    """Refuse a cell with secret values, which the notebook and the history have saved by now."""
    from sspcloud_magics.cluster.requests.manifests import parse_manifests  # noqa: PLC0415 - imports YAML

    found = [each.line for each in parse_manifests(cell) if each.kind == "Secret" and _has_values(each.body)]
    if found or TOKEN.search(cell) or URL_WITH_PASSWORD.search(cell):
        what = _("A token or a password is not accepted in the cell.")
        if found:
            what = _("The values of a Secret are not accepted in the cell (line {line}).", line=found[0])
        raise UsageProblem(
            what,
            why=_(
                "The cell is saved with the notebook and in IPython's history. If the secret was a real one, clear this cell, "
                "and change the secret."
            ),
            hint=_("write the YAML into a file that you do not share: %k8s_apply FILE"),
        )


def _has_values(secret: Mapping[str, Any]) -> bool:
    return any(secret.get(part) for part in ("data", "stringData"))


def _ask(removal: Removal) -> bool:
    """Ask whether to delete an object that may not be the user's."""
    lines = [
        removal.stranger,
        *_name_dependents(removal.dependents),
        _("Delete {ref}? [y/N] ", ref=removal.ref),
    ]
    try:
        return input(printable("\n".join(lines))).strip().lower() in _YES
    except EOFError:  # a terminal whose input is closed
        return False


def _name_dependents(dependents: tuple[str, ...]) -> list[str]:
    if not dependents:
        return []
    shown = ", ".join(dependents[:10])
    if len(dependents) > 10:
        more = len(dependents) - 10
        return [
            _n(
                "With it: {objects}, and {count} more.",
                "With it: {objects}, and {count} more.",
                more,
                objects=shown,
            )
        ]
    return [_("With it: {objects}.", objects=shown)]
