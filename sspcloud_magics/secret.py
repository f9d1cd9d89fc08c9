"""Strings that are hidden from every display.

Passwords and tokens pass through this package inside a `Secret`. Its repr and its formatting show only dots, and it
cannot be pickled: so a traceback with local variables, a log line or a saved notebook cannot hold the value.
Only `Secret.reveal` returns it, where it is sent, and its callers are easy to search for.

Create a `Secret` from outside values by `check_secret`: a library quotes a value that it cannot send in its error.
`without_frames` is for functions that read such values from files and the environment.
"""

from __future__ import annotations

import hmac
import re
import weakref
from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

from sspcloud_magics.i18n import N_, _

HIDDEN = "●●●●●●"

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Form(Enum):
    """A kind of secret: the characters that it may have, and the sentence that explains them to the user."""

    TOKEN = (re.compile(r"[!-~]+"), N_("A token is one word on one line, of ASCII characters."))
    # VSCHAR of RFC 6749, appendix A: what OAuth allows in a refresh token and in a client's secret.
    PHRASE = (re.compile(r"[ -~]+"), N_("It is one line of ASCII characters."))
    PEM = (re.compile(r"[\t\r\n -~]+"), N_("A key is a PEM text, of ASCII characters."))
    # libpq ends the password at the first NUL, and UTF-8 cannot encode lone surrogates.
    PASSWORD = (re.compile(r"[^\0\ud800-\udfff]+"), N_("A password is text, without NUL."))


class Secret:
    """A string that is hidden from every display.

    Parameters
    ----------
    value
        The string to hide.

    Examples
    --------
    >>> password = Secret("correct horse")
    >>> password
    Secret(●●●●●●)
    >>> f"{password}"
    '●●●●●●'
    >>> password.reveal()
    'correct horse'
    """

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        _alive[id(self)] = self

    def reveal(self) -> str:
        """Return the hidden value, for the wire and for nothing else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: it would be readable in the file")


# All secrets of this process by their `id`, for `hide`.
_alive: weakref.WeakValueDictionary[int, Secret] = weakref.WeakValueDictionary()
# In characters. Shorter values, such as an empty password, would match ordinary words.
_SHORTEST = 6


def hide(text: str) -> str:
    """Replace the values of all secrets of this process in a text, except values shorter than 6 characters.

    Examples
    --------
    >>> password = Secret("correct horse")
    >>> hide("they typed 'correct horse'")
    "they typed '●●●●●●'"
    """
    alive = [secret for reference in _alive.valuerefs() if (secret := reference()) is not None]
    for value in sorted({each.reveal() for each in alive}, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, HIDDEN)
    return text


def check_secret(value: object, form: Form, refusal: Callable[[str], Exception]) -> Secret:
    r"""Return a value from outside as a `Secret`, or raise an error if its characters are not allowed.

    Parameters
    ----------
    value
        The value. No error quotes it.
    form
        The kind of secret.
    refusal
        Creates the error from a sentence that says which characters are allowed.

    Examples
    --------
    >>> check_secret("a\nb", Form.TOKEN, ValueError)
    Traceback (most recent call last):
    ValueError: A token is one word on one line, of ASCII characters.
    """
    pattern, sentence = form.value
    if isinstance(value, str) and pattern.fullmatch(value):
        return Secret(value)
    raise refusal(_(sentence))


def without_frames(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function that holds secrets in clear text in its variables, or whose callees do.

    Its errors are raised without the inner frames and without their cause and context, which verbose tracebacks and
    debuggers show. The arguments stay visible, so none of them may be a secret in clear text.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised again below
            error.__cause__ = error.__context__ = None
            raise error.with_traceback(None) from None

    return call
