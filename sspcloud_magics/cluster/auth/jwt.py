"""What a token says of itself: when it runs out, for whom it is, from whom.

Nothing is verified here: that is the server's to do. What is read serves to renew a token in time, and to
explain a refusal.

Source: RFC 7519 (JSON Web Token).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sspcloud_magics.bounded_json import parse
from sspcloud_magics.cluster.timefmt import human_duration
from sspcloud_magics.secret import Secret


def claims(token: Secret | None) -> Mapping[str, Any]:
    """Return what a JWT claims; nothing where it is no JWT."""
    parts = token.reveal().split(".") if token else []
    if len(parts) != 3 or not all(parts):
        return {}
    try:
        found = parse(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def expiry(token: Secret | None) -> datetime | None:
    """Return when a JWT expires; None where it is no JWT, or does not say."""
    return _moment(claims(token).get("exp"))


def lifetime(token: Secret | None) -> timedelta | None:
    """Return how long a JWT was valid when it was issued; None where it does not say."""
    found = claims(token)
    issued, ends = _moment(found.get("iat")), _moment(found.get("exp"))
    return ends - issued if issued and ends and ends > issued else None


def audience(token: Secret | None) -> tuple[str, ...]:
    """Return for whom a JWT is; nothing where it does not say."""
    found = claims(token).get("aud")
    listed = found if isinstance(found, list) else [found]
    return tuple(each for each in listed if isinstance(each, str))


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


def _moment(seconds: object) -> datetime | None:
    # Keycloak writes 0 for a token that has no end.
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
