"""Saved forwards: a file with a kernel's open forwards, for the next kernel of the same notebook folder.

A kernel that restarts or is killed loses its forwards. So each process saves its open forwards after every change:
server, target, ports and address, as users type them, and nothing secret. Each process has its own file, so that two
notebooks of a folder do not overwrite each other. The file to restore is the newest one of a process that no longer
runs. A forward that the user stops is removed from the file. One that ends with the process stays, because the user may
want it back.

The file is untrusted text, which may have been edited: it is parsed like user input. An invalid file is renamed, not
deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sspcloud_magics import fork_hooks, user_files
from sspcloud_magics.bounded_json import parse
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.forwards.credentials import AccessProvider
from sspcloud_magics.forwards.forward import Forward
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.forwards.ports import check_address
from sspcloud_magics.forwards.process_identity import get_start_time, is_running
from sspcloud_magics.i18n import _
from sspcloud_magics.private_file import replace_file
from sspcloud_magics.target import PortText, Target, parse_port, parse_target

_NAME = re.compile(r"(?P<folder>[0-9a-f]{16})\.(?P<pid>\d+)\.(?P<started>\d+)\.json")


@dataclass(frozen=True, slots=True)
class SavedForward:
    """A forward of another process."""

    server: str  # its API server
    # As in `ForwardManager.forward`, with the local ports that it had.
    target: Target
    ports: tuple[PortText, ...]
    address: str

    def to_plain(self) -> dict[str, Any]:
        """Return the entry for the file."""
        return {
            "server": self.server,
            "target": str(self.target),
            "ports": [str(port) for port in self.ports],
            "address": self.address,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> SavedForward:
        """Parse an entry of the file.

        Raises
        ------
        UsageProblem, KeyError, TypeError, ValueError
            If it is not of the form of `to_plain`.
        """
        text = parse_target(plain["target"])
        if text.namespace is None or text.kind is None or not isinstance(plain["server"], str):
            raise ValueError(plain["target"])
        return cls(
            plain["server"],
            Target(text.namespace, text.kind, text.name),
            tuple(parse_port(port) for port in plain["ports"]),
            check_address(plain["address"]),
        )


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The result of a restore."""

    forwards: tuple[Forward, ...]  # the forwards that are open again
    # One sentence for each forward that is not, or for a file that could not be read.
    troubles: tuple[str, ...]


def notebook_folder() -> Path:
    """Return the folder of this kernel's notebook; without a notebook, the working directory."""
    session = Path(os.environ.get("JPY_SESSION_NAME", ""))
    return session.parent if session.is_absolute() else Path.cwd()


def state_folder() -> Path:
    """Return the folder of the files."""
    return user_files.state_folder() / "forwards"


class ForwardsFile:
    """The files of one notebook folder: that of this process, and those of earlier ones.

    Parameters
    ----------
    notebooks
        The notebook folder.
    home
        The folder of the files.
    """

    def __init__(self, notebooks: Path | None = None, home: Path | None = None) -> None:
        self._notebooks = notebooks or notebook_folder()
        self._home = home or state_folder()
        self._key = hashlib.sha256(os.fsencode(self._notebooks.absolute())).hexdigest()[:16]
        # The contents of this process's file; guarded by the lock, as several threads may write.
        self._written: list[SavedForward] = []
        self._writing = threading.Lock()
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Use a separate file in a forked child."""
        self._written = []
        self._writing = threading.Lock()

    @property
    def path(self) -> Path:
        """The file of this process."""
        return self._home / f"{self._key}.{os.getpid()}.{get_start_time()}.json"

    def follow(self, manager: ForwardManager) -> Callable[[], None]:
        """Save the forwards after each change from now on, and delete all leftover files but the newest.

        Return a function that ends the subscription.

        A failure to write, on a full or read-only disk, is ignored: the forwards matter more than their file.
        """

        def save(_forward: Forward) -> None:
            # Called on several threads at once: under the lock, the last write has the last state.
            with self._writing, contextlib.suppress(OSError):
                if manager.is_closed:
                    return
                self.write(
                    SavedForward(
                        manager.server_of(forward),
                        forward.target,
                        tuple(PortText(remote, local) for local, remote in forward.ports),
                        forward.spec.address,
                    )
                    for forward in manager.forwards()
                    if forward.ports
                )

        for path in self.find_leftovers()[1:]:
            path.unlink(missing_ok=True)
        return manager.subscribe(save)

    def write(self, forwards: Iterable[SavedForward]) -> None:
        """Write the forwards to the file of this process atomically, if they have changed.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        listed = list(forwards)
        if listed == self._written:
            return
        if not listed:
            self.path.unlink(missing_ok=True)
        else:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            content = {
                "version": 1,
                "folder": str(self._notebooks),
                "forwards": [each.to_plain() for each in listed],
            }
            replace_file(self.path, json.dumps(content, indent=1).encode())
        self._written = listed

    def find_leftovers(self) -> list[Path]:
        """Return the files of processes that no longer run, the newest first."""
        found: list[tuple[int, Path]] = []
        for path in self._home.glob(f"{self._key}.*.json"):
            match = _NAME.fullmatch(path.name)
            if match and not is_running(int(match["pid"]), int(match["started"])):
                with contextlib.suppress(OSError):  # another process may just have restored it
                    found.append((path.stat().st_mtime_ns, path))
        return [path for _unused, path in sorted(found, reverse=True)]

    def restore(
        self, manager: ForwardManager, cluster: AccessProvider, *, timeout: float = 30.0
    ) -> RestoreResult:
        """Open the forwards of the last process of this folder again, on the same local ports.

        Parameters
        ----------
        manager
            Opens the forwards.
        cluster
            The cluster and the identity; forwards of another server are reported and not opened.
        timeout
            The longest time to wait for each, in seconds.

        Returns
        -------
        RestoreResult
            The forwards, and a sentence for each that could not be restored.
        """
        forwards: list[Forward] = []
        troubles: list[str] = []
        paths = self.find_leftovers()
        if not paths:
            return RestoreResult((), ())
        try:
            saved = _read(paths[0])
        except (SspcloudError, OSError, KeyError, TypeError, ValueError):
            aside = paths[0].with_suffix(".corrupt")
            paths[0].replace(aside)
            trouble = _("The saved forwards could not be read; the file is now {file}.", file=aside)
            return RestoreResult((), (trouble,))
        server = cluster.access().server
        for each in saved:
            if each.server != server:
                troubles.append(
                    _(
                        "{target} was not restored: it belongs to the cluster {server}.",
                        target=each.target,
                        server=each.server,
                    )
                )
                continue
            try:
                forwards.append(
                    manager.forward(cluster, each.target, each.ports, address=each.address, timeout=timeout)
                )
            except SspcloudError as error:
                troubles.append(
                    _(
                        "{target} was not restored: {error}",
                        target=each.target,
                        error=f"{error.what} {error.why}".strip(),
                    )
                )
        if not troubles:
            # The forwards are in this process's own file now.
            for path in paths:
                path.unlink(missing_ok=True)
        return RestoreResult(tuple(forwards), tuple(troubles))


def _read(path: Path) -> list[SavedForward]:
    content = parse(path.read_text("utf-8"))
    return [SavedForward.from_plain(plain) for plain in content["forwards"]]
