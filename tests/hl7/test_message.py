"""Reading, writing and rearranging one message."""

from __future__ import annotations

import pytest

from engine.hl7.delimiters import Delimiters
from engine.hl7.errors import Hl7Error, PathError
from engine.hl7.message import Message

RAW = (
    b"MSH|^~\\&|HIS|HOSP|LIS|LAB|20261101||ORU^R01|M1|P|2.5.1\r"
    b'PID|1||1^^^X^MR~2^^^Y^PI||DOE^JOHN\\T\\CO^^^DR||19800101|M|""\r'
    b"OBX|1|NM|8480-6^Systolic||120\r"
    b"OBX|2|NM|8462-4^Diastolic||80\r"
    b'ZZZ|a|^""|x&y^z\r'
)


@pytest.fixture
def message() -> Message:
    """Return a fresh message."""
    return Message.parse(RAW)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("PID-5.1", "DOE"),
        ("PID-5.2", "JOHN&CO"),
        ("PID-5", "DOE^JOHN&CO^^^DR"),
        ("PID-5.3", ""),
        ("PID-5.9", ""),
        ("PID-3", "1^^^X^MR"),
        ("PID-3[2].1", "2"),
        ("PID-3[-1].5", "PI"),
        ("PID-3[5='PI'].1", "2"),
        ("PID-3[5='XX'].1", ""),
        ("PID-3[*].1", "1"),
        ("PID-7.1", "19800101"),
        ("PID-7.2", ""),
        ("PID-9", '""'),
        ("PID-99", ""),
        ("ZZZ-2", '^""'),
        ("ZZZ-2.2", '""'),
        ("ZZZ-3.1.2", "y"),
        ("ZZZ-3.1", "x&y"),
        ("OBX[2]-5", "80"),
        ("OBX[3]-5", ""),
        ("OBX[-1]-3.2", "Diastolic"),
        ("OBX[3.1='8462-4']-5", "80"),
        ("MSH-1", "|"),
        ("MSH-2", "^~\\&"),
        ("MSH-2.1", "^~\\&"),
        ("MSH-9.2", "R01"),
        ("NK1-2", ""),
        ("ZZZ", 'ZZZ|a|^""|x&y^z'),
    ],
)
def test_reading(message, path, text):
    """Every selector form reads the text it names; what is not there reads as empty."""
    assert message.get(path) == text
    assert not message.is_edited


def test_absent_empty_and_null_stay_apart(message):
    """find tells what was not sent (None), sent empty (""), and deleted (two quotes)."""
    assert message.find("PID-30") is None
    assert message.find("PID-4") == ""
    assert message.find("PID-9") == '""'
    assert message.find("NK1-1") is None


def test_all_values(message):
    """[*] gives every value; a plain path at most one."""
    assert message.get_all("PID-3[*].5") == ["MR", "PI"]
    assert message.get_all("OBX[*]-5") == ["120", "80"]
    assert message.get_all("PID-5.1") == ["DOE"]
    assert message.get_all("NK1-1") == []


