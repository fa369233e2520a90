"""Nothing planted in any field survives, in any profile, but where the profile says keep."""

from __future__ import annotations

import pytest

from engine.deid.catalogue import Row, catalogue
from engine.deid.collect import collector
from engine.deid.normalise import fold
from engine.hl7.definitions import definitions
from engine.hl7.message import Message
from tests.deid.canaries import HEADER, PROFILES, Planter, profile, rows_of, run, segment

#: what a component may keep although the field is replaced: authorities, states, wards
DECIDED_BY_OTHERS = frozenset({"value", "query", "text", "message_time", "structure"})


def _planted_segment(name: str, planter: Planter) -> str:
    """Return a segment whose identifying fields each hold identifiers of their own."""
    fields = {}
    for row in rows_of(name):
        if row.kind in DECIDED_BY_OTHERS or collector(row.kind, row.datatype) is None:
            continue
        if row.datatype in ("TS", "DTM", "DT"):
            fields[row.field] = "19491231"
        elif row.segment == "MSH":
            continue
        else:
            fields[row.field] = planter.value(row.datatype)
    return segment(name, fields)


def _survivors(message: Message, planter: Planter) -> list[str]:
    text = fold(message.encode().decode())
    return [canary for canary in planter.planted if fold(canary) in text]


@pytest.mark.parametrize("name", PROFILES)
def test_identifiers_of_every_segment_are_gone_from_their_fields_and_from_the_notes(
    name: str,
) -> None:
    """Every identifier of every catalogued field is gone, also where a note repeats it."""
    compiled = profile(name)
    for each in sorted({row.segment for row in catalogue().values()} - {"MSH"}):
        planter = Planter()
        planted = _planted_segment(each, planter)
        note = " and ".join(planter.planted) or "nothing"
        text = "\n".join([HEADER.format(planter.digits()), planted, f"NTE|1||Seen: {note}."])
        message, _, leaks = run(compiled, text + "\n")
        assert _survivors(message, planter) == [], each
        assert [leak for leak in leaks if leak.hard] == [], each


WHO = (
    "PID|1||88001234^^^HOSP^MR~110101199003078515^^^CN^NI||Zyxwould^Quentorious||19491231|M|||"
    "12 Plumtree Yard^^Springfield^IL^62704||(617)4385521|||||V70019876"
)
SAID = {
    "name": "Quentorious Zyxwould",
    "record number": "MRN 88001234",
    "citizen number": "110101 19900307 8515",
    "birth": "31 Dec 1949",
    "phone": "617-438-5521",
}
GONE = ("zyxwould", "quentorious", "88001234", "110101199003078515", "dec 1949", "4385521")


@pytest.mark.parametrize("name", PROFILES)
def test_a_patient_named_in_any_field_of_any_segment_is_gone(name: str) -> None:
    """Whatever field of whatever segment the patient is named in, the output names nobody."""
    compiled = profile(name)
    said = "; ".join(SAID.values())
    # A limited data set keeps the date of birth.
    gone = GONE if name != "limited_dataset" else tuple(v for v in GONE if v != "dec 1949")
    for each in sorted({row.segment for row in catalogue().values()} - {"MSH", "PID"}):
        fields = {row.field: said for row in rows_of(each)}
        text = "\n".join([HEADER.format("M1"), WHO, segment(each, fields), ""])
        message, _, leaks = run(compiled, text)
        output = fold(message.encode().decode())
        left = [value for value in gone if value in output]
        assert not left, (each, left)
        assert not any(leak.hard for leak in leaks), each


@pytest.mark.parametrize("name", PROFILES)
def test_a_patient_named_in_the_header_stops_the_output(name: str) -> None:
    """The header is kept as it is, so a patient named in it is a leak and never leaves."""
    compiled = profile(name)
    for number in (11, 12, 17, 19):
        header = HEADER.format("M1").split("|")
        header += [""] * (21 - len(header))
        header[number - 1] = SAID["name"]
        _, _, leaks = run(compiled, "\n".join(["|".join(header), WHO, ""]))
        assert [leak.path for leak in leaks if leak.hard] == [f"MSH-{number}"] * 1, number


def _structures(version: str) -> list[str]:
    return sorted(definitions(version).structure_names())


def _segments_of(node: object) -> list[str]:
    """Return the segments of a structure, groups opened."""
    found: list[str] = []
    for child in getattr(node, "members", ()):
        inner = _segments_of(child)
        found += inner or [child.name]
    return found


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("part", range(8))
def test_messages_of_every_structure_keep_no_canary(name: str, part: int) -> None:
    """Whole messages, all their segments and fields filled, lose every identifier."""
    compiled = profile(name)
    for structure in _structures("2.5.1")[part::8]:
        node = definitions("2.5.1").structure(structure)
        assert node is not None
        known = {row.segment for row in catalogue().values()}
        planter = Planter()
        lines = [HEADER.format(planter.digits())]
        for each in dict.fromkeys(_segments_of(node)):
            if each in known and each != "MSH":
                lines.append(_planted_segment(each, planter))
        message, _, leaks = run(compiled, "\n".join([*lines, ""]))
        assert _survivors(message, planter) == [], structure
        assert [leak for leak in leaks if leak.hard] == [], structure


def test_a_planted_identifier_is_found_when_nothing_is_done() -> None:
    """The check above can fail: without a profile every canary is still there."""
    planter = Planter()
    text = "\n".join([HEADER.format("M1"), _planted_segment("PID", planter), ""])
    assert len(_survivors(Message.parse(text.replace("\n", "\r").encode()), planter)) > 10


def _is_kept(row: Row) -> bool:
    return row.kind in ("code", "number", "organisation", "demographic", "range")


@pytest.mark.parametrize("name", PROFILES)
def test_what_says_nothing_of_anybody_stays(name: str) -> None:
    """Codes, numbers and organisations come through unchanged: the output is still of use."""
    from tests.deid.canaries import HARMLESS

    compiled = profile(name)
    lost = []
    explicit = {line.path for line in compiled.explain() if ": fields " in line.rule}
    for row in catalogue().values():
        value = HARMLESS.get(row.datatype)
        if not _is_kept(row) or value is None or row.segment == "MSH":
            continue
        if f"{row.segment}-{row.field}" in explicit:
            continue
        text = "\n".join([HEADER.format("M1"), segment(row.segment, {row.field: value}), ""])
        message, _, _ = run(compiled, text)
        if message.raw_text(f"{row.segment}-{row.field}") != value:
            lost.append(f"{row.segment}-{row.field}")
    assert lost == []
