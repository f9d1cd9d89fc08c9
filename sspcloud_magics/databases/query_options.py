"""The options of a query, as one value that the modules pass on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

Numeric: TypeAlias = Literal["float", "decimal"]
"""The Python type for ``numeric``: float64, or exact `decimal.Decimal` objects."""

As: TypeAlias = Literal["pandas", "geopandas", "arrow", "polars"]
"""The type of a query's result."""

Mode: TypeAlias = Literal["new", "append", "replace"]
"""What a load does with the table: create it, add to it, or replace it."""

Progress: TypeAlias = Callable[[int, int, float], None]
"""A progress callback: receives the rows, the bytes (0 if unknown) and the seconds so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """Options of a query.

    Parameters
    ----------
    limit
        The number of rows to keep of each statement; None keeps all. A read-only query gets a LIMIT. The other rows of
        any other statement are read and dropped: the statement may change data, so it is never cancelled.
    numeric
        The type for ``numeric``: ``"float"`` (float64) or ``"decimal"`` (exact, as objects).
    timeout
        The statement timeout in seconds; None for no timeout.
    json_text
        Whether to keep JSON as text.
    progress
        Called after each batch of rows.
    warn
        Called with a message before the first row, if the result may not fit into memory.
    memory_share
        The share of the free memory above which `warn` is called.
    on_columns
        Called with the names of the result's columns before the query runs; its exceptions propagate.
    """

    limit: int | None = None
    numeric: Numeric = "float"
    timeout: float | None = None
    json_text: bool = False
    progress: Progress | None = None
    warn: Callable[[str], None] | None = None
    memory_share: float = 0.5
    on_columns: Callable[[Sequence[str]], None] | None = None


DEFAULTS = QueryOptions()


class Destination(Protocol):
    """A place for the rows of a query that is no local file."""

    def check(self) -> None:
        """Refuse before the query runs, if nothing can be written there."""

    def write(self, parts: Generator[Any, None, None]) -> Any:
        """Write the parts of a result, whole or not at all, close them, and return an `Exported`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The form of a query's result.

    Parameters
    ----------
    as_
        The type of the result.
    to
        A file or another place for the rows; None for a value.
    overwrite
        Whether `to` may replace an existing file.
    from_
        A file with the input of the statement; None for a statement without input.
    chunks
        The number of rows in each chunk of an iterator; None for one result.
    """

    as_: As = "pandas"
    to: str | Path | Destination | None = None
    overwrite: bool = False
    from_: str | Path | None = None
    chunks: int | None = None
