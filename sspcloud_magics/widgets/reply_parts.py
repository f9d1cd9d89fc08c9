"""Split the reply of a command into parts that fit into an update.

The preview of a share has some kilobytes, a list of tables more. The browser joins the parts of the JSON text. Each part
has the id of its command, so that the browser does not mix it with parts of an older reply.
"""

from __future__ import annotations

import json
from typing import Any

from sspcloud_magics.printable import printable_values
from sspcloud_magics.widgets.diff_queue import Snapshot

MOST = 1500
"""Bytes of a part, as a JSON string in an update."""


def split_reply(reply: Any) -> list[str]:
    """Split the JSON of a reply into parts of at most `MOST` bytes, counted as JSON strings.

    Parameters
    ----------
    reply
        A value for JSON.
    """
    text = json.dumps(printable_values(reply), separators=(",", ":"))
    found: list[str] = []
    begin = size = 0
    for at, mark in enumerate(text):
        cost = 2 if mark in '"\\' else 1
        if size + cost > MOST:
            found.append(text[begin:at])
            begin, size = at, 0
        size += cost
    return [*found, text[begin:]]


def make_snapshot(key: str, command_id: str, parts: list[str]) -> Snapshot:
    """Return the snapshot with the parts of a reply."""
    return {f"answer/{key}/{number}": [command_id, part] for number, part in enumerate(parts)}
