"""Conversion of PyMongo's errors into this package's errors, with hints."""

from __future__ import annotations

from pymongo import errors

from sspcloud_magics.databases.connection_errors import make_unavailable, quote_refusal
from sspcloud_magics.errors import (
    ConnectionLost,
    DatabaseError,
    DatabaseUnavailable,
    LoginRefused,
    QueryFailed,
)
from sspcloud_magics.i18n import _, format_number, quote_words
from sspcloud_magics.printable import shorten
from sspcloud_magics.secret import Secret

_UNAUTHORIZED, _AUTHENTICATION_FAILED, _TIME_OUT, _INTERRUPTED = 13, 18, 50, 11601
_NO_SUCH_COMMAND = 59
_NOT_PRIMARY = frozenset({10107, 13435, 10058})


def make_login_error(error: Exception, *, place: str, user: str, password: Secret) -> DatabaseError:
    """Return this package's error for a failed login."""
    words = shorten(str(error))
    why = quote_refusal(str(error), password)
    if isinstance(error, errors.OperationFailure) and error.code in (_AUTHENTICATION_FAILED, _UNAUTHORIZED):
        return LoginRefused(
            _("{place} refuses the user {user}.", place=place, user=user),
            why=why,
            hint=_("check the user, the password and the database, which MongoDB authenticates in"),
        )
    if isinstance(error, errors.ConfigurationError) and "wire version" in words:
        return DatabaseUnavailable(
            _("{place} runs a version of MongoDB that this PyMongo no longer supports.", place=place),
            why=why,
            hint=_(
                '%pip install "pymongo<4.18"   supports MongoDB 4.2\n'
                '%pip install "pymongo<4.14"   supports MongoDB 4.0; restart the kernel afterwards'
            ),
        )
    return make_unavailable(place, why)


def make_error(error: errors.PyMongoError, *, place: str, timeout: float | None) -> DatabaseError:
    """Return this package's error for a failed command."""
    if isinstance(error, errors.OperationFailure):
        if error.code in (_TIME_OUT, _INTERRUPTED) and timeout is not None:
            return QueryFailed(
                _(
                    "The statement was cancelled after its timeout of {timeout} s.",
                    timeout=format_number(timeout),
                ),
                hint=_("raise the timeout, or fetch fewer documents"),
            )
        hint = ""
        if error.code in _NOT_PRIMARY:
            hint = _("the forward leads to a secondary, which takes no writes: stop it, and connect again")
        if error.code == _UNAUTHORIZED:
            hint = _("ask the owner of the database for this privilege")
        if error.code == _NO_SUCH_COMMAND:
            hint = _(
                'begin the document with the command: {"find": "COLLECTION"}, aggregate, count, distinct'
            )
        details = error.details or {}
        message = quote_words(shorten(str(details.get("errmsg") or error)))
        return QueryFailed(f"{message} ({error.code})" if error.code else message, hint=hint)
    if isinstance(error, errors.ConnectionFailure):
        return ConnectionLost(
            _("The connection to {place} ended.", place=place),
            why=quote_words(shorten(str(error))),
            hint=_("run the cell again: PyMongo connects again"),
        )
    return QueryFailed(quote_words(shorten(str(error))))
