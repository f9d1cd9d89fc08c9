"""What the kernel and the helper process say to each other: one JSON object a line.

The kernel writes commands into the helper's standard input; the helper writes events to its standard
output. The kernel's closing of the pipe is the order to end. Access, with its secrets, travels here
and nowhere else: never in argv, the environment or a file.

    kernel                                helper
      │  SetAccess(access_id, access)  ─────▶│  (again whenever the credentials change)
      │  StartForward(id, spec)        ─────▶│  binds, dials once
      │◀─────  ForwardState(active, ports)   │  or failed, with the error
      │◀─────  ForwardCounters               │  at most twice a second, only when they changed
      │◀─────  CredentialsWanted(access_id)  │  the server answered 401: SetAccess, or RefuseAccess
      │◀─────  ForwardState(reconnecting)    │
      │  StopForward(id)               ─────▶│
      │◀─────  ForwardState(stopped)         │
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from sspcloud_magics.access import Access


class State(StrEnum):
    """The life of a forward. `TRANSITIONS` says which follows which."""

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
    """One port of a forward.

    Parameters
    ----------
    remote
        The port of the target: a number, or the name of a port of the service or the container.
    candidates
        Local ports to try, in this order; 0 is any free one. The first that can be bound is used.
    socket
        The name of its Unix socket, where the forward listens on those; the number is not bound then.
    """

    remote: int | str
    candidates: tuple[int, ...]
    socket: str = ""


@dataclass(frozen=True, slots=True)
class ForwardSpec:
    """What a forward shall do.

    Parameters
    ----------
    namespace, kind, name
        The target; `kind` is one of `sspcloud_magics.target.SHORT_KIND`.
    ports
        The ports; all of them lead to the same pod.
    address
        Where to listen: ``localhost`` is both loopback families, and survives the lack of one.
    folders
        Directories to try for Unix sockets, in this order; where there are any, no port is bound.
    wait
        How long a connection that arrives while the forward reconnects is kept waiting, in seconds.
    resume
        The forward was active in a helper that died: bind, say *reconnecting* and heal as after a loss,
        rather than fail because the first dial does.
    """

    namespace: str
    kind: str
    name: str
    ports: tuple[PortSpec, ...]
    address: str = "localhost"
    wait: float = 10.0
    resume: bool = False
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetAccess:
    """Use this access under this number from now on."""

    access_id: int
    access: Access


@dataclass(frozen=True, slots=True)
class RefuseAccess:
    """No better credentials can be had: the forwards that asked for them fail with this error."""

    access_id: int
    error: dict[str, str]


@dataclass(frozen=True, slots=True)
class StartForward:
    """Bind, dial the target once, and report *active* or *failed*; also restarts a failed forward."""

    forward_id: int
    access_id: int
    spec: ForwardSpec


@dataclass(frozen=True, slots=True)
class StopForward:
    """End the forward and its connections; an unknown number is answered *stopped*."""

    forward_id: int


@dataclass(frozen=True, slots=True)
class SetLog:
    """Report what is done, from this level of `logging` on; 0 for nothing."""

    level: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The helper runs."""

    pid: int


@dataclass(frozen=True, slots=True)
class ForwardState:
    """A forward's state changed.

    Parameters
    ----------
    reason
        Why, in a few words, for the user; empty where there is nothing to say.
    pod
        The pod that is used; empty where none is.
    protocol
        The tunnel protocol in use: ``spdy``, ``spdy over websocket``, ``channels`` or empty.
    local_ports
        The bound ports, in the order of the spec; empty until they are bound.
    folder
        The directory of the Unix sockets; empty where there are none.
    error
        `SspcloudError.to_wire` of what made it fail; None in any other state.
    """

    forward_id: int
    state: State
    reason: str = ""
    pod: str = ""
    protocol: str = ""
    local_ports: tuple[int, ...] = ()
    folder: str = ""
    error: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ForwardCounters:
    """What a forward has carried since it was started; never falls.

    Parameters
    ----------
    sent, received
        Bytes to the target and from it.
    open_connections
        Connections that are open now.
    connections, failed_connections
        Connections that were accepted, and those of them that ended in an error.
    reconnects
        How often the forward was taken up again.
    last_error
        The text of the last error of a connection; empty where there was none.
    """

    forward_id: int
    sent: int = 0
    received: int = 0
    open_connections: int = 0
    connections: int = 0
    failed_connections: int = 0
    reconnects: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class CredentialsWanted:
    """The server does not accept this access any more (401). Answer with `SetAccess` or `RefuseAccess`."""

    access_id: int


@dataclass(frozen=True, slots=True)
class Logged:
    """A record of the helper's log.

    Parameters
    ----------
    level, name, text
        As in `logging`; the text holds no secret.
    at
        When it was written, in seconds since 1970.
    """

    level: int
    name: str
    text: str
    at: float


Command: TypeAlias = SetAccess | RefuseAccess | StartForward | StopForward | SetLog
Event: TypeAlias = Ready | ForwardState | ForwardCounters | CredentialsWanted | Logged

_MESSAGES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        SetAccess,
        RefuseAccess,
        StartForward,
        StopForward,
        SetLog,
        Ready,
        ForwardState,
        ForwardCounters,
        CredentialsWanted,
        Logged,
    )
}


def encode(message: Command | Event) -> bytes:
    """Return the line, with its end, that says `message`."""
    if isinstance(message, SetAccess):
        body: dict[str, Any] = {"access_id": message.access_id, "access": message.access.to_wire()}
    else:
        body = asdict(message)
    return json.dumps({"is": type(message).__name__, **body}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Command | Event:
    """Return the message that a line says.

    Raises
    ------
    ValueError
        If the line is not a message of this language.
    """
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
        # The line may hold credentials: it is never quoted.
        raise ValueError(f"not a control message ({type(error).__name__})") from None
    return message
