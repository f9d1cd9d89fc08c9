"""Rendering of share plans and results: text for a terminal, HTML for a notebook.

Both render an `Answer`: the grant in one sentence, the objects and SQL of a preview, the notes, and at the end the line
to send, which contains no secret.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import yaml

from sspcloud_magics.i18n import N_, _
from sspcloud_magics.printable import printable
from sspcloud_magics.sharing.durations import duration_in_words
from sspcloud_magics.sharing.manifests import PlannedShare

WIDTH = 100
"""Characters per line of the text and of the YAML."""
_TEXT = "color:var(--jp-content-font-color1,inherit);font-family:var(--jp-content-font-family,sans-serif)"
_CODE = "font-family:var(--jp-code-font-family,monospace)"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The rendered parts of a share plan or result.

    Parameters
    ----------
    granted
        The colleagues' access and its expiry, in one sentence.
    line
        The line to send to them.
    notes
        Advisories for the owner, the most important first.
    objects, statements
        The YAML of the objects and the SQL of a preview; empty for a result.
    """

    granted: str
    line: str
    notes: Sequence[str]
    objects: str = ""
    statements: str = ""

    def as_text(self) -> str:
        """Render text for a terminal."""
        parts = [_("Nothing was done. This is the plan:") if self.objects else "", self.granted]
        if self.objects:
            parts += [
                _("# In the cluster\n{objects}", objects=self.objects),
                f"-- In PostgreSQL\n{self.statements}",
            ]
        if self.notes:
            wrapped = (textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in self.notes)
            parts.append(_("Good to know:\n") + "\n".join(f"- {note}" for note in wrapped))
        parts.append(f"{self._send}\n    {self.line}")
        return printable("\n\n".join(part for part in parts if part))

    def as_html(self) -> str:
        """Render HTML for a notebook."""
        begin = "<p><strong>Nothing was done.</strong> This is the plan:</p>" if self.objects else ""
        shown = ""
        if self.objects:
            shown = _fold("Objects in the cluster", self.objects) + _fold("SQL", self.statements)
        first = "".join(f"<p>{escape(note)}</p>" for note in self.notes[:1])
        rest = "".join(f"<li>{escape(note)}</li>" for note in self.notes[1:])
        notes = f"<details><summary>Good to know</summary><ul>{rest}</ul></details>" if rest else ""
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


def _fold(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary><pre style='{_CODE}'>{escape(text)}</pre></details>"


class ShareDisplay:
    """Base class that displays shares to their owner: a plan, or its result."""

    __slots__ = ()

    shares: tuple[PlannedShare, ...]
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The line to send to the colleagues; it contains no secret."""
        return _(
            "%connect_db {namespace}/{database}",
            namespace=self.shares[0].namespace,
            database=self.shares[0].database,
        )

    @property
    def granted(self) -> str:
        """The colleagues' access and its expiry in one sentence; the same for all of them."""
        first, privileges = self.shares[0], self.shares[0].privileges
        return _(
            "{value} may {choice} "
            "{database} ({choice_2} {schemas}) "
            "for {duration_in_words}, until {moment_in_words}.",
            value=join_names([share.colleague.name for share in self.shares]),
            choice="read and write" if privileges.read_write else "read",
            database=first.database,
            choice_2="schema" if len(privileges.schemas) == 1 else "schemas",
            schemas=join_names(privileges.schemas),
            duration_in_words=duration_in_words(first.duration),
            moment_in_words=moment_in_words(first.until),
        )

    @property
    def _answer(self) -> Answer:
        return Answer(granted=self.granted, line=self.line, notes=self.notes)

    def __repr__(self) -> str:
        return self._answer.as_text()

    def _repr_html_(self) -> str:
        return self._answer.as_html()


def join_names(names: Sequence[str]) -> str:
    """Join names as a list in a sentence.

    Examples
    --------
    >>> join_names(["bob", "carol", "dave"])
    'bob, carol and dave'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1] if names else "") if part)


def moment_in_words(when: datetime) -> str:
    """Format a moment in words, in this machine's time zone, with its name."""
    local = when.astimezone()
    return f"{local:%A} {local.day} {local:%B %Y, %H:%M} ({local.tzname()})"


class _Readable(yaml.SafeDumper):
    """YAML without anchors, and with lists of strings on one line."""

    def ignore_aliases(self, _data: object) -> bool:
        return True

    def represent_sequence(
        self, tag: str, sequence: Iterable[Any], flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        words = list(sequence)
        flat = all(isinstance(word, str) for word in words)
        return super().represent_sequence(tag, words, flow_style=flat or flow_style)


def as_yaml(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Format objects as YAML for ``kubectl apply -f``, each with a comment that names its purpose."""
    documents = [
        f"# {_PURPOSES[manifest['kind']]}\n"
        + yaml.dump(manifest, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=WIDTH)
        for manifest in manifests
    ]
    return "---\n".join(documents).rstrip()
