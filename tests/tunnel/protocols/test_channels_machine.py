"""The protocol `channels` against a model: any order of actions of both ends, in any slicing and any fragments."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sspcloud_magics.tunnel.protocols.events import (
    Accepted,
    Ended,
    Failed,
    Ponged,
    ProtocolError,
    Received,
    TunnelClosed,
)
from sspcloud_magics.tunnel.protocols.websocket_channels import ChannelTunnel
from tests.support.examples import examples
from tests.tunnel.protocols.line import (
    Bytes,
    Line,
    fragment,
    frame_content,
    join_events,
    mark_last,
    payload,
    spoilt,
)
from tests.tunnel.protocols.wire import cuts, everything, slices, unmask

PORT = (5432).to_bytes(2, "little")
CLOSE = (8, b"\x03\xe8")
LATE = 10
"""The first step that may end the tunnel; without this, most runs would end before anything happened."""

some = st.binary(min_size=1, max_size=200)


class ChannelTunnelMachine(RuleBasedStateMachine):
    """The client's calls, the server's messages, and what each must bring about."""

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        self.tunnel, self.line = ChannelTunnel(), Line()
        self.expected: list[Any] = []
        self.answers: list[tuple[int, bytes]] = []
        self.opened = self.greeted_data = self.greeted_error = self.close_said = False
        self.left = self.closing = self.over = self.broken = False
        self.sent = self.at_pod = self.text = b""
        self.history = ""
        self.steps = 0

    # The client.

    @precondition(lambda self: not self.opened)
    @rule(port=st.integers(1, 65535), word=st.binary(max_size=200))
    def open(self, port: int, word: bytes) -> None:
        number, sent = self.tunnel.open(port, word)
        assert number == 1
        assert unmask(sent) == ([(2, b"\x00" + word)] if word else [])
        self.sent, self.at_pod = word, word
        self.opened = True

    @precondition(lambda self: self.opened and not (self.broken or self.closing))
    @rule(word=st.binary(max_size=200), times=st.sampled_from([1, 1, 100]))
    def send(self, word: bytes, times: int) -> None:
        self.sent += word * times
        for opcode, content in unmask(b"".join(self.tunnel.send(1, memoryview(word * times)))):
            assert (opcode, content[:1]) == (2, b"\x00")
            self.at_pod += content[1:]

    @precondition(lambda self: self.opened and not self.broken and self.steps > LATE)
    @rule(how=st.sampled_from(["finish", "abandon", "reset", "close"]))
    def leave(self, how: str) -> None:
        said = self.tunnel.close() if how == "close" else getattr(self.tunnel, how)(1)
        assert unmask(said) == ([] if self.closing else [CLOSE])
        self.closing = True
        self.left |= how != "close"

    @precondition(lambda self: self.opened and not self.broken)
    @rule()
    def ping(self) -> None:
        assert unmask(self.tunnel.ping()) == [(9, b"")]

    # The server.

    def say(self, content: Bytes, at: list[int]) -> None:
        self.line.put(fragment(content, at))

    @precondition(lambda self: self.opened and not (self.broken or self.close_said))
    @rule(channel=st.sampled_from([0, 1]), at=cuts)
    def greet(self, channel: int, at: list[int]) -> None:
        if channel == 0 and not self.greeted_data:
            self.greeted_data = True
            # Not even an abandoned pair hides that its server has answered.
            self.say(mark_last(b"\x00" + PORT, lambda: self.note(Accepted(1))), at)
        elif channel == 1 and not self.greeted_error:
            self.greeted_error = True
            self.say(mark_last(b"\x01" + PORT), at)

    @precondition(lambda self: self.greeted_data and not (self.broken or self.close_said))
    @rule(word=st.binary(max_size=200), at=cuts)
    def answer(self, word: bytes, at: list[int]) -> None:
        self.say(mark_last(b"\x00") + payload(word, self.byte), at)

    @precondition(lambda self: self.greeted_error and not (self.broken or self.close_said))
    @rule(words=st.text("abc é", min_size=1), at=cuts)
    def complain(self, words: str, at: list[int]) -> None:
        self.say(mark_last(b"\x01") + payload(words.encode(), self.letter), at)

    @precondition(lambda self: self.opened and not self.broken)
    @rule(opcode=st.sampled_from([9, 10]), word=st.binary(min_size=1, max_size=125))
    def server_pings_or_answers(self, opcode: int, word: bytes) -> None:
        def note_arrival() -> None:
            if opcode == 10:
                self.note(Ponged())
            elif not self.over:
                self.answers.append((10, word))

        self.line.put(frame_content(opcode, mark_last(word, note_arrival)))

    @precondition(lambda self: self.opened and not (self.broken or self.close_said) and self.steps > LATE)
    @rule(words=st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xf3", b"\x03\xf3gone"]))
    def server_closes(self, words: bytes) -> None:
        self.close_said = True

        def closes() -> None:
            if not self.closing:
                self.answers.append(CLOSE)
            code = int.from_bytes(words[:2], "big") or 1005
            text = self.text.decode(errors="replace").strip()
            if not text and code not in {1000, 1005}:
                text = words[2:].decode() or f"the server closed the tunnel ({code})"
            self.event(Failed(1, text) if text else Ended(1))
            self.note(TunnelClosed("the connection is over"))
            self.closing = self.over = True

        self.line.put(frame_content(8, mark_last(words, closes)) if words else mark_last(b"\x88\x00", closes))

    @precondition(lambda self: not self.broken and len(self.line))
    @rule(size=st.integers(1, 300) | st.just(1 << 20), at=cuts)
    def arrive(self, size: int, at: list[int]) -> None:
        self.broken = True  # unless all of it proves right
        events = self.line.arrive(self.tunnel.receive, size, at)
        assert events == join_events(self.expected)
        self.expected.clear()
        self.history += "".join(type(event).__name__[0] for event in events if hasattr(event, "pair"))
        assert unmask(bytes(self.tunnel.outgoing)) == self.answers
        self.tunnel.outgoing.clear()
        self.answers.clear()
        self.broken = False

    @precondition(lambda self: self.opened and not self.broken and self.steps > LATE)
    @rule(noise=some, how=st.sampled_from(["raw", "framed", "altered"]), at=cuts)
    def garbage(self, noise: bytes, how: str, at: list[int]) -> None:
        raw = spoilt(how, noise, self.line.raw())
        with contextlib.suppress(ProtocolError):
            everything(self.tunnel.receive, slices(raw, at))
        self.broken = True

    @precondition(lambda self: self.broken or self.over)
    @rule()
    def another_tunnel(self) -> None:
        self.begin()

    # What arrivals mean.

    def note(self, event: Any) -> None:
        if not self.over:
            self.expected.append(event)

    def event(self, event: Any) -> None:
        if not self.left:
            self.note(event)

    def byte(self, byte: int) -> None:
        self.event(Received(1, [bytes([byte])]))  # type: ignore[list-item]

    def letter(self, byte: int) -> None:
        self.text += bytes([byte])

    # What always holds.

    @invariant()
    def states_agree(self) -> None:
        self.steps += 1
        if not self.broken:
            assert self.tunnel.pairs == int(self.opened and not self.over)
            assert self.tunnel.reusable == (not self.opened)

    @invariant()
    def the_pod_has_what_was_sent(self) -> None:
        assert self.at_pod == self.sent

    @invariant()
    def events_come_in_a_legal_order(self) -> None:
        assert re.fullmatch("A?R*[EF]?", self.history), self.history

    def teardown(self) -> None:
        if not self.broken and len(self.line):
            self.arrive(len(self.line), [])


TestChannelTunnel = ChannelTunnelMachine.TestCase
TestChannelTunnel.settings = settings(
    max_examples=examples(60),
    stateful_step_count=40,
    deadline=None,
    phases=set(Phase) - {Phase.shrink},  # it takes minutes, and forty steps can be read
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
