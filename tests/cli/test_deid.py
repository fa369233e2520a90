"""`medbus deid`, as a privacy officer tries it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli.main import cli

ADT = (
    "MSH|^~\\&|HIS|HOSP|ENGINE|HOSP|20261101083000||ADT^A01^ADT_A01|C0001|P|2.5.1\r"
    "PID|1||88001^^^HOSP^MR||Rutherford^Jonathan||19900307|M|||12 Main St^^Springfield^IL^62704||"
    "(617)438-5521\r"
    "NTE|1||{note}\r"
)


@pytest.fixture
def call(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Return a function that writes a message and runs the command on it."""
    (tmp_path / "medbus.yaml").write_text("site: officer\n")
    folder = tmp_path / "transforms" / "deid"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(
        "extends: limited_dataset\nsegments: {unknown: keep}\nfields: {PID-8: clear}\n"
    )

    def run(text: str | bytes, *options: str) -> Result:
        file = tmp_path / "message.hl7"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return CliRunner().invoke(cli, ["--site", str(tmp_path), "deid", str(file), *options])

    return run


def test_the_diff_names_fields_and_ends_with_the_leak_report(call) -> None:  # type: ignore[no-untyped-def]
    """Every change has its path and name; a clean result says so and exits 0."""
    result = call(ADT.format(note="fine"), "--profile", "safe_harbor")
    assert result.exit_code == 0, result.output
    assert "PID-5.1 (Patient name / Family name): 'Rutherford' -> " in result.output
    assert "leak check: no identifier of the original is in the result" in result.output


def test_explain_names_the_rule_of_every_field(call) -> None:  # type: ignore[no-untyped-def]
    """--explain says for each field which rule of which profile decides, and why."""
    result = call(ADT.format(note="fine"), "--profile", "own", "--explain")
    assert "PID-8      clear       own: fields PID-8" in result.output
    assert "PID-7      keep        limited_dataset: kinds birth_date" in result.output
    assert "NTE-3      scrub       limited_dataset: kinds text" in result.output


def test_a_z_segment_with_the_name_is_reported_as_leak(call) -> None:  # type: ignore[no-untyped-def]
    """What a profile lets through and should not have is found: place, no value, exit 1."""
    result = call(ADT.format(note="fine") + "ZPI|1|J. Rutherford\r", "--profile", "own")
    assert result.exit_code == 1
    assert "ZPI-2: LEAK (name)" in result.output
    assert "would park this output as leak" in result.output


@pytest.mark.parametrize(
    "note",
    ["call 617.438.5521 tonight", "call (617)4385521", "６１７-４３８-５５２１"],
)
def test_a_phone_number_in_a_note_is_taken_out(call, note: str) -> None:  # type: ignore[no-untyped-def]
    """The patient's phone is found in a note however it is written."""
    result = call(
        ADT.format(note=note), "--profile", "limited_dataset", "--show", "--charset", "utf-8"
    )
    assert result.exit_code == 0
    assert "[PHONE]" in result.output.split("NTE|1||")[1]


def test_a_base64_text_with_the_name_stops_the_message(call) -> None:  # type: ignore[no-untyped-def]
    """A name inside base64 is not scrubbed but found, and the output would be parked."""
    hidden = base64.b64encode(b"%PDF-1.4 letter about Jonathan Rutherford").decode()
    result = call(ADT.format(note=hidden), "--profile", "limited_dataset", "--json")
    told = json.loads(result.output)["items"][0]
    assert result.exit_code == 1
    assert told["is_clean"] is False
    assert {(leak["path"], leak["inside"]) for leak in told["leaks"]} == {("NTE-3", "base64")}


def test_a_note_in_gb18030_is_searched(call) -> None:  # type: ignore[no-untyped-def]
    """A Chinese name in a GB18030 note is taken out, second bytes like delimiters and all."""
    text = (
        "MSH|^~\\&|H|H|E|H|20261101||ADT^A01|1|P|2.4||||||GB 18030-2000\r"
        "PID|1||88002^^^H^MR||葉東明\rNTE|1||患者葉東明今日入院，電話13812345678\r"
    )
    result = call(text.encode("gb18030"), "--profile", "china_pipl", "--show")
    assert result.exit_code == 0, result.output
    assert "患者[NAME]今日入院，電話[PHONE]" in result.output


def test_the_whole_profile_can_be_read(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Without files --explain lists every field of the catalogue."""
    result = CliRunner().invoke(
        cli, ["--site", str(tmp_path), "deid", "--profile", "china_pipl", "--explain", "--json"]
    )
    items = json.loads(result.output)["items"]
    assert len(items) > 1800
    assert {item["path"]: item["action"] for item in items}["PID-17"] == "clear"


def test_a_profile_nobody_knows_is_refused(call) -> None:  # type: ignore[no-untyped-def]
    """An unknown profile is an error that names the known ones."""
    result = call(ADT.format(note=""), "--profile", "safe_harbour")
    assert result.exit_code == 1
    assert "there is no profile safe_harbour" in result.output
