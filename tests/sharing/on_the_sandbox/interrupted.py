"""Interruptions at a step: after the request to the API server, or the statement, whose text holds all of some words.

As a program it is a kernel that is killed there: ``interrupted.py KUBECONFIG share|unshare DATABASE WORD…``.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import urllib3

import sspcloud_magics as ssp


@contextlib.contextmanager
def signal_after(words: list[str], number: signal.Signals) -> Iterator[None]:
    """Send this process a signal, once, after the step of these words: only the step's reply is lost."""
    waiting = [True]

    def wrap_call(call: Callable[..., Any]) -> Callable[..., Any]:
        def call_and_signal(*arguments: Any, **keywords: Any) -> Any:
            answer = call(*arguments, **keywords)
            if waiting and all(word in " ".join(map(str, arguments)) for word in words):
                waiting.clear()
                os.kill(os.getpid(), number)
            return answer

        return call_and_signal

    pool, connection = urllib3.connectionpool.HTTPConnectionPool, psycopg.Connection
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "urlopen", wrap_call(pool.urlopen))
        patch.setattr(connection, "execute", wrap_call(connection.execute))
        yield


@contextlib.contextmanager
def interrupt_after(words: list[str]) -> Iterator[None]:
    """Press Ctrl-C at that step, and expect the interrupt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt), signal_after(words, signal.SIGINT):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    kubeconfig, command, database, *at = sys.argv[1:]
    ssp.login(kubeconfig=kubeconfig)
    with signal_after(at, signal.SIGKILL):
        if command == "share":
            ssp.share_db(database, "bob")
        else:
            ssp.unshare(database, "bob")
