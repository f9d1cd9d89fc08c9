"""The identities that forwards use, by number, and their renewal.

The helper knows an identity by a number and by its material of the moment. When the server does not
accept that any more (401), the helper asks; the answer may take seconds (a plugin runs, a token
endpoint is asked), so it is sought on a thread of its own, and only one at a time for each identity.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sspcloud_magics import fork_hooks
from sspcloud_magics.access import Access
from sspcloud_magics.errors import SspcloudError, TokenExpired
from sspcloud_magics.tunnel.ipc import RefuseAccess, SetAccess

_log = logging.getLogger(__name__)


class AccessProvider(Protocol):
    """Someone on an API server, whose credentials renew themselves: `cluster.cluster.Cluster`."""

    def access(self) -> Access:
        """Return the material of the moment."""

    def renew_access(self, refused: Access | None = None) -> Access:
        """Return other material than what the server has refused.

        Raises
        ------
        TokenExpired
            If there is none.
        """


@dataclass(slots=True)
class _Entry:
    identity: AccessProvider
    access: Access
    is_renewing: bool = False


class AccessRegistry:
    """The identities of one manager.

    Parameters
    ----------
    send
        Takes an answer to the helper; called on the renewing thread.
    """

    def __init__(self, send: Callable[[SetAccess | RefuseAccess], None]) -> None:
        self._send = send
        self._entries: list[_Entry] = []
        self._lock = threading.Lock()
        fork_hooks.begin_again(self)

    def begin_in_child(self) -> None:
        """Wait for none of the parent's threads in a forked child."""
        self._lock = threading.Lock()

    def enter(self, identity: AccessProvider, access: Access) -> tuple[SetAccess, bool]:
        """Enter the present material of an identity.

        Returns
        -------
        tuple[SetAccess, bool]
            What the helper must know before a forward uses it, and whether that is news.
        """
        with self._lock:
            for access_id, entry in enumerate(self._entries):
                if entry.identity is identity:
                    is_new = entry.access != access
                    entry.access = access
                    return SetAccess(access_id, access), is_new
            self._entries.append(_Entry(identity, access))
            return SetAccess(len(self._entries) - 1, access), True

    def identity(self, access_id: int) -> AccessProvider:
        """Return an identity by its number."""
        with self._lock:
            return self._entries[access_id].identity

    def server(self, access_id: int) -> str:
        """Return the API server of an identity."""
        with self._lock:
            return self._entries[access_id].access.server

    def list_known(self) -> list[SetAccess]:
        """Return what a new helper must know."""
        with self._lock:
            return [SetAccess(access_id, entry.access) for access_id, entry in enumerate(self._entries)]

    def renew(self, access_id: int) -> None:
        """Seek new material and send it, or the refusal; returns at once."""
        with self._lock:
            entry = self._entries[access_id] if 0 <= access_id < len(self._entries) else None
            if entry is None or entry.is_renewing:
                return
            entry.is_renewing = True
        threading.Thread(
            target=self._renew, args=(access_id, entry), name="sspcloud-credentials", daemon=True
        ).start()

    def _renew(self, access_id: int, entry: _Entry) -> None:
        answer: SetAccess | RefuseAccess
        try:
            answer = SetAccess(access_id, entry.identity.renew_access(entry.access))
        except SspcloudError as error:
            answer = RefuseAccess(access_id, error.to_wire())
        except Exception as error:  # noqa: BLE001 - the helper waits for an answer, whatever happened
            # Its text is not quoted: it may hold what was read.
            failure = TokenExpired("The credentials could not be renewed.", why=type(error).__name__)
            answer = RefuseAccess(access_id, failure.to_wire())
        _log.info(
            "access %d: %s", access_id, "renewed" if isinstance(answer, SetAccess) else answer.error["what"]
        )
        with self._lock:
            entry.is_renewing = False
            if isinstance(answer, SetAccess):
                entry.access = answer.access
        self._send(answer)
