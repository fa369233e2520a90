"""Turn-taking on one connection: what is an answer and what is not."""

from __future__ import annotations

from itertools import product

import pytest

from engine.mllp.exchange import (
    MOVES,
    Answer,
    Exchange,
    ExchangeError,
    ExchangeState,
    Move,
    TooLong,
    Unasked,
)
from engine.mllp.frames import encode_frame

ACK = b"MSH|^~\\&|||||||ACK|1|P|2.5\rMSA|AA|X\r"


def test_what_comes_while_waiting_is_the_answer() -> None:
    """After a send, the next frame is the answer; after settling, a second one is not."""
    exchange = Exchange(1000)
    assert exchange.send(b"MSH|") == encode_frame(b"MSH|")
    assert exchange.feed(encode_frame(ACK)) == [Answer(ACK)]
    exchange.settle()
    assert exchange.feed(encode_frame(ACK)) == [Unasked(len(ACK) + 3, ACK)]


def test_an_answer_without_cr_is_complete() -> None:
    """An ack ends at its FS; a CR that comes later is no junk."""
    exchange = Exchange(1000)
    exchange.send(b"MSH|")
    assert exchange.feed(b"\x0b" + ACK + b"\x1c") == [Answer(ACK)]
    exchange.settle()
    assert exchange.feed(b"\r") == []


def test_junk_and_too_long_answers_are_told_apart() -> None:
    """Junk around an answer is counted, an answer beyond the limit is refused."""
    exchange = Exchange(50)
    exchange.send(b"MSH|")
    assert exchange.feed(b"\x00\x00" + encode_frame(ACK)) == [Unasked(2), Answer(ACK)]
    assert exchange.feed(b"\x0b" + b"x" * 60) == [TooLong()]


@pytest.mark.parametrize(("state", "move"), [*product(ExchangeState, Move)])
def test_every_move_is_in_the_table_or_refused(state: ExchangeState, move: Move) -> None:
    """Whatever is not in the table raises and leaves the state as it was."""
    exchange = Exchange(1000)
    exchange.state = state
    moves = {
        Move.SEND: lambda: exchange.send(b""),
        Move.SETTLE: exchange.settle,
        Move.CLOSE: exchange.close,
    }
    if (state, move) in MOVES:
        moves[move]()
        assert exchange.state is MOVES[state, move]
    else:
        with pytest.raises(ExchangeError):
            moves[move]()
        assert exchange.state is state
