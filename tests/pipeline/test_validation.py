"""The compiled validator: what it finds, what it lets pass, what a profile changes."""

from __future__ import annotations

import pytest

from engine.hl7.message import Message
from engine.pipeline.validation import compile_validator
from engine.pipeline.validation_profile import parse_validation_profile

ADT = """\
MSH|^~\\&|HIS|HOSP|LIS|LAB|20261101083000+0800||ADT^A01^ADT_A01|M1|P|2.5.1
EVN|A01|20261101083000
PID|1||123^^^HOSP^MR~987^^^NAT^NI||DOE^JOHN||19800101|M
NK1|1|DOE^JANE
PV1|1|I|W1^101^1
"""

ORU = """\
MSH|^~\\&|LIS|LAB|HIS|HOSP|20261101083000||ORU^R01^ORU_R01|M2|P|2.5.1
PID|1||123^^^HOSP^MR||DOE^JOHN
OBR|1|||CBC^Blood count
OBX|1|NM|WBC^White cells||7.1|10*9/L|||||F
OBX|2|TX|NOTE^Note||free ~ text ^ with carets||||||F
OBX|3|DT|D^Date||20261101||||||F
"""


def parsed(text: str) -> Message:
    """Return the message written with LF for readability."""
    return Message.parse(text.replace("\n", "\r").encode())


def found(text: str, profile: dict | None = None, standard: str = "declared") -> list[str]:
    """Return what a validator finds as ``path rule``."""
    validator, faults = compile_validator(standard, profile)
    assert faults == []
    return [f"{one.path} {one.rule}" for one in validator.validate(parsed(text))]


def test_sound_messages_pass():
    """A message that follows the standard gives no finding."""
    assert found(ADT) == []
    assert found(ORU) == []


@pytest.mark.parametrize(
    ("before", "after", "finding"),
    [
        ("||DOE^JOHN||", "||||", "PID-5 required"),
        ("|19800101|", "|1 May 1980|", "PID-7.1 datatype"),
        ("|19800101|", "|19801301|", "PID-7.1 datatype"),
        ("|19800101|M", "|19800101|M~F", "PID-8 repetition"),
        ("|19800101|M", "|19800101|M^F", "PID-8 datatype"),
        ("PID|1|", "PID|one|", "PID-1 datatype"),
        ("|M1|P|", "|M1|X|", "MSH-11.1 table"),
        ("DOE^JANE", "DOE^JANE" + "^" * 20 + "x", "NK1-2 datatype"),
        ("123^^^HOSP^MR~", "123^^^HOSP^XYZW~", "PID-3[1].5 table"),
        ("DOE^JOHN", "DOE^" + "J" * 200, "PID-5.2 length"),
        ("W1^101^1\n", "W1^101^1" + "|" * 50 + "x\n", "PV1-53 structure"),
        ("EVN|A01|20261101083000\n", "", "EVN structure"),
        ("PV1|1|I|W1^101^1\n", "", "PV1 structure"),
        ("NK1|1|DOE^JANE\n", "OBR|1\n", "OBR structure"),
        ("NK1|1|DOE^JANE\n", "ABX|1\n", "ABX structure"),
        ("ADT^A01^ADT_A01", "ABC^Q99", "MSH-9 structure"),
    ],
)
def test_one_thing_wrong_is_one_finding_there(before, after, finding):
    """Each kind of mistake is found at its place, and hides nothing and adds nothing."""
    text = ADT.replace(before, after)
    assert text != ADT
    wanted = [finding]
    if finding == "OBR structure":
        wanted += ["OBR-4 required"]
    if finding == "MSH-9 structure":
        wanted += ["MSH-9.1 table", "MSH-9.2 table"]
    assert found(text) == wanted


def test_all_findings_are_given_with_names():
    """Several mistakes in one message are all reported, each with its path and field name."""
    text = ADT.replace("19800101|M", "x|M~F").replace("EVN|A01|20261101083000\n", "")
    validator, _ = compile_validator()
    violations = validator.validate(parsed(text))
    assert [str(one) for one in violations] == [
        "EVN (Event type): the segment is missing",
        "PID-7.1 (Date time of birth / Time): is not a date and time, YYYY[MM[DD[HH[MM[SS]]]]]",
        "PID-8 (Administrative sex): 2 repetitions, one allowed",
    ]


def test_findings_never_quote_values():
    """Nothing a finding says holds a value of the message: it may be logged."""
    text = (
        ADT.replace("19800101", "SECRET1")
        .replace("|P|", "|SECRET2|")
        .replace("1|DOE", "SECRET3|DOE")
    )
    validator, _ = compile_validator()
    violations = validator.validate(parsed(text))
    assert len(violations) == 3
    assert "SECRET" not in repr(violations)


def test_observations_are_what_obx_2_says():
    """OBX-5 is checked by the datatype in OBX-2; text types are read as they stand."""
    assert found(ORU.replace("||7.1|", "||seven|")) == ["OBX[1]-5 datatype"]
    assert found(ORU.replace("||20261101|", "||1.11.2026|")) == ["OBX[3]-5 datatype"]


def test_null_and_empty_are_not_values():
    """HL7 null is no date and no code, and passes; so does a field that is empty."""
    assert found(ADT.replace("|19800101|M", '|""|""')) == []
    assert found(ADT.replace("|19800101|M", "||")) == []


