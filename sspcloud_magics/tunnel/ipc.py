"""The messages between the kernel and the helper process: one JSON object per line.

The kernel writes commands to the helper's standard input; the helper writes events to its standard output, and ends
when the kernel closes the pipe. Credentials pass only through this pipe: never through argv, the environment or a
file.

    kernel                                helper
      │  SetAccess(access_id, access)  ─────▶│  again whenever the credentials change
      │  StartForward(id, spec)        ─────▶│  binds, dials once
      │◀─────  ForwardState(active, ports)   │  or failed, with the error
      │◀─────  ForwardCounters               │  at most twice a second, and only after a change
      │◀─────  CredentialsWanted(access_id)  │  after a 401; answered by SetAccess or RefuseAccess
      │◀─────  ForwardState(reconnecting)    │
      │  StopForward(id)               ─────▶│
      │◀─────  ForwardState(stopped)         │
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias, get_args

from sspcloud_magics.access import Access


class State(StrEnum):
    """The state of a forward; `TRANSITIONS` has the allowed changes."""

    STARTING = "starting"
    ACTIVE = "active"
    RECONNECTING = "reconnecting"
    STOPPED = "stopped"
    FAILED = "failed"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.ACTIVE, State.STOPPED, State.FAILED}),
    State.ACTIVE: frozenset({State.RECONNECTING, State.STOPPED, State.FAILED}),
    State.RECONNECTING: frozenset({State.ACTIVE, State.STOPPED, State.FAILED}),
    State.STOPPED: frozenset(),
    State.FAILED: frozenset({State.STARTING, State.STOPPED}),
}


@dataclass(frozen=True, slots=True)
class PortSpec:
    """One port of a forward."""

    # The port of the target: a number, or the name of a port of the service or the container.
    remote: int | str
    # The local ports to try, in order; 0 is any free port. The first that can be bound is used.
    candidates: tuple[int, ...]
    # The name of the Unix socket, if the forward listens on Unix sockets; then no port is bound.
    socket: str = ""


@dataclass(frozen=True, slots=True)
class ForwardSpec:
    """The target, ports and addresses of a forward."""

    # The target; `kind` is one of `sspcloud_magics.target.SHORT_KIND`.
    namespace: str
    kind: str
    name: str
    ports: tuple[PortSpec, ...]  # the ports; all of them lead to the same pod
    # The address to listen on; ``localhost`` means both loopback families, or the one that exists.
    address: str = "localhost"
    wait: float = 10.0  # how long a connection that arrives while the forward reconnects waits, in seconds
    # Whether the forward was active in a helper that died. It then binds and reconnects, as after a lost
    # tunnel, and does not fail if the first dial does.
    resume: bool = False
    # The directories to try for Unix sockets, in order; if there are any, no port is bound.
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetAccess:
    """Set or replace the credentials with this number."""

    access_id: int
    access: Access


@dataclass(frozen=True, slots=True)
class RefuseAccess:
    """Fail the forwards that wait for fresh credentials with this error."""

    access_id: int
    error: dict[str, str]


@dataclass(frozen=True, slots=True)
class StartForward:
    """Start a forward, or restart a failed one: bind, dial the target once, and report *active* or *failed*."""

    forward_id: int
    access_id: int
    spec: ForwardSpec


@dataclass(frozen=True, slots=True)
class StopForward:
    """End the forward and its connections, and report *stopped*, even for an unknown number."""

    forward_id: int


@dataclass(frozen=True, slots=True)
class SetLog:
    """Set the level of `logging` from which the helper sends its log; 0 for no log."""

    level: int


@dataclass(frozen=True, slots=True)
class SetLanguage:
    """Set the language of the helper's messages."""

    language: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The helper has started."""

    pid: int


@dataclass(frozen=True, slots=True)
class ForwardState:
    """A change of a forward's state."""

    forward_id: int
    state: State
    reason: str = ""  # the cause in a few words, for the user; may be empty
    pod: str = ""  # the current pod; empty if there is none
    protocol: str = ""  # the tunnel protocol: ``spdy``, ``spdy_websocket``, ``channels`` or empty
    local_ports: tuple[int, ...] = ()  # the bound ports, in the order of the spec; empty until they are bound
    folder: str = ""  # the directory of the Unix sockets; empty if the forward listens on ports
    # `SspcloudError.to_wire` of the error of a failed forward; None in any other state.
    error: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ForwardCounters:
    """The traffic of a forward since its start."""

    forward_id: int
    # The bytes to the target and from it.
    sent: int = 0
    received: int = 0
    open_connections: int = 0  # the connections that are open now; the only number that may fall
    # The accepted connections, and those of them that ended in an error.
    connections: int = 0
    failed_connections: int = 0
    reconnects: int = 0  # how often the forward has reconnected
    last_error: str = ""  # the text of the last error of a connection; may be empty


@dataclass(frozen=True, slots=True)
class CredentialsWanted:
    """The server rejects these credentials (401). Answer with `SetAccess` or `RefuseAccess`."""

    access_id: int


@dataclass(frozen=True, slots=True)
class Logged:
    """A record of the helper's log."""

    # As in `logging`; the text contains no secret.
    level: int
    name: str
    text: str
    at: float  # the time of the record, in seconds since 1970


Command: TypeAlias = SetAccess | RefuseAccess | StartForward | StopForward | SetLog | SetLanguage
Event: TypeAlias = Ready | ForwardState | ForwardCounters | CredentialsWanted | Logged

_MESSAGES: dict[str, type[Any]] = {kind.__name__: kind for kind in (*get_args(Command), *get_args(Event))}


def encode(message: Command | Event) -> bytes:
    """Encode a message as a line, with its newline."""
    if isinstance(message, SetAccess):
        body: dict[str, Any] = {"access_id": message.access_id, "access": message.access.to_wire()}
    else:
        body = asdict(message)
    return json.dumps({"is": type(message).__name__, **body}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Command | Event:
    """Decode a line; raise `ValueError` if it is not a message."""
    try:
        body = json.loads(line)
        kind = _MESSAGES[body.pop("is")]
        if kind is SetAccess:
            body["access"] = Access.from_wire(body["access"])
        elif kind is StartForward:
            spec = body["spec"]
            ports = tuple(
                PortSpec(port["remote"], tuple(port["candidates"]), port["socket"])
                for port in spec.pop("ports")
            )
            body["spec"] = ForwardSpec(ports=ports, folders=tuple(spec.pop("folders")), **spec)
        elif kind is ForwardState:
            body["state"] = State(body["state"])
            body["local_ports"] = tuple(body["local_ports"])
        message: Command | Event = kind(**body)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # The line may contain credentials, so it is never quoted.
        raise ValueError(f"not a control message ({type(error).__name__})") from None
    return message
