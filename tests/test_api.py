"""``import sspcloud_magics as ssp``: the functions exist, whatever was imported before."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import sspcloud_magics as ssp
from sspcloud_magics import session, widgets


@pytest.mark.parametrize("name", ssp.__all__)
def test_function_is_the_sessions_and_documented(name: str) -> None:
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
def test_functions_keep_names_of_subpackages(module: str) -> None:
    subprocess.run([sys.executable, "-c", CLASH.format(module=module)], check=True)


def test_missing_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'forwrad'"):
        _ = ssp.forwrad  # type: ignore[attr-defined]


ALONE = """
import importlib, pkgutil, sys
package = importlib.import_module("sspcloud_magics.databases")
for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
    for name in [name for name in sys.modules if name.startswith(package.__name__)]:
        del sys.modules[name]
    importlib.import_module(module.name)
"""


def test_each_database_module_imports_first() -> None:
    """The magics import each at first use: a circular import would break only that module."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
