"""The SPDY/3.1 framing, against the draft."""

from __future__ import annotations

import contextlib
import struct
import zlib
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.spdy_dictionary import SPDY_DICTIONARY
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.spdy import (
    Data,
    FrameDecoder,
    FrameType,
    GoAway,
    HeaderEncoder,
    Ping,
    Reset,
    StreamOpened,
    data_head,
    encode_goaway,
    encode_ping,
    encode_reset,
    handshake,
)
from tests.tunnel.protocols.wire import SpdyPeer, control, cuts, data, everything, slices, spdy_frames

_STREAM_ID = struct.pack("!I", 1)


def decode(stream: bytes, at: list[int] | None = None) -> list[object]:
    decoder = FrameDecoder()
    return everything(lambda piece: decoder.receive([piece]), slices(stream, at or []))


def join_events(events: list[object]) -> list[object]:
    """Join successive data events of a stream, because their boundaries mean nothing."""
    found: list[object] = []
    for event in events:
        last = found[-1] if found else None
        if (
            isinstance(event, Data)
            and isinstance(last, Data)
            and last.stream == event.stream
            and not last.fin
        ):
            found[-1] = Data(event.stream, [b"".join([*last.parts, *event.parts])], event.fin)  # type: ignore[list-item]
        elif isinstance(event, Data):
            found.append(Data(event.stream, [b"".join(event.parts)], event.fin))  # type: ignore[list-item]
        else:
            found.append(event)
    return found


def test_the_dictionary_is_that_of_the_draft():
    assert len(SPDY_DICTIONARY) == 1423
    assert zlib.adler32(SPDY_DICTIONARY) == 0xE3C6A7C2


class TestHandshake:
    ANSWER: ClassVar = {"upgrade": "spdy/3.1", "x-stream-protocol-version": "portforward.k8s.io"}

    def test_asks_for_spdy_and_for_what_its_streams_are(self):
        asked = handshake("portforward.k8s.io")
        assert asked.method == "POST"
        assert dict(asked.headers) == {
            "Upgrade": "SPDY/3.1",
            "Connection": "Upgrade",
            "X-Stream-Protocol-Version": "portforward.k8s.io",
            "Content-Length": "0",
        }
        assert not asked.key

    def test_takes_the_answer(self):
        handshake("portforward.k8s.io").check(self.ANSWER)

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("upgrade", "websocket", "another protocol"),
            ("x-stream-protocol-version", "", "did not choose"),
            ("x-stream-protocol-version", "v5.channel.k8s.io", "did not choose"),
        ],
    )
    def test_refuses_another_answer(self, name, value, words):
        with pytest.raises(ProtocolError, match=words):
            handshake("portforward.k8s.io").check(self.ANSWER | {name: value})


class TestEncoding:
    def test_a_stream_carries_lower_case_headers(self):
        encoder, peer = HeaderEncoder(), SpdyPeer()
        sent = encoder.syn_stream(1, {"StreamType": "error"}, fin=True) + encoder.syn_stream(
            3, {"port": "80"}
        )
        (_, kind, flags, first), (_, _, no_flags, second) = spdy_frames(sent)
        assert (kind, flags, no_flags) == (1, 1, 0)
        assert peer.read_syn(first) == (1, {"streamtype": "error"})
        assert peer.read_syn(second) == (3, {"port": "80"})

    def test_two_hundred_streams_share_one_compression(self):
        encoder, peer = HeaderEncoder(), SpdyPeer()
        for number in range(1, 401, 2):
            headers = {"streamtype": "data", "port": str(number), "requestid": str(number)}
            ((_, _, _, body),) = spdy_frames(encoder.syn_stream(number, headers))
            assert peer.read_syn(body) == (number, headers)

    def test_data_reset_ping_and_goaway(self):
        sent = data_head(3, 2) + b"ab" + data_head(3, 0, fin=True) + encode_reset(3) + encode_ping(7)
        sent += encode_goaway()
        assert spdy_frames(sent) == [
            ("data", 3, 0, b"ab"),
            ("data", 3, 1, b""),
            ("control", 3, 0, struct.pack("!II", 3, 5)),
            ("control", 6, 0, struct.pack("!I", 7)),
            ("control", 7, 0, struct.pack("!II", 0, 0)),
        ]


