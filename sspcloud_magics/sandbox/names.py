"""Random and hashed suffixes of names, in Kubernetes' alphabet: without vowels, so that none spells a word."""

from __future__ import annotations

import hashlib
import json
import secrets

from sspcloud_magics.sandbox.store import Obj

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def suffix() -> str:
    """Return a random suffix."""
    return "".join(secrets.choice(_LETTERS) for _ in range(5))


def template_hash(template: Obj) -> str:
    """Return the hash of a pod template that is part of its pods' names."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:10])
