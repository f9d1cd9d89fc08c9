"""Threads take turns at a session, in the order in which they came.

libpq reads and writes one conversation with the server: two threads in it at once read each other's rows. So each use of a session,
ours and psycopg's own, is a turn. A thread may take it again while it has it.

Two things are not what `threading.Lock` does. It is fair: a thread that asks again and again does not keep the others out. And an
interrupted cell leaves no turn behind. Python raises `KeyboardInterrupt` between two instructions, also before the first one of a
method `__exit__` that is written in Python. So what ends a turn is
a method of C, in which nothing is raised: each turn has a lock of its own, and ``with`` releases that.

Those who wait form a queue (Craig, Landin and Hagersten): each waits for the lock of the one before. One that gives up releases its
lock before its turn; the one behind then waits for the place that it was waiting for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOOK_SECONDS = 0.1
"""How often a waiting thread looks whether it is interrupted: not every system wakes it for that."""


class QueuedThread:
    """A place in the queue.

    Parameters
    ----------
    before
        Who is waited for; None once it is this one's turn.
    """

    __slots__ = ("before", "given_up", "is_psycopgs", "lock")

    def __init__(self, *, is_psycopgs: bool = False) -> None:
        # Whether psycopg took it, so that what runs in it is not ours.
        self.is_psycopgs = is_psycopgs
        self.before: QueuedThread | None = None
        # Held from the first moment to the end of the turn.
        self.lock: Any = threading.RLock()
        # The turn was ended on a thread that could not release the lock.
        self.given_up = False

    def release(self) -> None:
        """End its turn, on whichever thread."""
        try:
            self.lock.release()
        except RuntimeError:  # it is another thread's
            self.given_up = True

    def wait(self, refuse: Callable[[], None]) -> None:
        """Wait for the end of this place's turn."""
        while not self.given_up:
            try:
                if self.lock.acquire(timeout=LOOK_SECONDS):
                    return
            finally:
                # First of all, and without asking whether it is held: an interruption may come before any other call.
                try:  # noqa: SIM105
                    self.lock.release()
                except RuntimeError:  # the time was over
                    pass
            refuse()


class _Own(threading.local):
    """What one thread knows: the places that it is about to take, and the one that it has or had."""

    def __init__(self) -> None:
        self.entering: list[QueuedThread] = []
        self.place: QueuedThread | None = None


class Turn:
    """A lock for ``with``: fair, reentrant, and whole after an interruption.

    Parameters
    ----------
    refuse
        Called with the seconds that have been waited, now and then; raises what ends the waiting.

    Examples
    --------
    >>> turn = Turn()
    >>> with turn, turn:
    ...     turn.is_mine
    True
    """

    def __init__(self, refuse: Callable[[float], None] = lambda _: None) -> None:
        self._refuse = refuse
        self._joining = threading.RLock()
        self._last: QueuedThread | None = None
        self._own = _Own()

    @property
    def is_mine(self) -> bool:
        """Whether this thread has the turn."""
        return self.place is not None

    @property
    def place(self) -> QueuedThread | None:
        """What this thread's turn is known by; None where it has none."""
        place = self._own.place
        if place is None or place.given_up or not place.lock._is_owned():  # noqa: SLF001 - as `threading.Condition` does
            return None
        return place

    # ``with`` looks both methods up before it calls the first.
    @property
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 - a method of C takes its place
        """What ends the turn that `__enter__` takes next."""
        return self._enter_next(QueuedThread())

    def __enter__(self) -> None:
        """Wait for the turn."""
        self._take(self._own.entering.pop())

    def _enter_next(self, place: QueuedThread) -> Callable[..., None]:
        self._own.entering.append(place)
        ending: Callable[..., None] = place.lock.__exit__
        return ending

    def for_psycopg(self) -> PsycopgsTurn:
        """Return the same lock, as psycopg takes it."""
        return PsycopgsTurn(self)

    def take(self) -> Callable[[], None]:
        """Wait for the turn, and return what ends it, on whichever thread."""
        place = QueuedThread()
        self._take(place)
        return place.release

    @contextmanager
    def if_free(self) -> Iterator[bool]:
        """Take the turn if it is free, without waiting; gives whether it was taken."""
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
            try:  # noqa: SIM105 - at once, as in `QueuedThread.wait`
                place.lock.release()
            except RuntimeError:  # interrupted before
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
                last = last.before  # it left before its turn
            self._last = self._own.place = place
            return True


class PsycopgsTurn:
    """The lock of a session, for psycopg.

    Parameters
    ----------
    turn
        What it is a part of.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    @property
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 - as that of `Turn`
        """What ends the turn that `__enter__` takes next."""
        return self._turn._enter_next(QueuedThread(is_psycopgs=True))  # noqa: SLF001 - its other half

    def __enter__(self) -> None:
        """Wait for the turn."""
        self._turn.__enter__()
