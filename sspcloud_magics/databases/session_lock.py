"""A fair, reentrant lock with which threads take turns at a session.

A libpq connection is not thread-safe: two threads that use it at once read each other's rows.
So every use of a session is a turn, both by this package and by psycopg.

The lock differs from `threading.Lock` in two points.

- It is fair. A thread that acquires it again and again does not starve the others.
- An interrupted cell leaves no turn behind. Python can raise `KeyboardInterrupt` between any two bytecode instructions,
  even before the first one of an `__exit__` written in Python. So a method written in C ends the turn:
  each turn has its own lock, and ``with`` calls the `__exit__` of that lock.

Waiting threads form a CLH queue (Craig, Landin and Hagersten): each waits for the lock of its predecessor.
A thread that gives up releases its lock early, and its successor then waits for the predecessor of that thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOOK_SECONDS = 0.1
"""The interval at which a waiting thread checks for an interruption; not every system wakes it for a signal."""


class QueuedThread:
    """A place in the queue."""

    __slots__ = ("before", "given_up", "is_psycopgs", "lock")

    def __init__(self, *, is_psycopgs: bool = False) -> None:
        # Whether psycopg took the turn: the statements that run in it are not ours.
        self.is_psycopgs = is_psycopgs
        # The predecessor that this thread waits for; None during its own turn.
        self.before: QueuedThread | None = None
        # Held from the entry into the queue to the end of the turn.
        self.lock: Any = threading.RLock()
        # Set when another thread, which cannot release the lock, ends the turn.
        self.given_up = False

    def release(self) -> None:
        """End the turn, from any thread."""
        try:
            self.lock.release()
        except RuntimeError:  # another thread holds it
            self.given_up = True

    def wait(self, refuse: Callable[[], None]) -> None:
        """Wait for the end of this turn; `refuse` raises to stop waiting."""
        while not self.given_up:
            try:
                if self.lock.acquire(timeout=LOOK_SECONDS):
                    return
            finally:
                # The first call, and unconditional: an interruption may come before any other call.
                try:  # noqa: SIM105
                    self.lock.release()
                except RuntimeError:  # the timeout expired
                    pass
            refuse()


class _Own(threading.local):
    """The places of one thread."""

    def __init__(self) -> None:
        # Places that ``with`` has prepared and `__enter__` will queue.
        self.entering: list[QueuedThread] = []
        # The place of the current or the last turn.
        self.place: QueuedThread | None = None


class Turn:
    """A lock for ``with``: fair, reentrant, and safe against interruptions.

    Parameters
    ----------
    refuse
        Called regularly with the seconds waited so far; raises an error to stop waiting.

    Examples
    --------
    >>> turn = Turn()
    >>> with turn, turn:
    ...     turn.is_mine
    True
    """

    def __init__(self, refuse: Callable[[float], None] = lambda _: None) -> None:
        self._refuse = refuse
        # Protects `_last`.
        self._joining = threading.RLock()
        # The end of the queue; None before the first turn.
        self._last: QueuedThread | None = None
        self._own = _Own()

    @property
    def is_mine(self) -> bool:
        """Whether this thread has the turn."""
        return self.place is not None

    @property
    def place(self) -> QueuedThread | None:
        """The place of this thread's turn; None if another thread or none has the turn."""
        place = self._own.place
        if place is None or place.given_up or not place.lock._is_owned():  # noqa: SLF001 - as `threading.Condition` does
            return None
        return place

    # ``with`` looks up both methods before it calls the first.
    @property
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 - a C method replaces it
        """The method that ends the turn which `__enter__` takes next."""
        return self._enter_next(QueuedThread())

    def __enter__(self) -> None:
        """Wait for the turn."""
        self._take(self._own.entering.pop())

    def _enter_next(self, place: QueuedThread) -> Callable[..., None]:
        self._own.entering.append(place)
        ending: Callable[..., None] = place.lock.__exit__
        return ending

    def for_psycopg(self) -> PsycopgsTurn:
        """Return this lock for psycopg's use."""
        return PsycopgsTurn(self)

    def take(self) -> Callable[[], None]:
        """Wait for the turn, and return a function that ends it from any thread."""
        place = QueuedThread()
        self._take(place)
        return place.release

    @contextmanager
    def if_free(self) -> Iterator[bool]:
        """Take the turn if it is free, without waiting; yield whether it was taken."""
        place = QueuedThread()
        with place.lock:
            is_taken = self.is_mine or self._join_if_free(place)
            yield is_taken

    def _take(self, place: QueuedThread) -> None:
        try:
            place.lock.acquire()
            if not self.is_mine:
                self._queue(place)
                self._own.place = place
        except BaseException:
            try:  # noqa: SIM105 - the first call, as in `QueuedThread.wait`
                place.lock.release()
            except RuntimeError:  # interrupted before it was acquired
                pass
            raise

    def _queue(self, place: QueuedThread) -> None:
        with self._joining:
            place.before, self._last = self._last, place
        began = time.monotonic()
        while (before := place.before) is not None:
            before.wait(lambda: self._refuse(time.monotonic() - began))
            place.before = before.before

    def _join_if_free(self, place: QueuedThread) -> bool:
        with self._joining:
            last = self._last
            while last is not None and not last.given_up:
                if not last.lock.acquire(blocking=False):
                    return False
                last.lock.release()
                last = last.before  # this thread gave up before its turn
            self._last = self._own.place = place
            return True


class PsycopgsTurn:
    """The lock of a session, for psycopg.

    Parameters
    ----------
    turn
        The lock that it delegates to.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    @property
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 - as in `Turn`
        """The method that ends the turn which `__enter__` takes next."""
        return self._turn._enter_next(QueuedThread(is_psycopgs=True))  # noqa: SLF001 - one lock in two classes

    def __enter__(self) -> None:
        """Wait for the turn."""
        self._turn.__enter__()
