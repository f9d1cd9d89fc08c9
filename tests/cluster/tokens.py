"""JSON Web Tokens for tests: readable, and without a valid signature."""

from __future__ import annotations

import base64
import json
from typing import Any


def token(**claims: Any) -> str:
    """Return a token with these claims and a signature that is none."""
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256"}, claims))
    return ".".join(
        [*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "c2lnbmF0dXJl"]
    )
