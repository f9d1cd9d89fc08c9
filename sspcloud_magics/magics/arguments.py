"""Parse the line of a magic with IPython's own argument parser.

`magic_arguments` gives ``%forward?`` its help. This module adds what it lacks: quotes as in a shell, and errors as
`UsageProblem`. IPython's `UsageError` neither fails the cell when a machine runs the notebook nor gives a hint. A word
that the parser rejects is never repeated, because it may be a password typed into the wrong place.
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
from sspcloud_magics.i18n import N_, _, _n
from sspcloud_magics.i18n.command_line import describe_parse_error
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
# Each part has a beginning and an end, or a text of one long word takes hours.
URL_WITH_PASSWORD = re.compile(r"\b\w+://[^/\s:@]{0,256}:[^@\s]{1,2048}@")


def magic_arguments(interrupted: str = N_("Other forwards and connections stay open.")) -> Callable[[_F], _F]:
    """Decorate a magic with IPython's parser, which takes its help from the docstring.

    Parameters
    ----------
    interrupted
        The end of the single line that Ctrl-C shows instead of a traceback, unless the interrupt has notes of its own.
    """

    def decorate(magic: _F) -> _F:
        @functools.wraps(magic)
        def run(*given: Any, **named: Any) -> Any:
            try:
                return magic(*given, **named)
            except KeyboardInterrupt as interrupt:
                line = _("KeyboardInterrupt: %{name} was interrupted.", name=magic.__name__)
                line = f"{line} {' '.join(getattr(interrupt, '__notes__', ())) or _(interrupted)}"
                interrupt._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]  # IPython looks for it
                raise

        decorated: _F = _untyped.magic_arguments()(run)
        return decorated

    return decorate


def argument(*flags: str, **keywords: Any) -> Callable[[_F], _F]:
    """Return IPython's decorator for one argument, with the parameters of `argparse.ArgumentParser.add_argument`."""
    decorator: Callable[[_F], _F] = _untyped.argument(*flags, **keywords)
    return decorator


def split_line(line: str) -> list[str]:
    """Split a line at blanks, with quotes as in a shell; backslashes are plain characters, as in Windows paths.

    A separate ``#`` begins a comment, which may contain apostrophes.

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
        raise UsageProblem(_("A quote is not closed."), hint=_("close it, or leave it out")) from None


def visible_variables(magics: Magics, local_ns: Mapping[str, Any] | None) -> ChainMap[str, Any]:
    """Return the variables that a magic can use: those of the calling function, then the notebook's.

    Parameters
    ----------
    magics
        The object whose method the magic is.
    local_ns
        The local variables that IPython passes to a magic that `needs_local_scope`.
    """
    return ChainMap(dict(local_ns or {}), cast("InteractiveShell", magics.shell).user_ns)


def fill_in(line: str, variables: Mapping[str, Any], *, values_only: bool = False) -> str:
    """Fill variables into a line, ``{name}`` and ``$name``, as IPython does for line magics.

    An unknown name is an error, whereas IPython would leave the line unchanged. The items of a list become words. A
    comment stays as it is.

    Parameters
    ----------
    line
        The text after the magic's name.
    variables
        The values by name.
    values_only
        Refuse options in a string; options in a list are always refused, because others may have written it.

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
            _("The line names {name!r}, but there is no such variable.", name=error.name),
            hint=_("did you mean {near}?", near=near)
            if near
            else _("write {{ and }} for braces, $$ for a dollar sign"),
        ) from None
    except Exception as error:  # noqa: BLE001 - an expression of the user's may raise anything
        raise UsageProblem(
            _("The line has a {…} or a $… that cannot be filled in."),
            why=shorten(f"{type(error).__name__}: {error}"),
            hint=_("write {name} for the value of a variable, {{ and }} for braces, $$ for a dollar sign"),
        ) from None


