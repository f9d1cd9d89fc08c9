"""Ends of names, in the letters that Kubernetes uses: no vowels nor what looks like them, so that no name is a word."""

from __future__ import annotations

import hashlib
import json
import secrets

from sspcloud_magics.sandbox.store import Obj

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def suffix(length: int = 5) -> str:
    """Return a random end of a name."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def template_hash(template: Obj) -> str:
    """Return the name that a pod template has in the names of its pods."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:10])
