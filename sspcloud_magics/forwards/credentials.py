"""The identities of the forwards, by number, and the renewal of their credentials.

The helper knows an identity by a number and its current credentials. When the server rejects these (401), the helper
asks for fresh ones. A plugin or a token endpoint may need seconds to provide them, so each renewal runs on its own
thread, with at most one per identity.
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
from sspcloud_magics.i18n import _
from sspcloud_magics.tunnel.ipc import RefuseAccess, SetAccess

_log = logging.getLogger(__name__)


class AccessProvider(Protocol):
    """An identity on an API server that can renew its credentials, such as `cluster.cluster.Cluster`."""

    def access(self) -> Access:
        """Return the current credentials."""

    def renew_access(self, refused: Access | None = None) -> Access:
        """Return credentials other than those that the server has refused; raise `TokenExpired` if there are none."""


@dataclass(slots=True)
class _Entry:
    identity: AccessProvider
    # The credentials that the helper has.
    access: Access
    is_renewing: bool = False


class AccessRegistry:
    """The identities of one manager.

    Parameters
    ----------
    send
        Sends a message to the helper; called on the renewing thread.
    """

    def __init__(self, send: Callable[[SetAccess | RefuseAccess], None]) -> None:
        self._send = send
        # Identities are never removed: their positions are their numbers.
        self._entries: list[_Entry] = []
        self._lock = threading.Lock()
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def register(self, identity: AccessProvider, access: Access) -> tuple[SetAccess, bool]:
        """Register an identity, or update its credentials; return the command for the helper, and whether it is news."""
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
        """Return the commands for a new helper."""
        with self._lock:
            return [SetAccess(access_id, entry.access) for access_id, entry in enumerate(self._entries)]

    def renew(self, access_id: int) -> None:
        """Start to renew credentials, and return; the new ones, or the refusal, are sent later."""
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
            # The text of the error is not quoted: it may contain a secret.
            failure = TokenExpired(_("The credentials could not be renewed."), why=type(error).__name__)
            answer = RefuseAccess(access_id, failure.to_wire())
        _log.info(
            "access %d: %s", access_id, "renewed" if isinstance(answer, SetAccess) else answer.error["code"]
        )
        with self._lock:
            entry.is_renewing = False
            if isinstance(answer, SetAccess):
                entry.access = answer.access
        self._send(answer)
