"""Header facts come from the first line alone."""

from __future__ import annotations

import pytest

from engine.hl7.errors import Hl7Error
from engine.hl7.header import parse_header
from engine.hl7.message import Message

RAW = (
    b"MSH|^~\\&|HIS^1.2^ISO|HOSP|LIS|LAB|20261101||ADT^A01^ADT_A01|M\\T\\1|P^A|2.5.1^FRA|||AL|NE|CHN"
    b"|8859/1~ISO IR87\rPID|1"
)


def test_facts():
    """Every fact is the first component of its field as text."""
    header = parse_header(RAW)
    assert (header.sending_application, header.sending_facility) == ("HIS", "HOSP")
    assert (header.receiving_application, header.receiving_facility) == ("LIS", "LAB")
    assert (header.message_code, header.trigger, header.structure) == ("ADT", "A01", "ADT_A01")
    assert header.message_type == "ADT^A01"
    assert (header.control_id, header.control_id_bytes) == ("M&1", b"M\\T\\1")
    assert (header.processing_id, header.version) == ("P", "2.5.1")
    assert (header.accept_ack, header.application_ack) == ("AL", "NE")
    assert header.charset == "8859/1~ISO IR87"
    assert header.field(12) == "2.5.1^FRA"


def test_short_headers():
    """What is absent reads as empty; a type without trigger has no caret."""
    header = parse_header(b"MSH|^~\\&|A\nPID|1")
    assert header.message_type == header.control_id == header.version == header.charset == ""
    assert header.control_id_bytes == b""
    assert parse_header(b"MSH|^~\\&|||||||ACK|1").message_type == "ACK"


def test_only_the_first_line_is_looked_at():
    """Nothing behind the first segment can break the header, not even bytes of no set."""
    header = parse_header(RAW + b"\xff\xfe\x00" * 100)
    assert header.message_type == "ADT^A01"


def test_a_header_in_another_character_set():
    """A facility's name in GB 18030 with delimiter bytes in it is read whole."""
    raw = "MSH|^~\\&|HIS|東葉醫院|||||ADT^A01|編號1|P|2.4||||||GB18030\rPID|1".encode("gb18030")
    header = parse_header(raw)
    assert header.sending_facility == "東葉醫院"
    assert header.control_id_bytes == "編號1".encode("gb18030")
    undeclared = raw.replace(b"GB18030", b"")
    assert parse_header(undeclared, charset="gb18030").sending_facility == "東葉醫院"
    assert parse_header(undeclared, force_charset="gb18030").control_id == "編號1"


def test_control_ids_keep_their_bytes_whatever_they_are():
    """The bytes of MSH-10 are given back even where no declared set fits them."""
    raw = b"MSH|^~\\&|A||||||ADT^A01|\xff\xfe\x80|P|2.4\r"
    assert parse_header(raw).control_id_bytes == b"\xff\xfe\x80"


def test_lf_in_the_header_is_no_line_end_where_cr_is():
    """The header ends where the message's own line ends are."""
    assert parse_header(b"MSH|^~\\&|A\nB|C\rPID|1").sending_application == "A\nB"


@pytest.mark.parametrize("raw", [b"", b"\x0b", b"PID|1", b"msh|^~\\&|", b"BHS|^~\\&|A"])
def test_no_header(raw):
    """Bytes without MSH are refused."""
    with pytest.raises(Hl7Error):
        parse_header(raw)


@pytest.mark.parametrize("codec", ["gb18030", "cp950", "cp932"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_character_with_a_separator_inside_does_not_move_msh_18(codec, count):
    """MSH-18 is found behind characters whose second byte is that of the field separator."""
    name = {"gb18030": "GB 18030-2000", "cp950": "BIG-5", "cp932": "SHIFT_JIS"}[codec]
    char = b"\x83\x7c" if codec == "cp932" else b"\xa9\x7c" if codec == "cp950" else b"\x81\x7c"
    head = b"MSH|^~\\&|" + char * count + b"|B|C|D|||ADT^A01|1|P|2.5||||||"
    message = Message.parse(head + name.encode() + b"\rPID|1\r")
    assert message.declared_charset == name
    assert message.get("MSH-3") == char.decode(codec) * count
