"""The account page's login script, read and never run.

The page gives four ``kubectl config`` commands for a shell. They are taken apart here: the words as a
POSIX shell would split them, then the commands with the flags that such a script has. Whatever a
shell would do beyond that (variables, substitutions, pipes, other programs) is refused with its line, and so
is a script that is cut off or names two contexts. A line is shown without its values: they may be tokens.

Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html (quoting);
``kubectl config --help`` (commands and flags).
"""

from __future__ import annotations

import csv
import errno
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sspcloud_magics import addresses
from sspcloud_magics.cluster.auth import jwt
from sspcloud_magics.cluster.platform import ACCOUNT_PAGE
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames
from sspcloud_magics.user_files import decode

LIMIT = 1 << 20
"""No login script is longer than this, in bytes."""

_COPY_AGAIN = f"copy the whole script again from your account page (Connection to Kubernetes): {ACCOUNT_PAGE}"
_FLAGS: Mapping[str, frozenset[str]] = {
    "set-cluster": frozenset(
        {"server", "insecure-skip-tls-verify", "certificate-authority", "tls-server-name"}
    ),
    "set-credentials": frozenset({"auth-provider", "auth-provider-arg", "token"}),
    "set-context": frozenset({"cluster", "user", "namespace"}),
    "use-context": frozenset(),
}
_OIDC = frozenset(
    {
        "idp-issuer-url",
        "client-id",
        "client-secret",
        "refresh-token",
        "id-token",
        "idp-certificate-authority",
        "idp-certificate-authority-data",
        "extra-scopes",
    }
)
_FORMS = {
    "token": Form.TOKEN,
    "id-token": Form.TOKEN,
    "refresh-token": Form.PHRASE,
    "client-secret": Form.PHRASE,
}
_TOKEN = re.compile(
    r"""
      (?P<continuation> \\\n )
    | (?P<newline>      \n )
    | (?P<blank>        [^\S\n]+ )
    | (?P<single>       '[^']*' )
    | (?P<double>       "(?: \\. | [^"\\$`] )*" )
    | (?P<escaped>      \\. )
    | (?P<hash>         \# )
    | (?P<plain>        [^\s\\'"\#;&|<>()`$*?\[\]{}~!]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_PIECES: Mapping[str | None, Callable[[str], str]] = {
    "single": lambda token: token[1:-1],
    # In double quotes a backslash is special before these only (POSIX 2.2.3).
    "double": lambda token: re.sub(r'\\(?:([$`"\\])|\n)', r"\1", token[1:-1]),
    "escaped": lambda token: token[1:],
    "hash": lambda token: token,
    "plain": lambda token: token,
}
_NAME = re.compile(r"-*[A-Za-z][A-Za-z-]{0,39}")


@dataclass(frozen=True, slots=True)
class LoginScript:
    """What a login script says. It shows no credentials.

    Parameters
    ----------
    cluster, user, context
        The names of the three entries; the context becomes the current one.
    cluster_values, context_values
        The fields that the script sets in the entries.
    oidc
        The settings of the OIDC auth provider; empty where the script gives a plain token.
    token
        A plain bearer token.
    """

    cluster: str
    user: str
    context: str
    cluster_values: Mapping[str, str | bool]
    context_values: Mapping[str, str]
    oidc: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    token: Secret | None = None


@dataclass(slots=True)
class _Command:
    line: int
    name: str
    entry: str
    flags: dict[str, list[str]] = field(default_factory=dict, repr=False)


@without_frames
def read_script(file: Path) -> LoginScript:
    """Read the login script in `file`.

    Raises
    ------
    UsageProblem
        If the file cannot be read, or holds anything else.
    """
    try:
        if file.is_dir():
            raise UsageProblem(f"{file} is a directory.", hint="name the script in it")
        size = file.stat().st_size
        if size > LIMIT:
            raise UsageProblem(
                f"{file} is no login script.",
                why=f"It has {size / 1e6:.1f} MB; a login script is far smaller.",
                hint=_COPY_AGAIN,
            )
        text = decode(file.read_bytes())
    except UnicodeDecodeError:
        raise UsageProblem(f"{file} is no login script.", why="It is not text.", hint=_COPY_AGAIN) from None
    except (OSError, ValueError) as error:  # a ValueError for a name with a NUL
        if not isinstance(error, OSError) or error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            # The name is not repeated: it may be a token, typed in its place.
            raise UsageProblem(
                "There is no script of that name.",
                why=f"Names without a directory are looked for in {Path.cwd()}. A token is not taken from the line.",
                hint="name the file into which you saved the script of your account page: %k8s_login config.sh",
            ) from None
        raise UsageProblem(
            f"The script {file} cannot be read.",
            why=f"{error.strerror or error}.",
            hint="check the path: it is the file that you saved from your account page",
        ) from None
    return parse(text)


def parse(text: str) -> LoginScript:
    r"""Return what a login script says.

    Parameters
    ----------
    text
        The script: quoted or not, with ``\`` continuations or not, with any line ends.

    Raises
    ------
    UsageProblem
        If there is anything in it but the four commands, or one of them is missing or comes twice.

    Examples
    --------
    >>> script = parse(
    ...     "kubectl config set-cluster c --server=https://api.example\n"
    ...     "kubectl config set-credentials me --token=t\n"
    ...     "kubectl config set-context c --user=me --cluster=c --namespace=user-me\n"
    ...     "kubectl config use-context c"
    ... )
    >>> script.context, script.token
    ('c', Secret(●●●●●●))
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    _recognize(text)
    commands: dict[str, _Command] = {}
    for line, words in _lines(text):
        command = _command(line, words)
        if command.name in commands:
            raise UsageProblem(
                f"The script has {command.name} twice, in the lines {commands[command.name].line} and {line}.",
                why="Which of the two is meant, it does not say.",
                hint="paste one script only; for another project, log in again with its script",
            )
        commands[command.name] = command
    missing = [name for name in _FLAGS if name not in commands]
    if missing:
        raise UsageProblem(
            "The script is not complete." if commands else "There is no login script in this.",
            why=f"It lacks kubectl config {', '.join(missing)}.",
            hint=_COPY_AGAIN,
        )
    return _script(commands)


def _recognize(text: str) -> None:
    """Say it in a word where the text is something else that people save from a web page."""
    start = text.lstrip()[:200].lower()
    if start.startswith("<"):
        raise UsageProblem(
            "This is a web page, not the script that is shown on it.", hint=f"on the page, {_COPY_AGAIN}"
        )
    if start.startswith(("apiversion:", "kind:", "clusters:", "{")):
        raise UsageProblem(
            "This is a kubeconfig, not a login script.", hint="use it as it is: %k8s_login --kubeconfig FILE"
        )


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of each command line, as a shell splits them, with the number of its first line."""
    # A blank behind the backslash is what copying from a page leaves there; it means the line's end.
    text = re.sub(r"\\[ \t]+(?=\n|$)", r"\\", text)
    words: list[str] = []
    word: str | None = None
    line, ended, at = 1, 0, 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _not_read(text[at:], line, words)
        kind, token, at = found.lastgroup, found.group(), found.end()
        ended += token.count("\n")
        if kind == "hash" and word is None:
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif kind in _PIECES:
            word = (word or "") + _PIECES[kind](token)
        elif kind != "continuation":
            words += [] if word is None else [word]
            word = None
            if kind == "newline":
                if words:
                    yield line, words
                words, line = [], 1 + ended
    words += [] if word is None else [word]
    if words:
        yield line, words


def _not_read(rest: str, line: int, words: list[str]) -> UsageProblem:
    """Return the error for what no login script holds at the beginning of `rest`."""
    if rest == "\\":
        what = f"The script is cut off: its last line ({_show_line(line, words)}) goes on."
    elif rest[0] == "'" or (rest[0] == '"' and not re.search(r"(?<!\\)[$`]", rest)):
        what = f"The script is cut off: a quote is opened and not closed ({_show_line(line, words)})."
    else:
        return _make_refusal(line, words, "A shell would do more with this than read it")
    return UsageProblem(what, hint=_COPY_AGAIN)


def _command(line: int, words: list[str]) -> _Command:
    if words[:2] != ["kubectl", "config"] or len(words) < 3 or words[2] not in _FLAGS:
        known = ", ".join(_FLAGS)
        raise _make_refusal(line, words, f"Only kubectl config {known} are read, and nothing is ever run")
    name, rest = words[2], words[3:]
    entries: list[str] = []
    flags: dict[str, list[str]] = {}
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            entries.append(word)
            continue
        flag, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or flag not in _FLAGS[name]:
            raise _make_refusal(line, words, f"kubectl config {name} is not read with this flag")
        if not equals and flag == "insecure-skip-tls-verify":
            value = "true"
        elif not equals:
            if not rest:
                raise UsageProblem(
                    f"The script is cut off: --{flag} has no value ({_show_line(line, words)}).",
                    hint=_COPY_AGAIN,
                )
            value = rest.pop(0)
        flags.setdefault(flag, []).append(value)
    if len(entries) != 1 or not entries[0].strip():
        raise _make_refusal(line, words, f"kubectl config {name} takes one name")
    again = [flag for flag, values in flags.items() if len(values) > 1 and flag != "auth-provider-arg"]
    if again:
        raise _make_refusal(line, words, f"--{again[0]} comes twice")
    return _Command(line, name, entries[0], flags)


def _script(commands: Mapping[str, _Command]) -> LoginScript:
    cluster, user, context, use = (commands[name] for name in _FLAGS)
    values = {flag: given[0] for flag, given in context.flags.items()}
    for flag, command in (("cluster", cluster), ("user", user)):
        if values.get(flag) != command.entry:
            raise UsageProblem(
                f"The script contradicts itself: its context (line {context.line}) names another {flag} than "
                f"the one that it sets (line {command.line}).",
                hint=_COPY_AGAIN,
            )
    if use.entry != context.entry:
        raise UsageProblem(
            f"The script contradicts itself: it sets one context (line {context.line}) and uses another "
            f"(line {use.line}).",
            hint=_COPY_AGAIN,
        )
    oidc, token = _credentials(user)
    return LoginScript(
        cluster.entry, user.entry, context.entry, _cluster_values(cluster), values, oidc, token
    )


def _cluster_values(command: _Command) -> dict[str, str | bool]:
    values: dict[str, str | bool] = {flag: given[0] for flag, given in command.flags.items()}
    address = addresses.parse(str(values.get("server", "")))
    if address is None or address.scheme != "https" or address.user_info is not None:
        raise UsageProblem(
            f"The script names no usable server (line {command.line}).",
            why="It has to be an https:// address: over anything else the token could be read on its way.",
            hint=_COPY_AGAIN,
        )
    insecure = values.get("insecure-skip-tls-verify")
    if insecure is not None:
        # The texts that Go's strconv.ParseBool takes.
        said = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
        if str(insecure).lower() not in said:
            raise _make_refusal(
                command.line,
                ["kubectl", "config", command.name],
                "insecure-skip-tls-verify is true or false",
            )
        values["insecure-skip-tls-verify"] = said[str(insecure).lower()]
    if values.get("insecure-skip-tls-verify") and "certificate-authority" in values:
        raise UsageProblem(
            f"The script names a certificate authority, and says not to verify (line {command.line}).",
            hint=_COPY_AGAIN,
        )
    return values


def _credentials(command: _Command) -> tuple[dict[str, Secret], Secret | None]:
    provider = command.flags.get("auth-provider", [""])[0]
    token = command.flags.get("token", [""])[0]
    given = command.flags.get("auth-provider-arg", [])
    shown = ["kubectl", "config", command.name]
    if bool(token) == bool(provider) or (provider and provider != "oidc") or (given and not provider):
        raise _make_refusal(
            command.line, shown, "it takes --auth-provider=oidc with its settings, or --token"
        )
    if token:
        return {}, _check_value("token", token, command.line)
    settings: dict[str, Secret] = {}
    try:
        # kubectl splits at commas as CSV does (pflag's StringSlice).
        listed = [each for text in given for row in csv.reader([text], strict=True) for each in row]
    except csv.Error:
        raise _make_refusal(
            command.line, shown, "--auth-provider-arg has a line break or a stray quote in its value"
        ) from None
    for setting in listed:
        key, equals, value = setting.partition("=")
        if not equals or key not in _OIDC:
            name = f" with {key}" if _NAME.fullmatch(key) else ""
            raise _make_refusal(command.line, shown, f"--auth-provider-arg is not read{name}")
        settings[key] = _check_value(key, value, command.line) if key in _FORMS and value else Secret(value)
    for key in ("idp-issuer-url", "client-id", "id-token", "refresh-token"):
        if not settings.get(key):
            raise UsageProblem(
                "The script is not complete.",
                why=f"set-credentials lacks {key} (line {command.line}).",
                hint=_COPY_AGAIN,
            )
    if jwt.expiry(settings["id-token"]) is None:
        raise UsageProblem(
            f"The id-token in line {command.line} is cut off, or is no token.",
            why="It is not a JSON Web Token with a time at which it ends.",
            hint=_COPY_AGAIN,
        )
    return settings, None


def _check_value(name: str, value: str, line: int) -> Secret:
    def refusal(why: str) -> UsageProblem:
        return UsageProblem(f"The {name} in line {line} cannot be used.", why=why, hint=_COPY_AGAIN)

    return check_secret(value, _FORMS[name], refusal)


def _make_refusal(line: int, words: list[str], why: str) -> UsageProblem:
    return UsageProblem(
        f"This is not in a login script: {_show_line(line, words)}.",
        why=f"{why}. Nothing was changed.",
        hint=_COPY_AGAIN,
    )


def _show_line(line: int, words: list[str]) -> str:
    """Return a line for a message: its number, its first words and flags, and none of its values."""
    known = {"kubectl", "config", *_FLAGS}
    kept = [word.partition("=")[0] for word in words[:6]]
    shown = [
        word if word in known or ((at == 0 or word.startswith("--")) and _NAME.fullmatch(word)) else "…"
        for at, word in enumerate(kept)
    ]
    return (
        f"line {line}: {re.sub('( ?…)+', ' …', ' '.join([*shown, '…'])).strip()}" if shown else f"line {line}"
    )
