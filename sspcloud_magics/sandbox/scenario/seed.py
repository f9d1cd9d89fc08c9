"""The secret from which all passwords and tokens of a home are derived.

They are the same at each start of a home, and different in each home.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from sspcloud_magics.sandbox.certificates import write_private


class Seed:
    """The secret in the file `path`, created if missing."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            write_private(path, secrets.token_bytes(32))
        self._key = path.read_bytes()

    def secret(self, purpose: str) -> str:
        """Return the password or token for `purpose`: 32 letters and digits."""
        digest = hmac.digest(self._key, purpose.encode(), hashlib.sha256)
        return base64.b32encode(digest[:20]).decode().lower()
