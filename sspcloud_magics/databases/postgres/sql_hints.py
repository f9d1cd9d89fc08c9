"""Hints for common mistakes of users who come from Python, a spreadsheet or psql: one hint, after a failure.

A statement is examined only if the server refused it, or if it returned no rows and has a parameter in quotes, a list
after IN, or a comparison with NULL.
So a correct statement never gets a hint.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

from sspcloud_magics.databases.postgres.sql_lexer import Kind, tokens
from sspcloud_magics.i18n import N_, _

SYNTAX, UNDEFINED_COLUMN, UNDEFINED_FUNCTION, UNDEFINED_OBJECT = "42601", "42703", "42883", "42704"
NO_TYPE = ("42P18", "42P08")  # a parameter of indeterminate or ambiguous type

_QUOTED_PARAMETER = re.compile(r"'\s*:([^\W\d]\w*)\s*'|'\s*(?:\$?\{\s*(?=\w+\s*\})|\$)([^\W\d]\w*)\s*\}?\s*'")
_PARAMETER_IN_PATTERN = re.compile(r"'([%_]*)(?::([^\W\d]\w*)|\{\s*([^\W\d]\w*)\s*\})([%_]*)'")
_TEXT_WITH_NUMBER = re.compile(
    r"operator does not exist: (?:(?:text|character varying|character) ([<>=]+) (?:integer|bigint|numeric)"
    r"|(?:integer|bigint|numeric) ([<>=]+) (?:text|character varying|character)$)"
)
_NAMES_FOLLOW = frozenset({"from", "join", "into", "update", "table", "only", "truncate", "."})
_COMPARISON = re.compile(
    r"(?:(?<![-+*/<>=~!@#%^&|`?])(?:=|[<>]=?|<>|!=)|\b(?:i?like|between|and|in\s*\((?:\s*'[^']*'\s*,)*))\Z",
    re.IGNORECASE,
)
_ODD_SPACES = re.compile("[\u00a0\u1680\u2000-\u200d\u202f\u205f\u2060\u3000\ufeff]")
# Characters of word processors and of MySQL, and what SQL has instead.
_TYPOGRAPHIC = {
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019\u201a", "'"),
    **dict.fromkeys("\u2013\u2014\u2212", "-"),
    "`": '"',
    "≥": ">=",
    "≤": "<=",
    "≠": "<>",
}
_PYTHON_STRING = re.compile(r"\s*(?:\w+\s*=\s*)?[fFrRbB]{0,2}(?:\"|')")
_FOREIGN_COMMAND = re.compile(
    r"\s*(?:\\d\w*\+?|desc(?:ribe)?)\s+(?P<table>[^\s;]+)[\s;]*\Z"
    r"|\s*(?:\\\w|show\s+(?:full\s+)?(?:tables|databases|schemas|columns)\b|use\s+\S+[\s;]*\Z)",
    re.IGNORECASE,
)
_FOREIGN_PARAMETER = re.compile(
    r"%\(\s*(?P<python>[^\W\d]\w*)\s*\)s|\$?\{+\s*(?P<braces>[^\W\d]\w*)\s*(?P<more>[^{}]*)\}"
    r"|\$(?P<shell>[^\W\d]\w*)|:(?:\s+|(?P<quote>['\"]))(?P<psql>[^\W\d]\w*)(?(quote)(?P=quote))|%s\b"
)
_PARAMETER_IN_NAME = re.compile(r":(\w+)|\{\s*(\w+)\s*\}")


@dataclass(frozen=True, slots=True)
class Slip:
    """A statement that did not do what its author expected."""

    text: str  # the statement as it was written
    # The server's error; empty if there was none.
    sqlstate: str = ""
    message: str = ""
    # The variables that could have been bound: ``'{dep}'`` may also be an array.
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> Sequence[str]:
        """The tokens other than white space and comments, as written."""
        return [self.text[each.start : each.end] for each in tokens(self.text) if each.kind != Kind.SPACE]


def find_slip_hint(
    text: str, sqlstate: str = "", message: str = "", variables: Mapping[str, Any] | None = None
) -> str:
    """Return a hint at the probable intention; empty if no known mistake matches.

    The parameters are those of `Slip`. Without an error, the statement returned no rows.

    Examples
    --------
    >>> find_slip_hint("SELECT * FROM t WHERE dep = ':dep'")
    'in quotes it is a string: write :dep without them'
    """
    slip = Slip(text, sqlstate, message, {} if variables is None else variables)
    for check in _CHECKS if sqlstate else _CHECKS_WITHOUT_ERROR:
        if found := check(slip):
            return found
    return ""


def _hint_foreign_command(slip: Slip) -> str:
    found = _FOREIGN_COMMAND.match(slip.text)
    if slip.sqlstate not in (SYNTAX, UNDEFINED_OBJECT) or found is None:
        return ""
    if table := found["table"]:
        return _("commands of psql and MySQL are not SQL: use %describe_table {table}", table=table)
    return _("commands of psql and MySQL are not SQL: use %tables, %describe_table NAME or %databases")


def _hint_python_string(slip: Slip) -> str:
    if slip.sqlstate == SYNTAX and _PYTHON_STRING.match(slip.text):
        return _("write the SQL itself, without f and quotes; :name is the value of a variable")
    return ""


def _outside_quotes(slip: Slip) -> Iterator[str]:
    return (slip.text[each.start : each.end] for each in tokens(slip.text) if each.kind != Kind.QUOTED)


def _hint_odd_space(slip: Slip) -> str:
    found = next((match[0] for part in _outside_quotes(slip) if (match := _ODD_SPACES.search(part))), None)
    if found is None:
        return ""
    line = slip.text[: slip.text.index(found)].count("\n") + 1
    return _(
        "line {line} has a special space, such as a no-break space, which PostgreSQL treats as a letter: type it again",
        line=line,
    )


def _hint_typography(slip: Slip) -> str:
    """Find a character that a word processor has put in the place of one of SQL's."""
    found = next((each for part in _outside_quotes(slip) for each in part if each in _TYPOGRAPHIC), None)
    if found is None or not (slip.sqlstate == SYNTAX or found in slip.message):
        return ""
    return _("{character} is no character of SQL: write {sql}", character=found, sql=_TYPOGRAPHIC[found])


