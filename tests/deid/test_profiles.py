"""Profiles: precedence, every action, keys, records, and what check says of a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config.models.profiles import Profile
from engine.deid.errors import DeidError
from engine.deid.profiles import CompiledProfile, compile_profile
from engine.model.finding import Finding
from tests.deid.canaries import HEADER, PROFILES, key, profile, run

HEAD = HEADER.format("C0001") + "\n"
PID = (
    "PID|1||88001^^^HOSP^MR~110101199003078515^^^CN^NI~55^^^X^ZZZ||doe^john^m||19900307081500|M|||"
    "12 Main St^^Springfield^IL^62704||(555)555-1212|||||V7001|123-45-6789\n"
)


def _site(**profiles: dict[str, Any]) -> dict[str, Profile]:
    return {name: Profile.model_validate(rules) for name, rules in profiles.items()}


def _compile(**rules: Any) -> CompiledProfile:
    compiled, findings = compile_profile("own", _site(own=rules), key=key)
    assert compiled is not None, findings
    return compiled


def _findings(**rules: Any) -> list[Finding]:
    compiled, findings = compile_profile("own", _site(own=rules), key=key)
    assert compiled is None
    return findings


def _after(rules: dict[str, Any], text: str, path: str) -> str:
    message, _, _ = run(_compile(**rules), HEAD + text)
    return message.raw_text(path)


# -- the actions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ("keep", "PID-5", "doe^john^m"),
        ("clear", "PID-5", ""),
        ("mask", "PID-5", "d**^j***"),
        ({"replace": "PATIENT^{{ PID-8 }}&x"}, "PID-5", "PATIENT^M&x"),
        ("year", "PID-7", "1990"),
        ("age_cap", "PID-7", "1990"),
        ("zip3", "PID-11", "^^^IL^627"),
        ("scrub", "PID-11", "^^Springfield^IL^62704"),
        ("mask", "PID-13", "******1212"),
        ("mask", "PID-19", "*********89"),
    ],
)
def test_an_action_does_what_it_says(rule: Any, path: str, expected: str) -> None:
    """Each action works on the components of the field's datatype."""
    assert _after({"fields": {path: rule}}, PID, path) == expected


def test_dates_shift_by_the_same_days_for_one_patient() -> None:
    """All dates of a patient move together, in every segment; another patient's differ."""
    rules: dict[str, Any] = {"kinds": {"date": "date_shift", "birth_date": "date_shift"}}
    compiled = _compile(**rules)
    assert compiled.uses_date_shift
    text = HEAD + PID + "PV1|1|I" + "|" * 42 + "20261101081500\nMRG|77001^^^HOSP^MR\n"
    message, _, _ = run(compiled, text)
    other, _, _ = run(compiled, text.replace("88001", "88002"))
    moved = message.get("PV1-44")
    assert moved.endswith("081500")
    assert moved < "20261101081500"
    assert message.get("PID-7")[8:] == "081500"
    assert other.get("PV1-44") != moved


def test_the_arrival_time_is_msh_7_and_an_emptied_field_is_empty() -> None:
    """MSH-7 tells the arrival, and no field is written as HL7 null."""
    message, _, _ = run(profile("safe_harbor"), HEAD + PID + 'NK1|1|doe^jane||""|""\n')
    assert message.get("MSH-7") == "20261101103000+0800"
    assert '""' not in message.encode().decode()


def test_numbers_are_decided_by_their_type() -> None:
    """MR gets a pseudonym, numbers of the state and of unknown types go."""
    message, _, _ = run(profile("safe_harbor"), HEAD + PID)
    repetitions = message.raw_text("PID-3").split("~")
    assert len(repetitions) == 1
    assert repetitions[0].endswith("^^^HOSP^MR")


def test_a_component_rule_leaves_the_rest_to_the_field() -> None:
    """PID-11.3: keep keeps the town beside what the field's own rule leaves."""
    rules = {"fields": {"PID-11.3": "keep", "PID-3.1": "pseudonym"}}
    message, _, _ = run(_compile(**rules), HEAD + PID)
    assert message.raw_text("PID-11") == "^^Springfield^IL^627"
    repetitions = message.raw_text("PID-3").split("~")
    assert [part.split("^")[4] for part in repetitions] == ["MR", "NI", "ZZZ"]
    assert not any(value in message.raw_text("PID-3") for value in ("88001", "110101"))


def test_a_replacement_may_hold_the_pseudonym_the_action_would_make() -> None:
    """pseudonym(PID-3.1) in a template is the pseudonym PID-3 gets."""
    rules = {"key": "research", "fields": {"PID-5": {"replace": "P^{{ pseudonym(PID-3.1) }}"}}}
    message, _, leaks = run(_compile(**rules), HEAD + PID)
    assert message.get("PID-5.2") == message.get("PID-3.1") != ""
    assert leaks == []


