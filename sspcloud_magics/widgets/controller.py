"""The kernel's side of the panel: it accepts the messages of the view, and sends snapshots and replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sspcloud_magics.widgets.protocol import KernelMessage
from sspcloud_magics.widgets.rate_limiter import RateLimiter
from sspcloud_magics.widgets.runner import CommandRunner
from sspcloud_magics.widgets.scheduler import LEASE, SnapshotScheduler

LONGEST_VIEW = 64


class Controller:
    """A scheduler of snapshots and a runner of commands.

    Parameters
    ----------
    send
        Sends a message to the browser.
    pace, lease
        As for `SnapshotScheduler`.
    """

    def __init__(
        self, send: Callable[[KernelMessage], None], *, pace: RateLimiter | None = None, lease: float = LEASE
    ) -> None:
        self.runner = CommandRunner()
        self.scheduler = SnapshotScheduler(send, self.runner.outcomes, pace=pace, lease=lease)

    @property
    def snapshot(self) -> Mapping[str, Any]:
        """The current snapshots."""
        return self.scheduler.snapshot

    def receive(self, message: object) -> None:
        """Accept a message of the browser without waiting; a malformed message is ignored.

        Parameters
        ----------
        message
            A `ViewMessage`, or a command with the ``key`` of its button and an ``id`` (`protocol`).
        """
        if not isinstance(message, dict) or not isinstance(message.get("do"), str):
            return
        if message["do"] == "view":
            self.scheduler.note_view(
                str(message.get("view"))[:LONGEST_VIEW],
                is_visible=bool(message.get("visible")),
                is_new=bool(message.get("new")),
            )
        else:
            self.runner.start(message, self.scheduler)

    def poll_once(self, timeout: float) -> None:
        """Poll all sources, and return when they have answered, or after `timeout` seconds."""
        self.scheduler.poll_once(timeout)

    def close(self) -> None:
        """Stop the threads."""
        self.scheduler.close()
