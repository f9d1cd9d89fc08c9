"""What there is when the sandbox has started.

============ ===========================================================================================
namespace    what runs in it
============ ===========================================================================================
user-alice   ``postgresql-cnpg-951239`` with the practice data, which Bob may read; ``postgresql-cnpg-204871``,
             hibernated; ``mon-api``
user-bob     nothing: a colleague's
user-carol   ``postgresql-439617``, of the older chart
============ ===========================================================================================
"""

from __future__ import annotations

from sspcloud_magics.sandbox.store import Store
from sspcloud_magics.sandbox.world import colleague, people, postgres_bitnami, postgres_cnpg, web_api
from sspcloud_magics.sandbox.world.databases import Plan
from sspcloud_magics.sandbox.world.seed import Seed

ALICE, CAROL = people.namespace_of("alice"), people.namespace_of("carol")
PODS = 3
"""How many pods run in it."""
SHARED, HIBERNATED, OLDER = "postgresql-cnpg-951239", "postgresql-cnpg-204871", "postgresql-439617"


def plans(seed: Seed) -> dict[tuple[str, str], Plan]:
    """Return what the world's databases hold, by namespace and release."""
    bob = colleague.guest(seed, "bob")
    return {
        (ALICE, SHARED): postgres_cnpg.plan(seed, ALICE, SHARED, survey=True, guests=(bob,)),
        (ALICE, HIBERNATED): postgres_cnpg.plan(seed, ALICE, HIBERNATED),
        (CAROL, OLDER): postgres_bitnami.plan(seed, CAROL, OLDER),
    }


def create(store: Store, seed: Seed) -> None:
    """Make everything."""
    people.settle(store)
    contents = plans(seed)
    shared = contents[ALICE, SHARED]
    postgres_cnpg.install(store, ALICE, SHARED, shared)
    postgres_cnpg.install(store, ALICE, HIBERNATED, contents[ALICE, HIBERNATED], hibernated=True)
    postgres_bitnami.install(store, CAROL, OLDER, contents[CAROL, OLDER])
    web_api.install(store, ALICE)
    (bob,) = shared.guests
    colleague.invite(store, ALICE, SHARED, database=shared.database, person="bob", login=bob)