def test_other_expressions_go_to_the_pipeline_s_renderer() -> None:
    """A template with filters is rendered by the language of the pipeline, pseudonyms put in."""
    compiled = _compile(
        fields={"PID-5": {"replace": "{{ PID-8 | lower }}^{{ pseudonym('PID-3.1') }}"}}
    )
    from engine.hl7.message import Message
    from tests.deid.canaries import RECEIVED_AT, TIMEZONE

    def renderer(text: str, message: Message) -> str:
        assert "pseudonym" not in text
        return text.replace("{{ PID-8 | lower }}", "m").replace("{{ '", "").replace("' }}", "")

    message = Message.parse((HEAD + PID).replace("\n", "\r").encode())
    compiled.apply(message, received_at=RECEIVED_AT, timezone=TIMEZONE, template=renderer)
    assert message.get("PID-5.1") == "m"
    assert message.get("PID-5.2") == message.get("PID-3.1")


# -- precedence -------------------------------------------------------------------------------


def test_segment_drop_beats_fields_beats_free_text_beats_the_base() -> None:
    """Precedence is as documented, and the explanation names the rule that decided."""
    compiled = _compile(
        extends="safe_harbor",
        fields={"NTE-3": "clear", "NK1-2": "keep", "PID-13": "mask"},
        free_text=["NTE-3", "OBX-5", "AL1-5"],
        segments={"drop": ["NK1"]},
    )
    why = {line.path: (line.action, line.rule) for line in compiled.explain()}
    assert why["NK1-2"] == ("drop", "own: segments drop NK1")
    assert why["NTE-3"] == ("clear", "own: fields NTE-3")
    assert why["AL1-5"] == ("scrub", "own: free_text AL1-5")
    assert why["PID-13"] == ("mask", "own: fields PID-13")
    assert why["PID-14"] == ("clear", "safe_harbor: kinds contact")


def test_a_profile_may_extend_a_profile_of_the_site() -> None:
    """The nearest layer that speaks decides."""
    site = _site(
        base={
            "extends": "limited_dataset",
            "fields": {"PID-7": "year"},
            "kinds": {"staff": "keep"},
        },
        own={"extends": "base", "fields": {"PID-7": "clear"}},
    )
    compiled, findings = compile_profile("own", site, key=key)
    assert findings == []
    assert compiled is not None
    why = {line.path: line.rule for line in compiled.explain()}
    assert why["PID-7"] == "own: fields PID-7"
    assert why["PV1-7"] == "base: kinds staff"
    assert why["PID-13"] == "limited_dataset: kinds contact"


def test_what_is_dropped_is_still_looked_for() -> None:
    """A relative of a dropped NK1 is taken out of the note."""
    rules = {"segments": {"drop": ["NK1"]}, "free_text": ["NTE-3"]}
    text = PID + "NK1|1|doe^jane\nNTE|1||lives with Jane\n"
    assert _after(rules, text, "NTE-3") == "lives with [NAME]"


def test_unknown_segments_and_trailing_fields() -> None:
    """What nobody reviewed is dropped, kept or refused as the profile says; fields always go."""
    text = HEAD + PID.strip() + "|" * 45 + "beyond\nZPI|1|VIP\nXYZ|1\n"
    message, _, _ = run(profile("safe_harbor"), text)
    assert message.segment_names() == ["MSH", "PID"]
    assert "beyond" not in message.encode().decode()
    message, _, _ = run(_compile(segments={"unknown": "keep"}), text)
    assert message.segment_names() == ["MSH", "PID", "ZPI", "XYZ"]
    message, _, _ = run(_compile(fields={"ZPI-2": "keep"}), text)
    assert message.raw_text("ZPI") == "ZPI||VIP"
    with pytest.raises(DeidError, match="segment ZPI"):
        run(_compile(segments={"unknown": "fail"}), text)


# -- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("NM|2823-3^K^LN||7.1", "7.1"),
        ("NM|30525-0^Age^LN||93", "90"),
        ("DT|X^Seen^L||20260301", "2026"),
        ("DT|21112-8^Birth date^LN||19900307", "1990"),
        ("ST|X^Result^L||Positive for doe", "Positive for [NAME]"),
        ("TX|X^Report^L||long story", ""),
        ("CWE|X^Y^L||A^doe fever^L^^^^^^said by doe", "A^[NAME] fever^L"),
        ("ED|X^Y^L||^TEXT^^Base64^aGVsbG8=", ""),
        ("RP|X^Y^L||http://pacs/1^PACS", ""),
        ("QQ|X^Y^L||unheard of", ""),
        ("ST|X^Patient name^L||Harry Potter", ""),
        ("ST|X^联系电话^L||无", ""),
        ("XPN|X^Y^L||Potter^Harry", ""),
        ("XCN|X^Y^L||A1^Potter^Harry", "XDPQ"),
    ],
)
def test_an_observation_is_decided_by_its_type_and_its_code(fields: str, expected: str) -> None:
    """OBX-5 goes by OBX-2, and by OBX-3 where the observation is an identifier."""
    message, _, leaks = run(profile("safe_harbor"), f"{HEAD}{PID}OBX|1|{fields}\n")
    value = message.raw_text("OBX-5")
    if expected == "XDPQ":
        assert len(value) == 16
    else:
        assert value == expected
    assert leaks == []


