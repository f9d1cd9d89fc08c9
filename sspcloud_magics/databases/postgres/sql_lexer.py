"""A lexer for SQL that finds parameters and the ends of statements, without I/O.

Users write ``:name`` for a variable of the notebook. PostgreSQL's own parameters are ``$1``, and it uses the colon
too (``x::int``, ``f(a := 1)``, ``a[1:2]``). So the text is scanned by PostgreSQL's lexical rules (its manual, "Lexical
Structure"), as psql does for its ``:name``. Strings of every kind, quoted identifiers, dollar quotes and nested
comments contain no parameters and end no statement.

The rest of the text stays as it was written: ``?``, ``->>`` and ``%`` have PostgreSQL's meaning.

In a subscript, a colon after an operand separates the bounds of a slice: in ``a[lo:hi]`` both are columns.
``a[:i]`` is the element at the index in the parameter ``i``, and ``a[1: :n]`` a slice up to the parameter ``n``.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

# White space, a word other than the prefix of a string, or a number: most of a statement, by one match.
_PLAIN = re.compile(
    r"(\s+)|(?!(?:[eEbBxXnN]|[uU]&)'|[uU]&\")([^\W\d][\w$]*)|(\d(?:[\w.]|(?<=[eE])[+-](?=\d))*)"
)
_PARAMETER = re.compile(r":([^\W\d]\w*)")
_POSITIONAL = re.compile(r"\$\d+")
_DOLLAR_QUOTE = re.compile(r"\$(?:[^\W\d]\w*)?\$")
_STRING_PREFIX = re.compile(r"(?:[eEbBxXnN]|[uU]&)(?=')|[uU]&(?=\")")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_PLAIN_STRING_END = re.compile(r"'")
_ESCAPE_STRING_END = re.compile(r"\\.|'", re.DOTALL)
# A string continues after white space that contains a line break, as the same kind of string.
_CONTINUATION = re.compile(r"(?:[^\S\n\r]|--[^\n\r]*)*[\n\r](?:\s|--[^\n\r]*[\n\r])*'")

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

# Keywords that do not end an operand: an operator, a comma or the start of an expression may follow.
_NO_OPERAND = frozenset(
    {"all", "and", "any", "array", "between", "by", "case", "distinct", "else", "from", "having", "ilike"}
    | {"in", "is", "like", "limit", "not", "on", "or", "returning", "select", "set", "similar", "then"}
    | {"to", "using", "values", "when", "where", "with"}
)


def fold(name: str) -> str:
    """Return a name without quotes as PostgreSQL stores it: in UTF-8, only ASCII letters become small.

    Examples
    --------
    >>> fold("Été_A")
    'Été_a'
    """
    return name.translate(_ASCII_LOWER)


class Kind(Enum):
    """The kind of a token."""

    SPACE = auto()  # white space or a comment
    WORD = auto()  # a keyword or an unquoted identifier
    QUOTED = auto()  # a string of any kind, or a quoted identifier
    NUMBER = auto()
    POSITIONAL = auto()  # a parameter of PostgreSQL, $1
    PARAMETER = auto()  # :name
    SEMICOLON = auto()
    SYMBOL = auto()  # any other single character; ``::`` and ``:=`` are one symbol each


class Token(NamedTuple):
    """A token, with its offsets in the text."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text."""

    text: str  # the statement as it was written, without the semicolon
    line: int  # the line of the whole text where it begins, from 1
    sql: str  # the statement for PostgreSQL: ``$1`` for the first of `names`, and so on
    names: tuple[str, ...]  # the names of its parameters, each once, in the order of their first use
    words: tuple[str, ...]  # its keywords and unquoted identifiers, in lower case
    # The boundaries of its parameters, as pairs of offsets in `sql` and in `text`.
    pieces: tuple[tuple[int, int], ...]

    def offset_as_written(self, offset: int) -> int:
        """Convert an offset in `sql` into the offset in `text`.

        Parameters
        ----------
        offset
            In characters from 0; PostgreSQL counts positions from 1.
        """
        index = bisect_right(self.pieces, (offset, len(self.text) + 1)) - 1
        sent, written = self.pieces[index]
        limit = self.pieces[index + 1][1] if index + 1 < len(self.pieces) else len(self.text)
        return min(written + offset - sent, limit)


