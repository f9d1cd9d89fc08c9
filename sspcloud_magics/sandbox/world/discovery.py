"""The Secret by which Onyxia tells other services of a database, the same in both charts of Postgres.

The port in it is raw digits where everything else is base64: so it is in the charts.
"""

from __future__ import annotations

from collections.abc import Mapping

from sspcloud_magics.sandbox.controllers.cnpg import encoded
from sspcloud_magics.sandbox.store import Obj
from sspcloud_magics.sandbox.world.databases import Plan
from sspcloud_magics.sandbox.world.objects import make


def discovery_secret(
    namespace: str, release: str, service: str, content: Plan, labels: Mapping[str, str]
) -> Obj:
    """Return the discovery Secret of a release whose database, behind `service`, holds `content`."""
    values = {
        "postgres-service": service,
        "postgres-username": content.owner,
        "password": content.owner_password,
        "postgres-password": content.superuser_password,
        "postgres-database": content.database,
    }
    return make(
        "v1",
        "Secret",
        namespace,
        f"discoverable-{release}",
        labels=labels,
        annotations={"onyxia/discovery": "postgres"},
        type="Opaque",
        data=encoded(values) | {"postgres-port": "5432"},
    )
