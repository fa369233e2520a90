"""The field diff finds every change, calls it by its path, and sees nothing where nothing is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.hl7.diff import Change, covers, diff_messages
from engine.hl7.message import Message
from engine.hl7.path import parse_path
from tests.hl7.strategies import raw_messages

BASE = (
    "MSH|^~\\&|A|B|C|D|2026||ORU^R01|1|P|2.5\r"
    "PID|1||77^^^H^MR~88^^^N&1^SS||DOE^Ann||19800101|F\r"
    "OBX|1|NM|GLU||5.4\rOBX|2|NM|K||4.1\rOBX|3|TX|X||a\\T\\b\r"
)


def message(text: str) -> Message:
    """Return the message with this text."""
    return Message.parse(text.encode())


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("DOE^Ann", "ROE^Ann", ["PID-5.1: 'DOE' -> 'ROE'"]),
        ("DOE^Ann", "DOE^Ann^B", ["PID-5.3: absent -> 'B'"]),
        ("|F\r", "|\r", ["PID-8: 'F' -> absent"]),
        ("N&1", "N&2", ["PID-3[2].4.2: '1' -> '2'"]),
        ("~88^^^N&1^SS", "", ["PID-3[2].1: '88' -> absent", "PID-3[2].4.1: 'N' -> absent",
                              "PID-3[2].4.2: '1' -> absent", "PID-3[2].5: 'SS' -> absent"]),
        ("5.4", "5.5", ["OBX[1]-5: '5.4' -> '5.5'"]),
        ("OBX|2|NM|K||4.1\r", "", ["OBX[2]: 'OBX|2|NM|K||4.1' -> absent"]),
        ("PID|1", "ZZZ|x\rPID|1", ["ZZZ: absent -> 'ZZZ|x'"]),
        ("|ORU^R01|", "|ORU^R01^ORU_R01|", ["MSH-9.3: absent -> 'ORU_R01'"]),
        ("|F\r", '|""\r', ["PID-8: 'F' -> '\"\"'"]),
        ("|F\r", "|F|||\r", []),
        ("a\\T\\b", "a\\X26\\b", []),
        ("|F\r", "|F~G\r", ["PID-8[2]: absent -> 'G'"]),
        ("OBX|1|NM|GLU||5.4\r", "", ["OBX[1]: 'OBX|1|NM|GLU||5.4' -> absent"]),
    ],
)  # fmt: skip
def test_a_change_is_found_and_named(old: str, new: str, changes: list[str]) -> None:
    """One edit of the text is one change per place, with the path an analyst would write."""
    assert old in BASE
    found = diff_messages(message(BASE), message(BASE.replace(old, new)))
    assert [str(change) for change in found] == changes
    after = message(BASE.replace(old, new))
    for change in found:
        assert covers(parse_path(change.path), change, after)


def test_other_delimiters_are_no_change() -> None:
    """The same values in other delimiters differ in MSH-1 and MSH-2 only."""
    other = BASE.replace("\\T\\", "&").replace("&1^", "\0").replace("|", "#").replace("^", "*")
    other = other.replace("~\\&#", "~\\&#").replace("\0", "&1*").replace("a&b", "a\\T\\b")
    paths = [change.path for change in diff_messages(message(BASE), message(other))]
    assert paths == ["MSH-1", "MSH-2"]


def test_moved_segments_are_told() -> None:
    """Another order of the same segments is a change, too."""
    lines = BASE.rstrip("\r").split("\r")
    moved = "\r".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\r"
    (change,) = diff_messages(message(BASE), message(moved))
    assert change.path == "order"


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("PID-3", True),
        ("PID-3[2]", True),
        ("PID-3[2].4", True),
        ("PID-3[2].4.2", True),
        ("PID-3[*].4", True),
        ("PID", True),
        ("PID-3.4", False),
        ("PID-3[1].4", False),
        ("PID-3[2].5", False),
        ("PID-5", False),
        ("PV1-3", False),
    ],
)
def test_a_path_covers_what_it_means(path: str, covered: bool) -> None:
    """A listed path allows the changes within it, and no others."""
    after = message(BASE.replace("N&1", "N&2"))
    (change,) = diff_messages(message(BASE), after)
    assert covers(parse_path(path), change, after) is covered


def test_a_condition_selects_the_segment_that_may_change() -> None:
    """OBX[3='K'] means the OBX of potassium, wherever it stands."""
    after = message(BASE.replace("4.1", "4.2"))
    (change,) = diff_messages(message(BASE), after)
    assert covers(parse_path("OBX[3='K']-5"), change, after)
    assert not covers(parse_path("OBX[3='GLU']-5"), change, after)
    assert not covers(parse_path("OBX-5"), change, after)


_FIELDS = st.lists(st.text(st.sampled_from("ab^~&"), max_size=6), min_size=1, max_size=5)


@given(_FIELDS, _FIELDS)
def test_no_changes_means_equal_values(before: list[str], after: list[str]) -> None:
    """The diff is empty exactly when every leaf is the same."""
    head = "MSH|^~\\&|A\r"
    old = message(f"{head}ZZZ|{'|'.join(before)}\r")
    new = message(f"{head}ZZZ|{'|'.join(after)}\r")
    changes = diff_messages(old, new)
    leaves = [_leaves(fields) for fields in (before, after)]
    assert bool(changes) == (leaves[0] != leaves[1])
    assert diff_messages(old, old) == []


def _leaves(fields: list[str]) -> dict[tuple[int, ...], str]:
    return {
        (f, r, c, s): text
        for f, field in enumerate(fields)
        for r, repetition in enumerate(field.split("~"))
        for c, component in enumerate(repetition.split("^"))
        for s, text in enumerate(component.split("&"))
        if text
    }


def test_names_come_along() -> None:
    """Each change says what the place is called."""
    after = message(BASE)
    after.set("PID-5.1", "ROE")
    after.set("PID-8", "")
    after.remove_segments(after.segments("OBX")[:1])
    assert [change.name for change in diff_messages(message(BASE), after)] == [
        "Patient name / Family name",
        "Administrative sex",
        "Observation result",
    ]


def test_the_same_text_in_other_delimiters_is_another_value() -> None:
    """Where only the declaration changes, what the fields mean changes with it."""
    before = message("MSH|^~\\&|A\rZZZ|a^b\r")
    after = message("MSH|*~\\&|A\rZZZ|a^b\r")
    assert [str(change) for change in diff_messages(before, after)] == [
        "MSH-2: '^~\\&' -> '*~\\&'",
        "ZZZ-1.1: 'a' -> 'a^b'",
        "ZZZ-1.2: 'b' -> absent",
    ]


def test_line_ends_blank_lines_and_trailing_separators_are_no_difference() -> None:
    """What a receiver reads alike is alike."""
    other = BASE.replace("PID|1", "\rPID|1").replace("|5.4\r", "|5.4|||\r").replace("\r", "\n")
    assert diff_messages(message(BASE), message(other)) == []


@given(raw_messages(), raw_messages())
def test_any_two_messages_are_compared(one: bytes, other: bytes) -> None:
    """Comparing never fails, changes neither message, and finds nothing between equals."""
    before, after = Message.parse(one), Message.parse(other)
    assert diff_messages(before, before.copy()) == []
    for change in diff_messages(before, after):
        assert isinstance(change, Change)
        assert change.before != change.after
    assert before.encode() == one
    assert after.encode() == other
