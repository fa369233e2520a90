"""Character sets: what MSH-18 means, reading without loss, writing loudly."""

from __future__ import annotations

import pytest

from engine.hl7.charset import codec_for, decode, msh18_for, output_codec, text_bytes
from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message

HEAD = "MSH|^~\\&|HIS|||||||||||||||{charset}\r"


def raw_message(charset: str, codec: str, text: str) -> bytes:
    """Return a message that declares *charset*, is in *codec* and holds *text*."""
    return (HEAD.format(charset=charset) + f"PID|1||{text}^X\rNTE|1||plain\r").encode(codec)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("ASCII", "ascii"),
        ("8859/1", "latin-1"),
        ("8859/15", "iso8859-15"),
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("GB 18030-2000", "gb18030"),
        ("GB18030", "gb18030"),
        ("GB2312", "gb18030"),
        ("GBK", "gb18030"),
        ("BIG-5", "cp950"),
        ("KS X 1001", "cp949"),
        ("ISO IR87", "iso2022_jp_ext"),
        ("~ISO IR87", "iso2022_jp_ext"),
        ("ISO IR6~ISO IR87~ISO IR14", "iso2022_jp_ext"),
        ("SHIFT_JIS", "cp932"),
        ("Shift-JIS", "cp932"),
        ("ISO IR 999", None),
        ("UNICODE UTF-16", None),
        ("", None),
    ],
)
def test_names_of_table_0211_and_their_relatives(name, codec):
    """The standard's names and the field's spellings lead to the right codec."""
    assert codec_for(name) == codec


def test_every_codec_has_its_name_in_msh_18():
    """What is written to MSH-18 is read back as the same codec."""
    for name in (
        "UTF-8",
        "GB18030",
        "8859/1",
        "BIG-5",
        "KS X 1001",
        "ISO IR87",
        "SHIFT_JIS",
        "ASCII",
    ):
        codec = codec_for(name)
        assert codec is not None
        assert codec_for(msh18_for(codec)) == codec
    assert output_codec("iso-8859-15") == "iso8859-15"
    assert output_codec("cp936") == "gb18030"
    assert output_codec("klingon") is None


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("GB 18030-2000", "gb18030", "張葉東"),
        ("GBK", "gb18030", "\u9b72\u9c99"),
        ("BIG-5", "cp950", "功許蓋"),
        ("SHIFT_JIS", "cp932", "表ソ能"),
        ("KS X 1001", "cp949", "김철수"),
        ("~ISO IR87", "iso2022_jp_ext", "患者太郎"),
        ("UNICODE UTF-8", "utf-8", "張三 é 😀"),
        ("8859/1", "latin-1", "Müller"),
        ("8859/15", "iso8859-15", "€ Œuvre"),
    ],
)
def test_second_bytes_that_look_like_delimiters_cut_nothing(charset, codec, text):
    """The whole message is decoded before it is cut, and leaves byte by byte after an edit."""
    raw = raw_message(charset, codec, text)
    message = Message.parse(raw)
    assert (message.get("PID-3.1"), message.get("PID-3.2")) == (text, "X")
    assert message.charset == codec
    assert message.encode() == raw
    message.set("NTE-3", "edited")
    assert message.encode() == raw.replace(b"plain", b"edited")
    message.set("PID-5", text)
    assert Message.parse(message.encode()).get("PID-5") == text


def test_the_order_of_authorities():
    """force overrules MSH-18, MSH-18 overrules the default, the default stands in for it."""
    raw = raw_message("8859/1", "gb18030", "张三")
    assert Message.parse(raw, force_charset="GB18030").get("PID-3.1") == "张三"
    assert Message.parse(raw, charset="GB18030").charset == "latin-1"
    undeclared = raw_message("", "gb18030", "张三")
    assert Message.parse(undeclared, charset="GB18030").get("PID-3.1") == "张三"
    unknown = raw_message("ISO IR 999", "gb18030", "张三")
    message = Message.parse(unknown, charset="GB18030")
    assert message.get("PID-3.1") == "张三"
    assert message.warnings == ("charset_unknown",)
    with pytest.raises(Hl7Error):
        Message.parse(raw, charset="klingon")


