"""How a query is run, apart from its text and its parameters: one value, which every module on its route passes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Numeric: TypeAlias = Literal["float", "decimal"]
"""What a numeric becomes: float64, or exact as objects."""

Progress: TypeAlias = Callable[[int, int, float], None]
"""Is told rows, bytes (0 where they are not known) and seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """Options of a query.

    Parameters
    ----------
    limit
        How many rows to keep of each statement; all where None. A query that only reads is given a LIMIT; of any other
        statement the rest is read and dropped: it is never cancelled for it, since it may change data.
    numeric
        What numeric becomes: ``"float"`` (float64) or ``"decimal"`` (exact, as objects).
    timeout
        How many seconds a statement may take; any time where None.
    json_text
        Whether JSON stays the text that it is.
    progress
        Called after each batch of rows.
    warn
        Called with words, before the first row, where a result may not fit into the memory.
    memory_share
        The share of the free memory from which on `warn` is called.
    ahead
        Called with the names of the answer's columns before the query is sent; what it raises is raised.
    """

    limit: int | None = None
    numeric: Numeric = "float"
    timeout: float | None = None
    json_text: bool = False
    progress: Progress | None = None
    warn: Callable[[str], None] | None = None
    memory_share: float = 0.5
    ahead: Callable[[Sequence[str]], None] | None = None


DEFAULTS = QueryOptions()
