"""A local port for something that has to be told its number."""

from __future__ import annotations

import errno
import random
import socket

# Below the ports that the system gives to outgoing connections and for port 0, and below those that the product derives
# from a target: after the check, only a program that wants this very number can take it.
_PORTS = range(10_000, 20_000)
_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
# Not `random` itself: its seed is the same in each process of a run.
_source = random.SystemRandom()


def free_port() -> int:
    """Return a port on which nothing listens, on either loopback address."""
    while not _is_free(port := _source.choice(_PORTS)):
        pass
    return port


def _is_free(port: int) -> bool:
    for family, address in _LOOPBACKS:
        try:
            with socket.socket(family) as probe:
                probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            # A machine may lack a family.
    return True
