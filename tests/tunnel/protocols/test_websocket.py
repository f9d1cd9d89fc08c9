"""The WebSocket framing of a client, against RFC 6455."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.tunnel.protocols import masking
from sspcloud_magics.tunnel.protocols.events import ProtocolError
from sspcloud_magics.tunnel.protocols.websocket import (
    Boundary,
    Close,
    FrameDecoder,
    Opcode,
    Ping,
    Pong,
    check_handshake,
    encode_close,
    encode_frame,
    encode_message,
    handshake,
)
from tests.tunnel.protocols.wire import cuts, everything, frame, slices, unmask


def decode(data: bytes, at: list[int] | None = None) -> list[object]:
    return everything(FrameDecoder().receive, slices(data, at or []))


def messages(events: list[object]) -> list[object]:
    """Join the slices of each message, and keep other events."""
    found: list[object] = []
    text, inside = False, bytearray()
    begun = False
    for event in events:
        if isinstance(event, bytes):
            assert begun
            assert event
            inside += event
        elif event is Boundary.END:
            assert begun
            found.append((text, bytes(inside)))
            begun = False
        elif isinstance(event, Boundary):
            assert not begun
            begun, text, inside = True, event is Boundary.TEXT, bytearray()
        else:
            found.append(event)
    return found


class TestHandshake:
    def test_asks_for_the_subprotocol(self):
        asked = handshake("v4.channel.k8s.io")
        assert asked.method == "GET"
        assert dict(asked.headers) == {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": asked.key,
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
        }

    def test_keys_are_sixteen_random_bytes(self):
        keys = {handshake("chat").key for _ in range(2)}
        assert [len(base64.b64decode(key)) for key in keys] == [16, 16]

    def test_takes_the_answer_to_its_own_key_alone(self):
        asked, other = handshake("chat"), handshake("chat")
        text = f"{asked.key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
        digest = hashlib.sha1(text, usedforsecurity=False).digest()
        headers = {
            "upgrade": "websocket",
            "sec-websocket-accept": base64.b64encode(digest).decode(),
            "sec-websocket-protocol": "chat",
        }
        asked.check(headers)
        with pytest.raises(ProtocolError, match="did not accept"):
            other.check(headers)

    def test_accepts_the_answer_of_the_rfcs_example(self):
        headers = {
            "upgrade": "WebSocket",
            "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "sec-websocket-protocol": "chat",
        }
        check_handshake(headers, "dGhlIHNhbXBsZSBub25jZQ==", "chat")

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("upgrade", "h2c", "another protocol"),
            ("sec-websocket-accept", "AAAA", "did not accept"),
            ("sec-websocket-protocol", "other", "did not choose"),
            ("sec-websocket-protocol", "", "did not choose"),
        ],
    )
    def test_refuses_another_answer(self, name, value, words):
        digest = hashlib.sha1(b"key258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
        headers = {
            "upgrade": "websocket",
            "sec-websocket-accept": base64.b64encode(digest).decode(),
            "sec-websocket-protocol": "chat",
        }
        check_handshake(headers, "key", "chat")
        with pytest.raises(ProtocolError, match=words):
            check_handshake(headers | {name: value}, "key", "chat")


class TestEncoding:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
    def test_a_frame_is_masked_and_whole(self, size):
        payload = bytes(range(256)) * (size // 256 + 1)
        assert unmask(encode_frame(Opcode.BINARY, payload[:size])) == [(2, payload[:size])]

    def test_joins_the_parts(self):
        assert unmask(encode_frame(Opcode.BINARY, b"ab", memoryview(b"cd"), b"")) == [(2, b"abcd")]

    def test_a_frame_without_parts_is_empty(self):
        assert unmask(encode_frame(Opcode.PING)) == [(9, b"")]

    def test_masks_differ(self):
        assert len({encode_frame(Opcode.BINARY, b"abcd") for _ in range(8)}) > 1

    @pytest.mark.parametrize("prefix", [b"", b"a", b"ab", b"abc", b"abcd", b"12345678"])
    @pytest.mark.parametrize("size", [0, 8191, 8192, 100_001])
    def test_a_message_in_parts_is_one_frame(self, prefix, size):
        payload = (bytes(range(256)) * (size // 256 + 1))[:size]
        assert unmask(b"".join(encode_message(prefix, memoryview(payload)))) == [(2, prefix + payload)]

    def test_close_says_its_code(self):
        assert unmask(encode_close()) == [(8, b"\x03\xe8")]


class TestMasking:
    @pytest.mark.parametrize("compiled", [True, False])
    def test_masking_is_xor_with_the_repeated_mask(self, monkeypatch, compiled):
        if not compiled:
            monkeypatch.setattr(masking, "PathFinder", SimpleNamespace(find_spec=lambda *_args: None))
        routine = masking.load()
        assert routine(b"abcdef", b"\x01\x02\x04\x08") == b"``gldd"
        assert (routine.__module__ == "websockets.utils") is not compiled


class TestDecoding:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
    def test_reads_every_form_of_length(self, size):
        assert messages(decode(frame(2, b"x" * size))) == [(False, b"x" * size)]

    def test_marks_text(self):
        assert messages(decode(frame(1, b"hello"))) == [(True, b"hello")]

    def test_joins_fragments_with_control_frames_between(self):
        data = frame(2, b"ab", fin=False) + frame(9, b"ping") + frame(0, b"", fin=False) + frame(0, b"cd")
        assert messages(decode(data)) == [Ping(b"ping"), (False, b"abcd")]

    def test_reads_ping_pong_and_close(self):
        data = frame(9, b"a") + frame(10, b"b") + frame(8, b"\x03\xe8bye")
        assert decode(data) == [Ping(b"a"), Pong(b"b"), Close(1000, "bye")]

    def test_a_close_without_a_code(self):
        assert decode(frame(8)) == [Close(1005, "")]

    def test_nothing_counts_after_a_close(self):
        assert decode(frame(8) + frame(2, b"more") + b"\xff\xff") == [Close(1005, "")]

    def test_hands_on_a_payload_before_it_is_whole(self):
        decoder = FrameDecoder()
        (boundary, payload) = decoder.receive(memoryview(frame(2, b"x" * 1000)[:500]))
        assert boundary is Boundary.BINARY
        assert isinstance(payload, memoryview)
        assert len(payload) == 496

    @pytest.mark.parametrize("at", [[], [4], [5], [6], [7], [8]])
    def test_empty_frame_ends_a_message(self, at):
        data = frame(2, b"abc", fin=False) + frame(0) + frame(2, b"d")
        assert decode(data, at)[-3:] == [Boundary.BINARY, b"d", Boundary.END]
        assert messages(decode(data, at)) == [(False, b"abc"), (False, b"d")]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (frame(2, first=0x40), "extension"),
            (frame(3), "unknown opcode 3"),
            (frame(11), "unknown opcode 11"),
            (frame(2, mask=True), "masked"),
            (frame(9, fin=False), "fragmented"),
            (frame(8, b"x" * 126), "too long"),
            (frame(0, b"x"), "outside of a message"),
            (frame(2, fin=False) + frame(2), "inside another"),
            (bytes([0x82, 127]) + b"\xff" * 8, "impossible length"),
            (frame(8, b"\x03"), "cut off"),
            (frame(8, b"\x03\xe8\xff"), "UTF-8"),
        ],
    )
    def test_refuses_what_the_rfc_forbids(self, data, words):
        with pytest.raises(ProtocolError, match=words):
            decode(data)

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.sampled_from([1, 2]), st.lists(st.binary(max_size=300), min_size=1, max_size=4)),
                st.tuples(
                    st.sampled_from([9, 10]), st.lists(st.binary(max_size=125), min_size=1, max_size=1)
                ),
            ),
            max_size=6,
        ),
        cuts,
    )
    def test_any_slicing_gives_the_same_messages(self, sent, at):
        data, expected = b"", []
        for opcode, parts in sent:
            for number, part in enumerate(parts):
                data += frame(opcode if number == 0 else 0, part, fin=number == len(parts) - 1)
            if opcode > 2:
                expected.append(Ping(parts[0]) if opcode == 9 else Pong(parts[0]))
            else:
                expected.append((opcode == 1, b"".join(parts)))
        assert messages(decode(data, at)) == expected

    @given(st.binary(max_size=2000), cuts)
    def test_noise_gives_protocol_errors_and_keeps_little(self, noise, at):
        decoder = FrameDecoder()
        with contextlib.suppress(ProtocolError):
            everything(decoder.receive, slices(noise, at))
        assert len(decoder._head) <= 10
        assert len(decoder._control) <= 125
