"""The front end and the package belong together: one version, one set of errors, one set of orders."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import sspcloud_magics
from sspcloud_magics import errors
from sspcloud_magics.widgets.orders import ORDERS

SOURCES = Path(__file__).resolve().parent.parent.parent / "labextension"


def test_both_have_one_version() -> None:
    package = json.loads((SOURCES / "package.json").read_text())
    assert package["version"] == sspcloud_magics.__version__


def test_every_error_has_a_name_in_french_or_its_family_has() -> None:
    named = set(re.findall(r"^  (\w+):", (SOURCES / "src/view/words/errors.ts").read_text(), re.MULTILINE))
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.SspcloudError)
    ]
    assert len(kinds) > 20
    families = {kind: kind.__mro__[1] for kind in kinds if kind.__mro__[1] is not errors.SspcloudError}
    assert [
        kind.__name__ for kind in kinds if not {kind.__name__, families.get(kind, kind).__name__} & named
    ] == []


def test_the_view_gives_only_orders_that_there_are() -> None:
    given = set(re.findall(r'\{ do: "([^"]+)"', (SOURCES / "src/view/orders.ts").read_text()))
    assert given
    assert given <= set(ORDERS)


def test_the_lock_file_names_no_address() -> None:
    assert "://" not in (SOURCES / "yarn.lock").read_text()
