"""Acknowledgements: when which code, how it is written, how answers are read."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import hl7
import pytest

from engine.hl7.ack import (
    AckError,
    AckLevel,
    Verdict,
    ack_mode,
    build_ack,
    parse_ack,
)
from engine.hl7.errors import Hl7Error
from engine.hl7.header import parse_header
from engine.hl7.message import Message

AT = 1_793_493_000.0
ZONE = ZoneInfo("Asia/Shanghai")


def header(accept: str = "", application: str = "", **fields: str):
    """Return the header of an ADT with these wishes."""
    version, charset = fields.get("version", "2.5.1"), fields.get("charset", "")
    raw = (
        f"MSH|^~\\&|HIS^1&x|HOSP|LIS|LAB|20261101||ADT^A01^ADT_A01|M~1|P|{version}|||{accept}"
        f"|{application}||{charset}\r"
    )
    return parse_header(raw.encode())


@pytest.mark.parametrize(
    ("accept", "application", "codes"),
    [
        ("", "", "AA AE AR"),
        ("AL", "NE", "CA CE CR"),
        ("AL", "AL", "CA CE CR"),
        ("AL", "", "CA CE CR"),
        ("ER", "NE", "- CE CR"),
        ("SU", "NE", "CA - -"),
        ("NE", "NE", "- - -"),
        ("NE", "", "- - -"),
        ("NE", "AL", "AA AE AR"),
        ("", "AL", "AA AE AR"),
        ("NE", "ER", "- AE AR"),
        ("NE", "SU", "AA - -"),
        ("al", "ne", "CA CE CR"),
        ("XX", "", "CA CE CR"),
    ],
)
def test_which_code_for_which_wish(accept, application, codes):
    """MSH-15 and MSH-16 decide between original and enhanced mode, and silence."""
    mode = ack_mode(header(accept, application))
    given = [mode.code(verdict) or "-" for verdict in Verdict]
    assert " ".join(given) == codes


def test_a_channel_can_insist_on_original_mode():
    """ack_mode original answers AA, AE, AR whatever the header asks for."""
    mode = ack_mode(header("NE", "NE"), "original")
    assert (mode.accept, mode.error, mode.reject) == ("AA", "AE", "AR")


def test_the_header_of_an_ack_mirrors_the_message():
    """Sender and receiver change places; delimiters, id, version, set and processing id return."""
    raw = build_ack(header(charset="GB18030"), code="AA", control_id="77", at=AT, timezone=ZONE)
    assert raw == (
        b"MSH|^~\\&|LIS|LAB|HIS^1&x|HOSP|20261101083000+0800||ACK^A01^ACK|77|P|2.5.1||||||GB18030\r"
        b"MSA|AA|M~1\r"
    )


def test_an_ack_in_the_senders_delimiters():
    """An unusual sender gets an unusual ack, which it can read."""
    odd = parse_header(b"MSH#!@%*#HIS##LIS###20#ORU!R01#M1#P#2.4\r")
    raw = build_ack(odd, code="AE", control_id="7#7", at=AT, timezone=ZONE, error=AckError("207"))
    message = Message.parse(raw)
    assert message.get("MSH-10") == "7#7"
    assert message.get("MSH-9.2") == "R01"
    assert message.get("MSA-2") == "M1"
    assert message.get("ERR-1.4.1") == "207"


def test_the_control_id_returns_byte_for_byte():
    """Whatever bytes MSH-10 has, MSA-2 has the same."""
    for control_id in (b"\xc8\x7e1", b"a\\T\\b", b"\xff", b" 1 ", b""):
        raw = b"MSH|^~\\&|A||||||ADT^A01|" + control_id + b"|P|2.4\r"
        ack = build_ack(parse_header(raw), code="AA", control_id="1", at=AT, timezone=ZONE)
        assert b"\rMSA|AA|" + control_id + b"\r" in ack


@pytest.mark.parametrize(
    ("version", "location", "err"),
    [
        ("2.5.1", "PID-3[2].1", "ERR||PID^1^3^2^1|101^Required field missing^HL70357|E"),
        ("2.5.1", "OBX[3]-5", "ERR||OBX^3^5|101^Required field missing^HL70357|E"),
        ("2.8", "MSH-10", "ERR||MSH^1^10|101^Required field missing^HL70357|E"),
        ("2.5", "", "ERR|||101^Required field missing^HL70357|E"),
        ("2.3.1", "PID-3.1", "ERR|PID^1^3^101&Required field missing&HL70357"),
    ],
)
def test_errors_are_placed_as_the_version_has_them(version, location, err):
    """ERR names place, code of table 0357 and severity; before 2.5 all in ERR-1."""
    raw = build_ack(
        header(version=version),
        code="AR",
        control_id="7",
        at=AT,
        timezone=ZONE,
        error=AckError("101", location),
    )
    assert raw.decode().split("\r")[2] == err


def test_explanations_are_escaped():
    """Text for people cannot cut the ack, and is repeated in ERR-8."""
    raw = build_ack(
        header(),
        code="AE",
        control_id="7",
        at=AT,
        timezone=ZONE,
        error=AckError("207"),
        text="store is | full\r",
    )
    message = Message.parse(raw)
    assert message.get("MSA-3") == message.get("ERR-8") == "store is | full\r"
    no_escape = parse_header(b"MSH|^~&|A||||||ADT^A01|1|P|2.5\r")
    raw = build_ack(no_escape, code="AE", control_id="7", at=AT, timezone=ZONE, text="a|b")
    assert Message.parse(raw).get("MSA-3") == "a b"


def test_a_header_that_declares_no_escape_character_is_answered_all_the_same():
    """If this failed, one odd sender's message would close its connection and never be stored."""
    odd = parse_header(b"MSH|^~&|HIS|H|L|L|1||ADT^A&1|M1|P|2.5\r")
    ack = build_ack(odd, code="AA", control_id="2026&1", at=AT, timezone=ZONE)
    assert parse_ack(ack).control_id_bytes == b"M1"
    assert b"|ACK^A 1^ACK|2026 1|" in ack


