"""Rendering of share plans and results: text for a terminal, HTML for a notebook.

Both render an `Answer`: the grant in one sentence, the objects and SQL of a preview, the notes, and at the end the line
to send, which contains no secret.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from sspcloud_magics.cluster.requests.object_text import WIDTH, to_yaml
from sspcloud_magics.i18n import N_, _, _n, format_datetime, format_duration, format_list
from sspcloud_magics.printable import printable
from sspcloud_magics.sharing.manifests import PlannedShare

_TEXT = "color:var(--jp-content-font-color1,inherit);font-family:var(--jp-content-font-family,sans-serif)"
_CODE = "font-family:var(--jp-code-font-family,monospace)"

SHOWN = 2
"""Notes in sight; the others are folded, because ten sentences below one answer are read by few."""

_PURPOSES = {
    "Job": N_(
        "The share itself. It runs nothing; its deadline ends it and the objects below, which it owns."
    ),
    "Secret": N_("What the colleague needs to connect. Only they and you may read it."),
    "Role": N_(
        "Permission to read that Secret and to forward to this database, each by name, and nothing else."
    ),
    "RoleBinding": N_("The colleague: the account on a laptop, and the notebooks of its namespace."),
    "NetworkPolicy": N_("The namespaces that reach the port without a forward."),
}


class Risk(str):
    """An advisory about a danger: it comes first, with a mark."""

    __slots__ = ()


def sort_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Return notes with the risks first, otherwise in their order."""
    return tuple(sorted(notes, key=lambda note: not isinstance(note, Risk)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The rendered parts of a share plan or result."""

    granted: str  # the colleagues' access and its expiry, in one sentence
    line: str  # the line to send to them
    notes: Sequence[str]  # advisories for the owner, the most important first; `SHOWN` of them are in sight
    # The YAML of the objects and the SQL of a preview; empty for a result.
    objects: str = ""
    statements: str = ""
    is_mariadb: bool = False  # whether the SQL is for MariaDB

    def as_text(self) -> str:
        """Render text for a terminal."""
        parts = [_("Nothing was done. This is the plan:") if self.objects else "", self.granted]
        if self.objects:
            parts.append(_("# In the cluster") + f"\n{self.objects}")
        if self.statements:
            parts.append(
                (_("-- In MariaDB") if self.is_mariadb else _("-- In PostgreSQL")) + f"\n{self.statements}"
            )
        if self.notes:
            shown = [_mark(note) for note in self.notes[:SHOWN]]
            if more := len(self.notes) - SHOWN if len(self.notes) > SHOWN else 0:
                # `_` is the last output of a cell.
                shown.append(
                    _n(
                        '{count} more note: print(*_.notes, sep="\\n")',
                        '{count} more notes: print(*_.notes, sep="\\n")',
                        more,
                    )
                )
            wrapped = (textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in shown)
            parts.append("\n".join([_("Good to know:"), *(f"- {note}" for note in wrapped)]))
        parts.append(f"{self._send}\n    {self.line}")
        return printable("\n\n".join(part for part in parts if part))

    def as_html(self) -> str:
        """Render HTML for a notebook."""
        nothing = escape(_("Nothing was done. This is the plan:"))
        begin = f"<p><strong>{nothing}</strong></p>" if self.objects else ""
        shown = ""
        if self.objects:
            shown = _fold(_("Objects in the cluster"), self.objects)
            shown += _fold("SQL", self.statements) if self.statements else ""
        first = "".join(f"<p>{escape(_mark(note))}</p>" for note in self.notes[:SHOWN])
        rest = "".join(f"<li>{escape(_mark(note))}</li>" for note in self.notes[SHOWN:])
        more = escape(_("Good to know ({count} more)", count=len(self.notes) - SHOWN))
        notes = f"<details><summary>{more}</summary><ul>{rest}</ul></details>" if rest else ""
        return printable(
            f'<div style="{_TEXT}">{begin}<p><strong>{escape(self.granted)}</strong></p>{first}{shown}{notes}'
            f'<p style="margin-bottom:.3em">{self._send}</p>'
            f'<pre style="{_CODE};user-select:all;margin:0 0 .5em 1em"><code>{escape(self.line)}</code></pre></div>'
        )

    @property
    def _send(self) -> str:
        return (
            _("The line to send them later:")
            if self.objects
            else _("Send them this line; it contains no secret:")
        )


def _mark(note: str) -> str:
    return f"⚠ {note}" if isinstance(note, Risk) else note


def _fold(summary: str, text: str) -> str:
    return f"<details><summary>{escape(summary)}</summary><pre style='{_CODE}'>{escape(text)}</pre></details>"


class ShareDisplay:
    """Base class that displays shares to their owner: a plan, or its result."""

    __slots__ = ()

    shares: tuple[PlannedShare, ...]
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The line to send to the colleagues; it contains no secret."""
        return (
            f"%connect_db {self.shares[0].namespace}/{self.shares[0].database}"  # not translated: a command
        )

    @property
    def granted(self) -> str:
        """The colleagues' access and its expiry in one sentence; the same for all of them."""
        first, privileges = self.shares[0], self.shares[0].privileges
        values = {
            "names": format_list([share.colleague.name for share in self.shares]),
            "database": first.database,
            "schemas": format_list(privileges.schemas),
            "duration": format_duration(first.duration),
            "moment": format_datetime(first.until),
        }
        if privileges.read_write:
            return _n(
                "{names} may read and write {database} (schema {schemas}) for {duration}, until {moment}.",
                "{names} may read and write {database} (schemas {schemas}) for {duration}, until {moment}.",
                len(privileges.schemas),
                **values,
            )
        return _n(
            "{names} may read {database} (schema {schemas}) for {duration}, until {moment}.",
            "{names} may read {database} (schemas {schemas}) for {duration}, until {moment}.",
            len(privileges.schemas),
            **values,
        )

    @property
    def _answer(self) -> Answer:
        return Answer(granted=self.granted, line=self.line, notes=self.notes)

    def __repr__(self) -> str:
        return self._answer.as_text()

    def _repr_html_(self) -> str:
        return self._answer.as_html()


def as_yaml(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Format objects as YAML for ``kubectl apply -f``, each with a comment that names its purpose."""
    documents = [f"# {_(_PURPOSES[manifest['kind']])}\n{to_yaml(manifest)}" for manifest in manifests]
    return "---\n".join(documents).rstrip()
