"""
A batch in one frame: its messages are taken in order, and the frame gets one answer.

Rules of this file: each message is stored, routed and judged for itself; the answer is positive
only if every message was taken, else it is the worst single verdict, with the counts in its text.
MSA-2 is the control id of the batch (FHS-11, else BHS-11), else that of its first message. A batch
that cannot be split is kept whole as one rejected message.

Source: HL7 v2.5.1 ch. 2, batch protocol (segments FHS, BHS, BTS, FTS).
"""

from __future__ import annotations

from typing import Protocol

from engine.hl7.ack import parse_ack
from engine.hl7.batch import Batch, has_batch_envelope, split_batch
from engine.hl7.errors import Hl7Error
from engine.hl7.header import Header, parse_header
from engine.intake.acceptance import Acceptance, Facts


class Place(Protocol):
    """Where the answer to one message goes."""

    @property
    def peer(self) -> str:
        """Return who sent it."""
        ...

    def give(self, ack: bytes) -> None:
        """Answer."""
        ...

    def hang_up(self) -> None:
        """Close unanswered."""
        ...


def is_batch(body: bytes) -> bool:
    """Return whether *body* is a batch that can be split."""
    if body.startswith(b"MSH") or not has_batch_envelope(body):
        return False
    try:
        split_batch(body)
    except Hl7Error:
        return False
    return True


class BatchAnswer:
    """Gathers the answers to the messages of one batch into the answer to its frame."""

    def __init__(self, acceptance: Acceptance, body: bytes, place: Place, facts: Facts) -> None:
        self._acceptance = acceptance
        self._batch = split_batch(body)
        self._place = place
        self._facts = facts
        self._acks: dict[int, bytes] = {}

    def parts(self) -> list[tuple[bytes, BatchPart]]:
        """Return each message with the place of its answer, in order."""
        return [
            (message, BatchPart(self, number, self._place))
            for number, message in enumerate(self._batch.messages, 1)
        ]

    def give(self, number: int, ack: bytes) -> None:
        """Take the answer to message *number*; the last one answers the frame."""
        self._acks[number] = ack
        if len(self._acks) == len(self._batch.messages):
            self._place.give(self._answer())

    def _answer(self) -> bytes:
        codes = {number: parse_ack(ack).code for number, ack in self._acks.items() if ack}
        if not codes:
            return b""
        refused = sorted(number for number, code in codes.items() if code[1] != "A")
        total = len(self._batch.messages)
        text = f"{total - len(refused)} of {total} messages taken"
        if refused:
            text += "; not taken: " + ", ".join(str(number) for number in refused[:20])
        worst = max(codes.values(), key=lambda code: "AER".index(code[1]))
        header = header_of_batch(self._batch)
        return self._acceptance.answer(header, self._facts, worst, text)


class BatchPart:
    """The place of one message's answer within its batch."""

    __slots__ = ("_answer", "_number", "_place")

    def __init__(self, answer: BatchAnswer, number: int, place: Place) -> None:
        self._answer = answer
        self._number = number
        self._place = place

    @property
    def peer(self) -> str:
        """Return who sent the batch."""
        return self._place.peer

    def give(self, ack: bytes) -> None:
        """Answer this message."""
        self._answer.give(self._number, ack)

    def hang_up(self) -> None:
        """Close the connection unanswered."""
        self._place.hang_up()


def header_of_batch(batch: Batch) -> Header | None:
    """Return the first message's header with the control id of the batch in MSH-10."""
    first = batch.messages[0]
    try:
        header = parse_header(first)
    except Hl7Error:
        return None
    for name in (b"FHS", b"BHS"):
        for line in batch.header:
            fields = line.split(line[3:4]) if line.startswith(name) else []
            if len(fields) > 10 and fields[10].strip():
                separator = header.delimiters.field.encode()
                msh = first.replace(b"\n", b"\r").split(b"\r", 1)[0].split(separator)
                msh += [b""] * (10 - len(msh))
                msh[9] = fields[10].strip()
                return parse_header(separator.join(msh))
    return header
