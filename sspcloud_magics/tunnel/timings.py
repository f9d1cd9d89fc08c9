"""Timeouts and intervals of the helper, passed down as one value, so that a test can change them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """Timeouts and intervals, in seconds."""

    # Connections.
    reply_timeout: float = 5.0
    """How long a reply may pause before the pod learns that the client has shut down its writing side."""
    first_reply_timeout: float = 20.0
    """The same before the first byte of a reply: the server may still be computing it."""
    # A closing program releases its socket a moment after its FIN has arrived here, and may connect again at once.
    # The new connection then comes first, and the old one is checked while the new one waits for its pod. (An idle
    # event loop rounds up to 1 ms.)
    first_close_checks: tuple[float, ...] = (0.0004, 0.001, 0.01, 0.1, 0.5)
    """The delays before the first checks whether a client that sent its FIN has closed its socket."""
    close_check_interval: float = 1.0
    """The delay between later checks."""
    close_grace: float = 0.1
    """How long a client may take to close after the pod has reset; within it, the reset is no failure."""
    # Tunnels.
    ping_interval: float = 10.0
    probe_timeout: float = 5.0
    """How long to wait for a sign of life from a tunnel that may be gone."""
    reader_timeout: float = 30.0
    """How long a client may read nothing while others wait behind it on the same tunnel."""
    burst_duration: float = 0.5
    """How long a burst lasts after the last time that the burst threshold was exceeded."""
    # A handshake while a connection starts delays that connection. After this delay the connection may be over, so that
    # short ones in turn reuse one tunnel; and a few waiting ones may have become a burst, which needs fewer tunnels.
    refill_delay: float = 0.003
    """How long to wait before another tunnel replaces one that was acquired."""
    # Servers.
    tls_timeout: float = 10.0
    """How long a TLS handshake may take, as in kubectl."""
    watch_timeout: float = 270.0
    """How long a watch may last; the server is asked to end it 30 seconds earlier."""
    first_answer_timeout: float = 5.0
    """How long a server, or a proxy in front of it, may take to answer SPDY before it has ever spoken it."""
    # On a busy node of the real servers, a refusal came 0.2 ms after the acceptance; the latest of 500 after 11 ms.
    dial_grace: float = 0.025
    """How long a refusal may take to arrive after the pod was dialled."""
    # No API server stops and starts again within this time: if it was ready then, it is ready now.
    ready_ttl: float = 0.5
    """How long after a success a 403 is trusted without asking the server whether it is ready."""
    forbidden_timeout: float = 10.0
    """How long to retry after a 403 from a server that may be starting and does not report its readiness."""
