"""What a kernel had open, kept in a file for the next kernel of the same notebook folder.

A kernel that restarts, or is killed, takes its forwards with it. So each process writes down what it has
open, whenever that changes: server, target, ports and address, in the grammar that users type, and nothing
secret. Every process has a file of its own, so two notebooks of one folder do not overwrite each other;
what is restored is the file that was written last by a process that does not run any more. What the user
stops is struck out; what the end of the process stops is not, since that is what they may want back.

The file is read as what it is, text that anybody may have edited: the users' own grammar validates it,
and one that does not parse is set aside rather than deleted.
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
from sspcloud_magics.forwards.process_identity import get_start_time, runs
from sspcloud_magics.private_file import replace_file
from sspcloud_magics.target import PortText, Target, parse_port, parse_target

_NAME = re.compile(r"(?P<folder>[0-9a-f]{16})\.(?P<pid>\d+)\.(?P<started>\d+)\.json")


@dataclass(frozen=True, slots=True)
class SavedForward:
    """A forward of another process.

    Parameters
    ----------
    server
        The API server that it went through.
    target, ports, address
        What it led to, on which local ports.
    """

    server: str
    target: Target
    ports: tuple[PortText, ...]
    address: str

    def to_plain(self) -> dict[str, Any]:
        """Return it as the file holds it."""
        return {
            "server": self.server,
            "target": str(self.target),
            "ports": [str(port) for port in self.ports],
            "address": self.address,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> SavedForward:
        """Return what the file says.

        Raises
        ------
        UsageProblem, KeyError, TypeError, ValueError
            If it is not what `to_plain` returns.
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
class Restored:
    """What came of bringing forwards back.

    Parameters
    ----------
    forwards
        Those that are open again.
    troubles
        One sentence for each that is not, and for a file that could not be read.
    """

    forwards: tuple[Forward, ...]
    troubles: tuple[str, ...]


def notebook_folder() -> Path:
    """Return the folder of this kernel's notebook; elsewhere, the working directory."""
    session = Path(os.environ.get("JPY_SESSION_NAME", ""))
    return session.parent if session.is_absolute() else Path.cwd()


def state_folder() -> Path:
    """Return where the files are kept."""
    return user_files.state_folder() / "forwards"


class ForwardsFile:
    """The files of one notebook folder: this process's own, and those of others.

    Parameters
    ----------
    notebooks
        The notebook folder.
    home
        Where the files are kept.
    """

    def __init__(self, notebooks: Path | None = None, home: Path | None = None) -> None:
        self._notebooks = notebooks or notebook_folder()
        self._home = home or state_folder()
        self._key = hashlib.sha256(os.fsencode(self._notebooks.absolute())).hexdigest()[:16]
        self._written: list[SavedForward] = []
        self._writing = threading.Lock()
        fork_hooks.begin_again(self)

    def begin_in_child(self) -> None:
        """Write into a file of its own in a forked child."""
        self._written = []
        self._writing = threading.Lock()

    @property
    def path(self) -> Path:
        """The file of this process."""
        return self._home / f"{self._key}.{os.getpid()}.{get_start_time()}.json"

    def follow(self, manager: ForwardManager) -> Callable[[], None]:
        """Keep the file true from now on, and drop those that are too old to matter.

        Returns what ends that.

        A file that cannot be written, on a full or read-only disk, is given up without a word: the
        forwards matter more than their memory.
        """

        def note(_forward: Forward) -> None:
            # Told on several threads at once: the last to write must be the one that looked last.
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
        return manager.subscribe(note)

    def write(self, forwards: Iterable[SavedForward]) -> None:
        """Write down what is open; atomically, and only where it is news.

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
        """Return the files of processes that do not run any more, the newest first."""
        found: list[tuple[int, Path]] = []
        for path in self._home.glob(f"{self._key}.*.json"):
            match = _NAME.fullmatch(path.name)
            if match and not runs(int(match["pid"]), int(match["started"])):
                with contextlib.suppress(OSError):  # another process has just restored it
                    found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]

    def restore(self, manager: ForwardManager, cluster: AccessProvider, *, timeout: float = 30.0) -> Restored:
        """Open what the last process of this folder had open, on the same local ports.

        Parameters
        ----------
        manager
            Opens them.
        cluster
            As whom; forwards of another server are told and left.
        timeout
            For each of them, in seconds.

        Returns
        -------
        Restored
            The forwards, and a sentence for each that did not come back.
        """
        forwards: list[Forward] = []
        troubles: list[str] = []
        paths = self.find_leftovers()
        if not paths:
            return Restored((), ())
        try:
            remembered = _read(paths[0])
        except (SspcloudError, OSError, KeyError, TypeError, ValueError):
            aside = paths[0].with_suffix(".corrupt")
            paths[0].replace(aside)
            return Restored((), (f"What was open last could not be read; the file is kept as {aside}.",))
        server = cluster.access().server
        for each in remembered:
            if each.server != server:
                troubles.append(f"{each.target} is of another cluster, {each.server}: it was left.")
                continue
            try:
                forwards.append(
                    manager.forward(cluster, each.target, each.ports, address=each.address, timeout=timeout)
                )
            except SspcloudError as error:
                troubles.append(f"{each.target} did not come back: {error.what} {error.why}".strip())
        if not troubles:
            # They are in this process's own file now; the older ones are nobody's any more.
            for path in paths:
                path.unlink(missing_ok=True)
        return Restored(tuple(forwards), tuple(troubles))


def _read(path: Path) -> list[SavedForward]:
    content = parse(path.read_text("utf-8"))
    return [SavedForward.from_plain(plain) for plain in content["forwards"]]
