"""Messages nobody would write, for the property tests."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from engine.hl7.delimiters import Delimiters

#: what may be a delimiter: anything printable that is no letter, digit or space
PUNCTUATION = "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

CODECS = ("utf-8", "gb18030", "cp950", "cp949", "cp932", "latin-1", "ascii")


@st.composite
def delimiters(draw) -> Delimiters:
    """Any set a message may declare: two to five encoding characters, or no escape."""
    shape = draw(st.sampled_from(["usual", "four", "four", "five", "three", "two"]))
    if shape == "usual":
        return Delimiters()
    chars = draw(st.lists(st.sampled_from(PUNCTUATION), min_size=6, max_size=6, unique=True))
    if shape == "three":
        return Delimiters(chars[0], chars[1], chars[2], chars[3] if chars[3] != "&" else "", "")
    if shape == "two":
        return Delimiters(chars[0], chars[1], chars[2], "", "")
    return Delimiters(*chars[: 5 if shape == "four" else 6])


@cache
def alphabet(codec: str) -> tuple[str, ...]:
    """Characters of many scripts that *codec* can write and read back; no line ends."""
    points = [
        *range(0x20, 0x7F),
        *range(0xA0, 0x180),
        *range(0x3A0, 0x450),
        *range(0x3041, 0x30FF),
        *range(0x4E00, 0x9FA5, 13),
        *range(0xAC00, 0xD7A3, 97),
        0x1F600,
    ]
    return tuple(char for char in map(chr, points) if _round_trips(char, codec))


def leaves(codec: str = "utf-8") -> st.SearchStrategy[str]:
    """Text without line ends in the characters of *codec*."""
    return st.text(st.sampled_from(alphabet(codec)), max_size=12)


def _round_trips(char: str, codec: str) -> bool:
    try:
        return char.encode(codec).decode(codec) == char
    except UnicodeEncodeError:
        return False


@st.composite
def raw_messages(draw, codec: str | None = None) -> bytes:
    """Bytes of a message: odd delimiters, any line end, odd lines, HL7 null, escapes, junk."""
    marks = draw(delimiters())
    codec = codec or draw(st.sampled_from(CODECS))
    joints = [mark for mark in (marks.component, marks.repetition, marks.subcomponent) if mark]
    joint = st.sampled_from(
        [*joints, marks.field, marks.escape, '""', "\\T\\", "\\X41\\", "\\.br\\"]
    )
    value = st.lists(leaves(codec) | joint, max_size=5).map("".join)
    name = st.sampled_from(["PID", "OBX", "OBX", "ZZ1", "NTE", "pid", " PV1", "no segment", ""])
    line = st.builds(
        lambda name, values: marks.field.join([name, *values]), name, st.lists(value, max_size=8)
    )
    lines = draw(st.lists(line, max_size=6))
    header = f"MSH{marks.field}{marks.encoding_characters}{marks.field}APP"
    end = draw(st.sampled_from(["\r", "\r", "\r\n", "\n"]))
    if end == "\r":
        lines = [part.replace("q", "\n") for part in lines]
    text = end.join([header, *lines]) + draw(st.sampled_from(["", end, end + end]))
    return text.encode(codec)
