"""A value that never shows itself.

Passwords and tokens travel through this package inside a `Secret`: its repr, its formatting and its
pickle say only that something is hidden, so a traceback with local variables, a log line or a saved
notebook cannot hold the value. The one way out is `Secret.reveal`, called where the value leaves for
the wire, and easy to search for.

What comes from outside becomes a `Secret` through `check_secret`: a library that gets a value which it cannot send
refuses it in words that quote it. `without_frames` is for the functions that read such values from where they are kept.
"""

from __future__ import annotations

import hmac
import re
import weakref
from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

HIDDEN = "●●●●●●"

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Form(Enum):
    """What a secret is used for: which characters it may have, and the sentence that says so."""

    TOKEN = (re.compile(r"[!-~]+"), "A token is one word on one line, of ASCII characters.")
    # VSCHAR of RFC 6749, appendix A: what OAuth allows in a refresh token and in a client's secret.
    PHRASE = (re.compile(r"[ -~]+"), "It is one line of ASCII characters.")
    PEM = (re.compile(r"[\t\r\n -~]+"), "A key is a PEM text, of ASCII characters.")
    # libpq takes the first NUL for the end, and UTF-8 has no lone surrogates.
    PASSWORD = (re.compile(r"[^\0\ud800-\udfff]+"), "A password is text, without NUL.")


class Secret:
    """A string that is hidden from every display.

    Parameters
    ----------
    value
        What is to be hidden.

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


_alive: weakref.WeakValueDictionary[int, Secret] = weakref.WeakValueDictionary()
_SHORTEST = 6


def hide(text: str) -> str:
    """Return a text without the values of all secrets of this process, but for those that are shorter than any password.

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
    r"""Return a value from outside as a `Secret`, if it can be used as one.

    Parameters
    ----------
    value
        What was read. It is in no error.
    form
        What it is used for.
    refusal
        Makes the error of the sentence that says why the value cannot be used.

    Examples
    --------
    >>> check_secret("a\nb", Form.TOKEN, ValueError)
    Traceback (most recent call last):
    ValueError: A token is one word on one line, of ASCII characters.
    """
    pattern, sentence = form.value
    if isinstance(value, str) and pattern.fullmatch(value):
        return Secret(value)
    raise refusal(sentence)


def without_frames(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function whose variables, or those below, hold secrets in clear.

    Its errors go on without the frames below and without the errors that led to them: a verbose traceback and a
    debugger show both. The arguments stay visible, so none of them may be a secret in clear.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised again, an interruption too
            error.__cause__ = error.__context__ = None
            raise error.with_traceback(None) from None

    return call
