"""How long the helper waits for what: values that are handed down, so that a test can wait for less or for longer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """What the helper waits for, in seconds."""

    # Connections.
    quiet: float = 5.0
    """Without a byte, the pod is told that the client has shut down its writing side."""
    thinking: float = 20.0
    """The same, for a server that has not answered yet: it may be computing."""
    # A closing program lets go of its socket a moment after its FIN has arrived here, and may connect again at once:
    # then the new connection comes first, and the old one is looked at while that waits for its pod. (An idle loop
    # rounds up to 1 ms.)
    first_looks: tuple[float, ...] = (0.0004, 0.001, 0.01, 0.1, 0.5)
    """The pauses between the first looks at whether a client that has ended is still there."""
    look_interval: float = 1.0
    """The pause between the looks after these."""
    time_to_leave: float = 0.1
    """For a client to close after the pod has reset: then it is no failure."""
    # Tunnels.
    ping_interval: float = 10.0
    longest_doubt: float = 5.0
    """For a sign of life of a tunnel that may be gone."""
    patience_with_readers: float = 30.0
    """For a client that takes nothing while others wait behind it on the same tunnel."""
    burst: float = 0.5
    """After the last crowd, connections are still served as a part of it."""
    # A handshake during the start of a connection delays that connection. By then it may be over, so that short ones in
    # turn share one tunnel; and what begins as a few that wait may be known for a burst, which needs fewer tunnels.
    refill: float = 0.003
    """Before another tunnel is opened for one that was taken."""
    # Servers.
    handshake: float = 10.0
    """For TLS, as kubectl does."""
    watch: float = 270.0
    """For a watch in all: the server is asked to end it half a minute before."""
    first_answer: float = 5.0
    """For a server, or a proxy before it, to answer to SPDY as long as it has never spoken it."""
    # On a busy node of the real servers, a refusal came 0.2 ms after the acceptance; the latest of 500 after 11.
    grace: float = 0.025
    """For a refusal to arrive after the pod was dialled."""
    # No API server ends and starts again within these seconds: if it was ready then, it is ready now.
    stays_ready: float = 0.5
    """After a success, a 403 is believed without a question to the server."""
    patience_with_403: float = 10.0
    """For a server that may be starting, and does not say whether it is ready."""
