"""A practice cluster on this machine: the Kubernetes API over TLS, and real programs as its pods.

It imports nothing from the rest of the package, which therefore talks to it over the network like to any
other cluster. The tests compare it with what an unmodified kubectl expects.

>>> from sspcloud_magics import sandbox
>>> sandbox.start()  # doctest: +SKIP
>>> sandbox.kubeconfig("bob")  # doctest: +SKIP
>>> sandbox.stop()  # doctest: +SKIP
"""

from sspcloud_magics.sandbox.daemon import (
    PEOPLE,
    SandboxError,
    Status,
    kubeconfig,
    reset,
    start,
    status,
    stop,
)

__all__ = ["PEOPLE", "SandboxError", "Status", "kubeconfig", "reset", "start", "status", "stop"]
