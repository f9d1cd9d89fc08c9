"""Writing a kubeconfig: locked against kubectl, whole or not at all, for its owner's eyes only.

kubectl takes a lock by creating ``FILE.lock`` and fails at once where it is there. It is held here for the
moment of writing only. The new text is written beside the file and moved into its place, so a reader finds the old
text or the new one. Before the first change a copy is kept as ``FILE.before-sspcloud``.

Source: k8s.io/client-go/tools/clientcmd/config.go and loader.go (``lockFile``).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from sspcloud_magics.errors import KubeconfigInvalid
from sspcloud_magics.private_file import replace_file

PATIENCE = 5.0
"""How long to wait for a kubectl that is writing, in seconds; it writes for milliseconds."""

BACKUP = ".before-sspcloud"


@contextlib.contextmanager
def lock_files(files: Iterable[Path], *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold kubectl's lock on files; in the order of their names, as kubectl does.

    Parameters
    ----------
    files
        The files; their directories are made where they are missing.
    patience
        How long to wait for somebody else, in seconds.

    Raises
    ------
    KubeconfigInvalid
        If somebody else keeps it, or the directory is not ours to write.
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
                    f"{file} is locked, and was not changed.",
                    why=f"kubectl, or another notebook, is changing it, or ended while it did: {lock} is there.",
                    hint=f"if no kubectl runs, remove {lock}, then try again",
                ) from None
            time.sleep(0.02)
        except OSError as error:
            raise _cannot(file, error) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()


def write(file: Path, text: str) -> None:
    """Put a text in the place of a kubeconfig, whole or not at all; call it with the lock held.

    Where it is a link, what it leads to is changed, as kubectl does.

    Raises
    ------
    KubeconfigInvalid
        If the directory or the file is not ours to write.
    """
    check_writable(file)
    try:
        target = file.resolve()
        if target.exists():
            _keep_a_copy(target)
        replace_file(target, text.encode(), sync=True)
    except OSError as error:
        raise _cannot(file, error) from None


def check_writable(file: Path) -> None:
    """Raise `KubeconfigInvalid` where a kubeconfig is there and its owner does not want it to be changed."""
    try:
        target = file.resolve()
        # Root may write what is read-only; that it is so is meant all the same.
        is_fixed = target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK))
    except OSError as error:
        raise _cannot(file, error) from None
    if is_fixed:
        raise KubeconfigInvalid(
            f"{file} is read-only, and was not changed.",
            why="A login and its renewed tokens are kept in it.",
            hint="make it writable, or name another: --kubeconfig FILE",
        )


def _keep_a_copy(file: Path) -> None:
    backup = file.with_name(file.name + BACKUP)
    if not backup.exists():
        replace_file(backup, file.read_bytes(), sync=True)


def _cannot(file: Path, error: OSError) -> KubeconfigInvalid:
    return KubeconfigInvalid(
        f"The kubeconfig {file} cannot be changed.",
        why=f"{error.strerror or error}.",
        hint="check that the file and its directory are yours, or name another: --kubeconfig FILE",
    )
