"""The help of magics and settings, which ``%NAME?`` and ``%config SSPCloud`` show, in the language of the reader.

IPython shows the docstring of a magic, which `magic_arguments` writes once from the parser. After a change of the language,
each docstring is written again from the English texts, which are kept here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from traitlets.config import Configurable

from sspcloud_magics.i18n import N_, _

# The titles that argparse gives to its groups.
_TITLES = (N_("positional arguments"), N_("options"))

# The English texts by object, set when an object is first translated.
_english: dict[int, str] = {}


def translate_help(magics: Iterable[type], settings: type[Configurable]) -> None:
    """Write the help of magics and settings in the current language.

    Parameters
    ----------
    magics
        The classes of the magics.
    settings
        The class of the settings.
    """
    for functions in magics:
        for function in vars(functions).values():
            if hasattr(function, "parser"):
                _translate_magic(function)
    for trait in settings.class_traits(config=True).values():
        trait.help = _translate(trait, str(trait.help))


def _translate_magic(function: Any) -> None:
    parser = function.parser
    parser.description = _translate(parser, inspect.cleandoc(parser.description or ""))
    for group in parser._action_groups:  # noqa: SLF001 - argparse gives no other way to its titles
        group.title = _translate(group, group.title)
        for action in group._group_actions:  # noqa: SLF001 - as above
            action.help = _translate(action, action.help or "")
    function.__doc__ = parser.format_help()


def _translate(owner: object, text: str) -> str:
    english = _english.setdefault(id(owner), text)
    return _(english) if english else ""
