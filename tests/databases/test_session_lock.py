"""Turns: one thread at a time, in the order of arrival, despite interruptions."""

from __future__ import annotations

import ctypes
import random
import threading
from collections.abc import Callable

import pytest

from sspcloud_magics.databases.session_lock import Turn

SECONDS = 30


class Waiting:
    """A turn, and threads that queue for it."""

    def __init__(self) -> None:
        self.turn = Turn(self._note_look)
        self.order: list[str] = []
        self._waits: dict[int, threading.Event] = {}

    def _note_look(self, _seconds: float) -> None:
        self._waits[threading.get_ident()].set()

    def begin(self, name: str, then: Callable[[], None] = lambda: None) -> threading.Thread:
        """Start a thread, and return once it waits."""
        waits = threading.Event()

        def work() -> None:
            self._waits[threading.get_ident()] = waits
            try:
                with self.turn:
                    self.order.append(name)
                    then()
            except KeyboardInterrupt:
                self.order.append(f"{name} interrupted")

        thread = threading.Thread(target=work)
        thread.start()
        assert waits.wait(SECONDS)
        return thread


def interrupt(thread: threading.Thread) -> None:
    """Raise KeyboardInterrupt in a thread between two instructions, as a signal does in the main one."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
    )


def test_threads_take_turns_in_their_order():
    waiting = Waiting()
    with waiting.turn:
        threads = [waiting.begin(name) for name in "abcdefgh"]
    for thread in threads:
        thread.join(SECONDS)
    assert "".join(waiting.order) == "abcdefgh"


def test_thread_that_asks_again_stands_behind_others():
    waiting = Waiting()
    with waiting.turn:
        threads = [waiting.begin(name) for name in "ab"]
    with waiting.turn:
        waiting.order.append("main")
    for thread in threads:
        thread.join(SECONDS)
    assert waiting.order == ["a", "b", "main"]


def test_turn_may_be_taken_again_by_its_thread():
    turn = Turn()
    with turn:
        with turn:
            assert turn.is_mine
        assert turn.is_mine
    assert not turn.is_mine


@pytest.mark.parametrize("given_up", ["a", "b", "d", "ab", "bc", "abcd"])
def test_interrupted_wait_leaves_others_their_order(given_up):
    waiting = Waiting()
    with waiting.turn:
        threads = {name: waiting.begin(name) for name in "abcd"}
        for name in given_up:
            interrupt(threads[name])
            threads[name].join(SECONDS)
        assert waiting.order == [f"{name} interrupted" for name in given_up]
    for thread in threads.values():
        thread.join(SECONDS)
    assert waiting.order[len(given_up) :] == [name for name in "abcd" if name not in given_up]
    with waiting.turn.if_free() as is_taken:
        assert is_taken


def test_waiting_ends_when_it_is_refused():
    def refuse(_seconds: float) -> None:
        raise TimeoutError

    turn = Turn(refuse)
    refused: list[bool] = []

    def work() -> None:
        try:
            with turn:
                refused.append(False)
        except TimeoutError:
            refused.append(True)

    thread = threading.Thread(target=work)
    with turn:
        thread.start()
        thread.join(SECONDS)
    assert refused == [True]


def test_turn_is_taken_if_free_and_without_waiting():
    waiting = Waiting()
    taken: list[bool] = []

    def try_it() -> None:
        with waiting.turn.if_free() as is_taken:
            taken.append(is_taken)

    def elsewhere() -> None:
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join(SECONDS)

    elsewhere()
    with waiting.turn:
        elsewhere()
        try_it()
        last = waiting.begin("a", then=elsewhere)
    last.join(SECONDS)
    elsewhere()
    assert taken == [True, False, True, False, True]


def test_turn_can_be_ended_by_another_thread():
    waiting = Waiting()
    end = waiting.turn.take()
    assert waiting.turn.is_mine
    last = waiting.begin("a")
    ending = threading.Thread(target=end)
    ending.start()
    ending.join(SECONDS)
    last.join(SECONDS)
    assert waiting.order == ["a"]
    assert not waiting.turn.is_mine


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.slow
def test_interruption_at_any_moment_leaves_no_turn():
    turn = Turn()
    inside: list[int] = []
    over = threading.Event()
    together: set[int] = set()
    caught: list[int] = []

    def work() -> None:
        while not over.is_set():
            try:
                with turn:
                    try:
                        inside.append(1)
                        with turn:
                            together.add(len(inside))
                    finally:
                        del inside[:]
            except KeyboardInterrupt:
                caught.append(1)

    def begin() -> threading.Thread:
        thread = threading.Thread(target=work)
        thread.start()
        return thread

    threads = [begin() for _ in range(6)]
    draw = random.Random(7)
    while len(caught) < 2000:
        at = draw.randrange(len(threads))
        interrupt(threads[at])
        if not threads[at].is_alive():  # it was interrupted outside of a turn
            threads[at] = begin()
    over.set()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert together == {1}
    with turn.if_free() as is_taken:
        assert is_taken
