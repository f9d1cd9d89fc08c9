"""The panel without a live kernel, as on GitHub, in nbconvert or in a terminal: the identity and what was open."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from sspcloud_magics.forwards.formatting import SHAPES, format_endpoint
from sspcloud_magics.i18n import N_, _
from sspcloud_magics.printable import printable

_LIVE = N_("Run the cell in a notebook with widgets for the live panel.")
_FAINT = "color:var(--jp-ui-font-color2,#767676)"


def lines(snapshot: Mapping[str, Any]) -> list[str]:
    """Return lines with the identity, an error if there is one, the forwards and the connections."""
    who = snapshot.get("who")
    shown = (
        [
            _(
                "{user} in {namespace}, {server}",
                user=who["user"],
                namespace=who["namespace"],
                server=who["server"],
            )
        ]
        if who
        else []
    )
    error = snapshot.get("source/who")
    if isinstance(error, dict):
        shown += [error["what"], *(f"→ {step}" for step in error["hint"].splitlines()[:1])]
    shown += [_forward(value) for key, value in snapshot.items() if key.startswith("forward/")]
    shown += [
        _("connected to {database} as {user}", database=value["database"], user=value["user"])
        for key, value in snapshot.items()
        if key.startswith("connection/")
    ]
    return shown


def _forward(value: Mapping[str, Any]) -> str:
    shape = next((mark for state, mark in SHAPES.items() if state == value["state"]), "")
    where = ", ".join(
        f"{where} → {value['target']}:{remote}"
        for where, (_, remote) in zip(
            value["sockets"] or [format_endpoint(value["address"], local) for local, _ in value["ports"]],
            value["ports"],
            strict=False,
        )
    )
    return f"{shape} {value['state']} {where or value['target']}"


def text(snapshot: Mapping[str, Any]) -> str:
    """Return the panel as plain text."""
    return printable("\n".join([_("SSPCloud panel"), *(f"  {line}" for line in lines(snapshot))]))


def html(snapshot: Mapping[str, Any]) -> str:
    """Return the panel as HTML without scripts and style sheets."""
    rows = "".join(f"<div>{escape(printable(line))}</div>" for line in lines(snapshot))
    return (
        '<div style="line-height:1.6;color:var(--jp-content-font-color1,inherit)"><strong>SSPCloud</strong>'
        f'{rows}<div style="{_FAINT}">{escape(_(_LIVE))}</div></div>'
    )
