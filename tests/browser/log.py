"""The errors in a JupyterLab's log, without two harmless ones.

The log has the messages of the server and the standard error of its kernels. Two races are harmless. A kernel closes
its sockets and loops while a message of the page is on its way (JupyterLab creates or deletes a subshell with each
comm), and ipykernel 7.4 logs that it used a closed object. A page closes while its kernel sends, and tornado and the
server log that the socket was closed.
"""

from __future__ import annotations

import re

_RECORD = re.compile(r"^(?=\[(?:[IWEDC] \d|\w+App\]))", re.MULTILINE)
_FILE = re.compile(r'^\s+File "([^"]+)", line \d+, in', re.MULTILINE)
_STANDARD = r"/lib/python3\.\d+/(?!site-packages)"
_ENDS = (
    (
        re.compile(rf"/(?:ipykernel|zmq|tornado|jupyter_client)/|^zmq/|{_STANDARD}"),
        ("zmq.error.ZMQError: Socket operation on non-socket", "RuntimeError: Event loop is closed"),
    ),
    (
        re.compile(rf"/tornado/|/zmq/eventloop/|/jupyter_server/services/kernels/connection/|{_STANDARD}"),
        ("tornado.iostream.StreamClosedError: Stream is closed", "tornado.websocket.WebSocketClosedError"),
    ),
)
"""For each race: the files of all frames, and the last lines of its tracebacks."""


def errors_in(log: str) -> list[str]:
    """Return the errors of a log: records of level E, and tracebacks.

    Parameters
    ----------
    log
        The whole text.

    Returns
    -------
    list of str
        Each with all of its lines, in their order.
    """
    records = [record.rstrip() for record in _RECORD.split(log)]
    found = [record for record in records if record.startswith("[E ") or "Traceback (most recent" in record]
    return [record for record in found if not _is_known(record)]


def _is_known(record: str) -> bool:
    """Whether a record has nothing but one of the harmless errors."""
    tracebacks = record.split("Traceback (most recent call last):")[1:]
    files = _FILE.findall(record)
    return bool(files) and any(
        all(place.search(file) for file in files)
        and all(
            any(re.search(rf"^ *{re.escape(line)}", each, re.MULTILINE) for line in lines)
            for each in tracebacks
        )
        for place, lines in _ENDS
    )