def _hint_foreign_parameter(slip: Slip) -> str:
    for found in _FOREIGN_PARAMETER.finditer(slip.text):
        if slip.sqlstate != SYNTAX or f'"{found[0][0]}"' not in slip.message:
            continue
        before = re.search(r"(\w+|\.)\s*\Z", slip.text[: found.start()])
        if before and before[1].lower() in _NAMES_FOLLOW:
            return _(_NO_NAME)
        name = "" if found["more"] else found["python"] or found["braces"] or found["shell"] or found["psql"]
        return _("write :{name} for the value of a variable", name=name or "name")
    return ""


def _hint_numbered_parameter(slip: Slip) -> str:
    numbered = any(each.kind == Kind.POSITIONAL for each in tokens(slip.text))
    if numbered or (slip.sqlstate == SYNTAX and "?" in slip.words):
        return _("write :name for the value of a variable")
    return ""


def _hint_list_after_in(slip: Slip) -> str:
    words = slip.words
    for index, word in enumerate(words):
        before = [each.lower() for each in words[max(0, index - 3) : index]]
        if not word.startswith(":") or len(word) == 1:
            continue
        is_bare = before[-1:] == ["in"] and slip.sqlstate == SYNTAX
        is_list = isinstance(slip.variables.get(word[1:]), list | tuple | set | frozenset)
        is_in_parentheses = before[-2:] == ["in", "("] and words[index + 1 : index + 2] == [")"]
        if is_bare or (is_in_parentheses and is_list):
            if before[-2 - is_in_parentheses : -1 - is_in_parentheses] == ["not"]:
                return _("write <> ALL({word}), which accepts a list", word=word)
            return _("write = ANY({word}), which accepts a list", word=word)
    return ""


