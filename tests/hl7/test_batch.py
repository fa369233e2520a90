"""Batches, framed files and files of bare messages are cut into exact messages."""

from __future__ import annotations

import pytest

from engine.hl7.batch import has_batch_envelope, split_batch, split_messages
from engine.hl7.errors import Hl7Error

ONE = b"MSH|^~\\&|A\rPID|1\r"
TWO = b"MSH|^~\\&|B\rPID|2\r"


def test_a_batch():
    """Envelope lines are kept apart, messages are exact and in order."""
    raw = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE + TWO + b"BTS|2\rFTS|1\r"
    batch = split_batch(raw)
    assert batch.messages == (ONE, TWO)
    assert batch.header == (b"FHS|^~\\&|A", b"BHS|^~\\&|A")
    assert batch.trailer == (b"BTS|2", b"FTS|1")
    assert batch.declared_count == 2
    assert has_batch_envelope(b"\xef\xbb\xbf" + raw)
    assert not has_batch_envelope(ONE)


def test_several_batches_in_one_file():
    """A second batch in the file loses no message."""
    raw = b"BHS|^~\\&|A\r" + ONE + b"BTS|1\rBHS|^~\\&|A\r" + TWO + b"BTS\r"
    assert split_messages(raw) == [ONE, TWO]
    assert split_batch(raw).messages == (ONE, TWO)
    assert split_batch(raw).declared_count == 1


def test_an_empty_batch_is_an_error():
    """A batch without a message is refused, a file without one is just empty."""
    with pytest.raises(Hl7Error):
        split_batch(b"FHS|^~\\&|A\rFTS|0\r")
    assert split_messages(b"nothing here\r\n") == []
    assert split_messages(b"") == []


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0b" + ONE + b"\x1c\r\x0b" + TWO + b"\x1c\r",
        b"junk\x0b" + ONE + b"\x1c\x0b" + TWO + b"\x1c",
        b"\x0b" + ONE + b"\x1c\r\n\x0b" + TWO + b"\x1c\r\n",
        ONE + TWO,
        b"\xef\xbb\xbf" + ONE + TWO,
        b"\r\n \r\n" + ONE + TWO,
        ONE + TWO + b"\x1c\r",
    ],
)
def test_files_of_messages(raw):
    """Framed files, bare files and those with marks or blanks in front give the same messages."""
    assert split_messages(raw) == [ONE, TWO]


def test_msh_inside_a_value_starts_nothing():
    """Only a line that begins with MSH and a separator is the start of a message."""
    raw = b"MSH|^~\\&|A\rNTE|1||MSH|^~\\&|x\rMSHX|1\rMSH\rZZZ|MSH|\r"
    assert split_messages(raw) == [raw]


def test_lf_and_mixed_line_ends():
    """Messages start at lines of any end."""
    raw = ONE.replace(b"\r", b"\n") + TWO.replace(b"\r", b"\r\n")
    assert split_messages(raw) == [ONE.replace(b"\r", b"\n"), TWO.replace(b"\r", b"\r\n")]
