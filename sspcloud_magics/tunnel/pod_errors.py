"""What the kubelet and containerd say of a connection that failed: what it means, and one line for the user.

Their texts tell the story of every layer, identifiers included; what happened stands at the end:

    error forwarding port 81 to pod 3f1c…, uid : failed to execute portforward in network namespace "/var/run/netns/cni-…":
    failed to connect to localhost:81 inside namespace "3f1c…", IPv4: dial tcp4 127.0.0.1:81: connect: connection refused …

Source: containerd, internal/cri/server/sandbox_portforward_linux.go.
"""

from __future__ import annotations

import re

_DIAL_ERROR = re.compile(r"dial tcp\S* \S+:\d+: .*?(?=\s+IPv6 dial|\s*$)")
# They have not dialled the pod.
_POD_GONE = ("failed to find sandbox", "network namespace for sandbox", "pod not found", "sandbox not found")
_RESET = ("connection reset by peer", "broken pipe")
_LONGEST = 100
_IN_WORDS = (
    (_POD_GONE, "The pod is gone."),
    (_RESET, "The program in the pod reset the connection."),
    (("connection refused",), "Nothing accepts connections on the port in the pod (connection refused)."),
    (("timed out", "timeout"), "The program in the pod did not answer in time."),
)


def says_that_the_pod_is_gone(text: str) -> bool:
    """Return whether an error text of the server means that there is no such pod any more."""
    return _has(text, _POD_GONE)


def says_that_the_pod_reset(text: str) -> bool:
    """Return whether an error text of the server means that the program in the pod broke the connection off."""
    return _has(text, _RESET)


def in_brief(text: str) -> str:
    """Return the part of a server's error text that says what is wrong, as a quotation."""
    found = _DIAL_ERROR.search(text)
    return f"The cluster says: {found.group() if found else text}"


def in_words(text: str) -> str:
    """Return one line that says what an error text of the server means."""
    for words, line in _IN_WORDS:
        if _has(text, words):
            return line
    line = " ".join(text.split())
    return f"The cluster says: {line if len(line) <= _LONGEST else '… ' + line[2 - _LONGEST :]}"


def _has(text: str, words: tuple[str, ...]) -> bool:
    lower = text.lower()
    return any(part in lower for part in words)