class _WordsFormatter(DollarFormatter):
    """Formatter that fills in the items of a list, a Series and the like as words."""

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
                raise TypeError(_("a list to fill in may have only strings and integers"))
            for each in values:
                _refuse_option(each)
            return " ".join(shlex.quote(str(each)) for each in values)
        if hasattr(value, "columns"):
            raise TypeError(_("a DataFrame is not a list: name one of its columns"))
        for word in value.split() if self._values_only and isinstance(value, str) else ():
            _refuse_option(word)
        return str(super().format_field(value, format_spec))


def _refuse_option(word: object) -> None:
    """Refuse a word in a variable's value that would be parsed as an option: others may have written it."""
    if isinstance(word, str) and (word.startswith("-") or word == "#"):
        raise TypeError(_("{word} in a value would be read as an option or a comment", word=shorten(word)))


_QUOTED_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")


def arguments(magics: Magics, name: str, line: str) -> argparse.Namespace:
    """Parse the line of a magic that `magic_arguments` decorates.

    Parameters
    ----------
    magics, name
        The object whose method the magic is, and the magic's name.
    line
        The text after the name.

    Raises
    ------
    UsageProblem
        If the line is invalid; shows the magic's usage.
    """
    _refuse_secrets(name, line)
    words = split_line(line)
    if {"-h", "--help"} & set(words):
        raise UsageProblem(_("The help of %{name} is %{name}?, not --help.", name=name), hint=f"%{name}?")
    if f"%{name}" in words:
        raise UsageProblem(
            _("The line has %{name} twice.", name=name), hint=_("write it once, at the beginning")
        )
    parser: argparse.ArgumentParser = getattr(magics, name).parser
    try:
        known, extra = parser.parse_known_args(words)
        if extra and not any(word.startswith("-") for word in extra):
            # kubectl also accepts options between positional arguments: svc/x -n lab 8000.
            known, extra = parser.parse_known_intermixed_args(words)
    except UsageError as error:
        raise UsageProblem(
            _("{name}: {problem}", name=f"%{name}", problem=describe_parse_error(str(error))),
            hint=_usage(name, parser),
        ) from None
    if extra:
        options = [word.partition("=")[0] for word in extra if word.startswith("-") and len(word) > 1]
        if options:
            what = _("%{name} has no option {options}.", name=name, options=", ".join(options))
        else:
            what = _n(
                "%{name} was given {count} word too many.",
                "%{name} was given {count} words too many.",
                len(extra),
                name=name,
            )
        flags = [flag for action in parser._actions for flag in action.option_strings]  # noqa: SLF001 - no public attribute lists them
        near = nearest(options[0], flags) if options else ""
        hint = _("did you mean {near}?", near=near) if near else _usage(name, parser)
        raise UsageProblem(what, hint=hint)
    return known


def _refuse_secrets(name: str, line: str) -> None:
    """Refuse a line that contains a secret, which the notebook and the history have saved by now."""
    if SECRET_WORDS.search(line):
        what = _("A password or a token is not accepted on the line.")
    elif TOKEN.search(line):
        what = _("A token is not accepted on the line.")
    elif URL_WITH_PASSWORD.search(line):
        what = _("A URL with a password is not accepted on the line.")
    else:
        return
    instead = {
        "connect_db": _(
            "%connect_db NAME --user USER   asks for the password in a hidden field\n"
            "%connect_db NAME --url-env VAR   reads a whole URL from the environment"
        ),
        "k8s_login": _(
            "save the script of your account page as a file, then: %k8s_login config.sh\n"
            "%k8s_login --server URL --token-file FILE   reads the token from a file\n"
            "%k8s_login --context NAME   uses the kubeconfig"
        ),
    }
    raise UsageProblem(
        what,
        why=_(
            "The line is saved with the notebook and in IPython's history. If the secret was a real one, "
            "clear this cell, and change the secret."
        ),
        hint=instead.get(name) or _("%{name}?   shows its arguments", name=name),
    )


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    """Return the usage of a magic in one line, and the command for its help."""
    usage = " ".join(parser.format_usage().replace("::", "").split())
    return _("{usage}\n%{name}?   shows its help", usage=usage, name=name)
