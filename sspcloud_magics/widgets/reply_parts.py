"""What an order has found, on its way to the browser: one JSON text, cut into facts that fit into an update.

A preview of a share is some kilobytes, a list of tables more; the browser puts the pieces together. Each piece
carries the order's id, so that those of an older answer are not taken for this one's.
"""

from __future__ import annotations

import json
from typing import Any

from sspcloud_magics.printable import printable_values
from sspcloud_magics.widgets.diff_queue import Facts

PIECE = 1500
"""Bytes of one piece, as it is written inside of an update."""


def pieces(answer: Any) -> list[str]:
    """Cut an answer into texts that are at most `PIECE` bytes when they are written as JSON strings.

    Parameters
    ----------
    answer
        Anything that JSON can hold.
    """
    text = json.dumps(printable_values(answer), separators=(",", ":"))
    found: list[str] = []
    begin = size = 0
    for at, mark in enumerate(text):
        cost = 2 if mark in '"\\' else 1
        if size + cost > PIECE:
            found.append(text[begin:at])
            begin, size = at, 0
        size += cost
    return [*found, text[begin:]]


def facts(key: str, order_id: str, cut: list[str]) -> Facts:
    """Return the facts that hold the pieces of the answer to one order."""
    return {f"answer/{key}/{number}": [order_id, piece] for number, piece in enumerate(cut)}
