"""Parser of the account page's login script, which is never run.

The page shows four ``kubectl config`` commands for a shell. The parser splits the words as a POSIX shell does, and
accepts the commands and flags that such a script has. Everything else that a shell can do (variables, substitutions,
pipes, other programs) is refused with its line; so is a script that is truncated or names two contexts.
Messages show a line without its values, which may be tokens.

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
from sspcloud_magics.cluster.platform import copy_script
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _, format_bytes
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames
from sspcloud_magics.user_files import decode

LIMIT = 1 << 20
"""Maximum size of a login script, in bytes."""

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
    # In double quotes, a backslash is special only before these characters (POSIX 2.2.3).
    "double": lambda token: re.sub(r'\\(?:([$`"\\])|\n)', r"\1", token[1:-1]),
    "escaped": lambda token: token[1:],
    "hash": lambda token: token,
    "plain": lambda token: token,
}
_CONTRADICTIONS = {
    "cluster": N_(
        "The script contradicts itself: its context (line {line}) names a different cluster than line {other} sets."
    ),
    "user": N_(
        "The script contradicts itself: its context (line {line}) names a different user than line {other} sets."
    ),
}
_NAME = re.compile(r"-*[A-Za-z][A-Za-z-]{0,39}")


@dataclass(frozen=True, slots=True)
class LoginScript:
    """The content of a login script; its repr shows no credentials."""

    # The names of the three entries; the context becomes the current one.
    cluster: str
    user: str
    context: str
    # The fields that the script sets in the entries.
    cluster_values: Mapping[str, str | bool]
    context_values: Mapping[str, str]
    # The settings of the OIDC auth provider; empty if the script has a plain token.
    oidc: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    token: Secret | None = None  # a plain bearer token


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
        If the file cannot be read, or is not a login script.
    """
    try:
        if file.is_dir():
            raise UsageProblem(_("{file} is a directory.", file=file), hint=_("name the script in it"))
        size = file.stat().st_size
        if size > LIMIT:
            raise UsageProblem(
                _("{file} is not a login script.", file=file),
                why=_("It has {size}; a login script is far smaller.", size=format_bytes(size)),
                hint=copy_script(),
            )
        text = decode(file.read_bytes())
    except UnicodeDecodeError:
        raise UsageProblem(
            _("{file} is not a login script.", file=file), why=_("It is not text."), hint=copy_script()
        ) from None
    except (OSError, ValueError) as error:  # a ValueError for a name with a NUL
        if not isinstance(error, OSError) or error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            # Do not quote the name: it may be a token that was typed in its place.
            raise UsageProblem(
                _("There is no script of that name."),
                why=_(
                    "A name without a directory refers to {directory}. A token is not accepted on the line.",
                    directory=Path.cwd(),
                ),
                hint=_(
                    "name the file in which you saved the script of your account page: %k8s_login config.sh"
                ),
            ) from None
        raise UsageProblem(
            _("The script {file} cannot be read.", file=file),
            why=system_reason(error),
            hint=_("check the path of the file that you saved from your account page"),
        ) from None
    return parse(text)


def parse(text: str) -> LoginScript:
    r"""Parse a login script.

    Parameters
    ----------
    text
        The script: quoted or not, with ``\`` continuations or not, with any line ends.

    Raises
    ------
    UsageProblem
        If it has anything but the four commands, or a command is missing or repeated.

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
                _(
                    "The script has {command} twice, in lines {first} and {second}.",
                    command=command.name,
                    first=commands[command.name].line,
                    second=line,
                ),
                why=_("It does not say which of the two to use."),
                hint=_("paste only one script; for another project, log in again with its script"),
            )
        commands[command.name] = command
    missing = [name for name in _FLAGS if name not in commands]
    if missing:
        raise UsageProblem(
            _("The script is incomplete.") if commands else _("This text has no login script."),
            why=_("It lacks kubectl config {commands}.", commands=", ".join(missing)),
            hint=copy_script(),
        )
    return _script(commands)


def _recognize(text: str) -> None:
    """Raise a specific error for other files that users often save in place of the script."""
    start = text.lstrip()[:200].lower()
    if start.startswith("<"):
        raise UsageProblem(
            _("This is a web page, not the script that the page shows."),
            hint=_("on the page, {copy_again}", copy_again=copy_script()),
        )
    if start.startswith(("apiversion:", "kind:", "clusters:", "{")):
        raise UsageProblem(
            _("This is a kubeconfig, not a login script."),
            hint=_("use it as it is: %k8s_login --kubeconfig FILE"),
        )


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of each command line, as a shell splits them, with the number of its first line."""
    # Copying from a web page may leave a blank between the backslash and the line end.
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
    """Return the error for a text that is not a token of a login script."""
    if rest == "\\":
        what = _(
            "The script is truncated: its last line ({shown}) is continued.",
            shown=_show_line(line, words),
        )
    elif rest[0] == "'" or (rest[0] == '"' and not re.search(r"(?<!\\)[$`]", rest)):
        what = _(
            "The script is truncated: a quote is opened and not closed ({shown}).",
            shown=_show_line(line, words),
        )
    else:
        return _make_refusal(line, words, _("A shell would evaluate or run something here."))
    return UsageProblem(what, hint=copy_script())


