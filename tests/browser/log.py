"""The errors in a JupyterLab's log, each with its whole text; those that are nobody's fault are left out.

The log holds what the server says and what its kernels write to their standard error. Two things end while somebody still speaks to
them. A kernel closes its sockets and loops while a message of the page is on its way to it (JupyterLab asks for a subshell, or gives
one back, with each comm that comes and goes), and ipykernel 7.4 logs that it met what it had closed. A page goes while its kernel
speaks, and tornado logs that its socket was closed, as does the server, which was about to pass on what the kernel said.
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
"""Of each end that is known: the files that all of its frames are in, and the errors that each of its tracebacks ends with."""


def errors_in(log: str) -> list[str]:
    """Return the errors of a log: what the server calls one, and tracebacks.

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
    """Whether all that a record holds is one of the ends that are known."""
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
