"""Credentials from an exec plugin of the kubeconfig (ExecCredential, KEP-541).

The command reads its input from the environment and prints an ``ExecCredential`` with a token, a client
certificate, or both, and their expiry. They are cached until then. The runner of the
``kubernetes`` package drops client certificates and caches nothing.

The output of a command, including its standard error, may hold credentials: no error and no log quotes it. While the command
waits for the user, `login_prompt` shows its standard error on a line that is erased at the end.
"""

from __future__ import annotations

import atexit
import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sspcloud_magics.bounded_json import parse
from sspcloud_magics.cluster.auth.login_prompt import QUIET, LoginPrompt
from sspcloud_magics.cluster.timefmt import timestamp
from sspcloud_magics.errors import KubeconfigInvalid, NotLoggedIn
from sspcloud_magics.i18n import N_, _, format_bytes, format_list, format_number
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.printable import shorten
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_NAMED = (*VERSIONS, "client.authentication.k8s.io/v1alpha1")
"""Versions that an error may quote; nothing else of the command's output is shown."""

_T = TypeVar("_T")
_KINDS: Mapping[type, str] = {str: N_("text"), list: N_("a list"), bool: N_("true or false")}

TIMEOUT = 900.0
"""The seconds that a command may take: the code that a login page asks for is usually valid for a quarter of an hour."""

LONGEST_OUTPUT = 1 << 20
"""In bytes; a token and a certificate chain take some KiB."""


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """The credentials that a command printed."""

    token: Secret | None
    client_certificate: str | None
    client_key: Secret | None
    expires: datetime | None

    def is_expired(self, now: datetime) -> bool:
        """Whether the credentials have expired at `now`."""
        return self.expires is not None and now >= self.expires


