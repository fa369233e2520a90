"""
Bytes in, frames out: the MLLP envelope, whatever TCP and the peers do to it.

Rules of this file:

- A frame is VT, body, FS, CR. How the stream is cut never changes what comes out.
- FS ends a frame when CR, VT, LF, NUL or FS follows; the CR belongs to the frame. Before any
  other byte FS is text. An FS that is the last byte seen waits for the next one; a peer that
  never sends the CR would wait too, so the owner of the connection calls `close_frame`.
- VT inside a frame is text, except before ``MSH``: there the peer began anew, and what it had
  left unfinished is discarded. Several VTs at the start count as one.
- What stands outside of frames is counted, never shown: it may hold patient data.

Source: MLLP Release 1 (envelope); the leniency is what senders in the field need.
"""

from __future__ import annotations

from typing import NamedTuple

VT = b"\x0b"
FS = b"\x1c"
CR = b"\r"
_VT = 0x0B
_FS = 0x1C
_CR = 0x0D
#: bytes that make an FS before them the end of a frame
_AFTER_END = b"\r\x0b\n\x00\x1c"
_RESTART = b"\x0bMSH"
#: how much of a refused frame is kept, enough for its header
_HEAD_BYTES = 4096


class Frame(NamedTuple):
    """One complete message; body is what stood between VT and FS."""

    body: bytes


class Discarded(NamedTuple):
    """Bytes outside of frames, or of a frame that was begun anew."""

    size_bytes: int


class Oversize(NamedTuple):
    """A frame beyond the limit; told once, as soon as it is known; its rest is skipped."""

    #: the first bytes, for the header facts that the refusal needs
    head: bytes


Event = Frame | Discarded | Oversize


def encode_frame(body: bytes) -> bytes:
    """Return *body* in its envelope."""
    return b"\x0b" + body + b"\x1c\r"


class FrameDecoder:
    """
    Cuts a stream of bytes into frames, in linear time and bounded memory.

    Args:
        max_message_bytes: a longer body becomes an `Oversize`.
    """

    __slots__ = ("_after_fs", "_buffer", "_is_inside", "_is_skipping", "_max_bytes", "_searched")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_bytes = max_message_bytes
        #: the body so far, with a trailing FS that may or may not be its end
        self._buffer = bytearray()
        self._searched = 0
        self._is_inside = False
        self._is_skipping = False
        #: a frame was closed at its FS; its CR may still come
        self._after_fs = False

    @property
    def pending_bytes(self) -> int:
        """Return how many bytes of an unfinished frame are kept."""
        return len(self._buffer)

    @property
    def is_inside_frame(self) -> bool:
        """Return whether a frame has begun and not ended."""
        return self._is_inside

    @property
    def awaits_cr(self) -> bool:
        """Return whether the frame would be complete if nothing more came."""
        return self._is_inside and self._searched < len(self._buffer)

    def feed(self, chunk: bytes) -> list[Event]:
        """Return what *chunk* completes, in order."""
        # Nearly every read is one whole frame.
        if not self._is_inside and not self._after_fs and chunk[:1] == VT:
            end = chunk.find(FS, 1)
            if (
                end == len(chunk) - 2
                and chunk[end + 1] == _CR
                and end <= self._max_bytes
                and chunk.find(VT, 1) < 0
            ):
                return [Frame(chunk[1:end])]
        events: list[Event] = []
        at = 0
        while at < len(chunk):
            if self._is_inside:
                at = self._feed_inside(chunk, at, events)
            else:
                at = self._feed_outside(chunk, at, events)
        return events

    def close_frame(self) -> list[Event]:
        """Return the frame whose FS was the last byte to come; nothing if there is none."""
        events: list[Event] = []
        if self.awaits_cr:
            self._end_frame(len(self._buffer) - 1, events)
            self._after_fs = True
        return events

    def _feed_outside(self, chunk: bytes, at: int, events: list[Event]) -> int:
        if self._after_fs:
            self._after_fs = False
            if chunk[at] == _CR:
                return at + 1
        start = chunk.find(VT, at)
        end = len(chunk) if start < 0 else start
        if end > at:
            events.append(Discarded(end - at))
        if start < 0:
            return end
        self._is_inside = True
        return start + 1

    def _feed_inside(self, chunk: bytes, at: int, events: list[Event]) -> int:
        """Take what belongs to the current frame; return where the next thing begins."""
        buffer = self._buffer
        if not buffer and not self._is_skipping:
            first = at
            while at < len(chunk) and chunk[at] == _VT:
                at += 1
            if at > first:
                events.append(Discarded(at - first))
        if self._searched < len(buffer):  # the last byte was an FS
            if chunk[at : at + 1] and chunk[at] in _AFTER_END:
                self._end_frame(len(buffer) - 1, events)
                return at + (chunk[at] == _CR)
            self._searched = len(buffer)
        end = self._find_end(chunk, at)
        stop = len(chunk) if end < 0 else end
        self._take(chunk, at, stop, events)
        if end < 0:
            return stop
        if end == len(chunk) - 1:
            # Not yet known to be the end: keep it, and remember that it was not passed.
            self._searched = len(buffer)
            buffer += FS
            return len(chunk)
        self._end_frame(len(buffer), events)
        return end + 1 + (chunk[end + 1] == _CR)

    @staticmethod
    def _find_end(chunk: bytes, at: int) -> int:
        """Return where the FS stands that ends the frame or is the last byte, or -1."""
        end = chunk.find(FS, at)
        while end >= 0 and end + 1 < len(chunk) and chunk[end + 1] not in _AFTER_END:
            end = chunk.find(FS, end + 1)
        return end

    def _take(self, chunk: bytes, start: int, stop: int, events: list[Event]) -> None:
        """Keep chunk[start:stop] as part of the body, or refuse the frame."""
        buffer = self._buffer
        if self._is_skipping:
            buffer.clear()
        elif len(buffer) + stop - start > self._max_bytes:
            wanted = min(_HEAD_BYTES, self._max_bytes)
            head = bytes(buffer[:wanted])
            head += chunk[start : start + wanted - len(head)]
            events.append(Oversize(head))
            self._is_skipping = True
            buffer.clear()
        else:
            buffer += memoryview(chunk)[start:stop]
        self._searched = len(buffer)

    def _end_frame(self, end: int, events: list[Event]) -> None:
        if not self._is_skipping:
            body = bytes(memoryview(self._buffer)[:end])
            restart = body.rfind(_RESTART)
            if restart >= 0:
                events.append(Discarded(restart + 1))
                body = body[restart + 1 :]
            events.append(Frame(body))
        # A new buffer: clear() would keep the room of the largest message for ever.
        self._buffer = bytearray()
        self._searched = 0
        self._is_inside = self._is_skipping = False
