"""Parsers of command lines whose texts are in the reader's language; argparse's own follow no language."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from sspcloud_magics.i18n.messages import N_, _

# The errors of argparse, whose own texts follow no language, as sentences without the values that were typed.
_PARSE_ERRORS = {
    r"the following arguments are required: (?P<arguments>.*)": N_("the following arguments are required: {arguments}."),
    r"unrecognized arguments: .*": N_("it has an argument too many, or an unknown option."),
    r"ambiguous option: (?P<option>[-\w]+)\S* could match (?P<options>.*)": N_("ambiguous option: {option} could match {options}."),
    # argparse calls an argument without dashes by its name in the code.
    r"argument [a-z_]+: invalid choice: .* \(choose from (?P<choices>.*)\)": N_("invalid choice (choose from {choices})."),
    r"argument (?P<argument>.*?): invalid choice: .* \(choose from (?P<choices>.*)\)": N_("argument {argument}: invalid choice (choose from {choices})."),
    r"argument (?P<argument>.*?): expected one argument": N_("argument {argument}: a value is missing, or begins with a dash."),
    r"argument (?P<argument>.*?): expected at least one argument": N_("argument {argument}: expected at least one argument."),
    r"argument (?P<argument>.*?): ignored explicit argument .*": N_("argument {argument}: it takes no value."),
    r"argument (?P<argument>.*?): invalid int value: .*": N_("argument {argument}: the value is not a whole number."),
    r"argument (?P<argument>.*?): invalid float value: .*": N_("argument {argument}: the value is not a number."),
}  # fmt: skip


def describe_parse_error(message: str) -> str:
    """Translate an error of argparse, and remove quoted values from it, except the choices.

    Examples
    --------
    >>> describe_parse_error("argument --port: invalid int value: 'secret'")
    'argument --port: the value is not a whole number.'
    """
    for pattern, sentence in _PARSE_ERRORS.items():
        if found := re.fullmatch(pattern, message):
            return _(sentence, **found.groupdict())
    message = re.sub(r"(invalid \w+(?: value)?): .*?(?= \(choose from|$)", r"\1", message)
    return f"{message}."


class Parser(argparse.ArgumentParser):
    """A parser with ``--help``, and its titles and errors in the reader's language."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(add_help=False, **keywords)
        self._positionals.title = _("positional arguments")
        self._optionals.title = _("options")
        self.add_argument("-h", "--help", action="help", help=_("show this help message and exit"))

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and end with 2."""
        problem = _("{name}: {problem}", name=self.prog, problem=describe_parse_error(message))
        self.exit(2, f"{self.format_usage()}{problem}\n")
