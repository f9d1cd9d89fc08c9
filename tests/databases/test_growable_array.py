"""Arrays that grow, where the system moves pages and where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from sspcloud_magics.databases import growable_array
from sspcloud_magics.databases.growable_array import GrowingArray


@pytest.mark.parametrize("moves_pages", [growable_array._MOVES_PAGES, False])
@pytest.mark.parametrize("dtype", ["int64", "bool", "M8[us]", "float32"])
def test_array_keeps_its_values_while_it_grows(monkeypatch, dtype, moves_pages):
    monkeypatch.setattr(growable_array, "_MOVES_PAGES", moves_pages)
    monkeypatch.setattr(growable_array, "_LEAST", 4096)
    monkeypatch.setattr(growable_array, "_WORTH_LARGE_PAGES", 8192)
    pieces = [np.arange(start, start + 1000).astype("i8").astype(dtype) for start in range(0, 50_000, 1000)]
    grown = GrowingArray(np.dtype(dtype))
    for first, second in zip(pieces[::2], pieces[1::2], strict=True):
        grown.extend([first, second])
    array = grown.finish()
    np.testing.assert_array_equal(array, np.concatenate(pieces))
    array[0] = array[1]
    assert array[0] == array[1]


def test_it_may_stay_empty():
    grown = GrowingArray(np.dtype("float64"))
    grown.extend([np.empty(0)])
    assert grown.finish().tolist() == []
