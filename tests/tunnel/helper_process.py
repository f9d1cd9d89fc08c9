"""A driver for the real helper process, which uses `ipc` as the kernel does."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Self

import pytest

from sspcloud_magics.access import Access
from sspcloud_magics.errors import SspcloudError, from_wire
from sspcloud_magics.tunnel.ipc import (
    Command,
    CredentialsWanted,
    Event,
    ForwardCounters,
    ForwardSpec,
    ForwardState,
    PortSpec,
    Ready,
    SetAccess,
    StartForward,
    State,
    StopForward,
    decode,
    encode,
)
from sspcloud_magics.tunnel.timings import Timings
from tests.tunnel import helper_main
from tests.tunnel.helper_main import Circumstances

PATIENCE = 30.0

# The first protocol that the helper speaks, as on a server that refuses those before.
FIRST = {"spdy": 0, "spdy_websocket": 1, "channels": 2}
# In a WebSocket the frames are the same SPDY: what could differ names all of `FIRST`, the rest is for `make wide`.
IN_TURN = [
    pytest.param("spdy"),
    pytest.param("spdy_websocket", marks=pytest.mark.wide),
    pytest.param("channels"),
]
every_protocol = pytest.mark.parametrize(
    "first",
    [pytest.param(FIRST[str(each.values[0])], marks=each.marks, id=str(each.values[0])) for each in IN_TURN],
)


class HelperProcess:
    """The helper, and its events so far."""

    def __init__(
        self,
        access: Access,
        timings: Timings | None = None,
        *,
        env: dict[str, str] | None = None,
        **unusual: Any,
    ) -> None:
        given = Circumstances(timings or Timings(), **unusual)
        usual = given == Circumstances()
        how = ["-m", "sspcloud_magics.tunnel"] if usual else [helper_main.__file__, given.to_json()]
        self.process = subprocess.Popen(
            [sys.executable, *how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=env,
        )
        self.events: list[Event] = []
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self._next = 1
        self.say(SetAccess(1, access))

    def __enter__(self) -> Self:
        self.wait_for(lambda event: isinstance(event, Ready))
        return self

    def __exit__(self, *_error: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self._thread.join()
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = decode(line)
            assert not isinstance(event, SetAccess | StartForward | StopForward)
            self._queue.put(event)  # type: ignore[arg-type]
        self._queue.put(None)

    def say(self, command: Command) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(encode(command))
        self.process.stdin.flush()

    def wait_for(self, wanted: Callable[[Event], bool]) -> Event:
        """Return the next matching event."""
        while True:
            event = self._queue.get(timeout=PATIENCE)
            assert event is not None, "the helper has ended"
            self.events.append(event)
            if wanted(event):
                return event

    def start(
        self, kind: str, name: str, *ports: int | str, namespace: str = "lab", local: int = 0, **rest
    ) -> int:
        """Start a forward; return its number."""
        number, self._next = self._next, self._next + 1
        specs = tuple(PortSpec(port, (local,)) for port in ports)
        self.say(StartForward(number, 1, ForwardSpec(namespace, kind, name, specs, **rest)))
        return number

    def forward(self, kind: str, name: str, *ports: int | str, **rest) -> ForwardState:
        """Start a forward and wait until it is active; raise its error if it fails."""
        number = self.start(kind, name, *ports, **rest)
        return self.wait_for_state(number, State.ACTIVE)

    def wait_for_state(self, number: int, state: State) -> ForwardState:
        """Wait for the next report of `state`; raise the error if the forward fails instead."""
        event = self.wait_for(
            lambda event: (
                isinstance(event, ForwardState)
                and event.forward_id == number
                and event.state in (state, State.FAILED)
            )
        )
        assert isinstance(event, ForwardState)
        if event.state is not state:
            assert event.error is not None
            raise from_wire(event.error)
        return event

    def failure(self, kind: str, name: str, *ports: int | str, **rest) -> SspcloudError:
        """Start a forward that fails; return the error."""
        number = self.start(kind, name, *ports, **rest)
        event = self.wait_for_state(number, State.FAILED)
        assert event.error is not None
        return from_wire(event.error)

    def wait_for_counters(self, wanted: Callable[[ForwardCounters], bool]) -> ForwardCounters:
        event = self.wait_for(lambda event: isinstance(event, ForwardCounters) and wanted(event))
        assert isinstance(event, ForwardCounters)
        return event

    def wait_for_credentials_wanted(self) -> None:
        self.wait_for(lambda event: isinstance(event, CredentialsWanted))

    def stop(self, number: int) -> None:
        self.say(StopForward(number))
        self.wait_for_state(number, State.STOPPED)
