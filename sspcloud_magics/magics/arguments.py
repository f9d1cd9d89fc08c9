"""The line of a magic, taken apart by IPython's own argument parser.

`magic_arguments` gives ``%forward?`` its help. What it lacks is added here: quotes are understood as a shell
does, and a mistake becomes a `UsageProblem`, since IPython's `UsageError` neither fails the cell when a
machine runs the notebook nor says what to do next. A word that is not understood is never repeated: it may be
a password that somebody typed into the wrong place.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import re
import shlex
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from IPython.core import magic_arguments as ipython
from IPython.core.error import UsageError
from IPython.core.magic import Magics
from IPython.utils.text import DollarFormatter

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.printable import shorten
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_F = TypeVar("_F", bound=Callable[..., Any])

_untyped: Any = ipython  # IPython ships that module without types

SECRET_WORDS = re.compile(r"(?<!\S)--?(pass(word|wd)?|pw|token|secret|key)(?![\w-])", re.IGNORECASE)
# The beginnings of a JSON Web Token and of the tokens of GitHub, GitLab, AWS, Slack and Hugging Face.
TOKEN = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.|\b(?:gh[opsru]_\w{20}|github_pat_\w{20}|glpat-[\w-]{20}|A[KS]IA[0-9A-Z]{16}|xox[abpr]-[\w-]{10}|hf_\w{30})"
)
URL_WITH_PASSWORD = re.compile(r"\w+://[^/\s:@]*:[^@\s]+@")


def magic_arguments(interrupted: str = "What else was open is still open.") -> Callable[[_F], _F]:
    """Return IPython's decorator: the magic has a parser, and its docstring becomes the parser's help.

    Parameters
    ----------
    interrupted
        What is so after Ctrl-C has ended the magic, as the user is told: one line, and no traceback.
    """

    def decorate(magic: _F) -> _F:
        @functools.wraps(magic)
        def run(*given: Any, **named: Any) -> Any:
            try:
                return magic(*given, **named)
            except KeyboardInterrupt as interrupt:
                told = f"KeyboardInterrupt: %{magic.__name__} was interrupted. {interrupted}"
                interrupt._render_traceback_ = lambda: [told]  # type: ignore[attr-defined]  # IPython looks for it
                raise

        decorated: _F = _untyped.magic_arguments()(run)
        return decorated

    return decorate


def argument(*flags: str, **keywords: Any) -> Callable[[_F], _F]:
    """Return IPython's decorator for one argument, as `argparse.ArgumentParser.add_argument` takes it."""
    decorator: Callable[[_F], _F] = _untyped.argument(*flags, **keywords)
    return decorator


def words_of(line: str) -> list[str]:
    """Split a line at blanks, with quotes as in a shell and backslashes as on Windows: just characters.

    What stands behind a hash of its own is a comment, as behind any line of Python, apostrophes and all.

    Raises
    ------
    UsageProblem
        If a quote is not closed.
    """
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escape = ""
    try:
        return list(itertools.takewhile("#".__ne__, lexer))
    except ValueError:
        raise UsageProblem("A quote is opened and not closed.", hint="close it, or leave it out") from None


def visible_variables(magics: Magics, local_ns: Mapping[str, Any] | None) -> ChainMap[str, Any]:
    """Return the variables that a magic sees: those of the function in which it stands, before the notebook's.

    Parameters
    ----------
    magics
        The object whose method the magic is.
    local_ns
        What IPython hands to a magic that `needs_local_scope`.
    """
    return ChainMap(dict(local_ns or {}), cast("InteractiveShell", magics.shell).user_ns)


def fill_in(line: str, variables: Mapping[str, Any], *, values_only: bool = False) -> str:
    """Fill variables into a line, ``{name}`` and ``$name``, as IPython does for the magics of lines.

    IPython leaves a line as it is where one name is unknown; here that is an error. The values of a list become words. A comment
    stays as it is.

    Parameters
    ----------
    line
        What stands behind the magic's name.
    variables
        The values by name.
    values_only
        Refuse a text that holds options; those in a list are always refused, since others may have written it.

    Raises
    ------
    UsageProblem
        If a name is unknown, or an expression fails.

    Examples
    --------
    >>> fill_in("--limit {n} --to $stem", {"n": 5, "stem": "towns.csv"})
    '--limit 5 --to towns.csv'
    """
    end = next((word.start() for word in _QUOTED_WORD.finditer(line) if word[0] == "#"), len(line))
    try:
        return _WordsFormatter(values_only).vformat(line[:end], (), variables) + line[end:]
    except NameError as error:
        near = nearest(str(error.name), [name for name in variables if not name.startswith("_")])
        raise UsageProblem(
            f"The line names {error.name!r}, and there is no such variable.",
            hint=f"did you mean {near}?" if near else "{{ and }} stand for braces, $$ for a dollar sign",
        ) from None
    except Exception as error:  # noqa: BLE001 - an expression of the user's may raise anything
        raise UsageProblem(
            "The line holds a {…} or a $… that cannot be filled in.",
            why=shorten(f"{type(error).__name__}: {error}"),
            hint="{name} takes the value of a variable; {{ and }} stand for braces, $$ for a dollar sign",
        ) from None


