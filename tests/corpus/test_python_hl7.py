"""
python-hl7 as a second opinion over the corpus.

Where it differs it is listed here with the reason why it is not right; anything else
that differs is our mistake.
"""

from __future__ import annotations

import hl7
import pytest

from engine.hl7.batch import split_messages
from engine.hl7.message import Message

#: where it differs on the corpus, and why it is not right
NOT_RIGHT = {
    "090_UNK_python-hl7.hl7": "an MSH of MSH-1, MSH-2 and an empty MSH-3 loses that field",
}


def as_it_wants_it(message: Message) -> str:
    """
    Return the message as python-hl7 can read it.

    CR line ends only (of LF it makes one giant segment), no blank lines, and a last segment
    of our own, for it strips white space, VT and FS from the end of the last value.
    """
    lines = [segment.text for segment in message.segments() if segment.text.strip()]
    return "\r".join([*lines, f"ZZZ{message.delimiters.field}end"])


def test_it_agrees_on_every_field_where_it_is_right(corpus):
    """Each field, repetition and component of the corpus is cut as python-hl7 cuts it."""
    fields = 0
    differing: set[str] = set()
    for name, file in corpus.items():
        for raw in split_messages(file):
            message = Message.parse(raw)
            theirs = hl7.parse(as_it_wants_it(message))
            ours = [segment for segment in message.segments() if segment.text.strip()]
            assert len(theirs) == len(ours) + 1, name
            for segment, their in zip(ours, theirs, strict=False):
                if [str(field) for field in their] != segment.fields():
                    differing.add(name)
                    continue
                fields += len(their)
                compare_inside(name, message, segment, their)
    assert differing == set(NOT_RIGHT)
    assert fields > 10_000


def compare_inside(name, message, segment, their):
    """Compare what stands inside each field of one segment."""
    for number in range(1, len(their)):
        if segment.name == "MSH" and number <= 2:
            continue
        for at, repetition in enumerate(their[number], 1):
            found = segment.find(f"{number}[{at}]")
            assert str(repetition) == found, f"{name} {segment.name}-{number}[{at}]"
            if isinstance(repetition, str):
                continue
            for component, value in enumerate(repetition, 1):
                path = f"{number}[{at}].{component}"
                assert str(value) == segment.find(path), f"{name} {segment.name}-{path}"


def test_lf_line_ends_make_it_one_segment():
    """Why line ends are mended first: of an LF message python-hl7 makes a single segment."""
    text = "MSH|^~\\&|A|B\nPID|1\nPV1|1"
    assert len(hl7.parse(text)) == 1
    assert Message.parse(text.encode()).segment_names() == ["MSH", "PID", "PV1"]


@pytest.mark.parametrize(
    ("text", "theirs", "ours"),
    [
        ("a\\b", "ab", "a\\b"),
        ("C:\\temp\\x", "C:\\temp\\x", "C:\\temp\\x"),
        ("cost 5\\", "cost 5", "cost 5\\"),
    ],
)
def test_lone_backslashes_are_not_lost(text, theirs, ours):
    """A backslash that opens no known sequence stays; python-hl7 drops some of them."""
    raw = f"MSH|^~\\&|A\rNTE|1||{text}\r".encode()
    message = Message.parse(raw)
    assert message.get("NTE-3") == ours
    their_message = hl7.parse("MSH|^~\\&|A\rNTE|1||x")
    if theirs != ours:
        assert their_message.unescape(text) != ours


def test_as_python_hl7_gives_its_message(corpus):
    """A Python step that asks for python-hl7's type gets the same segments."""
    for raw in split_messages(corpus["088_ORU_R01_python-hl7.hl7"]):
        theirs = Message.parse(raw).as_python_hl7()
        assert isinstance(theirs, hl7.Message)
        names = [name for name in Message.parse(raw).segment_names() if name]
        assert [str(segment[0]) for segment in theirs] == names
