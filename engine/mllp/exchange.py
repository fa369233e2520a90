"""
One connection's turn-taking: a message goes out, its answer comes in, the next may go.

Rules of this file: every move is in the table; nothing here knows a socket, a clock or what an
ack says. A frame that comes while nothing was asked is no answer, however it looks: that is how
a late ack would be taken for the next message's.
"""

from __future__ import annotations

from enum import StrEnum

from engine.mllp.frames import Discarded, Event, Frame, FrameDecoder, encode_frame


class ExchangeState(StrEnum):
    """Whose turn it is."""

    #: nothing in flight; the next message may be sent
    IDLE = "idle"
    #: a message is in flight; frames are answers
    WAITING = "waiting"
    #: the connection is of no more use
    CLOSED = "closed"


class Move(StrEnum):
    """What can happen in an exchange."""

    SEND = "send"
    SETTLE = "settle"
    CLOSE = "close"


MOVES: dict[tuple[ExchangeState, Move], ExchangeState] = {
    (ExchangeState.IDLE, Move.SEND): ExchangeState.WAITING,
    (ExchangeState.WAITING, Move.SETTLE): ExchangeState.IDLE,
    (ExchangeState.IDLE, Move.CLOSE): ExchangeState.CLOSED,
    (ExchangeState.WAITING, Move.CLOSE): ExchangeState.CLOSED,
    (ExchangeState.CLOSED, Move.CLOSE): ExchangeState.CLOSED,
}


class ExchangeError(Exception):
    """A move was made out of turn; that is a defect of the caller."""


class Exchange:
    """
    The sending side of one MLLP connection.

    Args:
        max_answer_bytes: an answer beyond this is reported as garbage.
    """

    __slots__ = ("_decoder", "state")

    def __init__(self, max_answer_bytes: int) -> None:
        self._decoder = FrameDecoder(max_answer_bytes)
        self.state = ExchangeState.IDLE

    def send(self, body: bytes) -> bytes:
        """Return the bytes to write for *body*; its answer is awaited from now on."""
        self._move(Move.SEND)
        return encode_frame(body)

    def settle(self) -> None:
        """Say that the answer was found, or that none is wanted."""
        self._move(Move.SETTLE)

    def close(self) -> None:
        """Say that the connection is gone or not to be trusted any more."""
        self._move(Move.CLOSE)

    def feed(self, chunk: bytes) -> tuple[list[Event], int]:
        """
        Return the answers in *chunk* and how many bytes are to be thrown away.

        While nothing is in flight everything is thrown away. The caller may settle between two
        answers; what is left then was not asked for, and is the caller's to count.
        """
        if self.state is not ExchangeState.WAITING:
            was_inside = self._decoder.is_inside_frame
            if was_inside or chunk.find(b"\x0b") >= 0:
                self._decoder.feed(chunk)
                self._decoder.close_frame()
            return [], len(chunk)
        events = self._decoder.feed(chunk)
        # An ack is complete at its FS: waiting for a CR that some peers leave out gains nothing.
        events += self._decoder.close_frame()
        discarded = sum(event.size_bytes for event in events if isinstance(event, Discarded))
        return [event for event in events if not isinstance(event, Discarded)], discarded

    def _move(self, move: Move) -> None:
        after = MOVES.get((self.state, move))
        if after is None:
            raise ExchangeError(f"{move} is not possible while {self.state}")
        self.state = after


__all__ = ["MOVES", "Exchange", "ExchangeError", "ExchangeState", "Frame", "Move"]
