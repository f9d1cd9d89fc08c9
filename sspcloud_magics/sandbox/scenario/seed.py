"""The one secret of a home, from which all its passwords and tokens follow.

So they are the same at each start of a home, different in every other home, and stand in no list.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from sspcloud_magics.sandbox.certificates import write_private


class Seed:
    """The secret kept in `path`, made where it is missing."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            write_private(path, secrets.token_bytes(32))
        self._key = path.read_bytes()

    def __repr__(self) -> str:
        return "Seed(…)"

    def secret(self, purpose: str) -> str:
        """Return 32 letters and digits that belong to `purpose`."""
        digest = hmac.digest(self._key, purpose.encode(), hashlib.sha256)
        return base64.b32encode(digest[:20]).decode().lower()
