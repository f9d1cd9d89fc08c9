"""The display of a forward: one line, a few lines, or a card; as text and as HTML.

A word, a shape and a colour each show the state, so that any one of them suffices. All text from the cluster is escaped.
Colours are JupyterLab's if the page defines them, with a fallback that suits both themes and VS Code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from sspcloud_magics.i18n import N_, _, _n, format_bytes, format_number
from sspcloud_magics.printable import printable
from sspcloud_magics.tunnel.ipc import ForwardCounters, State

SHAPES = {
    State.STARTING: "◐",
    State.ACTIVE: "●",
    State.RECONNECTING: "◐",
    State.STOPPED: "○",
    State.FAILED: "✕",
}

_WAITING = "var(--jp-warn-color1, #d9822b)"
_COLOURS = {
    State.STARTING: _WAITING,
    State.ACTIVE: "var(--jp-success-color1, #2e8b3d)",
    State.RECONNECTING: _WAITING,
    State.STOPPED: "var(--jp-ui-font-color2, #808080)",
    State.FAILED: "var(--jp-error-color1, #e0433a)",
}

_FAINT = "color: var(--jp-ui-font-color2, #808080)"
_CODE = "font-family: var(--jp-code-font-family, monospace); background: none; padding: 0"
_STATES = {
    State.STARTING: N_("starting"),
    State.ACTIVE: N_("active"),
    State.RECONNECTING: N_("reconnecting"),
    State.STOPPED: N_("stopped"),
    State.FAILED: N_("failed"),
}


def format_state(state: State) -> str:
    """Return the word for a forward's state."""
    return _(_STATES[state])


def format_endpoint(address: str, port: int) -> str:
    """Format an address and a port, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def format_traffic(counters: ForwardCounters) -> str:
    """Format the traffic of a forward as one line."""
    if not counters.connections:
        return _("no connection yet")
    parts = [
        _("{size} sent", size=format_bytes(counters.sent)),
        _("{size} received", size=format_bytes(counters.received)),
        _n(
            "{open} open of {count} connection",
            "{open} open of {count} connections",
            counters.connections,
            open=format_number(counters.open_connections),
        ),
    ]
    if counters.failed_connections:
        parts.append(_n("{count} failed", "{count} failed", counters.failed_connections))
    if counters.reconnects:
        parts.append(_n("{count} reconnect", "{count} reconnects", counters.reconnects))
    return ", ".join(parts)


def _badge(state: State) -> str:
    return (
        f'<span style="color: {_COLOURS[state]}; font-weight: 600; white-space: nowrap">'
        f'<span aria-hidden="true">{SHAPES[state]}</span> {escape(format_state(state))}</span>'
    )


def _lines(parts: Iterable[str], style: str) -> str:
    return "".join(f'<div style="{style}">{escape(part)}</div>' for part in parts if part)


@dataclass(frozen=True, slots=True)
class ForwardCard:
    """The displayed values of a forward."""

    state: State
    routes: Sequence[tuple[str, str]]  # the local end and the remote end of each port
    reason: str  # the reason for its state; may be empty
    # Its pod, the time since which it is active, and its traffic, as far as they are known.
    details: Sequence[str]
    notes: Sequence[str]  # hints for the user
    last_error: str  # the text of the last error of a connection; may be empty

    def line(self) -> str:
        """Return one line."""
        where = ", ".join(f"{local} → {remote}" for local, remote in self.routes)
        return printable(f"{SHAPES[self.state]} {format_state(self.state)} {where}", one_line=True)

    def text(self) -> str:
        """Return a few lines."""
        lines = [self.line()]
        if self.reason:
            lines.append(f"  {self.reason}")
        lines.append("  " + " · ".join(self.details))
        lines += [f"  {note}" for note in self.notes]
        if self.last_error:
            lines.append(f"  {self._last_error()}")
        return printable("\n".join(lines))

    def _last_error(self) -> str:
        return _("last error: {error}", error=self.last_error)

    def html(self) -> str:
        """Return HTML."""
        where = "<br>".join(
            f'<code style="{_CODE}">{escape(local)}</code> <span style="{_FAINT}">→</span> '
            f'<code style="{_CODE}">{escape(remote)}</code>'
            for local, remote in self.routes
        )
        last_error = self._last_error() if self.last_error else ""
        return printable(
            f'<div style="border-left: 3px solid {_COLOURS[self.state]}; padding: 2px 0 2px 10px; '
            'line-height: 1.5; color: var(--jp-ui-font-color1, inherit)">'
            f'<div style="display: flex; gap: 0.8em">{_badge(self.state)}<div>{where}</div></div>'
            + _lines([self.reason], "")
            + _lines([" · ".join(self.details)], _FAINT)
            + _lines(self.notes, "")
            + _lines([last_error], _FAINT)
            + "</div>"
        )