def tokens(text: str) -> Iterator[Token]:
    """Split `text` into tokens that cover it without gaps.

    Parameters
    ----------
    text
        SQL, which may be invalid: an unterminated token, such as a string, extends to the end of the text.
    """
    position = 0
    brackets: list[str] = []
    before: Token | None = None  # the last token other than white space
    while position < len(text):
        is_subscript = brackets[-1:] == ["subscript"]
        kind, end = _next(text, position, slice_may_follow=is_subscript and _operand(text, before))
        token = Token(kind, position, end)
        if kind is Kind.SYMBOL:
            _follow_brackets(brackets, text[position], subscript=_operand(text, before))
        if kind is not Kind.SPACE:
            before = token
        yield token
        position = end


_PLAIN_KINDS = (Kind.SYMBOL, Kind.SPACE, Kind.WORD, Kind.NUMBER)  # by the index of the group


def _next(text: str, position: int, *, slice_may_follow: bool) -> tuple[Kind, int]:  # noqa: C901, PLR0911 - one branch per kind of token
    if found := _PLAIN.match(text, position):
        return _PLAIN_KINDS[found.lastindex or 0], found.end()
    character = text[position]
    two = text[position : position + 2]
    if two == "--":
        return Kind.SPACE, _line_end(text, position)
    if two == "/*":
        return Kind.SPACE, _comment_end(text, position)
    if character == "'":
        return Kind.QUOTED, _string_end(text, position + 1, _PLAIN_STRING_END)
    if character == '"':
        return Kind.QUOTED, _identifier_end(text, position + 1)
    if found := _STRING_PREFIX.match(text, position):
        quote = found.end()
        if text[quote] == '"':
            return Kind.QUOTED, _identifier_end(text, quote + 1)
        ending = _ESCAPE_STRING_END if character in "eE" else _PLAIN_STRING_END
        return Kind.QUOTED, _string_end(text, quote + 1, ending)
    if character == "$":
        if found := _DOLLAR_QUOTE.match(text, position):
            end = text.find(found.group(), found.end())
            return Kind.QUOTED, len(text) if end < 0 else end + len(found.group())
        if found := _POSITIONAL.match(text, position):
            return Kind.POSITIONAL, found.end()
    if two in ("::", ":="):
        return Kind.SYMBOL, position + 2
    if not slice_may_follow and (found := _PARAMETER.match(text, position)):
        return Kind.PARAMETER, found.end()
    return (Kind.SEMICOLON if character == ";" else Kind.SYMBOL), position + 1


def _line_end(text: str, position: int) -> int:
    ends = [end for end in (text.find("\n", position), text.find("\r", position)) if end >= 0]
    return min(ends, default=len(text))