def test_structure_is_given_as_it_stands(message):
    """raw_text is the field with all repetitions and its escapes."""
    assert message.raw_text("PID-3") == "1^^^X^MR~2^^^Y^PI"
    assert message.raw_text("PID-5.2") == "JOHN\\T\\CO"
    assert message.raw_text("PID-77") == ""


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("PID-5.1", "A&B", b"DOE^JOHN\\T\\CO^^^DR -> A\\T\\B^JOHN\\T\\CO^^^DR"),
        ("PID-5", "A^B", b"DOE^JOHN\\T\\CO^^^DR -> A\\S\\B"),
        ("PID-3[2].1", "9", b"~2^^^Y^PI -> ~9^^^Y^PI"),
        ("PID-3[+].1", "9", b"~2^^^Y^PI -> ~2^^^Y^PI~9"),
        ("PID-3[5='PI'].1", "9", b"~2^^^Y^PI -> ~9^^^Y^PI"),
        ("PID-3[5='SS'].1", "9", b"~2^^^Y^PI -> ~2^^^Y^PI~9^^^^SS"),
        ("PID-3[4].2", "9", b"~2^^^Y^PI -> ~2^^^Y^PI~~^9"),
        ("PID-3[*].5", "Q", b"1^^^X^MR~2^^^Y^PI -> 1^^^X^Q~2^^^Y^Q"),
        ("PID-7.1.2", "9", b"19800101| -> 19800101&9|"),
        ("OBX[*]-11", "F", None),
        ("OBX[3.1='8462-4']-5", "81", b"||80 -> ||81"),
        ("ZZZ-5", "w", b"x&y^z -> x&y^z||w"),
    ],
)
def test_writing_changes_what_it_names(message, path, text, line):
    """A write makes what is missing and leaves every other byte as it was."""
    message.set(path, text)
    if line is None:
        assert message.encode() == RAW.replace(b"120\r", b"120||||||F\r").replace(
            b"80\rZ", b"80||||||F\rZ"
        )
        return
    before, after = line.split(b" -> ")
    assert RAW.count(before) == 1
    assert message.encode() == RAW.replace(before, after)


def test_missing_segments_are_made_behind_their_namesakes(message):
    """A write to a segment that is not there makes it; there is no gap in their numbers."""
    message.set("OBX[4]-5", "x")
    message.set("NTE-3", "note")
    message.set("OBX[3.1='777']-5", "y")
    names = message.segment_names()
    assert names == ["MSH", "PID", "OBX", "OBX", "OBX", "OBX", "OBX", "ZZZ", "NTE"]
    assert message.encode().endswith(b'OBX\rOBX|||||x\rOBX|||777||y\rZZZ|a|^""|x&y^z\rNTE|||note\r')


def test_appending_a_segment(message):
    """[+] on a segment makes a new one each time."""
    message.set("OBX[+]-5", "x")
    message.set("OBX[+]-5", "y")
    assert message.get_all("OBX[*]-5") == ["120", "80", "x", "y"]


def test_structure_is_written_in_the_messages_own_delimiters():
    """HL7 text written with the usual delimiters arrives as structure under unusual ones."""
    message = Message.parse(b"MSH#!@%*#A\rPID#1\r")
    message.set_hl7("PID-5", "DOE^JOHN&CO~ROE^J\\T\\R 50%")
    assert message.encode() == b"MSH#!@%*#A\rPID#1####DOE!JOHN*CO@ROE!J&R 50%E%\r"
    assert message.get("PID-5[2].2") == "J&R 50%"
    message.set_hl7("PID-6.1", "a^b&c")
    assert message.get("PID-6.1.2") == "c"
    assert message.get("PID-6.1.1") == "a^b"


def test_a_field_separator_never_gets_into_a_field(message):
    """Structure written to a field cannot start a new field or segment."""
    message.set_hl7("PID-5", "A|B\rOBX|9")
    assert message.segment_names().count("OBX") == 2
    assert message.get("PID-5") == "A|B\rOBX|9"
    assert message.get("PID-8") == "M"


def test_a_whole_segment_is_written(message):
    """A segment target takes the whole segment, and makes it when it is missing."""
    message.set_hl7("ZZZ", "ZZZ|new^b|c")
    message.set_hl7("NTE", "NTE|1||text")
    assert message.encode().endswith(b"ZZZ|new^b|c\rNTE|1||text\r")
    with pytest.raises(PathError):
        message.set_hl7("ZZZ", "PID|1")
    with pytest.raises(PathError):
        message.set("ZZZ", "text")


def test_clear_and_nullify(message):
    """clear empties, nullify writes two quotes; clearing what is absent makes nothing."""
    message.clear("PID-3")
    message.clear("PID-40")
    message.clear("NK1-2")
    message.clear("PID-5.2")
    message.nullify("PID-7")
    line = message.segments("PID")[0].text
    assert line == 'PID|1||||DOE^^^^DR||""|M|""'
    assert "NK1" not in message.segment_names()