def _command(line: int, words: list[str]) -> _Command:
    if words[:2] != ["kubectl", "config"] or len(words) < 3 or words[2] not in _FLAGS:
        known = ", ".join(_FLAGS)
        raise _make_refusal(
            line, words, _("The commands of a login script are kubectl config {commands}.", commands=known)
        )
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
            raise _make_refusal(
                line, words, _("kubectl config {command} has no such flag in a login script.", command=name)
            )
        if not equals and flag == "insecure-skip-tls-verify":
            value = "true"
        elif not equals:
            if not rest:
                raise UsageProblem(
                    _(
                        "The script is truncated: --{flag} has no value ({shown}).",
                        flag=flag,
                        shown=_show_line(line, words),
                    ),
                    hint=copy_script(),
                )
            value = rest.pop(0)
        flags.setdefault(flag, []).append(value)
    if len(entries) != 1 or not entries[0].strip():
        raise _make_refusal(line, words, _("kubectl config {command} takes one name.", command=name))
    repeated = [flag for flag, values in flags.items() if len(values) > 1 and flag != "auth-provider-arg"]
    if repeated:
        raise _make_refusal(line, words, _("--{flag} appears twice.", flag=repeated[0]))
    return _Command(line, name, entries[0], flags)


def _script(commands: Mapping[str, _Command]) -> LoginScript:
    cluster, user, context, use = (commands[name] for name in _FLAGS)
    values = {flag: given[0] for flag, given in context.flags.items()}
    for flag, command in (("cluster", cluster), ("user", user)):
        if values.get(flag) != command.entry:
            raise UsageProblem(
                _(_CONTRADICTIONS[flag], line=context.line, other=command.line),
                hint=copy_script(),
            )
    if use.entry != context.entry:
        raise UsageProblem(
            _(
                "The script contradicts itself: it sets one context (line {line}) and uses another "
                "(line {other}).",
                line=context.line,
                other=use.line,
            ),
            hint=copy_script(),
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
            _("The script has no usable server (line {line}).", line=command.line),
            why=_(
                "It must be an https:// address: otherwise an attacker on the network could read the token."
            ),
            hint=copy_script(),
        )
    insecure = values.get("insecure-skip-tls-verify")
    if insecure is not None:
        # The texts that Go's strconv.ParseBool accepts.
        booleans = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
        if str(insecure).lower() not in booleans:
            raise _make_refusal(
                command.line,
                ["kubectl", "config", command.name],
                _("insecure-skip-tls-verify must be true or false."),
            )
        values["insecure-skip-tls-verify"] = booleans[str(insecure).lower()]
    if values.get("insecure-skip-tls-verify") and "certificate-authority" in values:
        raise UsageProblem(
            _(
                "The script names a certificate authority, but turns verification off (line {line}).",
                line=command.line,
            ),
            hint=copy_script(),
        )
    return values


def _credentials(command: _Command) -> tuple[dict[str, Secret], Secret | None]:
    provider = command.flags.get("auth-provider", [""])[0]
    token = command.flags.get("token", [""])[0]
    given = command.flags.get("auth-provider-arg", [])
    shown = ["kubectl", "config", command.name]
    if bool(token) == bool(provider) or (provider and provider != "oidc") or (given and not provider):
        raise _make_refusal(
            command.line, shown, _("It needs --auth-provider=oidc with its settings, or --token.")
        )
    if token:
        return {}, _check_value("token", token, command.line)
    settings: dict[str, Secret] = {}
    try:
        # kubectl parses the value as CSV (pflag's StringSlice).
        listed = [each for text in given for row in csv.reader([text], strict=True) for each in row]
    except csv.Error:
        raise _make_refusal(
            command.line, shown, _("--auth-provider-arg has a line break or a stray quote in its value.")
        ) from None
    for setting in listed:
        key, equals, value = setting.partition("=")
        if not equals or key not in _OIDC:
            if _NAME.fullmatch(key):
                why = _("--auth-provider-arg with {key} is not supported.", key=key)
            else:
                why = _("--auth-provider-arg is not supported.")
            raise _make_refusal(command.line, shown, why)
        settings[key] = _check_value(key, value, command.line) if key in _FORMS and value else Secret(value)
    for key in ("idp-issuer-url", "client-id", "id-token", "refresh-token"):
        if not settings.get(key):
            raise UsageProblem(
                _("The script is incomplete."),
                why=_("set-credentials lacks {key} (line {line}).", key=key, line=command.line),
                hint=copy_script(),
            )
    if jwt.expiry(settings["id-token"]) is None:
        raise UsageProblem(
            _("The id-token in line {line} is truncated, or is not a token.", line=command.line),
            why=_("It is not a JSON Web Token with an expiry."),
            hint=copy_script(),
        )
    return settings, None


def _check_value(name: str, value: str, line: int) -> Secret:
    def refusal(why: str) -> UsageProblem:
        return UsageProblem(
            _("The {name} in line {line} cannot be used.", name=name, line=line), why=why, hint=copy_script()
        )

    return check_secret(value, _FORMS[name], refusal)


def _make_refusal(line: int, words: list[str], why: str) -> UsageProblem:
    return UsageProblem(
        _("A login script cannot contain this: {shown}.", shown=_show_line(line, words)),
        why=why + " " + _("Nothing was changed."),
        hint=copy_script(),
    )


def _show_line(line: int, words: list[str]) -> str:
    """Return a line for a message: its number, first words and flags, without values."""
    known = {"kubectl", "config", *_FLAGS}
    kept = [word.partition("=")[0] for word in words[:6]]
    shown = [
        word if word in known or ((at == 0 or word.startswith("--")) and _NAME.fullmatch(word)) else "…"
        for at, word in enumerate(kept)
    ]
    if not shown:
        return _("line {line}", line=line)
    command = re.sub("( ?…)+", " …", " ".join([*shown, "…"])).strip()
    return _("line {line}: {command}", line=line, command=command)
