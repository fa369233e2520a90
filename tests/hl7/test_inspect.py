"""A message laid out for a person, and its character sets side by side."""

from __future__ import annotations

import pytest

from engine.hl7.inspect import charset_candidates, lay_out, line_to_paste
from engine.hl7.message import Message

HEAD = "MSH|^~\\&|A|B|C|D|20261101||ADT^A01|1|P|2.5.1||||||{charset}\rPID|1||7^^^H&1.2&ISO||"


def laid_out(raw: bytes) -> dict[str, tuple[str, str, int]]:
    """Return the rows by path."""
    return {row.path: (row.name, row.value, row.depth) for row in lay_out(Message.parse(raw))}


def test_every_value_stands_under_its_name():
    """Segments, fields, repetitions, components and sub-components, each with path and name."""
    raw = (HEAD.format(charset="") + "DOE^J\\T\\K~ROE\rOBX|1\rOBX|2\rZZ1|x\rstray\r").encode()
    rows = laid_out(raw)
    assert rows["PID"] == ("Patient identification", "", 0)
    assert rows["PID-3.4.1"] == ("Namespace id", "H", 3)
    assert rows["PID-5[1].2"] == ("Given name", "J&K", 2)
    assert rows["PID-5[2]"] == ("Patient name", "ROE", 1)
    assert rows["OBX[2]-1"] == ("Set id obx", "2", 1)
    assert rows["ZZ1-1"] == ("", "x", 1)
    assert rows["MSH-2"] == ("Encoding characters", "^~\\&", 1)
    assert rows["?"] == ("No segment", "stray", 0)
    assert "PID-2" not in rows


@pytest.mark.parametrize(
    ("declared", "codec", "text", "line"),
    [
        ("", "gb18030", "张伟^王小明~北京市朝阳区", "charset: GB18030"),
        ("", "utf-8", "张伟^王小明~北京市朝阳区", "charset: UTF-8"),
        ("", "utf-8", "Müller^Jürgen", "charset: UTF-8"),
        ("", "latin-1", "Müller^Jürgen~Weiß", "charset: 8859/1"),
        ("", "cp950", "陳大文^王小明~台北市中正區", "charset: BIG-5"),
        ("", "cp949", "김철수^서울특별시", "charset: KS X 1001"),
        ("", "cp932", "ひらがな^カタカナ~東京都", "charset: SHIFT_JIS"),
        ("8859/1", "utf-8", "Müller^Jürgen", "charset: {force: UTF-8}"),
        ("UNICODE UTF-8", "gb18030", "张伟^王小明", "charset: {force: GB18030}"),
        ("ISO IR 999", "gb18030", "张伟^王小明", "charset: GB18030"),
        ("GB 18030-2000", "gb18030", "张伟^王小明", ""),
        ("8859/1", "latin-1", "Müller^Jürgen", ""),
        ("", "ascii", "Smith^John", ""),
    ],
)
def test_the_line_to_paste(declared, codec, text, line):
    """The likeliest set is first, and the line is what the channel's YAML needs, if anything."""
    raw = (HEAD.format(charset=declared) + text + "\r").encode(codec)
    candidates = charset_candidates(raw)
    assert line_to_paste(candidates, declared)[0] == line
    if candidates and line:
        assert candidates[0].codec == codec
        assert text.split("~")[0].split("^")[0] in candidates[0].samples


def test_shifts_of_iso_2022_are_seen():
    """A message with escape sequences is ASCII to the byte, and still has its candidate."""
    raw = (HEAD.format(charset="~ISO IR87") + "患者^太郎\r").encode("iso2022_jp")
    assert [one.codec for one in charset_candidates(raw)] == ["iso2022_jp_ext"]
