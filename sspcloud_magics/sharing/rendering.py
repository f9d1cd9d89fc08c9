"""What an owner is answered, in words: as text for a terminal and as HTML for a notebook.

Both ways of `%share_db` end in an `Answer`: what is granted in one sentence, the objects and the SQL where they
are to be shown, what is good to know, and in the end the one line to send, which holds no secret.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import yaml

from sspcloud_magics.printable import printable
from sspcloud_magics.sharing.durations import duration_in_words
from sspcloud_magics.sharing.manifests import PlannedShare

WIDTH = 100
_TEXT = "color:var(--jp-content-font-color1,inherit);font-family:var(--jp-content-font-family,sans-serif)"
_CODE = "font-family:var(--jp-code-font-family,monospace)"

_SAID_OF = {
    "Job": "The share itself. It runs nothing; its deadline ends it and all that follows, which it owns.",
    "Secret": "What the colleague needs to connect. Only they may read it, beside you.",
    "Role": "To read that Secret, and to forward to this database: each by name, and nothing else.",
    "RoleBinding": "To whom: the account on a laptop, and the notebooks of its namespace.",
    "NetworkPolicy": "Which namespaces reach the port without a forward.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is shown of a share.

    Parameters
    ----------
    granted
        What the colleagues may do, and until when.
    line
        The line to send to them.
    notes
        What the owner ought to know, the most important first.
    objects, statements
        The YAML of the objects and the SQL; empty where they are not shown.
    """

    granted: str
    line: str
    notes: Sequence[str]
    objects: str = ""
    statements: str = ""

    def as_text(self) -> str:
        """Return it for a terminal."""
        parts = ["Nothing was done. This would be:" if self.objects else "", self.granted]
        if self.objects:
            parts += [f"# In the cluster\n{self.objects}", f"-- In PostgreSQL\n{self.statements}"]
        if self.notes:
            wrapped = (textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in self.notes)
            parts.append("Good to know:\n" + "\n".join(f"- {note}" for note in wrapped))
        parts.append(f"{self._send}\n    {self.line}")
        return printable("\n\n".join(part for part in parts if part))

    def as_html(self) -> str:
        """Return it for a notebook."""
        begin = "<p><strong>Nothing was done.</strong> This would be:</p>" if self.objects else ""
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
        return "The line to send them then:" if self.objects else "Send them this line; it holds no secret:"


def _fold(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary><pre style='{_CODE}'>{escape(text)}</pre></details>"


class Shown:
    """What shows shares to their owner: as a plan, and as its result."""

    __slots__ = ()

    shares: tuple[PlannedShare, ...]
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The line to send to the colleagues; it holds no secret."""
        return f"%connect_db {self.shares[0].namespace}/{self.shares[0].database}"

    @property
    def granted(self) -> str:
        """What the colleagues may do, and until when, in one sentence: the same for each."""
        first, privileges = self.shares[0], self.shares[0].privileges
        return (
            f"{join_names([share.colleague.name for share in self.shares])} may {'read and write' if privileges.read_write else 'read'} "
            f"{first.database} ({'schema' if len(privileges.schemas) == 1 else 'schemas'} {join_names(privileges.schemas)}) "
            f"for {duration_in_words(first.duration)}, until {moment(first.until)}."
        )

    @property
    def _answer(self) -> Answer:
        return Answer(granted=self.granted, line=self.line, notes=self.notes)

    def __repr__(self) -> str:
        return self._answer.as_text()

    def _repr_html_(self) -> str:
        return self._answer.as_html()


def join_names(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    Examples
    --------
    >>> join_names(["bob", "carol", "dave"])
    'bob, carol and dave'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1] if names else "") if part)


def moment(when: datetime) -> str:
    """Return a moment as one says it, in this machine's time zone, which is named."""
    local = when.astimezone()
    return f"{local:%A} {local.day} {local:%B %Y, %H:%M} ({local.tzname()})"


class _Readable(yaml.SafeDumper):
    """YAML without anchors, and with lists of words on one line."""

    def ignore_aliases(self, _data: object) -> bool:
        return True

    def represent_sequence(
        self, tag: str, sequence: Iterable[Any], flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        words = list(sequence)
        flat = all(isinstance(word, str) for word in words)
        return super().represent_sequence(tag, words, flow_style=flat or flow_style)


def as_yaml(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Return objects as YAML that ``kubectl apply -f`` reads, each with a word on what it is for."""
    documents = [
        f"# {_SAID_OF[manifest['kind']]}\n"
        + yaml.dump(manifest, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=WIDTH)
        for manifest in manifests
    ]
    return "---\n".join(documents).rstrip()
