"""Credentials from a command that the kubeconfig names (ExecCredential, KEP-541).

The command gets its input in the environment and prints an ``ExecCredential`` with a token, a client
certificate, or both, and the moment when they expire. What it gave is kept until then. The
``kubernetes`` package has a runner too, which drops client certificates and keeps nothing.

What a command prints may hold credentials, on its standard error, too: nothing of it is in an error or in the log. While it waits
for a person, what it says on its standard error is shown on a line that is wiped away (`login_prompt`).
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
from sspcloud_magics.printable import shorten
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_NAMED = (*VERSIONS, "client.authentication.k8s.io/v1alpha1")
"""Those that a command may name: any other word of its output is not shown."""

_T = TypeVar("_T")
_KINDS: Mapping[type, str] = {str: "text", list: "a list", bool: "true or false"}

TIMEOUT = 900.0
"""The seconds that a command may take: the code that a login page asks for is usually valid for a quarter of an hour."""

LONGEST_OUTPUT = 1 << 20
"""In bytes; a token and a certificate chain take some KiB."""


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """What a command gave."""

    token: Secret | None
    client_certificate: str | None
    client_key: Secret | None
    expires: datetime | None

    def is_expired(self, now: datetime) -> bool:
        """Whether it is too old to be used at `now`."""
        return self.expires is not None and now >= self.expires


class ExecPlugin:
    """One ``exec`` entry of a kubeconfig.

    Parameters
    ----------
    spec
        The mapping under ``exec``.
    folder
        The kubeconfig's directory: a command written as a relative path starts there.
    cluster
        What the command is told of the cluster, where ``provideClusterInfo`` is set.
    timeout
        The seconds after which a command is ended.
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
            raise KubeconfigInvalid("An exec entry of the kubeconfig names no command.")
        if self._version not in VERSIONS:
            raise KubeconfigInvalid(
                f"The login command {self._command} speaks {self._version or 'no version'}.",
                why=f"Known are {' and '.join(VERSIONS)}.",
                hint=f"update {self._command}, then make the kubeconfig again",
            )
        mode = _field(spec, "interactiveMode", str, "")
        if mode == "Always":
            raise KubeconfigInvalid(
                f"The login command {self._command} wants a terminal, and a notebook has none.",
                hint="run kubectl once in a terminal, or use a configuration with a token",
            )
        if mode not in ("", "Never", "IfAvailable"):
            raise _make_malformed_error("interactiveMode", "Never, IfAvailable or Always")
        self._folder = folder
        self._arguments = [_text_of(each, "args") for each in _field(spec, "args", list, [])]
        self._environment = _variables(_field(spec, "env", list, []))
        self._hint = shorten(_field(spec, "installHint", str, ""))
        self._cluster = dict(cluster) if _field(spec, "provideClusterInfo", bool, default=False) else None
        self._kept: ExecCredential | None = None

    @without_frames
    def credential(self, *, again: bool = False) -> ExecCredential:
        """Return what the command gave, running it where that is missing or expired.

        Raises
        ------
        NotLoggedIn
            If the command is missing, fails, takes too long, or prints something else.
        """
        if again or self._kept is None or self._kept.is_expired(datetime.now(UTC)):
            self._kept = self._parse(self._run())
        return self._kept

    @property
    def program(self) -> Path | None:
        """The file that is run; None where it is not here."""
        try:
            return Path(self._program())
        except NotLoggedIn:
            return None

    def same_command(self, other: ExecPlugin) -> bool:
        """Whether `other` would run the same command in the same way."""
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
        # Only a bare name is looked up in PATH; "./login" is a path, whatever pathlib makes of it.
        bare = "/" not in self._command and os.sep not in self._command
        found = shutil.which(self._command if bare else self._folder / self._command)
        if found is None:
            folders = map(Path, os.get_exec_path()) if bare else [self._folder]
            closed = next((file for folder in folders if (file := folder / self._command).is_file()), None)
            if closed is not None:
                raise NotLoggedIn(
                    f"The login command {self._command} may not be run.",
                    why=f"{closed} is not executable.",
                    hint=f"!chmod u+x {shlex.quote(str(closed))}",
                )
            raise NotLoggedIn(
                f"The login command {self._command}, which the kubeconfig names, is not here.",
                hint=self._hint or f"install {self._command}, or use a configuration with a token",
            )
        return found

    def _run(self) -> bytes:
        """Return what the command prints to its standard output."""
        spec: dict[str, Any] = {"interactive": False}
        if self._cluster is not None:
            spec["cluster"] = self._cluster
        # YAML knows more than JSON does, such as moments.
        told = {"apiVersion": self._version, "kind": "ExecCredential", "spec": spec}
        info = json.dumps(told, default=str, skipkeys=True)
        try:
            process = subprocess.Popen(
                [self._program(), *self._arguments],
                env={**os.environ, **self._environment, "KUBERNETES_EXEC_INFO": info},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A group of its own: what the command has started ends with it when it is interrupted.
                start_new_session=True,
            )
        except OSError as error:
            raise NotLoggedIn(
                f"The login command {self._command} cannot be run.", why=f"{error.strerror or error}."
            ) from None
        # A kernel that ends takes no notice of its daemon threads, and the command is in a group of its own.
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
                f"The login command {self._command} failed (exit code {process.returncode}).",
                why="What it says is not shown here: it may hold credentials.",
                hint=f"run {self._command} in a terminal to see it, or log in again",
            )
        return output

    def _output(self, process: subprocess.Popen[bytes]) -> bytes:
        """Return what a process prints until it ends; raise where that takes too long, or is too much."""
        until = time.monotonic() + self._timeout
        printed: list[bytes] = []
        # On a thread, since a read has no timeout. It owns the pipe: a process that the command has left behind, and
        # that holds the other end open, keeps nothing here but the thread.
        reader = threading.Thread(target=_read, args=(process, printed), name="sspcloud-exec", daemon=True)
        reader.start()
        try:
            reader.join(self._timeout)
            if printed and len(printed[0]) > LONGEST_OUTPUT:
                raise NotLoggedIn(
                    f"The login command {self._command} prints more than {LONGEST_OUTPUT >> 20} MiB.",
                    hint=f"run {self._command} in a terminal to see what it prints",
                )
            process.wait(until - time.monotonic())
        except subprocess.TimeoutExpired:
            raise NotLoggedIn(
                f"The login command {self._command} took longer than {self._timeout:.0f} s."
            ) from None
        if not printed:
            raise NotLoggedIn(f"The login command {self._command} took longer than {self._timeout:.0f} s.")
        return printed[0]

    def _parse(self, output: bytes) -> ExecCredential:
        # What was printed holds credentials: it is never quoted.
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
                f"The login command {self._command} answers in another version than it is asked in.",
                why=f"It prints {kind[1]}; the kubeconfig says {self._version}.",
                hint=f"write apiVersion: {kind[1]} in the exec entry of the kubeconfig, or update {self._command}"
                if kind[1] in VERSIONS
                else f"update {self._command}, then make the kubeconfig again",
            )
        if kind != ("ExecCredential", self._version):
            raise NotLoggedIn(
                f"The login command {self._command} did not print an ExecCredential ({self._version}).",
                hint=f"run {self._command} in a terminal to see what it prints",
            )
        if credential.token is None and (
            credential.client_certificate is None or credential.client_key is None
        ):
            raise NotLoggedIn(f"The login command {self._command} gave no token and no client certificate.")
        return credential

    def _secret(self, value: object, form: Form) -> Secret | None:
        def refusal(why: str) -> NotLoggedIn:
            return NotLoggedIn(f"The login command {self._command} gave credentials of no use.", why=why)

        return check_secret(value, form, refusal) if value else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that still runs, with what it has started; one that has ended may have left an agent behind."""
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
    """Return a field of an exec entry; the default where it is missing or null."""
    value = spec.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise _make_malformed_error(key, _KINDS[kind])
    return value


def _text_of(value: object, key: str) -> str:
    """Return the text of a list; null is the empty one, as in Go, and NUL ends a text where a program reads it."""
    if value is not None and (not isinstance(value, str) or "\0" in value):
        raise _make_malformed_error(key, "a list of texts")
    return value or ""


def _variables(listed: list[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in listed:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise _make_malformed_error("env", "a list of variables, each with a name and a value")
        found[name] = _text_of(each.get("value"), "env")
    return found


def _make_malformed_error(key: str, expected: str) -> KubeconfigInvalid:
    # The value is not quoted: passwords stand there, too.
    return KubeconfigInvalid(
        f"{key} of an exec entry of the kubeconfig is not {expected}.",
        hint="correct the file: numbers, dates and words such as yes are text in quotes only",
    )
