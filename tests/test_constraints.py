"""The pins of the environment install on every Python that the package promises."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PINS = [Requirement(line) for line in (ROOT / "tools" / "constraints.txt").read_text().splitlines() if line]


def oldest_python() -> Version:
    """Return the oldest Python that the package promises to run on, with the first of its patches."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (bound,) = SpecifierSet(project["requires-python"])
    assert bound.operator == ">="
    return Version(bound.version)


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_a_pin_installs_on_the_oldest_python(pin: Requirement) -> None:
    """Debian 12's Python is 3.11.2: a package that wants 3.11.5 would stop `make` there, and only there."""
    try:
        installed = metadata.metadata(pin.name)
    except metadata.PackageNotFoundError:
        pytest.skip("not needed on this Python or this system")
    assert installed["Version"] in pin.specifier
    assert SpecifierSet(installed.get("Requires-Python") or "").contains(oldest_python())
