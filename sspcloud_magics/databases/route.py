"""The route to a database, and the reason for it.

- *direct*: TCP to the service's name inside the cluster, if the network policies allow it.
- *forward*: a port-forward to a ready pod of the service, if your permissions in its namespace allow it.
- *relay*: a forward to a pod of yours that relays to the service, if only the network policies allow it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sspcloud_magics.i18n import N_, _
from sspcloud_magics.target import Target

ROUTE_NAMES = {"direct": N_("direct"), "forward": N_("forward"), "relay": N_("relay")}
"""The words for the names of routes."""


@dataclass(frozen=True, slots=True)
class Route:
    """The route to a database."""

    name: str  # ``direct``, ``forward`` or ``relay``
    why: str = ""  # the reason for this route, in a few words
    # The target of the forward; None for a direct route.
    target: Target | None = None
    port: int = 0
    address: str | None = None  # the address that answered, for a direct route

    def __str__(self) -> str:
        name = _(ROUTE_NAMES[self.name]) if self.name in ROUTE_NAMES else self.name
        return f"{name} ({self.why})" if self.why else name
