"""The lazy message against 150 messages of other people's systems."""

from __future__ import annotations

from itertools import zip_longest

import pytest

from engine.hl7.batch import has_batch_envelope, split_messages
from engine.hl7.definitions import is_known_version
from engine.hl7.errors import Hl7Error
from engine.hl7.header import parse_header
from engine.hl7.message import Message


def messages(corpus: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Every message of the corpus with its file's name, batches and frames taken apart."""
    return [(name, raw) for name, file in corpus.items() for raw in split_messages(file)]


def test_every_file_holds_a_message(corpus):
    """Each corpus file gives at least one message, whatever stands around it."""
    assert len(corpus) >= 150
    assert [name for name, raw in corpus.items() if not split_messages(raw)] == []


def test_every_message_leaves_byte_identical(corpus):
    """A message that was read, but not written to, leaves as its very bytes."""
    for name, raw in messages(corpus):
        message = Message.parse(raw)
        for segment in message.segments():
            segment.fields()
        assert message.encode() == raw, name
        assert message.copy().encode() == raw, name


def test_every_whole_file_is_kept_too(corpus):
    """Files with a byte order mark, white space or an end of block around the message survive."""
    for name, raw in corpus.items():
        if has_batch_envelope(raw):
            with pytest.raises(Hl7Error, match="batch"):
                Message.parse(raw)
        else:
            assert Message.parse(raw).encode() == raw, name


def test_joining_the_cut_pieces_gives_the_bytes_again(corpus):
    """Cut into fields and joined anew, every message is the same bytes: nothing is normalised."""
    for name, raw in messages(corpus):
        message = Message.parse(raw)
        for segment in message.segments():
            if segment.name:
                segment.replace_text(segment.text)
        assert message.is_edited
        assert message.encode() == raw, name


def test_an_edit_changes_nothing_else(corpus):
    """Setting one field of each message changes that field's bytes and no other line."""
    for name, raw in messages(corpus):
        message = Message.parse(raw)
        message.set("MSH-3.1", "EDITED")
        after = message.encode()
        changed = Message.parse(after)
        assert changed.get("MSH-3.1") == "EDITED"
        end = b"\r" if b"\r" in raw else b"\n"
        before_lines, after_lines = raw.split(end), after.split(end)
        assert before_lines[1:] == after_lines[1:], name
        fields = zip_longest(*(lines[0].split(raw[3:4]) for lines in (before_lines, after_lines)))
        differing = [number for number, (one, two) in enumerate(fields, 1) if one != two]
        assert differing == [3], name


def test_the_header_agrees_with_the_message(corpus):
    """parse_header, which sees the first line only, tells what the whole message tells."""
    for name, raw in messages(corpus):
        header, message = parse_header(raw), Message.parse(raw)
        assert header.control_id == message.get("MSH-10"), name
        assert header.message_code == message.get("MSH-9.1"), name
        assert header.trigger == message.get("MSH-9.2"), name
        assert header.version == message.get("MSH-12.1").strip(), name
        assert header.charset == message.header.charset, name


def test_known_oddities_are_warned_of(corpus):
    """Each quirk the corpus is known for is counted under its name."""
    warnings = {
        name: set(Message.parse(raw).warnings)
        for name, raw in corpus.items()
        if not raw.startswith((b"FHS", b"BHS"))
    }
    marked = {name for name, found in warnings.items() if "bom" in found}
    assert len(marked) == 7
    assert "charset_suspect" in warnings["013_ADT_A08_node-hl7.hl7"]
    assert "charset_fallback" in warnings["020_ORU_R01_trusted-intermedia.hl7"]
    assert "odd_segment_name" in warnings["073_ADT_A01_hl7.hl7"]
    assert "stray_line" in warnings["091_ORU_R01_txHL7.hl7"]
    assert "mixed_line_ends" in warnings["092_ORU_R01_hl7.hl7"]


def test_most_messages_are_plain(corpus):
    """Warnings are for the odd ones: an ordinary message gives none."""
    silent = [name for name, raw in messages(corpus) if not Message.parse(raw).warnings]
    assert len(silent) > 110


def test_the_bulk_file_is_cut_completely(bulk):
    """1,013 messages in, 1,013 out, in order, and put together again they are the file."""
    found = split_messages(bulk)
    assert len(found) == 1013
    assert b"".join(found) == bulk
    assert all(Message.parse(raw).encode() == raw for raw in found)


def test_versions_of_the_corpus_find_definitions(corpus):
    """Declared versions, odd ones included, lead to some definitions."""
    versions = {parse_header(raw).version for _, raw in messages(corpus)}
    assert sum(map(is_known_version, versions)) >= 10
