"""An array that grows at its end: some million values come in pieces, and are in memory once.

Pieces that are joined at the end are in memory twice, and the second copy is what takes the time: the system has to clear each page of it.
Here they are written into one mapping of memory of their own, which is made larger when it is full. Linux then moves pages, not bytes
(`mremap`), and gives large pages where it is asked to, as NumPy asks: a fifth of the time. Elsewhere what is there is copied into a new
mapping. A mapping goes back to the system with its array; what malloc gave would not.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

_LEAST = 1 << 20
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
_MOVES_PAGES = sys.platform == "linux"
_LARGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)
_WORTH_LARGE_PAGES = 4 << 20


class GrowingArray:
    """One dimension of values that are no Python objects.

    Parameters
    ----------
    dtype
        Of the values.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._length = 0
        self._pages = _map_memory(_LEAST)

    def extend(self, pieces: Sequence[npt.NDArray[Any]]) -> None:
        """Add values at the end."""
        length = self._length + sum(map(len, pieces))
        if length * self._dtype.itemsize > len(self._pages):
            self._resize(2 * length * self._dtype.itemsize)
        np.concatenate(pieces, out=self._values(self._length, length))
        self._length = length

    def finish(self) -> npt.NDArray[Any]:
        """Return the array; nothing can be added afterwards."""
        self._resize(max(1, self._length * self._dtype.itemsize))
        return self._values(0, self._length)

    def _values(self, start: int, end: int) -> npt.NDArray[Any]:
        return np.frombuffer(self._pages, self._dtype, end - start, start * self._dtype.itemsize)

    def _resize(self, size: int) -> None:
        if _MOVES_PAGES:
            self._pages.resize(size)
            _ask_for_large_pages(self._pages)
        elif size > len(self._pages):
            larger = _map_memory(size)
            used = self._length * self._dtype.itemsize
            larger[:used] = self._pages[:used]
            self._pages = larger


def _map_memory(size: int) -> mmap.mmap:
    """Return memory that a forked process gets a copy of, as of any other."""
    return mmap.mmap(-1, size, **_PRIVATE)


def _ask_for_large_pages(pages: mmap.mmap) -> None:
    if _LARGE_PAGES is not None and len(pages) >= _WORTH_LARGE_PAGES:
        with suppress(OSError):  # a kernel that has none
            pages.madvise(_LARGE_PAGES)