def _hint_name_as_parameter(slip: Slip) -> str:
    for before, word in pairwise(slip.words):
        if before.lower() in _NAMES_FOLLOW and word.startswith(":") and slip.sqlstate == SYNTAX:
            return _(_NO_NAME)
    return ""


_NO_NAME = N_("a parameter is a value and cannot be a table name: write the name into the statement")


def _hint_null(slip: Slip) -> str:
    """Find a comparison with NULL, which is neither true nor false."""
    words = [each.lower() for each in slip.words]
    if words[:1] not in (["select"], ["with"]):
        return ""
    for before, operator, word in zip(words, words[1:], words[2:], strict=False):
        if word == "null" and operator == "=" and before not in (":", "<", ">", "!"):
            return _("a comparison with NULL is never true: write IS NULL")
        if word == "null" and (before, operator) in (("!", "="), ("<", ">")):
            return _("a comparison with NULL is never true: write IS NOT NULL")
    return ""


def _hint_apostrophe(slip: Slip) -> str:
    """Find a string that an apostrophe ends early: a letter or a wildcard follows it immediately."""
    if slip.sqlstate != SYNTAX:
        return ""
    before = None
    for each in tokens(slip.text):
        text = slip.text[each.start : each.end]
        if before is not None and (each.kind == Kind.WORD or text == "%"):
            string = slip.text[before.start : before.end]
            is_early = slip.text.count("'") % 2 or f'"{text}"' in slip.message
            if string.startswith("'") and len(string) > 2 and is_early:
                return _("double an apostrophe in a string: {example}", example=f"{string}'{text}…")
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
        before, after = slip.text[: each.start].rstrip(), slip.text[each.end :].lstrip()
        if pattern := _PARAMETER_IN_PATTERN.fullmatch(slip.text, each.start, each.end):
            first, *names, last = pattern.groups()
            name = names[0] or names[1]
            if (first or last) and name in slip.variables and re.search(r"\bi?like\Z", before, re.IGNORECASE):
                parts = (f"'{first}'" if first else "", f":{name}", f"'{last}'" if last else "")
                pattern_text = " || ".join(filter(None, parts))
                return _("in quotes it is a string: write {pattern}", pattern=pattern_text)
        found = _QUOTED_PARAMETER.fullmatch(slip.text, each.start, each.end)
        if found is None or not (found[1] or slip.sqlstate or found[2] in slip.variables):
            continue
        is_named = f'"{found[0][1:-1]}"' in slip.message or found[0] in slip.message
        if is_named or _is_compared(before, after):
            return _("in quotes it is a string: write :{name} without them", name=found[1] or found[2])
    return ""


def find_variable_hint(sqlstate: str, message: str, variables: Mapping[str, Any]) -> str:
    """Return a hint at the variable that has the name of an unknown column; empty if there is none.

    The parameters are those of `Slip`.
    """
    found = re.search(r'"([^\W\d]\w*)"', message)
    if sqlstate != UNDEFINED_COLUMN or not found:
        return ""
    is_value = isinstance(variables.get(found[1]), _VALUES)
    return _("write :{name} for the value of a variable", name=found[1]) if is_value else ""


# Values that a user compares with a column.
_VALUES = (str, int, float, Decimal, dt.date, dt.time, list, tuple)


def _is_compared(before: str, after: str) -> bool:
    """Whether a string is compared with a value: otherwise ``'{a}'`` is an array, a path in JSON, or a pattern."""
    operator = _COMPARISON.search(before)
    return (
        operator is not None and not before[: operator.start()].rstrip().endswith("]") and after[:2] != "::"
    )


_CHECKS: tuple[Callable[[Slip], str], ...] = (
    _hint_foreign_command,
    _hint_python_string,
    _hint_foreign_parameter,
    _hint_numbered_parameter,
    _hint_list_after_in,
    _hint_name_as_parameter,
    _hint_apostrophe,
    _hint_double_quotes,
    _hint_text_with_number,
    _hint_untyped_parameter,
    _hint_odd_space,
    _hint_typography,
    _hint_quoted_parameter,
)
_CHECKS_WITHOUT_ERROR = (_hint_quoted_parameter, _hint_list_after_in, _hint_null)
