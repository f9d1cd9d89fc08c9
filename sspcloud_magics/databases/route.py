"""By which way a database is reached, and why by that one.

- *direct*: TCP to the service's name, inside the cluster, where the network policies permit it.
- *forward*: a port-forward to a ready pod behind the service, where one's rights in its namespace permit it.
- *relay*: a forward to a pod of one's own that relays to the service, where only the network is open.
"""

from __future__ import annotations

from dataclasses import dataclass

from sspcloud_magics.target import Target


@dataclass(frozen=True, slots=True)
class Route:
    """One way to a database.

    Parameters
    ----------
    name
        ``direct``, ``forward`` or ``relay``.
    why
        Why this one, in a few words.
    target, port
        What to forward to; None for the direct one.
    address
        The address that answered, for the direct one.
    """

    name: str
    why: str = ""
    target: Target | None = None
    port: int = 0
    address: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.why})" if self.why else self.name
