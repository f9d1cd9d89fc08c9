"""What lies between pods: names, services and NetworkPolicies.

A pod's program that opens a connection asks the node where to, and the node asks `Network`. The answer is a pod
and a port of it, or why there is none.
"""

from __future__ import annotations

from sspcloud_magics.sandbox.network.routing import Destination, Dropped, Network, Refused, Unresolved

__all__ = ["Destination", "Dropped", "Network", "Refused", "Unresolved"]
