"""A practice cluster on this machine: the Kubernetes API over TLS, and real programs as its pods.

It imports nothing of the product, so that the product meets it as it meets any other cluster: over
the network. An unmodified kubectl is the judge of how faithful it is.

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
