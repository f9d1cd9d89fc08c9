"""Claims of a JSON Web Token: its expiry, audience and issuer.

The signature is not verified; that is the server's task. The claims serve to renew a token in time, and to
explain a refusal.

Source: RFC 7519 (JSON Web Token).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sspcloud_magics.bounded_json import parse
from sspcloud_magics.i18n import _, format_datetime, format_duration
from sspcloud_magics.secret import Secret


def claims(token: Secret | None) -> Mapping[str, Any]:
    """Return the claims of a JWT; empty if the token is not a JWT."""
    parts = token.reveal().split(".") if token else []
    if len(parts) != 3 or not all(parts):
        return {}
    try:
        found = parse(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def expiry(token: Secret | None) -> datetime | None:
    """Return the expiry of a JWT; None if the token is not a JWT, or states none."""
    return _moment(claims(token).get("exp"))


def lifetime(token: Secret | None) -> timedelta | None:
    """Return the lifetime of a JWT from its issue to its expiry; None if it does not state both."""
    found = claims(token)
    issued, ends = _moment(found.get("iat")), _moment(found.get("exp"))
    return ends - issued if issued and ends and ends > issued else None


def audience(token: Secret | None) -> tuple[str, ...]:
    """Return the audience of a JWT; empty if it states none."""
    found = claims(token).get("aud")
    listed = found if isinstance(found, list) else [found]
    return tuple(each for each in listed if isinstance(each, str))


def expiry_in_words(token: Secret | None) -> str:
    """Return a sentence on when `token` expires or expired; empty if unknown."""
    moment = expiry(token)
    if moment is None:
        return ""
    now = datetime.now(UTC)
    written = format_datetime(moment)
    if moment <= now:
        duration = format_duration(now - moment)
        return _("The token expired {duration} ago: {moment}.", duration=duration, moment=written)
    return _(
        "The token itself says that it is valid for {duration} more, until {moment}: "
        "it was revoked, or a clock is wrong.",
        duration=format_duration(moment - now),
        moment=written,
    )


def _moment(seconds: object) -> datetime | None:
    # Keycloak writes 0 for a token that does not expire.
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