class ExecPlugin:
    """An ``exec`` entry of a kubeconfig.

    Parameters
    ----------
    spec
        The mapping under ``exec``.
    folder
        The directory of the kubeconfig, to which a relative path of the command refers.
    cluster
        The cluster information for the command, passed if ``provideClusterInfo`` is set.
    timeout
        The seconds after which a command is killed.
    quiet
        The seconds before the command's standard error is shown.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        folder: Path,
        cluster: Mapping[str, Any],
        *,
        timeout: float = TIMEOUT,
        quiet: float = QUIET,
    ) -> None:
        self._timeout = timeout
        self._quiet = quiet
        self._command = _field(spec, "command", str, "")
        self._version = _field(spec, "apiVersion", str, "")
        if not self._command:
            raise KubeconfigInvalid(_("An exec entry of the kubeconfig has no command."))
        if self._version not in VERSIONS:
            raise KubeconfigInvalid(
                _(
                    "The login command {command} has the API version {version}.",
                    command=self._command,
                    version=self._version,
                )
                if self._version
                else _("The login command {command} has no API version.", command=self._command),
                why=_("The supported versions are {versions}.", versions=format_list(VERSIONS)),
                hint=_("update {command}, then create the kubeconfig again", command=self._command),
            )
        mode = _field(spec, "interactiveMode", str, "")
        if mode == "Always":
            raise KubeconfigInvalid(
                _(
                    "The login command {command} needs a terminal, which a notebook does not have.",
                    command=self._command,
                ),
                hint=_("run kubectl once in a terminal, or use a configuration with a token"),
            )
        if mode not in ("", "Never", "IfAvailable"):
            raise _make_malformed_error("interactiveMode", N_("Never, IfAvailable or Always"))
        self._folder = folder
        self._arguments = [_text_of(each, "args") for each in _field(spec, "args", list, [])]
        self._environment = _variables(_field(spec, "env", list, []))
        self._hint = shorten(_field(spec, "installHint", str, ""))
        self._cluster = dict(cluster) if _field(spec, "provideClusterInfo", bool, default=False) else None
        # The credentials of the last run; `credential` replaces them.
        self._cached: ExecCredential | None = None

    @without_frames
    def credential(self, *, again: bool = False) -> ExecCredential:
        """Return cached credentials, or run the command if they are missing or expired, or if `again` is set.

        Raises
        ------
        NotLoggedIn
            If the command is missing, fails, takes too long, or prints something else.
        """
        if again or self._cached is None or self._cached.is_expired(datetime.now(UTC)):
            self._cached = self._parse(self._run())
        return self._cached

    @property
    def program(self) -> Path | None:
        """The executable file; None if it is not installed."""
        try:
            return Path(self._program())
        except NotLoggedIn:
            return None

    def same_command(self, other: ExecPlugin) -> bool:
        """Whether `other` runs the same command with the same arguments and environment."""
        return self._get_fingerprint() == other._get_fingerprint()

    def _get_fingerprint(self) -> tuple[Any, ...]:
        return (
            self._command,
            self._version,
            self._folder,
            self._arguments,
            self._environment,
            self._cluster,
        )

    def _program(self) -> str:
        # Only a bare name is looked up in PATH. "./login" is a path, although pathlib drops the "./".
        bare = "/" not in self._command and os.sep not in self._command
        found = shutil.which(self._command if bare else self._folder / self._command)
        if found is None:
            folders = map(Path, os.get_exec_path()) if bare else [self._folder]
            closed = next((file for folder in folders if (file := folder / self._command).is_file()), None)
            if closed is not None:
                raise NotLoggedIn(
                    _("The login command {command} cannot be run.", command=self._command),
                    why=_("{file} is not executable.", file=closed),
                    hint=f"!chmod u+x {shlex.quote(str(closed))}",  # not translated: a command
                )
            raise NotLoggedIn(
                _("The login command {command} of the kubeconfig is not installed.", command=self._command),
                hint=self._hint
                or _("install {command}, or use a configuration with a token", command=self._command),
            )
        return found

    def _run(self) -> bytes:
        """Run the command and return its standard output."""
        spec: dict[str, Any] = {"interactive": False}
        if self._cluster is not None:
            spec["cluster"] = self._cluster
        # `default=str`: YAML has types that JSON lacks, such as dates.
        request = {"apiVersion": self._version, "kind": "ExecCredential", "spec": spec}
        info = json.dumps(request, default=str, skipkeys=True)
        try:
            process = subprocess.Popen(
                [self._program(), *self._arguments],
                env={**os.environ, **self._environment, "KUBERNETES_EXEC_INFO": info},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A new process group, so that `_end` can kill the children of the command too.
                start_new_session=True,
            )
        except OSError as error:
            raise NotLoggedIn(
                _("The login command {command} cannot be run.", command=self._command),
                why=system_reason(error),
            ) from None
        # At exit Python does not wait for daemon threads, and signals to the kernel's group do not reach the command.
        end = partial(_end, process)
        try:
            atexit.register(end)
            assert process.stderr is not None  # noqa: S101 - for the type checker: it is a PIPE
            prompt = LoginPrompt(Path(self._command).name, process.stderr, quiet=self._quiet)
            try:
                output = self._output(process)
            finally:
                prompt.close()
        finally:
            end()
            atexit.unregister(end)
        if process.returncode != 0:
            raise NotLoggedIn(
                _(
                    "The login command {command} failed (exit code {code}).",
                    command=self._command,
                    code=process.returncode,
                ),
                why=_("Its output is not shown here: it may hold credentials."),
                hint=_(
                    "run {command} in a terminal to see the output, or log in again", command=self._command
                ),
            )
        return output

    def _output(self, process: subprocess.Popen[bytes]) -> bytes:
        """Return the output of a process when it has ended; raise if that takes too long, or the output is too large."""
        until = time.monotonic() + self._timeout
        printed: list[bytes] = []
        # In a thread, since a read has no timeout. The thread owns the pipe: a background process of the command that
        # keeps the other end open blocks only this thread.
        reader = threading.Thread(target=_read, args=(process, printed), name="sspcloud-exec", daemon=True)
        reader.start()
        reader.join(self._timeout)
        if printed and len(printed[0]) > LONGEST_OUTPUT:
            raise NotLoggedIn(
                _(
                    "The login command {command} prints more than {size}.",
                    command=self._command,
                    size=format_bytes(LONGEST_OUTPUT),
                ),
                hint=_("run {command} in a terminal to see what it prints", command=self._command),
            )
        with suppress(subprocess.TimeoutExpired):
            process.wait(until - time.monotonic())
        if process.returncode is None or not printed:
            raise NotLoggedIn(
                _(
                    "The login command {command} took longer than {seconds} s.",
                    command=self._command,
                    seconds=format_number(self._timeout, 0),
                )
            )
        return printed[0]

    def _parse(self, output: bytes) -> ExecCredential:
        # The output holds credentials: never quote it.
        try:
            answer = parse(output)
            status = answer["status"]
            kind = answer["kind"], answer["apiVersion"]
            credential = ExecCredential(
                token=self._secret(status.get("token"), Form.TOKEN),
                client_certificate=_text(status.get("clientCertificateData")),
                client_key=self._secret(status.get("clientKeyData"), Form.PEM),
                expires=timestamp(status.get("expirationTimestamp")),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            kind = None
        if (
            kind is not None
            and kind[0] == "ExecCredential"
            and kind[1] in _NAMED
            and kind[1] != self._version
        ):
            raise NotLoggedIn(
                _(
                    "The login command {command} answers in another API version than requested.",
                    command=self._command,
                ),
                why=_(
                    "It prints {printed}; the kubeconfig says {version}.",
                    printed=kind[1],
                    version=self._version,
                ),
                hint=_(
                    "write apiVersion: {version} in the exec entry of the kubeconfig, or update {command}",
                    version=kind[1],
                    command=self._command,
                )
                if kind[1] in VERSIONS
                else _("update {command}, then create the kubeconfig again", command=self._command),
            )
        if kind != ("ExecCredential", self._version):
            raise NotLoggedIn(
                _(
                    "The login command {command} did not print an ExecCredential ({version}).",
                    command=self._command,
                    version=self._version,
                ),
                hint=_("run {command} in a terminal to see what it prints", command=self._command),
            )
        if credential.token is None and (
            credential.client_certificate is None or credential.client_key is None
        ):
            raise NotLoggedIn(
                _(
                    "The login command {command} printed no token and no client certificate.",
                    command=self._command,
                )
            )
        return credential

    def _secret(self, value: object, form: Form) -> Secret | None:
        def refusal(why: str) -> NotLoggedIn:
            return NotLoggedIn(
                _("The login command {command} printed unusable credentials.", command=self._command), why=why
            )

        return check_secret(value, form, refusal) if value else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a command that still runs, with its children; the children of a finished one, such as an agent, stay."""
    if process.poll() is None:
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


