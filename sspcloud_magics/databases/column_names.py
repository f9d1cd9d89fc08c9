"""Names of columns that cannot be kept: twins where each needs a name of its own, and names that PostgreSQL would cut."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.printable import shorten

MOST_BYTES = 63
"""What PostgreSQL keeps of a name: NAMEDATALEN - 1, as it is built everywhere."""

_MOST_LISTED = 5
_NO_CHARACTERS = re.compile("[\0\ud800-\udfff]")  # NUL, and halves of characters


def twins(names: Iterable[str]) -> list[str]:
    """Return the names that more than one column has, each once."""
    return [name for name, count in Counter(names).items() if count > 1]


def refuse_twins(names: Iterable[str], holder: str) -> None:
    """Refuse columns of the same name for what holds one of a name.

    Parameters
    ----------
    names
        The names of the columns.
    holder
        What cannot hold them, with its article.

    Raises
    ------
    UsageProblem
        If two have the same name.
    """
    if found := twins(names):
        first = found[0]
        raise UsageProblem(
            shorten(f"Several columns are named {first!r}, and {holder} holds one of a name."),
            why=f"So it is with {', '.join(map(repr, found[:_MOST_LISTED]))}." if len(found) > 1 else "",
            hint=f"give each a name of its own: SELECT a.{first}, b.{first} AS {first}_2 … instead of SELECT *",
        )


def refuse_long(names: Iterable[str], what: str) -> None:
    """Refuse names that PostgreSQL would cut without an error.

    Raises
    ------
    UsageProblem
        If one is too long, or has a character that is no part of a name.
    """
    for name in names:
        if _NO_CHARACTERS.search(name):
            raise UsageProblem(
                f"The name {name!r} of a {what} has a character that PostgreSQL cannot hold.",
                hint="df.columns = [...]" if what == "column" else f"name the {what} without it",
            )
        size = len(name.encode(errors="replace"))
        if size > MOST_BYTES:
            raise UsageProblem(
                f"The name of a {what} has {size} bytes, and PostgreSQL keeps {MOST_BYTES}.",
                why=f"It is {name!r}, and would become {name.encode(errors='replace')[:MOST_BYTES].decode(errors='ignore')!r}.",
                hint=f"df = df.rename(columns={{{name!r}: '…'}})"
                if what == "column"
                else f"name the {what} in fewer characters",
            )