@pytest.mark.parametrize(
    ("source", "target", "field"),
    [
        ("PID-3", "PID-4", "1^^^X^MR~2^^^Y^PI"),
        ("PID-3[2]", "PID-4", "2^^^Y^PI"),
        ("ZZZ-3.1", "PID-4", "x^y"),
        ("ZZZ-3.1", "PID-4.2", "^x&y"),
        ("PID-3", "PID-4.1", "1&&&X&MR"),
        ("ZZZ-3", "PID-4.1", "x\\T\\y\\S\\z"),
        ("PID-5.2", "PID-4.1.2", "&JOHN\\T\\CO"),
        ("PID-99", "PID-4", ""),
        ("PID-3", "PID-4[2]", "~1^^^X^MR"),
    ],
)
def test_copies_keep_their_structure(message, source, target, field):
    """Whole fields go with all repetitions; a part rises or sinks as far as there are levels."""
    message.copy_value(source, target)
    assert message.raw_text("PID-4") == field


def test_setting_msh_2_rewrites_the_message(message):
    """New delimiters are written everywhere, and everything reads as before."""
    before = {path: message.get(path) for path in ("PID-5.2", "ZZZ-3.1.2", "PID-3[2].5", "ZZZ-2.2")}
    message.set("MSH-2", "!@#$")
    assert message.delimiters == Delimiters("|", "!", "@", "#", "$")
    again = Message.parse(message.encode())
    assert {path: again.get(path) for path in before} == before
    with pytest.raises(Hl7Error):
        message.set("MSH-2", "!!#$")


def test_copies_are_independent(message):
    """Writing to a copy leaves the original alone, and the other way round."""
    message.get("PID-5.1")
    twin = message.copy()
    twin.set("PID-5.1", "ROE")
    message.set("OBX-5", "1")
    assert message.get("PID-5.1") == "DOE"
    assert twin.get("OBX-5") == "120"
    assert twin.get("PID-5.1") == "ROE"


def test_live_views(message):
    """Segments stay what they are while others come and go around them."""
    first, second = message.segments("OBX")
    message.remove_segments([first])
    assert second.index == 2
    second.set("5.1", "81")
    made = message.insert_segment(2, "NTE", {3: "a^b"})
    assert (made.index, second.index) == (2, 3)
    assert message.get("OBX-5") == "81"
    assert message.encode().count(b"NTE|||a^b\r") == 1
    assert second.get("OBX-3.2") == second.get("3.2") == "Diastolic"
    with pytest.raises(PathError):
        second.get("PID-3")


def test_segments_are_put_in_a_new_order(message):
    """An order can be set; MSH stays first; segments of another message are taken over."""
    head, *rest = message.segments()
    message.set_segments([head, *reversed(rest)])
    assert message.segment_names() == ["MSH", "ZZZ", "OBX", "OBX", "PID"]
    other = Message.parse(b"MSH#!@%*#A\rNTE#1#a!b*c")
    message.set_segments([*message.segments(), other.segments("NTE")[0]])
    assert message.encode().endswith(b"NTE|1|a^b&c\r")
    other.set("NTE-2", "x")
    assert message.get("NTE-2.1") == "a"
    with pytest.raises(Hl7Error):
        message.set_segments(rest)
    with pytest.raises(Hl7Error):
        message.insert_segment(0, "PID")


def test_msh_cannot_be_removed(message):
    """Taking out all segments is refused: without MSH there is no message."""
    with pytest.raises(Hl7Error):
        message.remove_segments(message.segments())


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_edits_keep_the_line_ends_of_the_message(end):
    """A message with LF or CR LF keeps them, new segments included."""
    raw = RAW.replace(b"\r", end)
    message = Message.parse(raw)
    message.set("PID-8", "F")
    message.set("NTE-3", "x")
    assert message.encode() == raw.replace(b"|M|", b"|F|") + b"NTE|||x" + end


