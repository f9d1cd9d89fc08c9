"""The panel where nothing is live: on GitHub, in nbconvert, in a terminal. Who one was, and what was open."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from sspcloud_magics.forwards.formatting import SHAPES, format_endpoint
from sspcloud_magics.printable import printable

_LIVE = "Run the cell in a notebook with widgets for the live panel."
_FAINT = "color:var(--jp-ui-font-color2,#767676)"


def lines(facts: Mapping[str, Any]) -> list[str]:
    """Return who one is and what is open, a line each."""
    found = facts.get("who")
    said = [f"{found['user']} in {found['namespace']}, {found['server']}"] if found else []
    trouble = facts.get("look/who")
    if isinstance(trouble, dict):
        said += [trouble["what"], *(f"→ {step}" for step in trouble["mend"].splitlines())]
    said += [_forward(fact) for key, fact in facts.items() if key.startswith("forward/")]
    said += [
        f"connected to {fact['database']} as {fact['user']}"
        for key, fact in facts.items()
        if key.startswith("connection/")
    ]
    return said


def _forward(fact: Mapping[str, Any]) -> str:
    shape = next((mark for state, mark in SHAPES.items() if state == fact["state"]), "")
    where = ", ".join(
        f"{where} → {fact['target']}:{remote}"
        for where, (_, remote) in zip(
            fact["sockets"] or [format_endpoint(fact["address"], local) for local, _ in fact["ports"]],
            fact["ports"],
            strict=False,
        )
    )
    return f"{shape} {fact['state']} {where or fact['target']}"


def text(facts: Mapping[str, Any]) -> str:
    """Return the panel as plain text."""
    return printable("\n".join(["SSPCloud panel", *(f"  {line}" for line in lines(facts))]))


def html(facts: Mapping[str, Any]) -> str:
    """Return the panel as HTML without script or style sheet."""
    rows = "".join(f"<div>{escape(printable(line))}</div>" for line in lines(facts))
    return (
        '<div style="line-height:1.6;color:var(--jp-content-font-color1,inherit)"><strong>SSPCloud</strong>'
        f'{rows}<div style="{_FAINT}">{_LIVE}</div></div>'
    )
