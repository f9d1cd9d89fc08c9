from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.sandbox.node import spdy
from sspcloud_magics.spdy_dictionary import SPDY_DICTIONARY
from tests.sandbox.node.spdy_client import SpdyClient


def test_dictionary_is_the_one_of_the_specification():
    assert len(SPDY_DICTIONARY) == 1423
    assert zlib.adler32(SPDY_DICTIONARY) == 0xE3C6A7C2


def conversation() -> bytes:
    client = SpdyClient()
    parts = [client.pair(str(n), 5432, 4 * n + 1) + client.data(4 * n + 3, b"abc" * n) for n in range(1, 5)]
    return b"".join([*parts, client.ping(7), client.reset(7), client.data(11, b"", fin=True)])


def merge_events(events: list[spdy.Event]) -> list[object]:
    """Join data events of the same stream, which slicing may part; copy what was a view."""
    found: list[object] = []
    for event in events:
        if isinstance(event, spdy.DataReceived):
            last = found[-1] if found else None
            data = bytes(event.data)
            if isinstance(last, tuple) and last[0] == event.stream and not last[2] and last[1] and data:
                found[-1] = (event.stream, last[1] + data, event.fin)
            else:
                found.append((event.stream, data, event.fin))
        else:
            found.append(event)
    return found


def receive(connection: spdy.Connection, chunks: list[bytes]) -> list[object]:
    events: list[spdy.Event] = []
    for chunk in chunks:
        for event in connection.receive(chunk):
            is_data = isinstance(event, spdy.DataReceived)
            events.append(spdy.DataReceived(event.stream, bytes(event.data), event.fin) if is_data else event)
    return merge_events(events)


@given(st.data())
def test_any_slicing_gives_the_same_events(data):
    whole = conversation()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=40)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert receive(spdy.Connection(), chunks) == receive(spdy.Connection(), [whole])


def test_headers_of_many_streams_share_a_compression():
    events = receive(spdy.Connection(), [conversation()])
    opened = [event for event in events if isinstance(event, spdy.StreamOpened)]
    assert [event.headers["requestid"] for event in opened] == ["1", "1", "2", "2", "3", "3", "4", "4"]
    assert {event.headers["streamtype"] for event in opened} == {"error", "data"}


def test_replies_are_read_in_their_order():
    connection, client = spdy.Connection(), SpdyClient()
    sent = b"".join(connection.reply(stream) for stream in range(1, 400, 2))
    assert [frame[1] for frame in client.frames(sent)] == list(range(1, 400, 2))


def test_answers_to_our_own_pings_are_not_answered():
    assert receive(spdy.Connection(), [SpdyClient.ping(2)]) == []
    assert receive(spdy.Connection(), [SpdyClient.ping(3)]) == [spdy.Ping(3)]


def test_irrelevant_frames_are_skipped():
    settings = struct.pack(">HHI", 0x8003, 4, 12) + struct.pack(">III", 1, 4, 100)
    window = struct.pack(">HHIII", 0x8003, 9, 8, 1, 100)
    goaway = struct.pack(">HHIII", 0x8003, 7, 8, 0, 0)
    assert receive(spdy.Connection(), [settings + window + goaway]) == [spdy.GoAway()]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">HHI", 0x8002, 1, 10) + bytes(10),  # another version
        struct.pack(">HHI", 0x8003, 1, 4) + bytes(4),  # too short a body
        struct.pack(">HHI", 0x8003, 1, 1 << 20),  # too long a control frame
        struct.pack(">HHI", 0x8003, 1, 20) + bytes(20),  # headers that are not compressed
    ],
)
def test_what_is_not_spdy_is_a_protocol_error(data):
    with pytest.raises(spdy.ProtocolError):
        list(spdy.Connection().receive(data))


def test_endless_header_block_is_refused():
    client = SpdyClient()
    bomb = client.open(1, {"streamtype": "x" * (spdy.MAX_HEADERS + 1)})
    assert len(bomb) < spdy.MAX_CONTROL_FRAME
    with pytest.raises(spdy.ProtocolError):
        list(spdy.Connection().receive(bomb))


@given(st.binary(max_size=2000))
def test_noise_gives_events_or_a_protocol_error(noise):
    connection = spdy.Connection()
    try:
        for event in connection.receive(noise):
            assert isinstance(
                event, spdy.StreamOpened | spdy.DataReceived | spdy.StreamReset | spdy.Ping | spdy.GoAway
            )
    except spdy.ProtocolError:
        pass
