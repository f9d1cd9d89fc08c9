"""Checks of column names: duplicates, and names that PostgreSQL would truncate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _
from sspcloud_magics.printable import shorten

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES = 63
"""The length of an identifier in PostgreSQL, in bytes: NAMEDATALEN - 1 of a default build."""

FOR_A_FILE = N_("Several columns are named {first!r}, and a file needs unique names.")
"""The refusal of duplicate names in a file."""

FOR_DASK = N_("Several columns are named {first!r}, and a Dask DataFrame needs unique names.")
"""The refusal of duplicate names in a Dask DataFrame."""

FOR_POLARS = N_("Several columns are named {first!r}, and a polars DataFrame needs unique names.")
"""The refusal of duplicate names in a polars DataFrame."""

_MOST_LISTED = 5
_NO_CHARACTERS = re.compile("[\0\ud800-\udfff]")  # NUL and lone surrogates


def list_columns(frame: pd.DataFrame) -> list[str]:
    """Return the names of a DataFrame's columns for a table.

    Raises
    ------
    UsageProblem
        If one is empty or not unique, or there is none.
    """
    names = [str(column) for column in frame.columns]
    if len(set(names)) != len(names) or not names or "" in names:
        raise UsageProblem(
            _("The columns of a table need unique names."), hint=_("rename the columns: df.columns = [...]")
        )
    return names


def list_duplicates(names: Iterable[str]) -> list[str]:
    """Return the names that more than one column has, each once."""
    return [name for name, count in Counter(names).items() if count > 1]


def refuse_duplicates(names: Iterable[str], refusal: str) -> None:
    """Refuse duplicate column names for a format that does not allow them.

    Parameters
    ----------
    names
        The names of the columns.
    refusal
        The error's first sentence: `FOR_A_FILE`, `FOR_DASK` or `FOR_POLARS`.

    Raises
    ------
    UsageProblem
        If two have the same name.
    """
    if found := list_duplicates(names):
        first = found[0]
        raise UsageProblem(
            shorten(_(refusal, first=first)),
            why=_("Duplicates: {names}.", names=", ".join(map(repr, found[:_MOST_LISTED])))
            if len(found) > 1
            else "",
            hint=_("rename one: SELECT a.{first}, b.{first} AS {first}_2 … instead of SELECT *", first=first),
        )


def refuse_long(names: Iterable[str], what: Literal["column", "table"]) -> None:
    """Refuse names of columns or of a table that PostgreSQL would truncate with a mere notice.

    Raises
    ------
    UsageProblem
        If a name is too long, or contains a character that PostgreSQL cannot store.
    """
    for name in names:
        if _NO_CHARACTERS.search(name):
            raise UsageProblem(
                _("The column name {name!r} contains a character that PostgreSQL cannot store.", name=name)
                if what == "column"
                else _(
                    "The table name {name!r} contains a character that PostgreSQL cannot store.", name=name
                ),
                hint=_("rename the columns: df.columns = [...]")
                if what == "column"
                else _("rename the table"),
            )
        size = len(name.encode(errors="replace"))
        if size > MOST_BYTES:
            raise UsageProblem(
                _("A column name has {size} bytes, and PostgreSQL allows {most}.", size=size, most=MOST_BYTES)
                if what == "column"
                else _(
                    "A table name has {size} bytes, and PostgreSQL allows {most}.", size=size, most=MOST_BYTES
                ),
                why=_(
                    "{name!r} would become {truncated!r}.",
                    name=name,
                    truncated=name.encode(errors="replace")[:MOST_BYTES].decode(errors="ignore"),
                ),
                hint=_("rename it: df = df.rename(columns={{{name!r}: '…'}})", name=name)
                if what == "column"
                else _("use a shorter table name"),
            )
