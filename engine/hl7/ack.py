"""
Acknowledgements: what to answer, how it is written, how an answer is read.

Source: HL7 v2.5.1 ch. 2: tables 0008 (acknowledgment code), 0155 (accept/application
acknowledgment conditions), 0357 (message error condition codes), 0516 (error severity).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum

from engine.hl7.delimiters import DEFAULT_DELIMITERS, Delimiters
from engine.hl7.errors import Hl7Error
from engine.hl7.escapes import escape
from engine.hl7.header import Header
from engine.hl7.message import Message
from engine.hl7.timestamps import format_timestamp


class AckLevel(StrEnum):
    """Who speaks in an ack: the transport side or the application (HL7 v2 enhanced mode)."""

    COMMIT = "commit"
    APPLICATION = "application"


class Verdict(StrEnum):
    """What an ack says of the message."""

    ACCEPT = "accept"
    ERROR = "error"
    REJECT = "reject"


#: table 0008
ACK_CODES: dict[str, tuple[AckLevel, Verdict]] = {
    "AA": (AckLevel.APPLICATION, Verdict.ACCEPT),
    "AE": (AckLevel.APPLICATION, Verdict.ERROR),
    "AR": (AckLevel.APPLICATION, Verdict.REJECT),
    "CA": (AckLevel.COMMIT, Verdict.ACCEPT),
    "CE": (AckLevel.COMMIT, Verdict.ERROR),
    "CR": (AckLevel.COMMIT, Verdict.REJECT),
}

#: table 0357
ERROR_CONDITIONS = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}


@dataclass(frozen=True, slots=True)
class AckError:
    """Why a message is not taken, for the ERR segment."""

    #: table 0357
    code: str
    #: a path such as "MSH-10" or "PID-3.1"; "" where it is the message as a whole
    location: str = ""
    #: table 0516: E, W, I or F
    severity: str = "E"


@dataclass(frozen=True, slots=True)
class AckMode:
    """Which code to send at commit for each verdict; "" sends nothing."""

    accept: str
    error: str
    reject: str

    def code(self, verdict: Verdict) -> str:
        """Return the code for *verdict*."""
        return {
            Verdict.ACCEPT: self.accept,
            Verdict.ERROR: self.error,
            Verdict.REJECT: self.reject,
        }[verdict]


ORIGINAL = AckMode("AA", "AE", "AR")
_COMMIT = AckMode("CA", "CE", "CR")


def ack_mode(header: Header, channel_mode: str = "auto") -> AckMode:
    """
    Return what the sender wants to hear at commit.

    Original mode where MSH-15 and MSH-16 are both empty (or *channel_mode* is
    ``original``); else MSH-15 decides, one of the two left empty meaning NE. Where
    MSH-15 is NE, MSH-16 is answered at commit: medbus is the application it reaches.
    """
    accept, application = header.accept_ack.upper(), header.application_ack.upper()
    if channel_mode == "original" or (not accept and not application):
        return ORIGINAL
    if (accept or "NE") != "NE":
        return _under(_COMMIT, accept)
    return _under(ORIGINAL, application or "NE")


def _under(codes: AckMode, condition: str) -> AckMode:
    """Return *codes* as far as *condition* (table 0155) wants them; an unknown one wants all."""
    wants_good = condition not in ("NE", "ER")
    wants_bad = condition not in ("NE", "SU")
    return AckMode(
        codes.accept if wants_good else "",
        codes.error if wants_bad else "",
        codes.reject if wants_bad else "",
    )


def build_ack(
    header: Header | None,
    *,
    code: str,
    control_id: str,
    at: float,
    timezone: tzinfo,
    error: AckError | None = None,
    text: str = "",
) -> bytes:
    """
    Return the acknowledgement of the message with *header* (None: it could not be read).

    MSH-3 to MSH-6 are swapped; delimiters, processing id, version and character set are
    echoed; MSA-2 is MSH-10 byte for byte.

    Args:
        header: of the message that is answered.
        code: table 0008.
        control_id: the ack's own MSH-10.
        at: UTC seconds, for MSH-7.
        timezone: the site's.
        error: goes into ERR; for AE, AR, CE and CR.
        text: for people, without patient data.
    """
    answered = header if header is not None else _UNREADABLE
    marks = answered.delimiters
    join = marks.component or "^"
    trigger = answered.trigger
    kind = ["ACK", _leaf(trigger, marks), "ACK"] if trigger and marks.component else ["ACK"]
    msh = [
        f"MSH{marks.field}{marks.encoding_characters}",
        *(answered.field(number) for number in (5, 6, 3, 4)),
        format_timestamp(at, timezone),
        "",
        join.join(kind),
        _leaf(control_id, marks),
        answered.field(11) or "P",
        answered.field(12) or "2.5",
    ]
    if answered.charset:
        msh += ["", "", "", "", "", answered.charset]
    # MSA-2 goes in as bytes: what the sender wrote, in whatever it was written.
    msa = ["MSA", code, "\0", _escaped(text, marks)] if text else ["MSA", code, "\0"]
    lines = [msh, msa] if error is None else [msh, msa, _err(error, text, answered)]
    body = "".join(marks.field.join(line) + "\r" for line in lines)
    encoded = body.encode(answered.codec, "surrogateescape")
    return encoded.replace(b"\0", answered.control_id_bytes, 1)


_UNREADABLE = Header([], DEFAULT_DELIMITERS)


def _escaped(text: str, marks: Delimiters) -> str:
    """Return *text* for people."""
    return _leaf(text.encode("ascii", "replace").decode("ascii"), marks)


def _leaf(text: str, marks: Delimiters) -> str:
    """Return *text* escaped; without an escape character its delimiters become blanks."""
    if marks.escape:
        return escape(text, marks)
    return "".join(
        " " if char in marks.field + marks.encoding_characters else char for char in text
    )


_LOCATION = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+))?(?:\[(\d+)\])?(?:\.(\d+))?")


def _err(error: AckError, text: str, answered: Header) -> list[str]:
    """Return ERR; before 2.5 everything stands in ERR-1, since then in ERR-2, 3, 4 and 8."""
    marks = answered.delimiters
    meaning = ERROR_CONDITIONS.get(error.code, "")
    match = _LOCATION.match(error.location)
    segment, sequence, field, repetition, component = match.groups() if match else (None,) * 5
    place = [segment or "", (sequence or "1") if segment else "", field or ""]
    condition = [error.code, _escaped(meaning, marks), "HL70357"]
    if (answered.version or "2.5") < "2.5":
        inner = (marks.subcomponent or " ").join(condition)
        return ["ERR", (marks.component or " ").join([*place, inner])]
    if field and (repetition or component):
        place += [repetition or "1", *([component] if component else [])]
    while place and not place[-1]:
        place.pop()
    join = marks.component or " "
    err = ["ERR", "", join.join(place), join.join(condition), error.severity]
    return [*err, "", "", "", _escaped(text, marks)] if text else err


@dataclass(frozen=True, slots=True)
class Ack:
    """What an acknowledgement says."""

    level: AckLevel
    verdict: Verdict
    #: table 0008
    code: str
    #: MSA-2 byte for byte
    control_id_bytes: bytes
    #: ERR-3.1 (before 2.5: ERR-1.4.1), table 0357 or the receiver's own; "" without
    error_code: str = ""
    #: whether the receiver wrote an explanation (it may hold patient data)
    text_present: bool = False


def parse_ack(raw: bytes) -> Ack:
    """
    Return what the acknowledgement *raw* says; query responses count too.

    Raises:
        Hl7Error: it cannot be read, has no MSA, or MSA-1 is no code of table 0008.
    """
    message = Message.parse(raw)
    code = message.get("MSA-1").strip().upper()
    known = ACK_CODES.get(code)
    if known is None:
        what = "MSA-1 is no acknowledgement code" if code else "the answer has no MSA-1"
        raise Hl7Error(what, code="HL7-040", where="MSA-1")
    level, verdict = known
    error_code, text_present = "", bool(message.raw_text("MSA-3"))
    if verdict is not Verdict.ACCEPT:
        error_code = _error_code(message)
        text_present = text_present or any(message.find(path) for path in ("ERR-7", "ERR-8"))
    return Ack(level, verdict, code, _msa_2(message), error_code, text_present)


def _msa_2(message: Message) -> bytes:
    value = message.raw_text("MSA-2")
    return value.encode(message.charset, "surrogateescape")


def _error_code(message: Message) -> str:
    for path in ("ERR-3.1", "ERR-1.4.1", "MSA-6.1"):
        found = message.get(path)
        if found:
            return found
    return ""
