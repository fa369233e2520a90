"""
One connection's turn-taking: a message goes out, its answer comes in, the next may go.

Rules of this file: every move is in the table; nothing here knows a socket, a clock or what an
ack says. What comes while nothing was asked is no answer, however it looks: that is how a late
ack would be taken for the next message's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from engine.mllp.frames import Discarded, Frame, FrameDecoder, encode_frame

#: bytes around the body of a frame
_ENVELOPE_BYTES = 3


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


class Answer(NamedTuple):
    """A frame that came while a message was in flight."""

    body: bytes


class Unasked(NamedTuple):
    """What is thrown away: junk (body is b""), or a frame nobody waited for."""

    size_bytes: int
    body: bytes = b""


class TooLong(NamedTuple):
    """An answer beyond the limit."""


class Exchange:
    """
    The sending side of one MLLP connection.

    Args:
        max_answer_bytes: an answer beyond this is `TooLong`.
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

    def feed(self, chunk: bytes) -> list[Answer | Unasked | TooLong]:
        """
        Return what *chunk* completes, judged by whose turn it is now.

        An ack is complete at its FS: waiting for a CR that some peers leave out gains nothing.
        """
        is_waiting = self.state is ExchangeState.WAITING
        found: list[Answer | Unasked | TooLong] = []
        for event in self._decoder.feed(chunk) + self._decoder.close_frame():
            if isinstance(event, Discarded):
                found.append(Unasked(event.size_bytes))
            elif not isinstance(event, Frame):
                found.append(TooLong())
            elif is_waiting:
                found.append(Answer(event.body))
            else:
                found.append(unasked(event.body))
        return found

    def _move(self, move: Move) -> None:
        after = MOVES.get((self.state, move))
        if after is None:
            raise ExchangeError(f"{move} is not possible while {self.state}")
        self.state = after


def unasked(body: bytes) -> Unasked:
    """Return a frame's body as something that nobody waited for."""
    return Unasked(len(body) + _ENVELOPE_BYTES, body)
