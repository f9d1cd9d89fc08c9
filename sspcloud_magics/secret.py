"""A value that never shows itself.

Passwords and tokens travel through this package inside a `Secret`: its repr, its formatting and its
pickle say only that something is hidden, so a traceback with local variables, a log line or a saved
notebook cannot hold the value. The one way out is `Secret.reveal`, called where the value leaves for
the wire, and easy to search for.
"""

from __future__ import annotations

import hmac
from typing import NoReturn

HIDDEN = "●●●●●●"


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

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

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
