"""An array that grows at its end, so that millions of values arrive in pieces without a second copy.

Joining the pieces at the end would hold them in memory twice. The second copy is the slow part: the kernel has to
clear each of its pages. Here the pieces go into one anonymous memory mapping, which is enlarged when it is full.
On Linux, `mremap` moves pages instead of bytes, and `madvise` requests huge pages, as NumPy does: a fifth of the time.
On other systems the contents are copied into a larger mapping.
The memory of a mapping returns to the system with its array; memory from malloc might not.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

# The size of a new mapping, in bytes.
_LEAST = 1 << 20
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
_MOVES_PAGES = sys.platform == "linux"
_LARGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)
# The size in bytes from which on huge pages are requested: NumPy's own threshold.
_WORTH_LARGE_PAGES = 4 << 20


class GrowingArray:
    """A one-dimensional array of a dtype other than object.

    Parameters
    ----------
    dtype
        The dtype of the values.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        # The number of values so far; `_pages` has room for more.
        self._length = 0
        self._pages = _map_memory(_LEAST)

    def extend(self, pieces: Sequence[npt.NDArray[Any]]) -> None:
        """Append pieces."""
        length = self._length + sum(map(len, pieces))
        if length * self._dtype.itemsize > len(self._pages):
            self._resize(2 * length * self._dtype.itemsize)
        np.concatenate(pieces, out=self._values(self._length, length))
        self._length = length

    def finish(self) -> npt.NDArray[Any]:
        """Return the array, which cannot grow any more."""
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
    """Return private memory: a forked process gets its own copy."""
    return mmap.mmap(-1, size, **_PRIVATE)


def _ask_for_large_pages(pages: mmap.mmap) -> None:
    if _LARGE_PAGES is not None and len(pages) >= _WORTH_LARGE_PAGES:
        with suppress(OSError):  # a kernel without huge pages
            pages.madvise(_LARGE_PAGES)