def test_a_name_observed_is_looked_for_elsewhere() -> None:
    """The name in an observation of the patient's name is taken out of other observations."""
    text = "OBX|1|ST|54125-0^Patient name^LN||Potter^Harry\nOBX|2|ST|X^Y^L||Seen Potter\n"
    assert _after({}, text, "OBX[2]-5") == "Seen [NAME]"


def test_the_patient_of_a_query_is_looked_for_in_the_answer() -> None:
    """Name and number in search parameters are identifiers like any other."""
    text = "QPD|Q22^Find^HL7|Q1|@PID.5.1^Zyxwould~@PID.3.1^88001234\nNTE|1||Zyxwould 88001234\n"
    assert _after({"free_text": ["NTE-3"]}, text, "NTE-3") == "[NAME] [ID]"


# -- keys and the record ----------------------------------------------------------------------


def test_two_keys_cannot_be_joined_and_the_record_says_which() -> None:
    """Another key gives other pseudonyms; profile, version and key id are recorded."""
    text = HEAD + PID
    one, done, _ = run(_compile(key="a", record="ZDI"), text)
    two, other, _ = run(_compile(key="b", record="ZDI"), text)
    assert one.get("PID-3.1") != two.get("PID-3.1")
    assert done.record.key_id != other.record.key_id
    record = done.record
    assert one.raw_text("ZDI") == f"ZDI|own|{record.version}|{record.key_id}|medbus"


def test_the_version_changes_with_any_rule() -> None:
    """Two outputs with the same version were made by the same rules."""
    versions = {
        _compile(**rules).record.version
        for rules in (
            {},
            {"fields": {"PID-8": "clear"}},
            {"kinds": {"text": "scrub"}},
            {"segments": {"drop": ["NK1"]}},
            {"extends": "china_pipl"},
        )
    }
    assert len(versions) == 5


@pytest.mark.parametrize("name", PROFILES)
def test_the_same_input_gives_the_same_bytes(name: str) -> None:
    """Applying a profile is a pure function."""
    outputs = {run(profile(name), HEAD + PID)[0].encode() for _ in range(3)}
    assert len(outputs) == 1


def test_the_masks_are_those_of_the_screens() -> None:
    """张*, 110101********1234, 138****5678."""
    text = HEAD + "PID|1||110101199003078515^^^CN^NI||张三^||||||||13812345678\n"
    message, _, leaks = run(profile("mask_display"), text)
    assert message.get("PID-5.1") == "张*"
    assert message.get("PID-3.1") == "110101********8515"
    assert message.get("PID-13.1") == "138****5678"
    assert leaks == []


# -- what check says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "code", "loc"),
    [
        ({"extends": "safe_harbour"}, "DEID-010", ("extends",)),
        ({"extends": "own"}, "DEID-011", ("extends",)),
        ({"kinds": {"patient_names": "clear"}}, "DEID-012", ("kinds", "patient_names")),
        ({"kinds": {"structure": "clear"}}, "DEID-013", ("kinds", "structure")),
        ({"fields": {"PID5": "clear"}}, "DEID-015", ("fields", "PID5")),
        ({"fields": {"PID-3[2]": "clear"}}, "DEID-015", ("fields", "PID-3[2]")),
        ({"fields": {"NK1": "clear"}}, "DEID-015", ("fields", "NK1")),
        ({"fields": {"PID-5": "year"}}, "DEID-013", ("fields", "PID-5")),
        ({"fields": {"PID-7": "pseudonym"}}, "DEID-013", ("fields", "PID-7")),
        ({"fields": {"MSH-9": "clear"}}, "DEID-013", ("fields", "MSH-9")),
        (
            {"fields": {"PID-5": {"replace": "{{ pseudonym(PID3) }}"}}},
            "DEID-016",
            ("fields", "PID-5"),
        ),
        ({"free_text": ["NTE"]}, "DEID-015", ("free_text", 0)),
        ({"leak_check": {"allow_words": "x.txt"}}, "DEID-014", ("leak_check", "allow_words")),
    ],
)
def test_a_wrong_profile_is_a_finding_with_its_place(
    rules: dict[str, Any], code: str, loc: tuple[Any, ...]
) -> None:
    """A wrong profile never runs, and the finding says where it is wrong."""
    found = _findings(**rules)
    assert [(finding.code, finding.loc[2:]) for finding in found] == [(code, loc)]


def test_a_site_s_own_words_are_no_leak() -> None:
    """allow_words makes a name soft: scrubbed, no alarm."""
    site = _site(own={"extends": "limited_dataset", "leak_check": {"allow_words": "words.txt"}})
    text = HEAD + "PID|1||||Kardex^Anna\nNTE|1||see Kardex\n"
    with_words, _ = compile_profile("own", site, key=key, words={"words.txt": "kardex # a card"})
    assert with_words is not None
    message, done, _ = run(with_words, text)
    assert message.get("NTE-3") == "see [NAME]"
    assert "kardex" in done.identifiers.soft.words
