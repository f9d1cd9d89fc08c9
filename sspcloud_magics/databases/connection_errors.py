"""Errors of connections that all kinds of databases raise in the same words."""

from __future__ import annotations

from sspcloud_magics.errors import ConnectionLost, DatabaseUnavailable
from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.printable import shorten
from sspcloud_magics.secret import Secret


def quote_refusal(message: str, password: Secret | None) -> str:
    """Quote a server's message about a failed login, unless it contains the password."""
    if password and password.reveal() in message:
        # Hiding only the password would reveal it, since the rest of the message is known.
        return _("The server's message contains the password, so it is not shown.")
    return quote_words(shorten(message))


def make_unavailable(place: str, why: str) -> DatabaseUnavailable:
    """Return the error for a login that failed for no better known reason."""
    return DatabaseUnavailable(
        _("The connection to {place} failed.", place=place),
        why=why,
        hint=_("check the tunnel with %forwards, and the pod with %k8s_pods"),
    )


def make_lost(place: str, why: str, *, in_transaction: bool) -> ConnectionLost:
    """Return the error for a connection that ended during use."""
    if in_transaction:
        return ConnectionLost(
            _("The connection to {place} was lost; its transaction is rolled back.", place=place),
            why=why,
            hint=_("run the transaction again from its BEGIN: the connection is restored"),
        )
    return ConnectionLost(
        _("The connection to {place} ended.", place=place),
        why=why,
        hint=_("run the cell again: the connection is restored, without its temporary tables"),
    )
