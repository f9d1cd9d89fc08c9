"""Validate the arguments of a command, which come from the browser and are not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

Command: TypeAlias = Mapping[str, Any]
LONGEST = 512
"""Maximum length of a text, in characters."""


def text(command: Command, name: str) -> str:
    """Return a text that is not empty.

    Raises
    ------
    UsageProblem
        If the command has no such argument.
    """
    value = command.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST:
        raise UsageProblem(_("The button sent no valid {name}.", name=name))
    return value.strip()


def number(command: Command, name: str) -> int:
    """Return an integer.

    Raises
    ------
    UsageProblem
        If the command has no such argument.
    """
    value = command.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageProblem(_("The button sent no valid {name}.", name=name))
    return value


def names(command: Command, name: str) -> list[str]:
    """Return the chosen names; an empty list stands for ``all``.

    Raises
    ------
    UsageProblem
        If nothing was chosen, or the argument is not a list of names.
    """
    value = command.get(name)
    if value == "all":
        return []
    chosen = value if isinstance(value, list) else []
    if not chosen or not all(isinstance(each, str) and 0 < len(each) <= LONGEST for each in chosen):
        raise UsageProblem(_("The button sent no valid {name}.", name=name), hint=_("choose at least one"))
    return chosen


def words(command: Command, name: str) -> list[str]:
    """Return the words of a text, which may be empty, separated by blanks, commas or semicolons.

    Raises
    ------
    UsageProblem
        If the argument is not a text.
    """
    value = command.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST:
        raise UsageProblem(_("The button sent no valid {name}.", name=name))
    return value.replace(",", " ").replace(";", " ").split()
