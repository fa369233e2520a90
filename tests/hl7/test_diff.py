"""The field diff says what changed, where, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given

from engine.hl7.diff import Change, diff_messages
from engine.hl7.message import Message
from tests.hl7.strategies import raw_messages

RAW = (
    b"MSH|^~\\&|A|B|||||ADT^A01|1|P|2.5.1\rPID|1||1^^^X^MR~2^^^Y^PI||DOE^JOHN\r"
    b"NK1|1|x\rOBX|1|NM|a||1\rOBX|2|NM|b||2\rOBX|3|NM|c||3\r"
)


def changes(edit) -> list[tuple[str, str | None, str | None]]:
    """Return what an edit changes, as path, before, after."""
    before, after = Message.parse(RAW), Message.parse(RAW)
    edit(after)
    return [(one.path, one.before, one.after) for one in diff_messages(before, after)]


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        ("PID-5.1", "ROE", ("PID-5.1", "DOE", "ROE")),
        ("PID-5.4", "X", ("PID-5.4", None, "X")),
        ("PID-3[2].5", "XX", ("PID-3[2].5", "PI", "XX")),
        ("PID-3[+].1", "9", ("PID-3[3]", None, "9")),
        ("OBX[2]-5", "9", ("OBX[2]-5", "2", "9")),
        ("PID-9", "new", ("PID-9", None, "new")),
        ("PID-5", "ROE", None),
        ("NK1-2", "", ("NK1-2", "x", "")),
        ("ZZ1-2", "x", ("ZZ1", None, "ZZ1||x")),
    ],
)
def test_one_edit_is_one_change(path, text, wanted):
    """Each edit shows at the place it was made, as deep as it went."""
    found = changes(lambda message: message.set(path, text))
    if path == "PID-5":
        assert found == [("PID-5.1", "DOE", "ROE"), ("PID-5.2", "JOHN", None)]
    else:
        assert found == [wanted]


def test_a_removed_segment_does_not_shift_the_others():
    """Taking out the first of three OBX is one change, with its own number."""
    found = changes(lambda message: message.remove_segments(message.segments("OBX")[:1]))
    assert found == [("OBX[1]", "OBX|1|NM|a||1", None)]


def test_names_come_along():
    """Each change says what the place is called."""
    before, after = Message.parse(RAW), Message.parse(RAW)
    after.set("PID-5.1", "ROE")
    after.remove_segments(after.segments("NK1"))
    assert [change.name for change in diff_messages(before, after)] == [
        "Patient name / Family name",
        "Next of kin",
    ]


def test_other_delimiters_are_one_change():
    """A message rewritten in other delimiters differs in those only."""
    before, after = Message.parse(RAW), Message.parse(RAW)
    after.set("MSH-2", "!@#$")
    assert diff_messages(before, after) == [Change("MSH-2", "Encoding characters", "^~\\&", "!@#$")]
    after.set("PID-5.2", "J")
    assert [change.path for change in diff_messages(before, after)] == ["MSH-2", "PID-5.2"]


def test_line_ends_and_trailing_emptiness_are_no_difference():
    """What a receiver reads alike is alike."""
    other = RAW.replace(b"\r", b"\n").replace(b"NK1|1|x", b"NK1|1|x|||")
    assert diff_messages(Message.parse(RAW), Message.parse(other)) == []


@given(raw_messages(), raw_messages())
def test_any_two_messages_are_compared(one, other):
    """Comparing never fails, changes neither message, and finds nothing between equals."""
    before, after = Message.parse(one), Message.parse(other)
    assert diff_messages(before, before.copy()) == []
    if before.delimiters.escape and after.delimiters.escape:
        diff_messages(before, after)
        assert before.encode() == one
        assert after.encode() == other
