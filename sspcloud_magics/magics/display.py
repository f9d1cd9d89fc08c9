"""Notes: output of one or several sentences, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import Any

from IPython.display import display

from sspcloud_magics.printable import printable

NEWLINE = "\n"


@dataclass(frozen=True, slots=True)
class Note:
    """The result of a magic in words."""

    what: str  # the result, in one sentence
    # Possible next steps. A command at the beginning of a step ends before three blanks.
    then: tuple[str, ...] = ()

    def __str__(self) -> str:
        return printable("\n".join([self.what, *(f"→ {step}" for step in self.then)]))

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_bundle: Any) -> dict[str, str]:
        steps = "".join(f"<li>{_step(step)}</li>" for step in self.then)
        steps = f'<ul style="margin:.3em 0 0;padding-left:1.4em">{steps}</ul>' if steps else ""
        html = (
            '<div style="color:var(--jp-content-font-color1,inherit);'
            f'font-family:var(--jp-content-font-family,sans-serif)">{escape(self.what).replace(NEWLINE, "<br>")}{steps}</div>'
        )
        return {"text/plain": str(self), "text/html": printable(html)}


def with_notes(result: Any, *, apart: str | None = None) -> Any:
    """Display the notes of a DataFrame, such as the server's notices, and return the result.

    Parameters
    ----------
    result
        A DataFrame, or a `QueryResult`, which displays its own notes, or anything else.
    apart
        A note to omit.
    """
    if apart is not None and apart in getattr(result, "notes", ()):
        return replace(result, notes=tuple(note for note in result.notes if note != apart))
    notes = [note for note in getattr(result, "attrs", {}).get("notes", ()) if note != apart]
    if notes:
        display(Note("\n".join(notes)))  # type: ignore[no-untyped-call]  # IPython's
    return result


def _step(step: str) -> str:
    command, gap, rest = step.partition("   ")
    if not gap:
        return escape(step)
    style = "font-family:var(--jp-code-font-family,monospace)"
    return f'<code style="{style}">{escape(command)}</code>{" " if gap else ""}{escape(rest)}'
