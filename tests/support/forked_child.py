"""Run a function in a forked child."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any


def in_child(ask: Callable[[], Any], leave: Callable[[int], None] = os._exit) -> Any:
    """Return the result of a function in a forked child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            try:
                answer = ask()
            except Exception as error:  # noqa: BLE001 - the parent judges it
                answer = f"{type(error).__name__}: {error}"
            os.write(writing, json.dumps(answer).encode())
            leave(0)
        finally:  # no copy of pytest goes on
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = json.loads(pipe.read())
    assert os.waitpid(pid, 0)[1] == 0
    return answer
