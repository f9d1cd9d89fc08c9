"""``import sspcloud_magics as ssp``: the functions are there, whatever else was imported before."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import sspcloud_magics as ssp
from sspcloud_magics import session, widgets


@pytest.mark.parametrize("name", ssp.__all__)
def test_each_function_is_the_session_s_and_tells_all_about_itself(name: str) -> None:
    function = getattr(ssp, name)
    assert function is getattr(widgets if name == "panel" else session, name)
    documentation = inspect.getdoc(function) or ""
    assert "Examples\n--------" in documentation
    named = [each for each in inspect.signature(function).parameters if each != "self"]
    assert all(each in documentation for each in named)
    assert name in dir(ssp)


CLASH = """
import {module}
import sspcloud_magics as ssp
assert callable(ssp.forwards) and callable(ssp.databases), (ssp.forwards, ssp.databases)
from sspcloud_magics import forwards, databases
assert forwards is ssp.forwards and databases is ssp.databases
from sspcloud_magics.forwards import Forward
import importlib; importlib.reload(ssp)
assert callable(ssp.forwards) and callable(ssp.databases)
"""


@pytest.mark.parametrize(
    "module", ["sspcloud_magics", "sspcloud_magics.forwards", "sspcloud_magics.databases"]
)
def test_functions_keep_their_names_where_a_subpackage_has_the_same(module: str) -> None:
    subprocess.run([sys.executable, "-c", CLASH.format(module=module)], check=True)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'forwrad'"):
        _ = ssp.forwrad  # type: ignore[attr-defined]
