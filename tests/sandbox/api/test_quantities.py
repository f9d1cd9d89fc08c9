"""Limits of quantities."""

from __future__ import annotations

import pytest

from sspcloud_magics.sandbox.api.quantities import canonical_quantity


@pytest.mark.parametrize(
    "value", ["1e999999", "1e99999999999", "1E-101", "1e" + "9" * 5000, "9" * 101, "many"]
)
def test_boundless_quantity_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="quantit"):
        canonical_quantity(value)


@pytest.mark.parametrize("value", ["1e100", "9" * 99 + "Ki", "100E"])
def test_larger_quantity_is_the_largest(value: str) -> None:
    assert canonical_quantity(value) == str(2**63 - 1)