def test_out_of_order_segments_are_named_by_their_place():
    """A segment in the wrong place is one finding that says which segment of the message it is."""
    lines = ADT.splitlines(keepends=True)
    text = "".join([*lines[:2], lines[4], lines[2], lines[3]])
    validator, _ = compile_validator()
    violations = validator.validate(parsed(text))
    assert {one.rule for one in violations} == {"structure"}
    assert 1 <= len(violations) <= 3


def test_z_segments_belong_to_the_site():
    """Z-segments stand anywhere without a finding; a profile may check their fields."""
    text = ADT.replace("NK1|1|DOE^JANE\n", "ZPI|1|abc\n")
    assert found(text) == []
    assert found(
        text, {"fields": {"ZPI-2": {"values": ["xyz"]}, "ZPI-4": {"required": "yes"}}}
    ) == [
        "ZPI-4 required",
        "ZPI-2 table",
    ]


def test_nested_and_repeating_groups_are_followed():
    """Orders, results and their notes repeat as the structure of ORU^R01 has them."""
    one = "ORC|RE\nOBR|1|||CBC\nNTE|1||x\nOBX|1|NM|A||1||||||F\nNTE|1||y\nSPM|1|||BLD\n"
    head = "".join(ORU.splitlines(keepends=True)[:2])
    assert found(head + one * 3) == []
    assert found(head + one + "PV1|1|I\n")[0] == "PV1 structure"
    assert "OBR structure" in found(head + "ORC|RE\n")


@pytest.mark.parametrize(
    "version", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.6", "2.7", "2.8.2", "2.9", ""]
)
def test_every_version_can_be_validated(version):
    """Any declared version, known or not, validates by the nearest one and never raises."""
    validator, _ = compile_validator()
    violations = validator.validate(parsed(ADT.replace("|2.5.1", f"|{version}")))
    assert all(one.path and one.what for one in violations)


def test_standard_overrules_what_is_declared():
    """With a fixed standard the message is judged by that one, whatever MSH-12 says."""
    text = ADT.replace("W1^101^1\n", "W1^101^1" + "|" * 47 + "x\n")
    assert found(text) == []
    assert found(text, standard="2.1") != []


def test_a_profile_tightens():
    """A profile can demand fields, components, lengths, values, patterns and segments."""
    profile = {
        "segments": {"required": ["AL1"], "forbidden": ["NK1"]},
        "fields": {
            "PID-19": {"required": "true"},
            "PID-5.3": {"required": "yes"},
            "PID-5.1": {"length": "2"},
            "PID-8": {"values": ["F", "U"]},
            "PV1-3.1": {"matches": "[0-9]+"},
            "PID-3": {"repeat": "1"},
        },
    }
    assert sorted(found(ADT, profile)) == [
        "AL1 structure",
        "NK1 structure",
        "PID-19 required",
        "PID-3 repetition",
        "PID-5.1 length",
        "PID-5.3 required",
        "PID-8 table",
        "PV1-3.1 datatype",
    ]


def test_a_profile_loosens():
    """A profile can free fields, segments, tables and whole kinds of checks."""
    text = (
        ADT.replace("||DOE^JOHN||", "||||")
        .replace("^NI|", "^ZZZZZ|")
        .replace("PV1|1|I|W1^101^1\n", "")
    )
    assert found(text) == ["PV1 structure", "PID-5 required", "PID-3[2].5 table"]
    assert (
        found(
            text,
            {
                "fields": {"PID-5": {"required": "no"}},
                "ignore": ["PID-3"],
                "segments": {"optional": ["PV1"]},
            },
        )
        == []
    )
    assert (
        found(
            text,
            {
                "tables": {"0203": {"add": ["ZZZZZ"]}},
                "checks": {"structure": "off", "required": "off"},
            },
        )
        == []
    )
    assert found(text, {"checks": {"structure": "off", "required": "off", "table": "off"}}) == []


def test_faults_of_a_profile_are_all_found():
    """Every mistake in a profile is reported with its place and a way out."""
    _, faults = parse_validation_profile(
        {
            "standart": "2.5",
            "standard": "2.9",
            "checks": {"structur": "off", "table": "perhaps"},
            "fields": {"PID5": {}, "PID-8": {"lenght": "1", "length": "x", "matches": "("}},
            "segments": {"required": ["pid"], "unknown": "maybe"},
            "tables": {"1": ["M"], "0001": "M"},
            "ignore": "PID-3",
        }
    )
    places = {fault.loc for fault in faults}
    assert places == {
        ("standart",),
        ("standard",),
        ("checks", "structur"),
        ("checks", "table"),
        ("fields", "PID5"),
        ("fields", "PID-8", "lenght"),
        ("fields", "PID-8", "length"),
        ("fields", "PID-8", "matches"),
        ("segments", "required", 0),
        ("segments", "unknown"),
        ("tables", "1"),
        ("tables", "0001"),
        ("ignore",),
    }
    assert any("did you mean standard?" in fault.fix for fault in faults)


def test_a_corrupt_message_does_not_hang_the_repair():
    """A thousand segments in nonsense order are judged in bounded time."""
    text = ADT.splitlines()[0] + "\n" + "PV1|1|I\nPID|1\nOBX|1\n" * 300
    validator, _ = compile_validator()
    assert validator.validate(parsed(text))
