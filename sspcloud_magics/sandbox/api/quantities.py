"""Quantities such as ``500m`` or ``2Gi``: their value and their canonical form.

Source: k8s.io/apimachinery/pkg/api/resource (Quantity).
"""

from __future__ import annotations

import re
from decimal import Decimal

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]?|[eE][+-]?\d+)")

# Longest number of digits, and largest exponent: larger ones would take seconds or fail.
_LONGEST = 100
# The server caps quantities at this value.
_LARGEST = Decimal(2**63 - 1)


def parse_quantity(value: str | float) -> Decimal:
    """Return the value of a quantity; raise `ValueError` if it is malformed."""
    found = _FORM.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    if len(found[1]) > _LONGEST:
        raise ValueError("unable to parse numeric part of quantity")
    number, suffix = Decimal(found[1]), found[2]
    if suffix in _BINARY:
        number *= Decimal(1024) ** _BINARY[suffix]
    elif suffix in _DECIMAL:
        number = number.scaleb(_DECIMAL[suffix])
    elif len(suffix) > _LONGEST or abs(int(suffix[1:])) > _LONGEST:
        raise ValueError("unable to parse quantity's suffix")
    else:
        number = number.scaleb(int(suffix[1:]))
    return max(-_LARGEST, min(number, _LARGEST))


def format_quantity(number: Decimal, *, binary: bool = False) -> str:
    """Format a number in the largest unit that keeps it whole; `binary` uses powers of 1024 from 1024 on."""
    if binary and abs(number) >= 1024:
        power = max(power for power in range(7) if number % 1024**power == 0)
        return f"{int(number // 1024**power)}{['', *_BINARY][power]}"
    for suffix, exponent in reversed(_DECIMAL.items()):
        scaled = number.scaleb(-exponent)
        if number and scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return "0"


def canonical_quantity(value: str | float) -> str:
    """Return the canonical form of a quantity: ``500m`` for ``0.5``, ``1Gi`` for ``1024Mi``.

    Raise `ValueError` if it is malformed.
    """
    return format_quantity(parse_quantity(value), binary=str(value).strip()[-2:] in _BINARY)
