"""What the standard says, compiled from hl7apy's definitions."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.hl7.definitions import (
    VERSIONS,
    definitions,
    field_name,
    is_known_version,
    led_by,
    nearest_version,
    path_name,
    segment_repeats,
    structure_name,
)
from engine.hl7.tables import segment_name


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_compiles_whole(version):
    """Every segment, datatype and structure of every version is turned into records."""
    known = definitions(version)
    assert len(known.segment_names()) > 30
    assert all(known.fields(name) for name in ("MSH", "PID", "OBX"))
    for name in known.segment_names():
        for number, part in enumerate(known.fields(name) or (), 1):
            assert part.name, f"{name}-{number}"
            assert part.datatype
            known.components(part.datatype)
    for name in known.structure_names():
        structure = known.structure(name)
        assert structure is not None
        assert structure.members


def test_fields_stand_at_their_numbers():
    """Fields keep their numbers where a version withdrew one before them."""
    assert definitions("2.8").field("EVN", 2).name == "Recorded date time"
    assert definitions("2.8").field("EVN", 1).name == "Withdrawn"
    assert definitions("2.5.1").field("EVN", 1).name == "Event type code"
    assert definitions("2.5.1").field("EVN", 99) is None
    assert definitions("2.5.1").field("QQQ", 1) is None


def test_what_is_said_of_a_field():
    """Name, datatype, cardinality and table of a field."""
    field = definitions("2.5.1").field("PID", 3)
    assert (field.name, field.datatype, field.required) == ("Patient identifier list", "CX", True)
    assert field.repeats
    assert field.max_count is None
    sex = definitions("2.5.1").field("PID", 8)
    assert (sex.table, sex.repeats) == ("0001", False)
    assert "F" in definitions("2.5.1").table("0001").codes


def test_open_code_lists_are_no_tables():
    """A table that leaves room for others' codes (ISOnnnn) gives no closed list."""
    assert definitions("2.5.1").table("0396") is None
    assert definitions("2.5.1").table("9999") is None
    assert "CWE" in definitions("2.5.1").table("0125").codes


def test_names_along_a_path():
    """A path is called by field, component and sub-component."""
    assert field_name("PID", 5) == "Patient name"
    assert path_name("PID", (3, 4, 1)) == (
        "Patient identifier list / Assigning authority / Namespace id"
    )
    assert path_name("PID", (5, 1), "2.3") == "Patient name / Family name"
    assert path_name("ZZZ", (1,)) == field_name("ZZZ", 1) == ""
    assert path_name("PID", (5, 99)) == "Patient name"
    assert segment_name("PID") == "Patient identification"
    assert segment_name("ZXX") == "Site-defined"


@pytest.mark.parametrize(
    ("structure", "segment", "repeats"),
    [
        ("ORU_R01", "OBX", True),
        ("ORU_R01", "OBR", True),
        ("ORU_R01", "MSH", False),
        ("ADT_A01", "PID", False),
        ("ADT_A01", "NK1", True),
        ("ADT_A01", "ROL", True),
        ("ADT_A01", "OBR", None),
        ("XXX_Y99", "PID", None),
        ("ADT_A17", "PID", True),
    ],
)
def test_whether_a_segment_repeats(structure, segment, repeats):
    """In itself, through its group, or by standing at two places; None where nothing is known."""
    assert segment_repeats(structure, segment) is repeats


@pytest.mark.parametrize(
    ("declared", "nearest"),
    [
        ("2.5.1", "2.5.1"),
        ("2.3.z", "2.3"),
        ("2.6.1", "2.6"),
        ("2.9", "2.8.2"),
        ("2.7.1", "2.7"),
        ("1.0", "2.1"),
        ("2.3 PID", "2.3"),
        ("", "2.5.1"),
        ("x", "2.5.1"),
        ("3.0", "2.8.2"),
    ],
)
def test_odd_versions_have_a_nearest_one(declared, nearest):
    """Whatever MSH-12 says, the highest known version not above it is used."""
    assert nearest_version(declared) == nearest
    assert definitions(declared).version == nearest
    assert is_known_version(declared) == (declared == nearest)


@pytest.mark.parametrize(
    ("code", "trigger", "declared", "version", "structure"),
    [
        ("ADT", "A08", "", "2.5.1", "ADT_A01"),
        ("ADT", "A31", "", "2.5.1", "ADT_A05"),
        ("ADT", "A40", "", "2.5.1", "ADT_A39"),
        ("REF", "I14", "", "2.5.1", "REF_I12"),
        ("MDM", "T06", "", "2.4", "MDM_T02"),
        ("ADT", "A08", "", "2.2", "ADT_A08"),
        ("ACK", "A01", "", "2.5", "ACK"),
        ("ACK", "", "", "2.5", "ACK"),
        ("ORU", "R01", "ORU_R01", "2.5", "ORU_R01"),
        ("ADT", "Z99", "ADT_A01", "2.5", "ADT_A01"),
        ("ADT", "A08", "WRONG", "2.5", "ADT_A01"),
    ],
)
def test_message_types_find_their_structure(code, trigger, declared, version, structure):
    """Triggers that share a structure find it; MSH-9.3 wins where it names one that exists."""
    assert definitions(version).structure_for(code, trigger, declared).name == structure


def test_unknown_types_have_no_structure():
    """A type nobody knows gives None, not a guess."""
    assert definitions("2.5.1").structure_for("QQQ", "Q99") is None
    assert structure_name("ADT", "A99") == "ADT_A99"


def test_the_hot_path_does_not_import_hl7apy():
    """Messages, headers and acks work without loading hl7apy or any other package."""
    script = (
        "import sys; import engine.hl7.message, engine.hl7.ack, engine.hl7.batch, "
        "engine.hl7.definitions, engine.hl7.diff; "
        "from engine.hl7.message import Message; "
        "Message.parse(b'MSH|^~\\\\&|A').set('PID-5.1', 'x'); "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('hl7', 'hl7apy', 'pydantic')))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("structure", "segment", "led"),
    [
        ("ORU_R01", "OBX", {"OBX", "NTE"}),
        ("ADT_A01", "NK1", set()),
        ("ADT_A01", "IN1", {"IN1", "IN2", "IN3", "ROL"}),
    ],
)
def test_what_belongs_behind_a_segment(structure, segment, led):
    """Sorting moves a segment with what is its own, and with nothing else."""
    assert led_by(definitions("2.5.1").structure(structure), segment) == led


def test_an_order_is_led_by_its_detail_where_the_common_segment_may_miss():
    """In an ORU the ORC is optional: OBR, its OBX and specimens are one group."""
    found = led_by(definitions("2.5.1").structure("ORU_R01"), "OBR")
    assert {"ORC", "OBR", "OBX", "NTE", "SPM"} <= found
