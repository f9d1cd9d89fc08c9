"""Error texts of the kubelet and containerd about failed connections, and one-line summaries for the user.

Their texts include the message of every layer, with identifiers; the cause is at the end:

    error forwarding port 81 to pod 3f1c…, uid : failed to execute portforward in network namespace "/var/run/netns/cni-…":
    failed to connect to localhost:81 inside namespace "3f1c…", IPv4: dial tcp4 127.0.0.1:81: connect: connection refused …

Source: containerd, internal/cri/server/sandbox_portforward_linux.go.
"""

from __future__ import annotations

import re

from sspcloud_magics.i18n import N_, _

_DIAL_ERROR = re.compile(r"dial tcp\S* \S+:\d+: .*?(?=\s+IPv6 dial|\s*$)")
# With any of these, the pod was never dialled.
_POD_GONE = (
    "failed to find sandbox",  # not translated: the server's words
    "network namespace for sandbox",  # not translated: the server's words
    "pod not found",  # not translated: the server's words
    "sandbox not found",  # not translated: the server's words
)
# Nothing listened there, so no data has reached a program.
_REFUSED = ("connection refused",)  # not translated: the server's words
_RESET = ("connection reset by peer", "broken pipe")  # not translated: the server's words
# Characters of an unknown text that fit in the line for the user.
_MAX_LENGTH = 100
_SUMMARIES = (
    (_POD_GONE, N_("The pod is gone.")),
    (_RESET, N_("The program in the pod reset the connection.")),
    (_REFUSED, N_("Nothing accepts connections on the port in the pod (connection refused).")),
    (
        ("timed out", "timeout"),  # not translated: the server's words
        N_("The program in the pod did not answer in time."),
    ),
)


def is_pod_gone(text: str) -> bool:
    """Return whether a server's error text means that the pod no longer exists."""
    return _contains(text, _POD_GONE)


def is_refused(text: str) -> bool:
    """Return whether a server's error text means that nothing accepts connections on the port."""
    return _contains(text, _REFUSED)


def is_reset(text: str) -> bool:
    """Return whether a server's error text means that the program in the pod reset the connection."""
    return _contains(text, _RESET)


def quote_cause(text: str) -> str:
    """Quote the part of a server's error text that gives the cause."""
    found = _DIAL_ERROR.search(text)
    return _("The cluster says: {text}", text=found.group() if found else text)


def summarize(text: str) -> str:
    """Summarize a server's error text in one line."""
    for words, line in _SUMMARIES:
        if _contains(text, words):
            return _(line)
    line = " ".join(text.split())
    return _(
        "The cluster says: {text}",
        text=line if len(line) <= _MAX_LENGTH else "… " + line[2 - _MAX_LENGTH :],
    )


def _contains(text: str, words: tuple[str, ...]) -> bool:
    lower = text.lower()
    return any(part in lower for part in words)
