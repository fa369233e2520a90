"""What must hold for any message from any delimiters in any character set."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.hl7.delimiters import Delimiters
from engine.hl7.errors import Hl7Error
from engine.hl7.escapes import escape, translate, unescape
from engine.hl7.message import Message
from engine.hl7.path import parse_path
from tests.hl7.strategies import CODECS, delimiters, leaves, raw_messages

#: any text, line ends and lone backslashes included
texts = st.text(max_size=30) | st.text(st.sampled_from("\\^&~|EFSTRXHN.br0D4Z\r\n a"), max_size=30)


@given(raw_messages())
def test_any_message_leaves_byte_identical(raw):
    """Reading every segment and field of any message changes no byte of it."""
    message = Message.parse(raw)
    for segment in message.segments():
        segment.fields()
    message.warnings  # noqa: B018  (asking must not touch)
    assert message.encode() == raw
    assert message.copy().encode() == raw


@given(raw_messages())
def test_cut_and_joined_again_is_the_same_text(raw):
    """Marked as edited, so that everything is joined anew, any message is the same bytes."""
    message = Message.parse(raw)
    for segment in message.segments():
        segment.fields()
    message.is_edited = True
    assert message.encode() == raw


@given(raw_messages(), st.data())
def test_an_edit_changes_nothing_else(raw, data):
    """After writing one field, every other field of every segment is what it was."""
    message = Message.parse(raw)
    at = data.draw(st.integers(0, len(message.segments()) - 1))
    segment = message.segments()[at]
    number = data.draw(st.integers(3, 9))
    before = [list(one.fields()) for one in message.segments()]
    segment.set(number, "X7")
    after = Message.parse(message.encode(), force_charset=message.charset)
    now = [list(one.fields()) for one in after.segments()]
    wanted = before
    wanted[at] += [""] * (number + 1 - len(wanted[at]))
    wanted[at][number] = "X7"
    assert now == wanted


@given(raw_messages(), st.data())
def test_untouched_lines_keep_their_bytes(raw, data):
    """The bytes of lines nobody wrote to leave as received, whatever their character set."""
    message = Message.parse(raw)
    end = b"\r" if b"\r" in raw else b"\n"
    before = raw.split(end)
    segments = message.segments()
    segment = data.draw(st.sampled_from(segments))
    segment.set(3, "X7")
    after = message.encode().split(end)
    differing = [at for at, (one, two) in enumerate(zip(before, after, strict=True)) if one != two]
    assert differing in ([], [segment.index])


@given(texts, delimiters())
def test_escaping_is_undone_by_reading(text, marks):
    """What is written as text is read as the same text, and never cuts the leaf."""
    if not marks.escape:
        return
    written = escape(text, marks)
    structural = {marks.field, marks.component, marks.repetition, marks.subcomponent, "\r", "\n"}
    assert not structural - {""} & set(written)
    assert unescape(written, marks) == text


@given(texts, delimiters(), delimiters())
def test_moving_between_delimiters_keeps_the_text(text, source, target):
    """A leaf re-encoded for another message reads the same there."""
    if not source.escape or not target.escape:
        return
    kept = {"Z", "H", "N", "C", "M", "."}
    if any(f"{source.escape}{letter}" in text for letter in kept) or source.escape + "X" in text:
        return
    assert unescape(translate(escape(text, source), source, target), target) == text


@given(
    texts, st.sampled_from(["PID-5", "PID-5.2", "PID-5.2.3", "PID-5[3].1", "OBX[2]-5", "PID-5[+]"])
)
def test_what_is_set_is_got(text, path):
    """Any text written at any path is read back there, and nowhere else does anything appear."""
    message = Message.parse(b"MSH|^~\\&|A|B\rPID|1||3|4|5\rOBX|1\r")
    message.set(path, text)
    read = path.replace("[+]", "[-1]")
    got = Message.parse(message.encode("UTF-8")).get(read)
    assert got == text
    assert message.get("PID-4") == "4"


@given(st.lists(leaves(), min_size=1, max_size=4), delimiters(), delimiters())
def test_structure_moves_between_messages(parts, source, target):
    """A field with components arrives with the same components under other delimiters."""
    if "" in (source.escape, target.escape):
        return
    field = source.component.join(escape(part, source) for part in parts)
    header = f"MSH{target.field}{target.encoding_characters}{target.field}A\rPID"
    message = Message.parse(header.encode())
    message.set_hl7("PID-5", field, source)
    for number, part in enumerate(parts, 1):
        assert unescape(message.find(f"PID-5.{number}") or "", target) == unescape(
            escape(part, source), source
        )


@given(st.sampled_from(CODECS), st.data())
def test_every_character_set_is_kept(codec, data):
    """Text in any of the character sets is read right and leaves as its bytes after an edit."""
    text = data.draw(leaves(codec))
    raw = b"MSH|^~\\&|A\rPID|1||" + escape(text, Delimiters()).encode(codec) + b"\rNTE|1\r"
    message = Message.parse(raw, force_charset=codec)
    message.set("NTE-3", "X")
    assert message.get("PID-3") == text
    assert message.encode() == raw.replace(b"NTE|1", b"NTE|1||X")


PATHS = ("MSH-3", "PID-2.1", "OBX-1", "OBX[2]-1", "ZZ1-2", "NTE-1", "PV1-3", "PID-3[2].1", "ABC-1")


@given(raw_messages(), st.lists(st.tuples(st.sampled_from(PATHS), st.booleans()), max_size=6))
def test_laziness_is_never_seen(raw, steps):
    """Whether a message was cut into lines before or is not yet, it reads and leaves the same."""
    lazy, cut = Message.parse(raw), Message.parse(raw)
    cut.segments()
    for path, writes in steps:
        if writes:
            lazy.set(path, "X7")
            cut.set(path, "X7")
        assert lazy.get(path) == cut.get(path)
        assert lazy.find(path) == cut.find(path)
    twin = lazy.copy()
    assert lazy.encode() == cut.encode() == twin.encode()
    assert lazy.segment_names() == cut.segment_names()
    assert lazy.encode() == cut.encode() == twin.encode()


NAMES = ("PID", "OBX", "ZZ1", "NTE", "PV1", "MSH", "")


@given(raw_messages(), st.sets(st.sampled_from(NAMES)), st.booleans(), st.booleans())
def test_lines_taken_out_by_name_leave_the_others_as_they_came(raw, names, keeps, writes):
    """Taking lines out uncut is the same as choosing among segments; each kept line its bytes."""
    quick, slow = Message.parse(raw), Message.parse(raw)
    if writes:
        quick.set("OBX-2", "X7")
        slow.set("OBX-2", "X7")
    before = quick.copy()
    (quick.keep_named if keeps else quick.drop_named)(names)
    head, *rest = slow.segments()
    wanted = [head, *(segment for segment in rest if (segment.name in names) is keeps)]
    if len(wanted) <= len(rest):
        slow.set_segments(wanted)
    assert quick.segment_names() == slow.segment_names()
    assert quick.encode() == slow.encode()
    end = b"\r" if b"\r" in raw else b"\n"
    received = {line.strip(b"\n") for line in raw.split(end)}
    if not writes:
        assert {line.strip(b"\n") for line in quick.encode().split(end)} <= received
    made = quick.insert_segment(1, "NTE", {1: "x"})
    slow.set_segments([head, made, *slow.segments()[1:]])
    assert made.index == 1
    assert quick.encode() == slow.encode() == quick.copy().encode()
    assert len(quick.segments()) == len(quick.segment_names())
    (before.keep_named if keeps else before.drop_named)({"OBX"})
    before.encode()


@given(texts)
def test_one_sequence_is_read_as_many_are(text):
    """The short way for a single escape sequence reads what the long way reads."""
    marks = Delimiters()
    assert unescape("\\F\\" + text, marks) == "|" + unescape(text, marks)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(junk):
    """Whatever bytes come: a message, or an Hl7Error; never another exception."""
    for raw in (junk, b"MSH|^~\\&|" + junk, b"MSH" + junk, b"MSH|^~\\&|A||||||ADT^A01|" + junk):
        try:
            message = Message.parse(raw)
        except Hl7Error:
            continue
        assert message.encode() == raw
        _exercise(message)
        assert message.encode() == raw


def _exercise(message: Message) -> None:
    """Ask for everything that may be asked without writing."""
    message.warnings, message.stray_lines(), message.charset, message.header.message_type
    message.header.control_id_bytes  # noqa: B018
    for path in ("PID-5.1.1", "PID-3[*].4", "PID-3[5='MR'].1", "OBX[3.1='x']-5", "MSH-9.3", "MSH"):
        message.get(path), message.get_all(path), message.find(path)
    message.groups("OBR", ["ORC"])
    message.copy().encode()


@given(
    st.binary(max_size=120),
    st.sampled_from(["PID-5.1", "OBX[2]-5", "ZZZ-1[3].2.2", "PID-3[5='MR'].1"]),
)
def test_any_message_can_be_written_to(junk, path):
    """Writing to whatever was read gives a message that reads what was written."""
    raw = b"MSH|^~\\&|A|B|C|D|E||ADT^A01\r" + junk
    message = Message.parse(raw)
    message.set(path, "X7")
    after = Message.parse(message.encode(), force_charset=message.charset)
    assert after.get(path) == "X7"


@given(
    st.text(max_size=20)
    | st.from_regex(r"[A-Z]{3}(\[[^\]]*\])?-\d+(\[[^\]]*\])?(\.\d+)?", fullmatch=True)
)
def test_any_text_is_a_path_or_refused(text):
    """A path's canonical text is the same path; all else is refused with an Hl7Error."""
    try:
        path = parse_path(text)
    except Hl7Error as error:
        assert error.fix  # noqa: PT017
        return
    assert parse_path(str(path)) == path


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40))
def test_many_backslashes_do_not_hang(count):
    """Text that is all escape characters is read in time that grows with its length only."""
    text = "\\" * count * 1000
    assert unescape(text, Delimiters()) == text
    assert unescape(escape(text, Delimiters()), Delimiters()) == text


@pytest.mark.parametrize("size", [1_000_000])
def test_a_large_value_is_touched_lightly(size):
    """A field of a megabyte is read, kept and passed on without being rewritten."""
    body = b"A" * size
    message = Message.parse(b"MSH|^~\\&|A\rOBX|1|ED|1||^^PDF^Base64^" + body + b"\r")
    assert len(message.get("OBX-5.5")) == size
    message.set("MSH-3", "B")
    assert message.encode().endswith(body + b"\r")
