"""Write a kubeconfig atomically, under kubectl's lock, readable only by its owner.

kubectl locks a file by creating ``FILE.lock``, and fails at once if that exists; so the lock is held only for the
write. The new text is written to a temporary file that replaces the kubeconfig, so a reader finds the old or the new
text. Before the first change, a copy is saved as ``FILE.before-sspcloud``.

Source: k8s.io/client-go/tools/clientcmd/config.go and loader.go (``lockFile``).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from sspcloud_magics.errors import KubeconfigInvalid
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.private_file import replace_file

PATIENCE = 5.0
"""How long to wait for kubectl's lock, in seconds; kubectl holds it for milliseconds."""

BACKUP = ".before-sspcloud"


@contextlib.contextmanager
def lock_files(files: Iterable[Path], *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold kubectl's locks on files, acquired in the order of their names as in kubectl.

    Parameters
    ----------
    files
        The files; missing directories are created.
    patience
        How long to wait for a lock, in seconds.

    Raises
    ------
    KubeconfigInvalid
        If another process keeps a lock, or the directory is not writable.
    """
    with contextlib.ExitStack() as held:
        for file in sorted({file.absolute() for file in files}):
            held.enter_context(_lock_file(file, patience))
        yield


@contextlib.contextmanager
def _lock_file(file: Path, patience: float) -> Iterator[None]:
    lock = file.with_name(f"{file.name}.lock")
    until = time.monotonic() + patience
    while True:
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError:
            if time.monotonic() >= until:
                raise KubeconfigInvalid(
                    _("{file} is locked, and was not changed.", file=file),
                    why=_(
                        "kubectl or another notebook is changing it, or was stopped while it did: {lock} exists.",
                        lock=lock,
                    ),
                    hint=_("if no kubectl is running, remove {lock}, then try again", lock=lock),
                ) from None
            time.sleep(0.02)
        except OSError as error:
            raise _make_write_error(file, error) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()


def write(file: Path, text: str) -> None:
    """Replace the text of a kubeconfig atomically; the caller holds the lock.

    A symbolic link is followed, as in kubectl.

    Raises
    ------
    KubeconfigInvalid
        If the directory or the file is not writable.
    """
    check_writable(file)
    try:
        target = file.resolve()
        if target.exists():
            backup = target.with_name(target.name + BACKUP)
            if not backup.exists():
                replace_file(backup, target.read_bytes(), sync=True)
        replace_file(target, text.encode(), sync=True)
    except OSError as error:
        raise _make_write_error(file, error) from None


def check_writable(file: Path) -> None:
    """Raise `KubeconfigInvalid` if a kubeconfig exists and is read-only."""
    try:
        target = file.resolve()
        # The mode counts for root too, who could write a read-only file: its owner wants no changes.
        is_read_only = target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK))
    except OSError as error:
        raise _make_write_error(file, error) from None
    if is_read_only:
        raise KubeconfigInvalid(
            _("{file} is read-only, and was not changed.", file=file),
            why=_("A login and its renewed tokens are saved in it."),
            hint=_("make it writable, or name another: --kubeconfig FILE"),
        )


def _make_write_error(file: Path, error: OSError) -> KubeconfigInvalid:
    return KubeconfigInvalid(
        _("The kubeconfig {file} cannot be changed.", file=file),
        why=system_reason(error),
        hint=_("check that the file and its directory are yours, or name another: --kubeconfig FILE"),
    )