def test_mixed_line_ends_are_kept_one_by_one():
    """Where line ends differ, each line keeps its own."""
    raw = b"MSH|^~\\&|A\r\nPID|1\rNTE|1|two\nlines\rNTE|2\r\n\r\nZZZ|1"
    message = Message.parse(raw)
    message.set("PID-1", "2")
    assert message.encode() == raw.replace(b"PID|1", b"PID|2")
    assert message.get("NTE-2") == "two\nlines"
    assert "mixed_line_ends" in message.warnings


def test_lf_inside_a_field_is_text_where_cr_ends_lines():
    """With CR line ends an LF is part of the value; an LF behind the whole message is not."""
    message = Message.parse(b"MSH|^~\\&|A\rNTE|1||one\ntwo\rZZZ|last\n")
    assert message.get("NTE-3") == "one\ntwo"
    assert message.get("ZZZ-1") == "last"
    message.set("ZZZ-2", "x")
    assert message.encode() == b"MSH|^~\\&|A\rNTE|1||one\ntwo\rZZZ|last|x\n"


def test_odd_lines_are_kept_and_named():
    """Stray, indented, lower-case and bare lines stay as bytes and are warned of."""
    raw = b"MSH|^~\\&|A\rpid|1||7\r  OBX|1\rPV1\rthis is no segment\r\rZ|x\r"
    message = Message.parse(raw)
    assert message.segment_names() == ["MSH", "PID", "OBX", "PV1", "", "", ""]
    assert message.get("PID-3") == "7"
    assert message.stray_lines() == [5, 7]
    assert set(message.warnings) == {"odd_segment_name", "stray_line", "blank_line"}
    message.set("PID-3", "8")
    assert message.encode() == raw.replace(b"||7", b"||8")


@pytest.mark.parametrize("lead", [b"\xef\xbb\xbf", b" \r\n", b"\x0b", b"\xef\xbb\xbf\n"])
def test_what_stands_before_msh_is_kept(lead):
    """A byte order mark, white space or a start of block in front of MSH survives an edit."""
    message = Message.parse(lead + RAW)
    assert message.encode() == lead + RAW
    message.set("PID-8", "F")
    assert message.encode() == lead + RAW.replace(b"|M|", b"|F|")
    assert {"bom", "leading_white_space"} & set(message.warnings)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "HL7-001"),
        (b"  ", "HL7-001"),
        (b"PID|1", "HL7-001"),
        (b"FHS|^~\\&|A\rMSH|^~\\&|", "HL7-004"),
        ("MSH|^~\\&|A".encode("utf-16"), "HL7-005"),
        (b"MSH|^^\\&|A", "HL7-003"),
    ],
)
def test_what_is_no_message_is_refused(raw, code):
    """No header, a batch, UTF-16 and unusable delimiters are told apart."""
    with pytest.raises(Hl7Error) as caught:
        Message.parse(raw)
    assert caught.value.code == code


def test_groups():
    """A group is its lead, its segment and all up to the next; another patient ends it."""
    text = "MSH|^~\\&|A/PID|1/ORC|1/OBR|1/NTE|1/OBX|1/OBR|2/ORC|3/OBR|3/OBX|3/PID|2/OBR|4"
    message = Message.parse(text.replace("/", "\r").encode())
    groups = message.groups("OBR", ["ORC"])
    assert [[segment.name for segment in group.segments] for group in groups] == [
        ["ORC", "OBR", "NTE", "OBX"],
        ["OBR"],
        ["ORC", "OBR", "OBX"],
        ["OBR"],
    ]
    assert [group.head.get("1") for group in groups] == ["1", "2", "3", "4"]
    assert message.groups("SPM") == []


def test_repetitions_are_counted(message):
    """An empty field has no repetition, others as many as they have."""
    segment = message.segments("PID")[0]
    assert [segment.repetition_count(number) for number in (3, 4, 5, 60)] == [2, 0, 1, 0]


def test_a_message_is_not_shown_by_its_repr(message):
    """The repr of messages, segments and headers holds no value of a patient."""
    shown = repr(message) + repr(message.segments("PID")[0]) + repr(message.header)
    assert "DOE" not in shown