def _read(process: subprocess.Popen[bytes], printed: list[bytes]) -> None:
    assert process.stdout is not None  # noqa: S101 - for the type checker: it is a PIPE
    with process.stdout as pipe:
        printed.append(pipe.read(LONGEST_OUTPUT + 1))


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("not a text")
    return value or None


def _field(spec: Mapping[str, Any], key: str, kind: type[_T], default: _T) -> _T:
    """Return a field of an exec entry; the default if it is missing or null."""
    value = spec.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise _make_malformed_error(key, _KINDS[kind])
    return value


def _text_of(value: object, key: str) -> str:
    """Return a string of a list. As in Go, null is the empty string; NUL is refused, since it ends an argument."""
    if value is not None and (not isinstance(value, str) or "\0" in value):
        raise _make_malformed_error(key, N_("a list of texts"))
    return value or ""


def _variables(listed: list[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in listed:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise _make_malformed_error("env", N_("a list of variables, each with a name and a value"))
        found[name] = _text_of(each.get("value"), "env")
    return found


def _make_malformed_error(key: str, expected: str) -> KubeconfigInvalid:
    # The value is not quoted: it may be a password.
    return KubeconfigInvalid(
        _("{key} of an exec entry of the kubeconfig is not {expected}.", key=key, expected=_(expected)),
        hint=_("correct the file: put numbers, dates and words such as yes in quotes to make them text"),
    )
