"""Running of commands, each in a thread of its own, so that a slow server delays nothing else.

A command starts in the thread that receives it: while a cell computes, each further switch of threads waits for the
interpreter lock. A button runs one command at a time; a second click gets the outcome of the first.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sspcloud_magics import fork_hooks
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.secret import Secret
from sspcloud_magics.widgets import commands, snapshots
from sspcloud_magics.widgets.protocol import Outcome, ReplyMessage, Snapshot

if TYPE_CHECKING:
    from sspcloud_magics.widgets.scheduler import SnapshotScheduler

KEPT = 100
"""Number of buttons whose outcomes are kept."""
LONGEST_KEY = 200
LONGEST_ID = 64

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class CommandRunner:
    """The running commands, and the outcomes of the last ones."""

    def __init__(self) -> None:
        # Guards all of the below.
        self._lock = threading.Lock()
        # The keys of the buttons whose commands are running.
        self._running: set[str] = set()
        # The outcomes by the keys of the buttons, the oldest first.
        self._outcomes: dict[str, Outcome] = {}
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Forget the commands in a forked child: their threads belong to the parent."""
        self._lock = threading.Lock()
        self._running = set()

    def outcomes(self) -> Snapshot:
        """Return the snapshots of the outcomes."""
        with self._lock:
            return {f"command/{key}": outcome for key, outcome in self._outcomes.items()}

    def start(self, message: Mapping[str, Any], scheduler: SnapshotScheduler) -> None:
        """Start a command, unless its button runs one."""
        key = str(message.get("key"))[:LONGEST_KEY]
        if isinstance(message.get("script"), str):
            # From here on, no traceback and no log can show it.
            message = {**message, "script": Secret(message["script"])}
        with self._lock:
            self._outcomes.pop(key, None)
            self._outcomes[key] = {"id": str(message.get("id"))[:LONGEST_ID], "state": "pending"}
            if key in self._running:
                scheduler.post(scheduler.attend)
                return
            self._running.add(key)
        scheduler.begin_command()
        threading.Thread(
            target=self._run, args=(key, message, scheduler), name="sspcloud-command", daemon=True
        ).start()

    def _run(self, key: str, message: Mapping[str, Any], scheduler: SnapshotScheduler) -> None:
        error: BaseException | None = None
        value = None
        try:
            value = commands.run_command(message)
        except Exception as raised:  # noqa: BLE001 - the panel shows it next to the button
            error = raised
            if not isinstance(error, SspcloudError):
                # Without its message, which may hold pasted text.
                where = "".join(traceback.format_tb(error.__traceback__))
                _log.error("a command failed: %s\n%s", type(error).__name__, where)
        with self._lock:
            self._running.discard(key)
            # The id of the last click: the same command may have been sent again while it ran.
            command_id = self._outcomes[key]["id"]
            self._outcomes[key] = make_outcome(command_id, error)
            for old in [each for each in self._outcomes if each not in self._running][: -KEPT or None]:
                del self._outcomes[old]
        reply: ReplyMessage | None = None
        if value is not None:
            reply = {"type": "reply", "key": key, "id": command_id, "value": value}
        changes_cluster = error is not None or message["do"] not in commands.WITHOUT_CLUSTER_CHANGES
        scheduler.end_command(reply, changes_cluster=changes_cluster)


def make_outcome(command_id: str, error: BaseException | None) -> Outcome:
    """Return the outcome of a command that has ended."""
    if error is None:
        return {"id": command_id, "state": "done"}
    return {"id": command_id, "state": "failed", "error": snapshots.describe_error(error)}
