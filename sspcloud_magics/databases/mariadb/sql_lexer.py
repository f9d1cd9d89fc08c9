"""A lexer for MariaDB's SQL that finds parameters and the ends of statements, without I/O.

Users write ``:name`` for a variable of the notebook; MariaDB has ``?``. Strings, quoted identifiers and comments contain
no parameters and end no statement. ``:=`` and ``/*! … */``, whose contents MariaDB executes, stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_STRINGS = r"""
    (?P<quoted> '(?:[^'{escape}]{escaped}|'')*(?:'|\Z) | "(?:[^"{escape}]{escaped}|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) )
"""
_PATTERN = r"""
    (?P<space> \s+ | --(?=[\s]|\Z)[^\n]* | \#[^\n]* | /\*(?!M?!).*?(?:\*/|\Z) )
  | {strings}
  | :(?P<parameter> [^\W\d]\w* )
  | (?P<word> [\w$@]+ )
  | (?P<end> ; )
  | (?P<symbol> . )
"""


def _make_pattern(escape: str, escaped: str) -> re.Pattern[str]:
    strings = _STRINGS.format(escape=escape, escaped=escaped)
    return re.compile(_PATTERN.format(strings=strings), re.VERBOSE | re.DOTALL)


_TOKENS = {True: _make_pattern(r"\\", r"|\\."), False: _make_pattern("", "")}
"""The patterns with and without backslash escapes in strings, which the mode NO_BACKSLASH_ESCAPES turns off."""

_CODE = frozenset({"procedure", "function", "trigger", "event", "package"})
_BLOCKS = frozenset({"begin", "loop", "repeat", "while"})
# Words between CREATE and the kind of object: OR REPLACE AGGREGATE DEFINER = user@host.
_MOST_BETWEEN = 8


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text."""

    text: str  # the statement as it was written, without the semicolon
    pieces: tuple[str, ...]  # the text between its parameters
    # The names of its parameters, in the order of their use, as often as they are used.
    names: tuple[str, ...]
    words: tuple[str, ...]  # its keywords and unquoted identifiers, in lower case


@lru_cache(maxsize=128)
def statements(text: str, *, backslashes: bool = True) -> tuple[Statement, ...]:
    """Return the statements of a text in order, without those that consist only of comments.

    The body of stored code contains semicolons: a statement that creates code with a block is the last of its text.

    Parameters
    ----------
    text
        SQL, with ``:name`` for each parameter.
    backslashes
        Whether a backslash in a string escapes the next character.

    Examples
    --------
    >>> [only] = statements("select * from t where a = :a and b <> ':b' and c > :a")
    >>> only.pieces, only.names
    (('select * from t where a = ', " and b <> ':b' and c > ", ''), ('a', 'a'))
    """
    found: list[Statement] = []
    begun = _Begun()
    for token in _TOKENS[backslashes].finditer(text):
        if token.lastgroup == "end" and not begun.is_code:
            found += begun.finish()
            begun = _Begun()
        else:
            begun.take(token)
    return (*found, *begun.finish())


def mask(text: str) -> str:
    r"""Return a text of the same length, which the lexer of PostgreSQL's SQL reads as MariaDB reads this one.

    The contents of comments and strings are blank, and identifiers have double quotes.

    Examples
    --------
    >>> mask("SELECT `a`, 'it' # note")
    'SELECT "a", \'  \' --    '
    """
    return "".join(map(_mask_token, _TOKENS[True].finditer(text)))


def _mask_token(token: re.Match[str]) -> str:
    text = token.group()
    if token.lastgroup == "space" and not text.isspace():
        begin = "--"[: len(text)] if text[0] == "#" else text[:2]
        end = text[-2:] if begin == "/*" and text.endswith("*/") and len(text) > len("/*/") else ""
        return begin + _CONTENT.sub(" ", text[len(begin) : len(text) - len(end)]) + end
    if text[0] == "`":
        return text.replace('"', "_").replace("`", '"')
    if token.lastgroup == "quoted":
        end = "'" if _CLOSED.fullmatch(text) else ""
        return f"'{_CONTENT.sub(' ', text[1 : len(text) - len(end)])}{end}"
    return text


_CLOSED = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`.*`""", re.DOTALL)
_CONTENT = re.compile(r"[^\n]")


class _Begun:
    """A statement that is being read."""

    def __init__(self) -> None:
        # The text between the parameters, and the parameters' names.
        self._parts: list[str] = [""]
        self._names: list[str] = []
        # Its words in lower case, and all of its tokens as they were written.
        self._words: list[str] = []
        self._written: list[str] = []
        # Whether a token other than white space has come.
        self._has_content = False
        # Whether it is stored code with a block, which contains semicolons and no parameters.
        self.is_code = False

    def take(self, token: re.Match[str]) -> None:
        if token.lastgroup == "space" and not self._has_content:
            return
        self._has_content = True
        self._written.append(token.group())
        if token.lastgroup == "word":
            self._words.append(token.group().lower())
            self.is_code = self.is_code or self._begins_code()
        if token.lastgroup == "parameter" and not self.is_code:
            self._names.append(token["parameter"])
            self._parts.append("")
        else:
            self._parts[-1] += token.group()

    def _begins_code(self) -> bool:
        if self._words[:3] == ["begin", "not", "atomic"]:
            return True
        is_code = self._words[0] in ("create", "alter") and not _CODE.isdisjoint(self._words[:_MOST_BETWEEN])
        return is_code and self._words[-1] in _BLOCKS

    def finish(self) -> list[Statement]:
        if not self._has_content:
            return []
        text = "".join(self._written).rstrip()
        if self.is_code:
            text = text.removesuffix(";")
        self._parts[-1] = self._parts[-1].rstrip()
        return [Statement(text, tuple(self._parts), tuple(self._names), tuple(self._words))]
