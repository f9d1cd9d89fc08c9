"""Assembly of columns into a DataFrame, fast for few rows and with little memory for many.

`pandas.DataFrame` copies every column of a dict, and takes 90 µs for one row: half of the time of a fast query.
Here the pieces are joined column by column, so that only one column exists twice at any time.
Plain columns of the same dtype go directly into a common block, as in pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from sspcloud_magics.databases.postgres.results.column_types import ResultColumn


def make_frame(columns: Sequence[ResultColumn], rows: int) -> pd.DataFrame:
    """Return the columns as a DataFrame, and leave them empty."""
    blocks: list[tuple[Any, list[int]]] = []
    alike: dict[np.dtype[Any], list[int]] = {}
    for place, column in enumerate(columns):
        if column.plain is None:
            blocks.append((column.finish(), [place]))
        else:
            alike.setdefault(column.plain, []).append(place)
    for dtype, places in alike.items():
        if len(places) == 1:
            blocks.append((columns[places[0]].finish().reshape(1, rows), places))
            continue
        block = np.empty((len(places), rows), dtype)
        for row, place in zip(block, places, strict=True):
            columns[place].finish_into(row)
        blocks.append((block, places))
    frame = _assemble(blocks, rows, tuple(column.name for column in columns))
    geometries = [
        columns[places[0]].name for values, places in blocks if type(values).__name__ == "GeometryArray"
    ]
    if geometries and frame.columns.is_unique:
        import geopandas  # noqa: PLC0415 - it has made the geometries

        made: pd.DataFrame = geopandas.GeoDataFrame(frame, geometry=geometries[0])
        return made
    return frame


def _assemble(blocks: Sequence[tuple[Any, list[int]]], rows: int, names: tuple[str, ...]) -> pd.DataFrame:
    index = _make_range_index(rows).view()
    if _from_blocks is not None and names:
        placed = [(values, np.array(places)) for values, places in blocks]
        made: pd.DataFrame = _from_blocks(placed, index=index, columns=_make_column_index(names).view())
        return made
    arrays = {
        place: values[row] if isinstance(values, np.ndarray) else values
        for values, places in blocks
        for row, place in enumerate(places)
    }
    made = pd.DataFrame({place: arrays[place] for place in sorted(arrays)}, index=index, copy=False)
    made.columns = _make_column_index(names).view()
    return made


@lru_cache(maxsize=64)
def _make_range_index(rows: int) -> pd.RangeIndex:
    return pd.RangeIndex(rows)


@lru_cache(maxsize=64)
def _make_column_index(names: tuple[str, ...]) -> pd.Index[Any]:
    """Return the index of the columns; use a view of it, which shares no mutable state."""
    return pd.Index(names)


# pandas 3 and newer; older versions take the slower route by a dict.
_from_blocks: Any = getattr(getattr(pd.api, "internals", None), "create_dataframe_from_blocks", None)
