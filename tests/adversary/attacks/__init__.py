"""The attacks, by what makes them work."""

from __future__ import annotations

from tests.adversary.attack import Attack
from tests.adversary.attacks.lasting import LASTING
from tests.adversary.attacks.readers import READERS
from tests.adversary.attacks.shadows import SHADOWS

ATTACKS: tuple[Attack, ...] = (*SHADOWS, *READERS, *LASTING)
NEEDS = ("own", "shared", "rights")
OPEN = {
    "trigger:of-the-owner": "a trigger that he has put on the owner's table goes on calling his function",
    "grants:chained": "a reader who has passed on a right cannot be narrowed: dependent privileges exist",
}
"""The attacks that still succeed, and why: each has a test that says so, and is to leave this table."""


def attacks_on(version: int, needs: str | None = None, extensions: tuple[str, ...] = ()) -> list[Attack]:
    """Return the attacks that work on a version of the server."""
    return [
        attack
        for attack in ATTACKS
        if attack.versions[0] <= version <= attack.versions[1]
        and needs in (None, attack.needs)
        and attack.extension in ("", *extensions)
        and attack.name not in OPEN
    ]
