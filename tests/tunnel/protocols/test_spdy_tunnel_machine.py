"""The protocols `spdy` and `spdy_websocket` against a model: any order of actions of both ends, in any slicing."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
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
from tests.tunnel.protocols.wire import (
    CARRIAGES,
    Carriage,
    SpdyPeer,
    control,
    cuts,
    data,
    everything,
    slices,
    spdy_frames,
    unmask,
)

pytestmark = pytest.mark.slow

which = st.integers(0, 3)
LATE = 15
"""The first step that may end the tunnel; without this, most runs would end before anything happened."""
some = st.binary(min_size=1, max_size=200)


@dataclass
class Pair:
    """The model of a pair: the client's actions, the data that has arrived, and the server's data."""

    number: int
    sent: bytes = b""
    finished: bool = False
    abandoned: bool = False
    text: bytes = b""
    data_over: bool = False
    error_over: bool = False
    over: bool = False
    replied: bool = False
    data_said: bool = False
    error_said: bool = False
    reset_said: bool = False
    at_pod: bytes = b""
    pod_saw_end: bool = False
    history: str = ""


class SpdyTunnelMachine(RuleBasedStateMachine):
    """The client's calls, the server's frames, and their required effects."""

    carriage: Carriage
    in_messages: bool

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        self.tunnel, self.peer, self.line = self.carriage.tunnel(), SpdyPeer(), Line()
        self.pairs: list[Pair] = []
        self.expected: list[Any] = []
        self.answers: list[tuple[Any, ...]] = []
        self.closing = self.closed = self.broken = False
        self.next_ping = 1
        self.steps = 0
        self.open(5432)
        self.accept(0, fin=False, at=[])

    def pair(self, index: int, allowed: Callable[[Pair], bool]) -> Pair | None:
        found = [pair for pair in self.pairs if allowed(pair)]
        return found[index % len(found)] if found else None

    # The client.

    @precondition(
        lambda self: not (self.broken or self.closing) and sum(not pair.over for pair in self.pairs) < 4
    )
    @rule(port=st.integers(1, 65535), word=st.binary(max_size=200))
    def open(self, port: int, word: bytes = b"") -> None:
        number, sent = self.tunnel.open(port, word)
        assert number == 4 * len(self.pairs) + 3
        assert not self.in_messages or len(unmask(sent)) == 1
        said = self.carriage.unpack(sent)
        (_, kind, first_flags, first), (_, other_kind, second_flags, second), *more = spdy_frames(said)
        assert (kind, other_kind, first_flags, second_flags) == (1, 1, 1, 0)
        (error, error_headers), (stream, headers) = self.peer.read_syn(first), self.peer.read_syn(second)
        assert (error, stream) == (number - 2, number)
        assert headers == {**error_headers, "streamtype": "data"}
        assert (error_headers["streamtype"], headers["port"]) == ("error", str(port))
        assert more == ([("data", number, 0, word)] if word else [])
        self.pairs.append(Pair(number, sent=word, at_pod=word))

    @precondition(lambda self: not self.broken)
    @rule(index=which, word=st.binary(max_size=200), times=st.sampled_from([1, 1, 100]))
    def send(self, index: int, word: bytes, times: int) -> None:
        if pair := self.pair(index, lambda pair: not (pair.finished or pair.over)):
            pair.sent += word * times
            self.hear(b"".join(self.tunnel.send(pair.number, memoryview(word * times))))

    @precondition(lambda self: not self.broken)
    @rule(index=which, how=st.sampled_from(["finish", "abandon", "reset"]))
    def leave(self, index: int, how: str) -> None:
        if pair := self.pair(index, lambda _: True):
            said = self.hear(getattr(self.tunnel, how)(pair.number))
            wanted = []
            if not pair.over and how == "reset":
                wanted = [("control", 3, 0, struct.pack("!II", pair.number, 5))]
            elif not (pair.over or pair.finished):
                wanted = [("data", pair.number, 1, b"")]
            assert said == wanted
            if not pair.over:
                pair.finished = True
                pair.abandoned |= how != "finish"
            if how == "reset":
                pair.data_over = True
                pair.over |= pair.error_over

    @precondition(lambda self: not self.broken)
    @rule()
    def ping(self) -> None:
        assert self.hear(self.tunnel.ping()) == [("control", 6, 0, struct.pack("!I", self.next_ping))]
        self.next_ping += 2

    @precondition(lambda self: not self.broken and self.steps > LATE)
    @rule()
    def close(self) -> None:
        said = self.tunnel.close()
        if self.in_messages:
            assert unmask(said) == [(8, b"\x03\xe8")]
        else:
            assert spdy_frames(said) == [("control", 7, 0, bytes(8))]
        self.closing = True

    def hear(self, sent: bytes) -> list[tuple[Any, ...]]:
        """Decode the client's data at the server's end."""
        said = spdy_frames(self.carriage.unpack(sent))
        for kind, stream, flags, content in said:
            if kind == "data":
                (pair,) = [pair for pair in self.pairs if pair.number == stream]
                assert not pair.pod_saw_end, "nothing may follow the end"
                pair.at_pod += content
                pair.pod_saw_end = bool(flags & 1)
        return said

    # The server.

    def say(self, content: Bytes, at: list[int]) -> None:
        self.line.put(fragment(content, at) if self.in_messages else content)

    @precondition(lambda self: not self.broken)
    @rule(index=which, fin=st.booleans(), at=cuts)
    def accept(self, index: int, fin: bool, at: list[int]) -> None:
        if pair := self.pair(index, lambda pair: not pair.replied):
            pair.replied = True
            pair.error_said |= fin
            error = mark_last(
                self.peer.reply(pair.number - 2, fin=fin), lambda: self.error_ends(pair) if fin else None
            )
            self.say(
                error
                + mark_last(self.peer.reply(pair.number), lambda: self.event(pair, Accepted(pair.number))),
                at,
            )

    @precondition(lambda self: not self.broken)
    @rule(index=which, word=some, fin=st.booleans(), at=cuts)
    def answer(self, index: int, word: bytes, fin: bool, at: list[int]) -> None:
        if pair := self.pair(index, lambda pair: pair.replied and not (pair.data_said or pair.reset_said)):
            pair.data_said = fin
            raw = data(pair.number, word, fin=fin)
            content = mark_last(raw[:8]) + payload(word, lambda byte: self.byte(pair, byte))
            if fin:
                content[-1] = (word[-1], lambda: (self.byte(pair, word[-1]), self.data_ends(pair)))  # type: ignore[assignment]
            self.say(content, at)

    @precondition(lambda self: not self.broken)
    @rule(index=which, first=st.sampled_from(["data", "error"]), at=cuts)
    def end(self, index: int, first: str, at: list[int]) -> None:
        """End the streams that are still open, in either order."""
        if pair := self.pair(index, lambda pair: pair.replied and not pair.reset_said):
            for which_one in (first, "error" if first == "data" else "data"):
                if which_one == "data" and not pair.data_said:
                    self.say(mark_last(data(pair.number, fin=True), lambda: self.data_ends(pair)), at)
                elif which_one == "error" and not pair.error_said:
                    self.say(mark_last(data(pair.number - 2, fin=True), lambda: self.error_ends(pair)), at)
            pair.data_said = pair.error_said = True

    @precondition(lambda self: not self.broken)
    @rule(index=which, words=st.text("abc é", min_size=1), fin=st.booleans(), at=cuts)
    def complain(self, index: int, words: str, fin: bool, at: list[int]) -> None:
        if pair := self.pair(index, lambda pair: pair.replied and not (pair.error_said or pair.reset_said)):
            pair.error_said = fin
            raw = data(pair.number - 2, words.encode(), fin=fin)
            content = mark_last(raw[:8]) + payload(raw[8:], lambda byte: self.letter(pair, byte))
            if fin:
                content[-1] = (raw[-1], lambda: (self.letter(pair, raw[-1]), self.error_ends(pair)))  # type: ignore[assignment]
            self.say(content, at)

    @precondition(lambda self: not self.broken)
    @rule(index=which, stream=st.sampled_from([0, 2]), at=cuts)
    def reset_pair(self, index: int, stream: int, at: list[int]) -> None:
        if pair := self.pair(index, lambda _: True):
            pair.reset_said = pair.replied = True
            raw = control(3, struct.pack("!II", pair.number - stream, 5))
            self.say(mark_last(raw, lambda: self.is_reset(pair)), at)

    @precondition(lambda self: not self.broken)
    @rule(number=st.integers(1, 1 << 30), at=cuts)
    def server_pings_or_answers(self, number: int, at: list[int]) -> None:
        raw = control(6, struct.pack("!I", number))
        ours = ("control", 6, 0, struct.pack("!I", number))
        self.say(mark_last(raw, lambda: self.note(Ponged()) if number % 2 else self.reply(ours)), at)

    @precondition(lambda self: not self.broken)
    @rule(number=st.integers(1, 100), at=cuts)
    def server_opens_a_stream(self, number: int, at: list[int]) -> None:
        raw = control(1, struct.pack("!IIBB", 2 * number, 0, 0, 0) + self.peer.block())
        self.say(
            mark_last(raw, lambda: self.reply(("control", 3, 0, struct.pack("!II", 2 * number, 3)))),
            at,
        )

    @precondition(lambda self: self.in_messages and not self.broken and self.steps > LATE)
    @rule(words=st.sampled_from([b"", b"\x03\xe8", b"\x03\xf3gone"]))
    def server_closes(self, words: bytes) -> None:
        code = int.from_bytes(words[:2], "big") or 1005
        text = words[2:].decode() or f"the server closed the tunnel ({code})"

        def closes() -> None:
            self.note(TunnelClosed(text))
            self.closing = self.closed = True

        self.line.put(frame_content(8, mark_last(words, closes)) if words else mark_last(b"\x88\x00", closes))

    @precondition(lambda self: not self.broken and self.steps > LATE)
    @rule(at=cuts)
    def server_takes_no_more(self, at: list[int]) -> None:
        def goes_away() -> None:
            self.note(TunnelClosed("the server accepts no further connections on this tunnel"))
            self.closing = True

        self.say(mark_last(control(7, struct.pack("!II", 0, 0)), goes_away), at)

    @precondition(lambda self: not self.broken and len(self.line))
    @rule(size=st.integers(1, 300) | st.just(1 << 20), at=cuts)
    def arrive(self, size: int, at: list[int]) -> None:
        self.broken = True  # unless all of it proves right
        events = self.line.arrive(self.tunnel.receive, size, at)
        assert events == join_events(self.expected)
        self.expected.clear()
        for event in events:
            if (number := getattr(event, "pair", None)) is not None:
                (pair,) = [pair for pair in self.pairs if pair.number == number]
                pair.history += type(event).__name__[0]
        sent = bytes(self.tunnel.outgoing)
        self.tunnel.outgoing.clear()
        assert self.hear(sent) == self.answers
        self.answers.clear()
        self.broken = False

    @precondition(lambda self: not self.broken and self.steps > LATE)
    @rule(noise=some, how=st.sampled_from(["raw", "framed", "altered"]), at=cuts)
    def garbage(self, noise: bytes, how: str, at: list[int]) -> None:
        raw = spoilt(how, noise, self.line.raw())
        with contextlib.suppress(ProtocolError):
            everything(self.tunnel.receive, slices(raw, at))
        self.broken = True

    @precondition(lambda self: self.broken or self.closed)
    @rule()
    def another_tunnel(self) -> None:
        self.begin()

    # What arrivals mean.

    def note(self, event: Any) -> None:
        if not self.closed:
            self.expected.append(event)

    def event(self, pair: Pair, event: Any) -> None:
        if not (pair.abandoned or pair.over):
            self.note(event)

    def byte(self, pair: Pair, byte: int) -> None:
        self.event(pair, Received(pair.number, [bytes([byte])]))  # type: ignore[list-item]

    def letter(self, pair: Pair, byte: int) -> None:
        pair.text += bytes([byte])

    def reply(self, said: tuple[Any, ...]) -> None:
        if not self.closed:
            self.answers.append(said)

    def data_ends(self, pair: Pair) -> None:
        pair.data_over = True
        if pair.error_over:
            self.forget(pair, Ended(pair.number))

    def error_ends(self, pair: Pair) -> None:
        pair.error_over |= not self.closed
        if pair.text:
            self.forget(pair, Failed(pair.number, pair.text.decode(errors="replace").strip()))
        elif pair.data_over:
            self.forget(pair, Ended(pair.number))

    def is_reset(self, pair: Pair) -> None:
        words = pair.text.decode(errors="replace").strip()
        self.forget(pair, Failed(pair.number, words or "the server reset the connection"))

    def forget(self, pair: Pair, last: Ended | Failed) -> None:
        if pair.over or self.closed:
            return
        if not pair.finished:
            fin = ("data", pair.number, 1, b"")
            reset = ("control", 3, 0, struct.pack("!II", pair.number, 5))
            self.reply(fin if isinstance(last, Ended) else reset)
        self.event(pair, last)
        pair.over = True

    # What always holds.

    @invariant()
    def counts_agree(self) -> None:
        self.steps += 1
        if not self.broken:
            assert self.tunnel.pairs == sum(not pair.over for pair in self.pairs)
            assert self.tunnel.reusable == (not self.closing)

    @invariant()
    def the_pod_has_what_was_sent(self) -> None:
        assert all(pair.at_pod == pair.sent for pair in self.pairs)

    @invariant()
    def events_come_in_a_legal_order(self) -> None:
        for pair in self.pairs:
            assert re.fullmatch("A?R*[EF]?", pair.history), pair

    def teardown(self) -> None:
        if not self.broken and len(self.line):
            self.arrive(len(self.line), [])


class BareMachine(SpdyTunnelMachine):
    """The connection itself speaks SPDY."""

    carriage, in_messages = CARRIAGES["bare"], False


class OverWebSocketMachine(SpdyTunnelMachine):
    """SPDY in the messages of a WebSocket."""

    carriage, in_messages = CARRIAGES["over websocket"], True


TestSpdyTunnel, TestSpdyOverWebSocket = BareMachine.TestCase, OverWebSocketMachine.TestCase
TestSpdyTunnel.settings = TestSpdyOverWebSocket.settings = settings(
    max_examples=examples(50),
    stateful_step_count=40,
    deadline=None,
    phases=set(Phase) - {Phase.shrink},  # it takes minutes, and forty steps can be read
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
