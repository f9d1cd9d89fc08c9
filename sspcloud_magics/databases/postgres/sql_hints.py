"""Hints for common mistakes of users who come from Python, a spreadsheet or psql: one hint, after a failure.

A statement is examined only if the server refused it, or if it returned no rows and has a parameter in quotes.
So a correct statement never gets a hint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sspcloud_magics.databases.postgres.sql_lexer import Kind, tokens
from sspcloud_magics.i18n import _

SYNTAX, UNDEFINED_COLUMN, UNDEFINED_FUNCTION = "42601", "42703", "42883"
NO_TYPE = ("42P18", "42P08")  # a parameter of indeterminate or ambiguous type

_QUOTED_PARAMETER = re.compile(r"'\s*:([^\W\d]\w*)\s*'|'\s*\{\s*([^\W\d]\w*)\s*\}\s*'")
_TEXT_WITH_NUMBER = re.compile(
    r"operator does not exist: (?:(?:text|character varying|character) ([<>=]+) (?:integer|bigint|numeric)"
    r"|(?:integer|bigint|numeric) ([<>=]+) (?:text|character varying|character)$)"
)
_TABLES_FOLLOW = frozenset({"from", "join", "into", "update", "table", "only", "truncate"})
_COMPARISON = re.compile(
    r"(?:(?<![-+*/<>=~!@#%^&|`?])(?:=|[<>]=?|<>|!=)|\b(?:i?like|between|and|in\s*\((?:\s*'[^']*'\s*,)*))\Z",
    re.IGNORECASE,
)
_ODD_SPACES = re.compile("[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{FIGURE SPACE}\N{ZERO WIDTH SPACE}]")
_PYTHON_STRING = re.compile(r"\s*[fFrRbB]{0,2}(?:\"|')")
_PSQL_COMMAND = re.compile(r"\s*\\(\w+\+?)\s*(\S*)")
_PYTHON_PARAMETER = re.compile(r"%\(\s*([^\W\d]\w*)\s*\)s|\{\s*([^\W\d]\w*)\s*\}|(%s)\b")
_PARAMETER_IN_NAME = re.compile(r":(\w+)|\{\s*(\w+)\s*\}")


@dataclass(frozen=True, slots=True)
class Slip:
    """A statement that did not do what its author expected."""

    text: str  # the statement as it was written
    # The server's error; empty if there was none.
    sqlstate: str = ""
    message: str = ""
    # The names of the variables that could have been bound: ``'{dep}'`` may also be an array.
    variables: Container[str] = ()

    @property
    def words(self) -> Sequence[str]:
        """The tokens other than white space and comments, as written."""
        return [self.text[each.start : each.end] for each in tokens(self.text) if each.kind != Kind.SPACE]


def find_slip_hint(text: str, sqlstate: str = "", message: str = "", variables: Container[str] = ()) -> str:
    """Return a hint at the probable intention; empty if no known mistake matches.

    The parameters are those of `Slip`. Without an error, the statement returned no rows.

    Examples
    --------
    >>> find_slip_hint("SELECT * FROM t WHERE dep = ':dep'")
    'in quotes it is a string: write :dep without them'
    """
    slip = Slip(text, sqlstate, message, variables)
    for check in _CHECKS if sqlstate else (_hint_quoted_parameter,):
        if found := check(slip):
            return found
    return ""


def _hint_psql_command(slip: Slip) -> str:
    found = _PSQL_COMMAND.match(slip.text)
    if slip.sqlstate != SYNTAX or found is None:
        return ""
    if found[1].startswith("d") and found[2]:
        return _("commands of psql are not SQL: use %describe_table {table}", table=found[2].rstrip(";"))
    return _("commands of psql are not SQL: use %tables, %describe_table NAME or %databases")


def _hint_python_string(slip: Slip) -> str:
    if slip.sqlstate == SYNTAX and _PYTHON_STRING.match(slip.text):
        return _("write the SQL itself, without f and quotes; :name is the value of a variable")
    return ""


def _hint_odd_space(slip: Slip) -> str:
    outside = (slip.text[each.start : each.end] for each in tokens(slip.text) if each.kind != Kind.QUOTED)
    found = next((match[0] for part in outside if (match := _ODD_SPACES.search(part))), None)
    if found is None:
        return ""
    line = slip.text[: slip.text.index(found)].count("\n") + 1
    return _(
        "line {line} has a no-break space, which PostgreSQL treats as a letter: type the space again",
        line=line,
    )


def _hint_python_parameter(slip: Slip) -> str:
    found = _PYTHON_PARAMETER.search(slip.text)
    if found and slip.sqlstate == SYNTAX and f'"{found[0][0]}"' in slip.message:
        return _("write :{name} for the value of a variable", name=found[1] or found[2] or "name")
    return ""


def _hint_numbered_parameter(slip: Slip) -> str:
    numbered = any(each.kind == Kind.POSITIONAL for each in tokens(slip.text))
    if numbered or (slip.sqlstate == SYNTAX and "?" in slip.words):
        return _("write :name for the value of a variable")
    return ""


def _hint_list_after_in(slip: Slip) -> str:
    for before, word in pairwise(slip.words):
        if before.lower() == "in" and word.startswith(":") and slip.sqlstate == SYNTAX:
            return _("write = ANY({word}), which accepts a list", word=word)
    return ""


def _hint_name_as_parameter(slip: Slip) -> str:
    for before, word in pairwise(slip.words):
        if before.lower() in _TABLES_FOLLOW and word.startswith(":") and slip.sqlstate == SYNTAX:
            return _("a parameter is a value and cannot be a table name: write the name into the statement")
    return ""


def _hint_apostrophe(slip: Slip) -> str:
    """Find a string that an apostrophe ends early: a letter follows it immediately."""
    if slip.sqlstate != SYNTAX:
        return ""
    before = None
    for each in tokens(slip.text):
        if before is not None and each.kind == Kind.WORD:
            text = slip.text[before.start : before.end]
            if text.startswith("'") and len(text) > 2 and slip.text.count("'") % 2:
                example = f"{text}'{slip.text[each.start : each.end]}…"
                return _("double an apostrophe in a string: {example}", example=example)
        before = each if each.kind == Kind.QUOTED else None
    return ""


def _hint_double_quotes(slip: Slip) -> str:
    found = re.search(r'"([^"]*)"', slip.message)
    if slip.sqlstate != UNDEFINED_COLUMN or not found or found[0] not in slip.text:
        return ""
    if parameter := _PARAMETER_IN_NAME.fullmatch(found[1]):
        return _("in quotes it is a name: write :{name} without them", name=parameter[1] or parameter[2])
    text = found[1].replace("'", "''")
    return _("double quotes enclose a column name: write a string in single quotes: '{text}'", text=text)


def _hint_text_with_number(slip: Slip) -> str:
    found = _TEXT_WITH_NUMBER.search(slip.message)
    if slip.sqlstate == UNDEFINED_FUNCTION and found and any(word[0].isdigit() for word in slip.words):
        return _(
            "one side is of type text: write the number in single quotes, such as {operator} '35'",
            operator=found[1] or found[2],
        )
    return ""


def _hint_untyped_parameter(slip: Slip) -> str:
    names = list(dict.fromkeys(word for word in slip.words if re.match(r":[^\W\d]", word)))
    found = re.search(r"\$(\d+)", slip.message)
    # The number may refer to a parameter of a function.
    if slip.sqlstate in NO_TYPE and found and 0 < int(found[1]) <= len(names):
        return _(
            "cast the parameter to a type, such as CAST({parameter} AS text)",
            parameter=names[int(found[1]) - 1],
        )
    return ""


def _hint_quoted_parameter(slip: Slip) -> str:
    for each in tokens(slip.text):
        found = _QUOTED_PARAMETER.fullmatch(slip.text, each.start, each.end)
        if found is None or not (found[1] or slip.sqlstate or found[2] in slip.variables):
            continue
        is_named = f'"{found[0][1:-1]}"' in slip.message or found[0] in slip.message
        if is_named or _is_compared(slip.text[: each.start].rstrip(), slip.text[each.end :].lstrip()):
            return _("in quotes it is a string: write :{name} without them", name=found[1] or found[2])
    return ""


def _is_compared(before: str, after: str) -> bool:
    """Whether a string is compared with a value: otherwise ``'{a}'`` is an array, a path in JSON, or a pattern."""
    operator = _COMPARISON.search(before)
    return (
        operator is not None and not before[: operator.start()].rstrip().endswith("]") and after[:2] != "::"
    )


_CHECKS: tuple[Callable[[Slip], str], ...] = (
    _hint_psql_command,
    _hint_python_string,
    _hint_python_parameter,
    _hint_numbered_parameter,
    _hint_list_after_in,
    _hint_name_as_parameter,
    _hint_apostrophe,
    _hint_double_quotes,
    _hint_text_with_number,
    _hint_untyped_parameter,
    _hint_odd_space,
    _hint_quoted_parameter,
)