class TestDecoding:
    def test_reads_data(self):
        assert decode(data(3, b"abc") + data(5, b"de")) == [Data(3, [b"abc"]), Data(5, [b"de"])]

    def test_what_comes_of_one_stream_in_turn_is_one_event(self):
        stream = data(3, b"ab") + data(3, b"cd") + data(3, fin=True)
        assert decode(stream) == [Data(3, [b"abcd"], True)]
        views = [memoryview(stream)[:9], memoryview(stream)[9:]]
        (event,) = FrameDecoder().receive(views)
        assert isinstance(event, Data)
        assert [bytes(part) for part in event.parts] == [b"a", b"b", b"cd"]

    def test_what_comes_between_parts_the_data_of_a_stream(self):
        stream = data(3, b"a") + control(6, struct.pack("!I", 2)) + data(3, b"b", fin=True) + data(3, b"c")
        assert decode(stream) == [Data(3, [b"a"]), Ping(2), Data(3, [b"b"], True), Data(3, [b"c"])]

    def test_an_empty_frame_that_ends_nothing_says_nothing(self):
        assert decode(data(3)) == []

    def test_only_the_last_slice_ends_the_stream(self):
        stream = data(3, b"abcd", fin=True)
        assert decode(stream, [10]) == [Data(3, [b"ab"]), Data(3, [b"cd"], True)]

    def test_reads_replies_with_one_compression(self):
        peer = SpdyPeer()
        stream = peer.reply(1, fin=True)
        stream += control(2, struct.pack("!I", 3) + peer.block([("a", "b"), ("é", "ü")]))
        stream += control(8, struct.pack("!I", 3) + peer.block([("c", "d")]))
        stream += control(1, struct.pack("!IIBB", 2, 0, 0, 0) + peer.block([("e", "f")]))
        assert decode(stream) == [
            StreamOpened(FrameType.SYN_REPLY, 1, {}, True),
            StreamOpened(FrameType.SYN_REPLY, 3, {"a": "b", "é": "ü"}, False),
            StreamOpened(FrameType.HEADERS, 3, {"c": "d"}, False),
            StreamOpened(FrameType.SYN_STREAM, 2, {"e": "f"}, False),
        ]

    def test_reads_reset_ping_and_goaway(self):
        stream = control(3, struct.pack("!II", 3, 5)) + control(6, struct.pack("!I", 2))
        stream += control(7, struct.pack("!II", 9, 1))
        assert decode(stream) == [Reset(3, 5), Ping(2), GoAway(1)]

    def test_unused_frames_are_skipped(self):
        stream = control(4, struct.pack("!I", 0)) + control(9, struct.pack("!II", 0, 99)) + control(77, b"x")
        assert decode(stream + data(1, b"y")) == [Data(1, [b"y"])]

    @pytest.mark.parametrize(
        ("stream", "words"),
        [
            (control(6, b"1234", version=0x8002), "version 2"),
            (struct.pack("!HHI", 0x8003, 2, 65537), "65537 bytes"),
            (data(0, b"x"), "stream 0"),
            (control(2, b"123"), "cut off"),
            (control(3, b"1234"), "type 3 has 4 bytes"),
            (control(6, b""), "type 6 has 0 bytes"),
            (control(2, _STREAM_ID + b"no zlib"), "decompressed"),
            (control(2, _STREAM_ID + SpdyPeer().compress(b"x" * 300_000)), "too large"),
            (control(2, _STREAM_ID + SpdyPeer().compress(b"\0")), "malformed"),
            (control(2, _STREAM_ID + SpdyPeer().compress(struct.pack("!II", 1, 9) + b"ab")), "malformed"),
            (
                control(2, _STREAM_ID + SpdyPeer().compress(struct.pack("!II", 1, 1) + b"\xff\0\0\0\0")),
                "malformed",
            ),
        ],
    )
    def test_refuses_what_the_draft_forbids(self, stream, words):
        with pytest.raises(ProtocolError, match=words):
            decode(stream)

    @given(st.data(), cuts)
    def test_any_slicing_gives_the_same_events(self, drawn, at):
        peer, stream = SpdyPeer(), b""
        text = st.text("abc-é", max_size=12)
        for kind in drawn.draw(
            st.lists(st.sampled_from(["data", "reply", "ping", "reset", "other"]), max_size=9)
        ):
            number = drawn.draw(st.integers(1, 9))
            if kind == "data":
                stream += data(number, drawn.draw(st.binary(max_size=200)), fin=drawn.draw(st.booleans()))
            elif kind == "reply":
                headers = drawn.draw(st.dictionaries(text, text, max_size=3))
                stream += control(2, struct.pack("!I", number) + peer.block(headers.items()))
            elif kind == "ping":
                stream += control(6, struct.pack("!I", number))
            elif kind == "reset":
                stream += control(3, struct.pack("!II", number, 5))
            else:
                stream += control(4, drawn.draw(st.binary(max_size=20)))
        assert join_events(decode(stream, at)) == join_events(decode(stream))

    @given(st.binary(max_size=3000), cuts)
    def test_noise_gives_protocol_errors_and_keeps_little(self, noise, at):
        _survive(noise, at)

    @given(st.data(), cuts)
    def test_mutated_frames_bring_only_protocol_errors(self, drawn, at):
        peer = SpdyPeer()
        stream = bytearray(
            b"".join(peer.reply(number) + data(number, b"x" * 50, fin=True) for number in (1, 3, 5))
        )
        for _ in range(drawn.draw(st.integers(1, 5))):
            stream[drawn.draw(st.integers(0, len(stream) - 1))] = drawn.draw(st.integers(0, 255))
        _survive(bytes(stream), at)


def _survive(stream: bytes, at: list[int]) -> None:
    decoder = FrameDecoder()
    with contextlib.suppress(ProtocolError):
        everything(lambda piece: decoder.receive([piece]), slices(stream, at))
    assert len(decoder._head) <= 8
    assert len(decoder._body) <= 64 * 1024