def test_an_unreadable_message_is_answered_all_the_same():
    """Without a header the reject has usual delimiters and an empty MSA-2."""
    raw = build_ack(None, code="AR", control_id="7", at=AT, timezone=ZONE, error=AckError("100"))
    message = Message.parse(raw)
    assert (message.get("MSA-1"), message.get("MSA-2"), message.get("MSH-9")) == ("AR", "", "ACK")
    assert parse_ack(raw).control_id_bytes == b""


def test_python_hl7_reads_our_acks():
    """A foreign library finds code and control id where it looks for them."""
    raw = build_ack(header(), code="AA", control_id="77", at=AT, timezone=ZONE)
    theirs = hl7.parse(raw.decode())
    assert str(theirs.segment("MSA")[1]) == "AA"
    assert str(theirs.segment("MSH")[9][0][0]) == "ACK"


@pytest.mark.parametrize(
    ("code", "level", "verdict"),
    [
        ("AA", AckLevel.APPLICATION, Verdict.ACCEPT),
        ("AE", AckLevel.APPLICATION, Verdict.ERROR),
        ("AR", AckLevel.APPLICATION, Verdict.REJECT),
        ("CA", AckLevel.COMMIT, Verdict.ACCEPT),
        ("CE", AckLevel.COMMIT, Verdict.ERROR),
        ("CR", AckLevel.COMMIT, Verdict.REJECT),
        (" aa ", AckLevel.APPLICATION, Verdict.ACCEPT),
    ],
)
def test_answers_are_read(code, level, verdict):
    """Level and verdict of an answer are told apart; the id is compared as bytes."""
    ack = parse_ack(f"MSH|^~\\&|A||||||ACK|9|P|2.5\rMSA|{code}|M1\r".encode())
    assert (ack.level, ack.verdict, ack.control_id_bytes) == (level, verdict, b"M1")
    assert ack.code == code.strip().upper()


@pytest.mark.parametrize(
    ("rest", "error_code", "text_present"),
    [
        ("MSA|AE|M1\rERR||PID^1|207^Internal^HL70357|E\r", "207", False),
        ("MSA|AE|M1\rERR|PID^1^3^101&Missing\r", "101", False),
        ("MSA|AR|M1|not now\r", "", True),
        ("MSA|AE|M1||||204^Unknown\r", "204", False),
        ("MSA|AE|M1\rERR|||207|E||||disk full\r", "207", True),
        ("ERR|||207\rQAK|1\r", None, None),
    ],
)
def test_errors_in_answers_are_found_wherever_they_stand(rest, error_code, text_present):
    """The code comes from ERR-3, from ERR-1 before 2.5, or from MSA-6; without MSA none."""
    raw = ("MSH|^~\\&|A||||||ACK|9|P|2.5\r" + rest).encode()
    if error_code is None:
        with pytest.raises(Hl7Error):
            parse_ack(raw)
        return
    ack = parse_ack(raw)
    assert (ack.error_code, ack.text_present) == (error_code, text_present)


@pytest.mark.parametrize("raw", [b"", b"garbage", b"MSH|^~\\&|A\r", b"MSH|^~\\&|A\rMSA|OK|1\r"])
def test_what_is_no_answer_is_refused(raw):
    """Garbage, a message without MSA and an unknown code are not taken for an answer."""
    with pytest.raises(Hl7Error):
        parse_ack(raw)


def test_acks_of_the_corpus_are_read(request):
    """A query's response is an ack too: whatever has an MSA of table 0008 is read."""
    raw = b"MSH|^~\\&|MPI||||20||RSP^K22^RSP_K21|5|P|2.5\rMSA|AA|Q1\rQAK|1|OK\rQPD|x\rPID|1\r"
    assert parse_ack(raw).verdict is Verdict.ACCEPT
