"""When a token runs out, read from the token itself, so that a refusal can be explained.

Only for words: nothing is verified here, and nothing decided by it.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from sspcloud_magics.cluster.ages import human_duration
from sspcloud_magics.secret import Secret


def expiry(token: Secret | None) -> datetime | None:
    """Return when a JWT expires; None where it is no JWT, or does not say."""
    parts = token.reveal().split(".") if token else []
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None


def expiry_in_words(token: Secret | None, now: datetime | None = None) -> str:
    """Return a sentence on when `token` expires or has expired; empty where nobody can tell."""
    moment = expiry(token)
    if moment is None:
        return ""
    now = now or datetime.now(UTC)
    written = f"{moment:%Y-%m-%d %H:%M} UTC"
    if moment <= now:
        return f"The token expired {human_duration(now - moment)} ago ({written})."
    left = human_duration(moment - now)
    return f"The token itself says that it is valid for {left} more ({written}): it was revoked, or a clock is wrong."
