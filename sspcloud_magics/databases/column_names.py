"""Checks of column names: duplicates, and names that PostgreSQL would truncate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.printable import shorten

MOST_BYTES = 63
"""The length of an identifier in PostgreSQL, in bytes: NAMEDATALEN - 1 of a default build."""

_MOST_LISTED = 5
_NO_CHARACTERS = re.compile("[\0\ud800-\udfff]")  # NUL and lone surrogates


def list_duplicates(names: Iterable[str]) -> list[str]:
    """Return the names that more than one column has, each once."""
    return [name for name, count in Counter(names).items() if count > 1]


def refuse_duplicates(names: Iterable[str], holder: str) -> None:
    """Refuse duplicate column names for a format that does not allow them.

    Parameters
    ----------
    names
        The names of the columns.
    holder
        The format, with its article, for the error: ``a file``.

    Raises
    ------
    UsageProblem
        If two have the same name.
    """
    if found := list_duplicates(names):
        first = found[0]
        raise UsageProblem(
            shorten(f"Several columns are named {first!r}, and {holder} needs unique names."),
            why=f"Duplicates: {', '.join(map(repr, found[:_MOST_LISTED]))}." if len(found) > 1 else "",
            hint=f"rename one: SELECT a.{first}, b.{first} AS {first}_2 … instead of SELECT *",
        )


def refuse_long(names: Iterable[str], what: str) -> None:
    """Refuse names that PostgreSQL would truncate with a mere notice.

    Raises
    ------
    UsageProblem
        If a name is too long, or contains a character that PostgreSQL cannot store.
    """
    for name in names:
        if _NO_CHARACTERS.search(name):
            raise UsageProblem(
                f"The {what} name {name!r} contains a character that PostgreSQL cannot store.",
                hint="rename the columns: df.columns = [...]" if what == "column" else f"rename the {what}",
            )
        size = len(name.encode(errors="replace"))
        if size > MOST_BYTES:
            raise UsageProblem(
                f"A {what} name has {size} bytes, and PostgreSQL allows {MOST_BYTES}.",
                why=f"{name!r} would become {name.encode(errors='replace')[:MOST_BYTES].decode(errors='ignore')!r}.",
                hint=f"rename it: df = df.rename(columns={{{name!r}: '…'}})"
                if what == "column"
                else f"use a shorter {what} name",
            )