@pytest.mark.parametrize(
    ("charset", "codec", "text", "read_as", "warning"),
    [
        ("", "utf-8", "Müller", "utf-8", "charset_fallback"),
        ("", "latin-1", "Müller", "latin-1", "charset_fallback"),
        ("ASCII", "utf-8", "Müller", "utf-8", "charset_fallback"),
        ("UNICODE UTF-8", "latin-1", "Müller", "latin-1", "charset_fallback"),
        ("8859/1", "utf-8", "Müller", "latin-1", "charset_suspect"),
        ("BIG-5", "utf-8", "\u0e01\u0e02\u0e03", "utf-8", "charset_fallback"),
    ],
)
def test_what_does_not_fit_is_read_without_loss(charset, codec, text, read_as, warning):
    """Wrong and missing declarations are counted, and cost no byte, not even after an edit."""
    raw = raw_message(charset, codec, text)
    message = Message.parse(raw)
    assert message.charset == read_as
    assert warning in message.warnings
    message.set("NTE-3", "edited")
    assert message.encode() == raw.replace(b"plain", b"edited")


def test_one_cut_character_does_not_spoil_the_rest():
    """Half a Hanzi at the end of a name leaves all others readable, and itself in place."""
    raw = raw_message("GB 18030-2000", "gb18030", "张三").replace(
        b"plain", b"\xb1\xb1\xbe\xa9\xd5\r"
    )
    message = Message.parse(raw)
    assert message.get("PID-3.1") == "张三"
    assert message.charset == "gb18030"
    assert "charset_fallback" in message.warnings
    message.set("PID-4", "x")
    assert message.encode() == raw.replace(b"^X", b"^X|x")
    assert text_bytes(message.get("NTE-3"))
    with pytest.raises(Hl7Error) as caught:
        message.encode("UTF-8")
    assert (caught.value.code, caught.value.where) == ("HL7-011", "NTE-3")


def test_leaving_in_another_set_says_so_in_msh_18():
    """set_charset and encode(charset) translate the text and rewrite MSH-18 as HL7 spells it."""
    message = Message.parse(raw_message("GB 18030-2000", "gb18030", "张三"))
    leaving = Message.parse(message.encode("UTF-8"))
    assert leaving.header.charset == "UNICODE UTF-8"
    assert leaving.get("PID-3.1") == "张三"
    assert message.header.charset == "GB 18030-2000"
    message.set_charset("BIG-5")
    with pytest.raises(Hl7Error) as caught:
        message.encode()
    assert caught.value.where == "PID-3"
    assert "张" not in str(caught.value)


def test_an_alias_of_the_same_set_is_left_as_it_is():
    """Asking for the set the message is in already changes no byte."""
    raw = raw_message("GBK", "gb18030", "张三")
    message = Message.parse(raw)
    message.set_charset("GB18030")
    assert message.encode() == raw
    ascii_raw = raw_message("", "ascii", "Smith")
    message = Message.parse(ascii_raw)
    message.set_charset("UTF-8")
    assert message.encode() == ascii_raw.replace(b"|\rPID", b"|UNICODE UTF-8\rPID")


def test_a_character_the_set_lacks_is_refused():
    """An edit brings a character into a message whose set cannot hold it: loud, with the place."""
    message = Message.parse(raw_message("8859/1", "latin-1", "Smith"))
    message.set("PID-5.2", "张")
    with pytest.raises(Hl7Error) as caught:
        message.encode()
    assert (caught.value.code, caught.value.where) == ("HL7-011", "PID-5")
    undeclared = Message.parse(raw_message("", "ascii", "Smith"))
    undeclared.set("PID-5.2", "é")
    with pytest.raises(Hl7Error):
        undeclared.encode()
    declared_by_channel = Message.parse(raw_message("", "ascii", "Smith"), charset="GB18030")
    declared_by_channel.set("PID-5.2", "张")
    assert "张".encode("gb18030") in declared_by_channel.encode()


def test_the_byte_order_mark_goes_when_the_set_changes():
    """A UTF-8 mark stays in front of UTF-8 and never in front of anything else."""
    raw = b"\xef\xbb\xbf" + raw_message("UNICODE UTF-8", "utf-8", "张三")
    message = Message.parse(raw)
    message.set("NTE-3", "x")
    assert message.encode().startswith(b"\xef\xbb\xbfMSH")
    assert message.encode("GB18030").startswith(b"MSH")


def test_decode_never_raises():
    """Bytes that are no text in any wanted codec are still read, one character per byte."""
    junk = bytes(range(256))
    for force in (None, "utf-8", "gb18030", "cp950", "cp949", "cp932", "iso2022_jp_ext", "ascii"):
        text, codec, warnings = decode(junk, declared="", force=force)
        assert len(text) > 128
        assert warnings == ("charset_fallback",)
        if codec in ("utf-8", "gb18030", "latin-1"):
            assert text.encode(codec, "surrogateescape") == junk
