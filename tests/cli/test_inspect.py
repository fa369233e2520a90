"""`medbus inspect` as a person and as a script call it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from engine.cli.main import cli

RAW = "MSH|^~\\&|HIS||||20261101||ADT^A01|M1|P|2.4\rPID|1||7||张^三\r"


@pytest.fixture
def file(tmp_path):
    """A GB 18030 message that does not say so."""
    path = tmp_path / "one.hl7"
    path.write_bytes(RAW.encode("gb18030"))
    return path


def test_for_a_person(file):
    """Names, values in the right characters, and the line for the channel."""
    shown = CliRunner().invoke(cli, ["inspect", str(file)])
    assert shown.exit_code == 0
    assert "Patient identification" in shown.output
    assert "Family name" in shown.output
    assert "张" in shown.output
    assert "charset: GB18030" in shown.output
    assert max(map(len, shown.output.splitlines())) <= 100


def test_for_a_script(file):
    """--json gives one item per message."""
    file.write_bytes(file.read_bytes() * 2)
    shown = CliRunner().invoke(cli, ["inspect", str(file), "--json"])
    found = json.loads(shown.output)
    assert len(found["items"]) == 2
    item = found["items"][0]
    assert (item["message_type"], item["control_id"]) == ("ADT^A01", "M1")
    assert item["charset"]["line"] == "charset: GB18030"
    assert {"path": "PID-5.1", "name": "Family name", "value": "张", "depth": 2} in item["rows"]


def test_a_file_without_a_message(tmp_path):
    """Says so, with the way out, and exits 1."""
    path = tmp_path / "empty.hl7"
    path.write_text("no message")
    shown = CliRunner().invoke(cli, ["inspect", str(path)])
    assert shown.exit_code == 1
    assert "HL7-001" in shown.output


def test_unusable_delimiters(tmp_path):
    """An Hl7Error is shown as an error of the file, not as a traceback."""
    path = tmp_path / "odd.hl7"
    path.write_text("MSH|^^\\&|A\r")
    shown = CliRunner().invoke(cli, ["inspect", str(path)])
    assert shown.exit_code == 1
    assert "HL7-003" in shown.output
    assert "Traceback" not in shown.output


def test_an_unknown_character_set(file):
    """A wrong --charset is answered with what to write."""
    shown = CliRunner().invoke(cli, ["inspect", "--charset", "klingon", str(file)])
    assert shown.exit_code == 1
    assert "HL7-006" in shown.output


def test_warnings_are_plain_english(file):
    """A person reads what is odd, a script the word that is counted."""
    file.write_bytes(RAW.encode("gb18030").replace(b"\rPID", b"\rno segment\rPID"))
    shown = CliRunner().invoke(cli, ["inspect", str(file)]).output
    assert "warning: a line does not begin with the name of a segment (line 2)" in shown
    assert "warning: the bytes do not fit the character set" in shown
    told = CliRunner().invoke(cli, ["inspect", str(file), "--json"]).output
    assert {"charset_fallback", "stray_line"} <= set(json.loads(told)["items"][0]["warnings"])
