"""The glance at an ack says the same as reading it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.delivery.ack_reader import read_ack
from engine.hl7.ack import Ack, parse_ack
from engine.hl7.errors import Hl7Error

HEAD = "MSH|^~\\&|LIS|L|HIS|H|20261121||ACK^A01^ACK|R1|P|2.5"
pieces = st.sampled_from(
    ["MSA|", "AA", "CA", "AE", "aa", "|", "X1", "\r", "\n", "MSH|^~\\&|", "^", "\\T\\", " ",
     "ERR|", "東", "\x00", HEAD]
)  # fmt: skip


def outcome(raw: bytes, *, plainly: bool) -> Ack | str:
    """Return what is read, or that it cannot be."""
    result: Ack | str = "unreadable"
    with suppress(Hl7Error):
        result = parse_ack(raw) if plainly else read_ack(raw)
    return result


@given(st.lists(pieces, max_size=10).map("".join), st.booleans())
def test_any_bytes(text: str, with_head: bool) -> None:
    """Whatever a receiver sends, both ways of reading agree."""
    raw = ((HEAD + "\rMSA|" if with_head else "") + text).encode()
    assert outcome(raw, plainly=False) == outcome(raw, plainly=True)


@pytest.mark.parametrize("tail", ["", "\r", "|", "|text\r", "\r\n", "\rERR|1\r", "\rMSA|AE|X1\r"])
@pytest.mark.parametrize("code", ["AA", "CA", "AE", "AR"])
def test_usual_acks(code: str, tail: str) -> None:
    """The acks of the field are read alike."""
    raw = f"{HEAD}\rMSA|{code}|X1{tail}".encode()
    assert outcome(raw, plainly=False) == outcome(raw, plainly=True)
