"""The frame decoder: whatever the network and the peers do, the same frames come out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mllp.frames import Discarded, Event, Frame, FrameDecoder, Oversize, encode_frame

MESSAGE_1 = b"MSH|^~\\&|HIS|H|LIS|L|20261121||ADT^A01|1|P|2.5\rPID|1||4711\r"
MESSAGE_2 = b"MSH|^~\\&|HIS|H|LIS|L|20261121||ADT^A08|2|P|2.5\rPID|1||4712\r"
LIMIT = 10_000


def feed_all(chunks: Sequence[bytes], limit: int = LIMIT) -> list[Event]:
    """Return what a fresh decoder says to *chunks*, discarded bytes summed up at the end."""
    decoder = FrameDecoder(limit)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.close_frame()
    return merged(events)


def merged(events: list[Event]) -> list[Event]:
    """Join neighbouring Discarded events, whose cut depends on the reads."""
    out: list[Event] = []
    for event in events:
        if isinstance(event, Discarded) and out and isinstance(out[-1], Discarded):
            out[-1] = Discarded(out[-1].size_bytes + event.size_bytes)
        else:
            out.append(event)
    return out


def feed_three_ways(stream: bytes, limit: int = LIMIT) -> list[Event]:
    """Feed whole, byte by byte, and with a following frame that must stay apart."""
    whole = feed_all([stream], limit)
    single = feed_all([stream[i : i + 1] for i in range(len(stream))], limit)
    assert single == whole
    decoder = FrameDecoder(limit)
    followed = decoder.feed(stream + encode_frame(MESSAGE_2))
    assert followed[-1] == Frame(MESSAGE_2)
    assert [e for e in followed[:-1] if isinstance(e, Frame)] == [
        e for e in whole if isinstance(e, Frame)
    ]
    return whole


CASES: dict[str, tuple[bytes, list[Event]]] = {
    "one frame": (encode_frame(MESSAGE_1), [Frame(MESSAGE_1)]),
    "two frames in one read": (
        encode_frame(MESSAGE_1) + encode_frame(MESSAGE_2),
        [Frame(MESSAGE_1), Frame(MESSAGE_2)],
    ),
    "missing CR before the next frame": (
        b"\x0b" + MESSAGE_1 + b"\x1c" + encode_frame(MESSAGE_2),
        [Frame(MESSAGE_1), Frame(MESSAGE_2)],
    ),
    "missing CR at the end": (b"\x0b" + MESSAGE_1 + b"\x1c", [Frame(MESSAGE_1)]),
    "line feed after the CR": (
        encode_frame(MESSAGE_1) + b"\n" + encode_frame(MESSAGE_2),
        [Frame(MESSAGE_1), Discarded(1), Frame(MESSAGE_2)],
    ),
    "line feed instead of the CR": (
        b"\x0b" + MESSAGE_1 + b"\x1c\n" + encode_frame(MESSAGE_2),
        [Frame(MESSAGE_1), Discarded(1), Frame(MESSAGE_2)],
    ),
    "NULs between frames": (
        b"\x00\x00" + encode_frame(MESSAGE_1) + b"\x00" * 5 + encode_frame(MESSAGE_2),
        [Discarded(2), Frame(MESSAGE_1), Discarded(5), Frame(MESSAGE_2)],
    ),
    "NULs instead of the CR": (
        b"\x0b" + MESSAGE_1 + b"\x1c\x00\x00",
        [Frame(MESSAGE_1), Discarded(2)],
    ),
    "text between frames": (
        encode_frame(MESSAGE_1) + b"hello\r\n",
        [Frame(MESSAGE_1), Discarded(7)],
    ),
    "double start": (b"\x0b\x0b" + MESSAGE_1 + b"\x1c\r", [Discarded(1), Frame(MESSAGE_1)]),
    "double end": (encode_frame(MESSAGE_1) + b"\x1c\r", [Frame(MESSAGE_1), Discarded(2)]),
    "double FS": (b"\x0b" + MESSAGE_1 + b"\x1c\x1c\r", [Frame(MESSAGE_1), Discarded(2)]),
    "VT and FF in the text": (
        encode_frame(MESSAGE_1 + b"NTE|1||a\x0bb\x0cc\r"),
        [Frame(MESSAGE_1 + b"NTE|1||a\x0bb\x0cc\r")],
    ),
    "FS in the text": (
        encode_frame(MESSAGE_1 + b"NTE|1||a\x1cb\r"),
        [Frame(MESSAGE_1 + b"NTE|1||a\x1cb\r")],
    ),
    "a frame begun anew": (
        b"\x0b" + MESSAGE_1[:20] + encode_frame(MESSAGE_2),
        [Discarded(21), Frame(MESSAGE_2)],
    ),
    "an empty frame": (b"\x0b\x1c\r", [Frame(b"")]),
    "no frame at all": (b"GET / HTTP/1.1\r\n\r\n", [Discarded(18)]),
    "an unfinished frame": (b"\x0b" + MESSAGE_1, []),
}


@pytest.mark.parametrize("name", CASES)
def test_what_the_field_sends(name: str) -> None:
    """Each habit of the field gives the frames written beside it, however it is fed."""
    stream, expected = CASES[name]
    decoder = FrameDecoder(LIMIT)
    events = merged(decoder.feed(stream) + decoder.close_frame())
    assert events == expected
    if name != "an unfinished frame":
        assert feed_three_ways(stream) == expected


def test_every_cut_of_two_pipelined_frames() -> None:
    """Two frames come out of any two and any three reads that make up the same stream."""
    stream = encode_frame(MESSAGE_1) + encode_frame(MESSAGE_2)
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1, 7):
            chunks = [stream[:first], stream[first:second], stream[second:]]
            assert feed_all(chunks) == [Frame(MESSAGE_1), Frame(MESSAGE_2)]


def test_nothing_comes_early() -> None:
    """No frame is told before the byte that completes it has come."""
    decoder = FrameDecoder(LIMIT)
    stream = encode_frame(MESSAGE_1)
    for index in range(len(stream) - 1):
        assert decoder.feed(stream[index : index + 1]) == []
        assert decoder.is_inside_frame
    assert decoder.awaits_cr
    assert decoder.feed(b"\r") == [Frame(MESSAGE_1)]
    assert not decoder.is_inside_frame
    assert decoder.pending_bytes == 0


def test_a_closed_frame_takes_its_late_cr_along() -> None:
    """A CR that comes after the frame was closed at its FS is no junk."""
    decoder = FrameDecoder(LIMIT)
    assert decoder.feed(b"\x0b" + MESSAGE_1 + b"\x1c") == []
    assert decoder.close_frame() == [Frame(MESSAGE_1)]
    assert decoder.close_frame() == []
    assert decoder.feed(b"\r" + encode_frame(MESSAGE_2)) == [Frame(MESSAGE_2)]


@pytest.mark.parametrize("size", [1, 3, 64, 1000])
def test_an_oversize_frame_is_told_once_and_the_next_one_comes(size: int) -> None:
    """Beyond the limit memory stays bounded, and the following frame is found."""
    stream = encode_frame(MESSAGE_1 + b"x" * 20_000) + encode_frame(MESSAGE_2)
    decoder = FrameDecoder(1000)
    events: list[Event] = []
    for at in range(0, len(stream), size):
        events += decoder.feed(stream[at : at + size])
        assert decoder.pending_bytes <= 1001
    assert [type(event) for event in events] == [Oversize, Frame]
    assert isinstance(events[0], Oversize)
    assert events[0].head.startswith(MESSAGE_1)
    assert len(events[0].head) <= 4096
    assert events[1] == Frame(MESSAGE_2)


def test_the_limit_itself_is_allowed() -> None:
    """A body of exactly the limit passes, one byte more does not, however it is fed."""
    for extra, kind in ((0, Frame), (1, Oversize)):
        stream = encode_frame(b"x" * (50 + extra))
        for chunks in ([stream], [stream[i : i + 1] for i in range(len(stream))]):
            assert [type(e) for e in feed_all(chunks, 50)] == [kind]


def test_a_large_message_in_small_reads_is_linear() -> None:
    """Feeding touches each byte a bounded number of times: 8 MB in 1 KB reads is quick."""
    body = b"MSH|^~\\&|" + b"A" * 8_000_000
    stream = encode_frame(body)
    decoder = FrameDecoder(50_000_000)
    events = [e for at in range(0, len(stream), 1024) for e in decoder.feed(stream[at : at + 1024])]
    assert events == [Frame(body)]


pieces = st.sampled_from(
    [b"\x0b", b"\x1c", b"\r", b"\n", b"\x00", b"MSH", b"|x", b"\x0bMSH", b"\x1c\r", b"\xc8~"]
)
streams = st.lists(pieces, max_size=40).map(b"".join)


@given(streams, st.lists(st.integers(0, 100), max_size=8), st.integers(1, 30))
def test_any_cut_gives_the_same(stream: bytes, cuts: list[int], limit: int) -> None:
    """However TCP cuts any stream at all, the same frames come out in the same order."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert feed_all(chunks, limit) == feed_all([stream], limit)
    assert feed_all([stream[i : i + 1] for i in range(len(stream))], limit) == feed_all(
        [stream], limit
    )


@given(st.lists(st.binary(max_size=60), max_size=6), st.lists(st.integers(0, 400), max_size=6))
def test_bodies_survive(bodies: list[bytes], cuts: list[int]) -> None:
    """Any bodies without envelope bytes come out as they went in, in order."""
    bodies = [body.translate(None, b"\x0b\x1c") for body in bodies]
    stream = b"".join(encode_frame(body) for body in bodies)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert feed_all(chunks) == [Frame(body) for body in bodies]
