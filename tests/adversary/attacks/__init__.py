"""The attacks, by what makes them work."""

from __future__ import annotations

from tests.adversary.attack import Attack
from tests.adversary.attacks.lasting import LASTING
from tests.adversary.attacks.readers import READERS
from tests.adversary.attacks.shadows import SHADOWS

ATTACKS: tuple[Attack, ...] = (*SHADOWS, *READERS, *LASTING)
NEEDS = ("own", "shared", "rights")


def attacks_on(version: int, needs: str | None = None, extensions: tuple[str, ...] = ()) -> list[Attack]:
    """Return the attacks that work on a version of the server."""
    return [
        attack
        for attack in ATTACKS
        if attack.versions[0] <= version <= attack.versions[1]
        and needs in (None, attack.needs)
        and attack.extension in ("", *extensions)
    ]