def _comment_end(text: str, position: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def _string_end(text: str, position: int, ending: re.Pattern[str]) -> int:
    while found := ending.search(text, position):
        position = found.end()
        if found.group() != "'":
            continue
        if text.startswith("'", position):  # a doubled quote is one quote
            position += 1
        elif more := _CONTINUATION.match(text, position):
            position = more.end()
        else:
            return position
    return len(text)


def _identifier_end(text: str, position: int) -> int:
    while (quote := text.find('"', position)) >= 0:
        position = quote + 1
        if not text.startswith('"', position):
            return position
        position += 1
    return len(text)


def _operand(text: str, token: Token | None) -> bool:
    """Whether `token` ends an operand, so that a bracket after it begins a subscript."""
    if token is None:
        return False
    if token.kind is Kind.WORD:
        return text[token.start : token.end].lower() not in _NO_OPERAND
    if token.kind is Kind.SYMBOL:
        return text[token.start] in ")]"
    return token.kind in (Kind.QUOTED, Kind.NUMBER, Kind.POSITIONAL, Kind.PARAMETER)


def _follow_brackets(brackets: list[str], character: str, *, subscript: bool) -> None:
    if character == "(":
        brackets.append("parenthesis")
    elif character == "[":
        brackets.append("subscript" if subscript else "array")
    elif character in ")]" and brackets:
        brackets.pop()


def statements(text: str) -> tuple[Statement, ...]:
    """Return the statements of a text in order, without those that consist only of comments.

    A semicolon ends a statement unless it is in parentheses (``CREATE RULE``) or in the
    ``BEGIN ATOMIC … END`` of a function body, as in psql.

    Parameters
    ----------
    text
        SQL, with ``:name`` for each parameter.

    Examples
    --------
    >>> [only] = statements("select * from t where a = :a and b::text <> ':b' and c > :a")
    >>> only.sql, only.names
    ("select * from t where a = $1 and b::text <> ':b' and c > $1", ('a',))
    """
    return _scan(text) if len(text) > _REMEMBERED else _scan_cached(text)


_REMEMBERED = 16_384
"""The length in characters up to which texts are cached, since the same cell runs again and again."""


@lru_cache(maxsize=128)
def _scan_cached(text: str) -> tuple[Statement, ...]:
    return _scan(text)


def _scan(text: str) -> tuple[Statement, ...]:
    found: list[Statement] = []
    held: list[Token] = []
    ends = _StatementEnds()
    for token in tokens(text):
        if ends.ends_at(text, token):
            found += _statement(text, held)
            held = []
        else:
            held.append(token)
    return (*found, *_statement(text, held))


class _StatementEnds:
    """Detection of the semicolons that end a statement."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        # The state of the current statement: open parentheses, its first words, and open BEGIN and CASE blocks.
        self._depth = 0
        self._words: list[str] = []
        self._blocks = 0

    def ends_at(self, text: str, token: Token) -> bool:
        if token.kind is Kind.SEMICOLON and self._depth <= 0 and self._blocks <= 0:
            self._start()
            return True
        if token.kind is Kind.SYMBOL:
            self._depth += {"(": 1, ")": -1}.get(text[token.start], 0)
        elif token.kind is Kind.WORD and self._depth <= 0:
            self._follow_blocks(text[token.start : token.end].lower())
        return False

    def _follow_blocks(self, word: str) -> None:
        if len(self._words) < 4:  # create or replace function
            self._words.append(word)
        if self._words[0] != "create" or not {"function", "procedure"} & set(self._words):
            return
        if word == "begin" or (word == "case" and self._blocks):
            self._blocks += 1
        elif word == "end" and self._blocks:
            self._blocks -= 1


def _statement(text: str, held: list[Token]) -> list[Statement]:
    while held and held[0].kind is Kind.SPACE:
        held = held[1:]
    while held and held[-1].kind is Kind.SPACE:
        held = held[:-1]
    if not held:
        return []
    start, end = held[0].start, held[-1].end
    names: list[str] = []
    parts: list[str] = []
    pieces: list[tuple[int, int]] = [(0, 0)]
    sent = 0
    for token in held:
        part = text[token.start : token.end]
        if token.kind is Kind.PARAMETER:
            name = part[1:]
            if name not in names:
                names.append(name)
            # ``x:a`` must not become the identifier ``x$1``.
            glue = " " if parts and re.fullmatch(r"[\w$]", parts[-1][-1]) else ""
            part = f"{glue}${names.index(name) + 1}"
            pieces += [(sent, token.start - start), (sent + len(part), token.end - start)]
        parts.append(part)
        sent += len(part)
    words = tuple(text[token.start : token.end].lower() for token in held if token.kind is Kind.WORD)
    line = text.count("\n", 0, start) + 1
    return [Statement(text[start:end], line, "".join(parts), tuple(names), words, tuple(pieces))]
