"""Logs of containers, line by line as they arrive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import cast
from urllib.parse import urlencode

import urllib3

from sspcloud_magics.cluster.api import api_errors
from sspcloud_magics.cluster.api.resources import PODS, Attempt
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.printable import printable

# Colours and other settings of a terminal: a log in a notebook shows their text only.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# The size of one read, in bytes.
_PIECE = 1 << 16
LONGEST_LINE = 1 << 16
"""In bytes; the rest of a longer line follows as further lines."""


def read_log(
    cluster: Cluster,
    pod: str,
    namespace: str,
    container: str,
    *,
    follow: bool = False,
    tail: int | None = None,
    previous: bool = False,
) -> Iterator[str]:
    """Yield the lines of a container's log, without control characters. The request is sent with the first line.

    Parameters
    ----------
    follow
        Wait for new lines until the container ends or the iterator is closed.
    tail
        Only the last lines; all of them if None.
    previous
        The log of the container before its last restart.

    Raises
    ------
    Invalid
        If the container has no log, for example because it has not started.
    Forbidden, NotFound
        If the permission is missing, or the pod does not exist.
    ClusterError
        If the request fails.
    """
    query = {"container": container}
    query |= {"follow": "true"} if follow else {}
    query |= {"previous": "true"} if previous else {}
    query |= {"tailLines": str(tail)} if tail is not None else {}
    path = Attempt("get", PODS, namespace, pod, "log").path
    answer, error = cluster.api.exchange(
        "GET",
        f"{path}?{urlencode(query)}",
        headers={"Accept": "*/*"},
        endless=True,
        own=namespace == cluster.namespace,
    )
    if error is not None:
        raise error
    with closing(cast("urllib3.BaseHTTPResponse", answer)) as stream:
        try:
            for line in _split(stream):
                yield printable(_COLOUR.sub("", line.decode(errors="replace").rstrip("\r")))
        except (urllib3.exceptions.HTTPError, OSError) as broken:
            raise api_errors.from_transport(broken, cluster.server) from None


def _split(stream: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    begun = b""
    for piece in stream.stream(_PIECE, decode_content=True):
        *whole, begun = (begun + piece).split(b"\n")
        yield from whole
        while len(begun) > LONGEST_LINE:
            yield begun[:LONGEST_LINE]
            begun = begun[LONGEST_LINE:]
    if begun:
        yield begun