class _WordsFormatter(DollarFormatter):
    """Fills in the values of a list, a Series and the like as words."""

    def __init__(self, values_only: bool) -> None:
        self._values_only = values_only

    def format_field(self, value: Any, format_spec: str) -> str:
        values = value
        for name in ("tolist", "to_list"):  # of pandas and NumPy, of polars
            values = getattr(value, name)() if hasattr(value, name) else values
        if isinstance(values, set | frozenset):
            values = sorted(values)
        if isinstance(values, list | tuple):
            if not all(isinstance(each, str | int) for each in values):
                raise TypeError("a list that is filled in holds texts and whole numbers only")
            for each in values:
                _refuse_option(each)
            return " ".join(shlex.quote(str(each)) for each in values)
        if hasattr(value, "columns"):
            raise TypeError("a DataFrame is no list: name one of its columns")
        for word in value.split() if self._values_only and isinstance(value, str) else ():
            _refuse_option(word)
        return str(super().format_field(value, format_spec))


def _refuse_option(word: object) -> None:
    """Refuse a word of a variable's value that would be more than a value: others may have written it, as in a sign-up sheet."""
    if isinstance(word, str) and (word.startswith("-") or word == "#"):
        raise TypeError(f"{shorten(word)} in a value would be read as an option or a comment")


_QUOTED_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")


def arguments(magics: Magics, name: str, line: str) -> argparse.Namespace:
    """Parse the line of a magic that `magic_arguments` decorates.

    Parameters
    ----------
    magics, name
        The object whose method the magic is, and the magic's name.
    line
        What stands behind the name.

    Raises
    ------
    UsageProblem
        If the line does not fit; says how the magic is used.
    """
    _refuse_secrets(name, line)
    words = words_of(line)
    if {"-h", "--help"} & set(words):
        raise UsageProblem(f"%{name} is explained by its question mark.", hint=f"%{name}?")
    if f"%{name}" in words:
        raise UsageProblem(f"%{name} stands in this line twice.", hint="write it once, at the beginning")
    parser: argparse.ArgumentParser = getattr(magics, name).parser
    try:
        known, extra = parser.parse_known_args(words)
        if extra and not any(word.startswith("-") for word in extra):
            # kubectl takes options between what belongs together: svc/x -n lab 8000.
            known, extra = parser.parse_known_intermixed_args(words)
    except UsageError as error:
        raise UsageProblem(f"%{name}: {_without_values(str(error))}.", hint=_usage(name, parser)) from None
    if extra:
        options = [word.partition("=")[0] for word in extra if word.startswith("-") and len(word) > 1]
        unknown = ", ".join(options) or f"{len(extra)} word{'s' if len(extra) > 1 else ''} too many"
        is_option = "has no option" if options else "was given"
        flags = [flag for action in parser._actions for flag in action.option_strings]  # noqa: SLF001 - told nowhere else
        near = nearest(options[0], flags) if options else ""
        hint = f"did you mean {near}?" if near else _usage(name, parser)
        raise UsageProblem(f"%{name} {is_option} {unknown}.", hint=hint)
    return known


def _refuse_secrets(name: str, line: str) -> None:
    """Refuse a line that holds a secret: it is in the notebook and in the history by now."""
    if SECRET_WORDS.search(line):
        kind = "A password or a token"
    elif TOKEN.search(line):
        kind = "A token"
    elif URL_WITH_PASSWORD.search(line):
        kind = "A URL with a password"
    else:
        return
    instead = {
        "connect_db": "%connect_db NAME --user USER asks for the password in a field of its own\n"
        "%connect_db NAME --url-env VAR takes a whole URL from the environment",
        "k8s_login": "save the script of your account page as a file, then: %k8s_login config.sh\n"
        "%k8s_login --server URL --token-file FILE reads the token from a file\n"
        "%k8s_login --context NAME uses what the kubeconfig holds",
    }
    raise UsageProblem(
        f"{kind} is not taken from the line.",
        why="The line is saved with the notebook and in IPython's history. If the secret was a real one, "
        "clear this cell, and change the secret.",
        hint=instead.get(name, f"%{name}? says what it takes"),
    )


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    """Return how a magic is used, in one line, and where more is said."""
    usage = " ".join(parser.format_usage().replace("::", "").split())
    return f"{usage}\n%{name}? says more"


def _without_values(message: str) -> str:
    """Return argparse's message without the values that it quotes, apart from the choices there are."""
    message = message.replace("expected one argument", "a value is missing, or begins with a dash")
    return re.sub(r"(invalid \w+(?: value)?): .*?(?= \(choose from|$)", r"\1", message)
