"""One bad site per finding code of check: what it says, and exactly where."""

from __future__ import annotations

import pytest

from engine.check.outside import check_outside
from engine.check.site import check_site
from engine.config.load import load_site
from engine.model.finding import Finding, Severity
from tests.support.sites import CHANNELS, make_site, with_steps

ADT = "channels/adt.yaml"
TEST = "channels/adt_test.yaml"
SEX = "transforms/tables/sex.csv"
LOOKUP = with_steps("- lookup: {path: PID-8, table: sex, miss: keep}")
DATED = with_steps(
    "- lookup: {table: sex, keys: {hl7: PID-8}, set: {PID-8: lis}, on_date: MSH-7, miss: keep}"
)

Changes = dict[str, str | bytes | None]


def findings(changes: Changes) -> list[Finding]:
    """Return all findings of the good site with changes."""
    return check_site(load_site(make_site(changes), environ={}))


def edit(*pairs: tuple[str, str]) -> Changes:
    """Return the good channels with texts replaced."""
    text = CHANNELS
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return {ADT: text}


def a_test(text: str) -> Changes:
    """Return a test file with one test that ends with *text*."""
    return {TEST: f"tests:\n  - name: one\n    {text}\n"}


SEND = "send: {file: sample_messages/adt.hl7, to: his}"

#: code, the change, where it is found, a part of what it says
CASES: list[tuple[str, Changes, str, str]] = [
    ("CFG-101", edit(("to: lis", "to: lsi")), f"{ADT}:13:9", "did you mean lis?"),
    ("CFG-101", edit(("from: his", "from: [his, hiss]")), f"{ADT}:9:17", "did you mean his?"),
    (
        "CFG-101",
        edit(('2575"}', '2575"}\n    ack: {delivered_by: mpi}')),
        f"{ADT}:4:25",
        "no outbound channel mpi",
    ),
    (
        "CFG-101",
        a_test(SEND.replace("his", "hsi") + "\n    expect: {ack: AA}"),
        f"{TEST}:3:47",
        "did you mean his?",
    ),
    (
        "CFG-101",
        a_test(SEND + "\n    expect: {routes: {adt_to_lsi: queued}}"),
        f"{TEST}:4:35",
        "did you mean adt_to_lis?",
    ),
    ("CFG-101", a_test(SEND + "\n    expect:\n      lsi: absent"), f"{TEST}:5:12", "lis?"),
    (
        "CFG-101",
        a_test(SEND + "\n    replies: {lsi: AE}\n    expect: {ack: AA}"),
        f"{TEST}:4:20",
        "did you mean lis?",
    ),
    (
        "CFG-105",
        {ADT: with_steps("- deidentify: safe_habor")},
        f"{ADT}:12:21",
        "did you mean safe_harbor?",
    ),
    (
        "CFG-108",
        a_test("send: {file: nowhere.hl7, to: his}\n    expect: {ack: AA}"),
        f"{TEST}:3:18",
        "no file nowhere.hl7",
    ),
    (
        "CFG-108",
        {ADT: with_steps("- validate: {profile: strict.yaml}")},
        f"{ADT}:12:29",
        "no file strict.yaml",
    ),
    (
        "CFG-108",
        {"transforms/deid/r.yaml": "extends: safe_harbor\nleak_check: {allow_words: w.txt}\n"},
        "transforms/deid/r.yaml:2:27",
        "no file w.txt",
    ),
    (
        "CFG-107",
        {
            ADT: with_steps("- python: m:f"),
            "transforms/python/m.py": "def f(message):\n    return message\n",
        },
        f"{ADT}:12:17",
        "write def f(message, context):",
    ),
    (
        "CFG-114",
        {
            ADT: with_steps("- deidentify: r"),
            "transforms/deid/r.yaml": "extends: safe_harbor\nkey: r\nfields: {PID-7: date_shift}\n",
        },
        f"{ADT}:12:21",
        "accept_live_shift: true",
    ),
    (
        "CFG-111",
        edit(
            ('2575"}', '2575"}\n    ack: {delivered_by: mpi}'),
            ("routes:", '  mpi:\n    mllp: {connect: "127.0.0.1:9"}\nroutes:'),
        ),
        f"{ADT}:4:25",
        "no route sends what his gets to mpi",
    ),
    (
        "CFG-111",
        edit(("to: lis", "to: lis\n    response: {steps: []}")),
        f"{ADT}:14:5",
        "not awaited",
    ),
    (
        "CFG-111",
        edit(
            ('2575"}', '2575"}\n    ack: {delivered_by: lis}'),
            ('mllp: {connect: "127.0.0.1:6661"}', "file: {directory: out}"),
        ),
        f"{ADT}:4:25",
        "no answer to wait for",
    ),
    (
        "CFG-112",
        edit(("from: his", "from: his\n    renamed_from: adt_to_lis")),
        f"{ADT}:10:19",
        "still exists",
    ),
    (
        "CFG-113",
        edit(('2575"}', '2575"}\n    charset: GB99')),
        f"{ADT}:4:14",
        "no known character set",
    ),
    (
        "CFG-115",
        edit(("outbound:", '  b:\n    mllp: {listen: "localhost:2575"}\noutbound:')),
        f"{ADT}:5:20",
        "already the one of his",
    ),
    (
        "CFG-117",
        {
            TEST: f"tests:\n  - name: a\n    {SEND}\n    expect: {{}}\n"
            f"  - name: a\n    {SEND}\n    expect: {{}}\n"
        },
        f"{TEST}:5:11",
        "another test",
    ),
    (
        "CFG-120",
        {ADT: with_steps("- set: {OBX-8: N}").replace("ADT^A01", "ORU^R01")},
        f"{ADT}:12:15",
        "write OBX[1]-8, OBX[*]-8 or each",
    ),
    (
        "CFG-120",
        edit(("[ADT^A01]", "[ORU^R01]\n    when: PID-8 == 'F' and OBR-4.1")),
        f"{ADT}:11:28",
        "OBR repeats in ORU^R01",
    ),
    (
        "CFG-121",
        edit(("routes:", '  mpi:\n    mllp: {connect: "127.0.0.1:9"}\nroutes:')),
        f"{ADT}:7:3",
        "no route sends to mpi",
    ),
    (
        "CFG-122",
        edit(("outbound:", '  b:\n    mllp: {listen: "127.0.0.1:1"}\noutbound:')),
        f"{ADT}:4:3",
        "go nowhere",
    ),
    ("CFG-123", {SEX: "hl7,lis\nM,1\n"}, f"{SEX}:1:1", "nothing uses the table sex"),
    (
        "CFG-123",
        {"transforms/x.yaml": "steps: [{clear: PID-8}]\n"},
        "transforms/x.yaml:1:1",
        "nothing uses the list of steps x",
    ),
    (
        "CFG-123",
        {"transforms/python/old.py": "def f(message, context):\n    return message\n"},
        "transforms/python/old.py:1:1",
        "nothing uses the module old",
    ),
    (
        "CFG-123",
        {"transforms/templates/old.j2": "MSH|^~\\&|A\n"},
        "transforms/templates/old.j2:1:1",
        "nothing uses the template old.j2",
    ),
    (
        "CFG-125",
        edit(("from: his", "from: his\n    when: MSH-9.2 == 'A03'")),
        f"{ADT}:10:5",
        "types do not fit",
    ),
    (
        "CFG-125",
        {ADT: with_steps("- filter: no")},
        f"{ADT}:12:9",
        "filters everything",
    ),
    (
        "CFG-127",
        {ADT: with_steps("- set: {PDI-5.1: X}")},
        f"{ADT}:12:15",
        "no version of HL7 has a segment PDI; did you mean PID?",
    ),
    (
        "CFG-127",
        {ADT: with_steps("- clear: [PID-5, PID-99]")},
        f"{ADT}:12:24",
        "no version of HL7 has PID-99; the last is PID-",
    ),
    (
        "CFG-127",
        {ADT: with_steps("- each: OBS\n  where: OBX-2\n  steps: [{clear: [OBX-7]}]")},
        f"{ADT}:12:15",
        "a segment OBS",
    ),
    (
        "CFG-127",
        edit(("[ADT^A01]", "[OUR^R01]")),
        f"{ADT}:10:13",
        "messages OUR; did you mean ORU^R01?",
    ),
    ("CFG-127", edit(("[ADT^A01]", "[ADT^A99]")), f"{ADT}:10:13", "has the trigger A99"),
    (
        "CFG-127",
        {ADT: with_steps("- clear: [PID-5.99]")},
        f"{ADT}:12:17",
        "no version of HL7 has PID-5.99; the last is PID-5.",
    ),
    (
        "CFG-127",
        {ADT: with_steps("- clear: [PID-5.1.9]")},
        f"{ADT}:12:17",
        "no version of HL7 has PID-5.1.9; the last is PID-5.1.",
    ),
    (
        "CFG-128",
        {ADT: with_steps("- set: {PID-5: PID-6}")},
        f"{ADT}:12:22",
        'write "{{ PID-6 }}"',
    ),
    ("CFG-130", {ADT: LOOKUP, SEX: "hl7,lis\nM,1\nF,2\nM,3\n"}, f"{SEX}:4:1", "as in line 2"),
    (
        "CFG-131",
        {ADT: DATED, SEX: "hl7,lis,valid_from,valid_to\nM,1,,\nM,2,20260101,\n"},
        f"{SEX}:3:1",
        "valid at the same time",
    ),
    (
        "CFG-131",
        {
            ADT: DATED,
            SEX: "hl7,lis,valid_from,valid_to\nM,1,20200101,20291231\n"
            "M,2,20210101,20210201\nM,3,20220101,20220201\n",
        },
        f"{SEX}:4:1",
        "as in line 2",
    ),
    (
        "CFG-132",
        {ADT: DATED, SEX: "hl7,lis,valid_from\nM,1,soon\n"},
        f"{SEX}:2:1",
        "no date",
    ),
    (
        "CFG-132",
        {ADT: DATED, SEX: "hl7,lis,valid_from,valid_to\nM,1,20260201,20260101\n"},
        f"{SEX}:2:1",
        "never holds",
    ),
    ("CFG-133", {ADT: LOOKUP, SEX: "hl7,lis\nM ,1\n"}, f"{SEX}:2:1", "ends with a blank"),
]

WARNINGS = {
    "CFG-120", "CFG-121", "CFG-122", "CFG-123", "CFG-125", "CFG-126", "CFG-127",
    "CFG-128", "CFG-133",
}  # fmt: skip


@pytest.mark.parametrize(("code", "changes", "place", "text"), CASES)
def test_each_mistake_has_its_finding(code: str, changes: Changes, place: str, text: str) -> None:
    """Every mistake is found where it stands, with its own code and a remedy."""
    found = findings(changes)
    (match,) = [f for f in found if str(f.mark) == place and text in str(f)] or [None]
    assert match is not None, [str(finding) for finding in found]
    assert match.code == code
    assert (match.severity is Severity.WARNING) == (code in WARNINGS)


def test_the_good_site_has_no_finding() -> None:
    """The site all mistakes are made in is right without them."""
    assert findings({}) == []


def test_a_condition_that_is_never_true_is_told() -> None:
    """A step switched off with `when: false` is seen, not forgotten."""
    found = findings({ADT: with_steps("- set: {PID-8: M}\n  when: 'false'")})
    assert "CFG-126" in {finding.code for finding in found}


@pytest.mark.parametrize("place", ["step", "profile"])
def test_shifted_dates_may_be_accepted(place: str) -> None:
    """Whoever knows that the offset shows may say so, in the step or in the profile."""
    step = "{profile: r, accept_live_shift: true}" if place == "step" else "r"
    profile = "extends: safe_harbor\nkey: r\nfields: {PID-7: date_shift}\n"
    profile += "accept_live_shift: true\n" if place == "profile" else ""
    changes: Changes = {
        ADT: with_steps(f"- deidentify: {step}"),
        "transforms/deid/r.yaml": profile,
    }
    assert findings(changes) == []


@pytest.mark.parametrize(
    "head", ["(message, context)", "(m, c, more=1)", "(*all)", "(m, /, c)", "(m, *rest)"]
)
def test_functions_that_can_be_called_pass(head: str) -> None:
    """Any function that takes a message and a context is a step."""
    source = f"def f{head}:\n    return None\n"
    changes: Changes = {ADT: with_steps("- python: m:f"), "transforms/python/m.py": source}
    assert findings(changes) == []


def test_a_missing_certificate_is_found() -> None:
    """The engine would not start without it, so check says so before."""
    text = CHANNELS.replace('2575"}', '2575", tls: {cert: tls/a.pem, key: tls/a.key}}')
    loaded = load_site(make_site({ADT: text}), environ={})
    found = loaded.located(check_outside(loaded.partial, {"tls/a.pem"}.__contains__))
    assert [(f.code, str(f.mark), f.what) for f in found] == [
        ("CFG-109", f"{ADT}:3:66", "there is no file tls/a.key")
    ]


def test_language_findings_come_with_the_others() -> None:
    """A wrong path, a wrong channel and a wrong unit are told together."""
    text = with_steps("- set: {PID-5.1.1.1: X}").replace("to: lis", "to: lsi")
    found = findings({ADT: text.replace('6661"}', '6661", timeout: 5}')})
    assert [(str(f.mark), f.code) for f in found] == [
        (f"{ADT}:6:48", "CFG-011"),
        (f"{ADT}:12:15", "LNG-002"),
        (f"{ADT}:13:9", "CFG-101"),
    ]


def test_channels_in_a_file_that_cannot_be_read_are_not_missing() -> None:
    """One wrong indentation is one finding, not one for every test that names a channel."""
    changes = {**edit(("    to: lis", "   to: lis")), **a_test(SEND + "\n    expect: {ack: AA}")}
    assert [finding.code for finding in findings(changes)] == ["CFG-001"]


def test_keys_that_are_not_indented_are_told_where_they_belong() -> None:
    """The most usual slip in YAML: the finding says what to do."""
    found = findings({ADT: with_steps("- set:\n  MSH-5: LIS")})
    assert [finding.code for finding in found] == ["CFG-005", "CFG-002"]
    assert found[1].fix == "if it belongs to set, indent it more than set"


def test_a_copy_of_one_path_is_told_to_name_two() -> None:
    """`copy: PID-3` leaves out where to."""
    assert findings({ADT: with_steps("- copy: PID-3")})[0].fix == "write {from: …, to: …}"


def test_a_variable_with_a_wrong_value_is_known_all_the_same() -> None:
    """One mistake in `let` is one finding, wherever the variable is used."""
    steps = '- let: {a: "{{ PID-8 | uper }}"}\n- set: {MSH-5: "{{ a }}"}'
    assert [finding.code for finding in findings({ADT: with_steps(steps)})] == ["LNG-003"]


@pytest.mark.parametrize(
    "kind", ["ADT^A62", "ORU^R32", "QBP^ZV1", "RSP^K22", "ACK^A01", "ADT", "any", "ZZZ^A99"]
)
def test_kinds_of_message_that_exist_or_are_a_sites_own_are_taken(kind: str) -> None:
    """No hint on a trigger whose structure goes by another name, or that the site invented."""
    found = findings(edit(("[ADT^A01]", f"[{kind}]")))
    assert [finding.what for finding in found if finding.code == "CFG-127"] == []


def test_parts_of_what_varies_and_of_plain_fields_are_left_alone() -> None:
    """OBX-5 is of the type that OBX-2 says; a sender may put parts into a plain field."""
    steps = {ADT: with_steps("- clear: [OBX-5.40, PID-1.7, ZPI-3.99, PID-3.4.2]")}
    assert [finding.what for finding in findings(steps) if finding.code == "CFG-127"] == []


def test_letters_that_changed_places_are_told_first() -> None:
    """Of two names as near to what was written, the one with the same letters is meant."""
    changes = edit(("    to: lis", "    stpes: [{set: {PID-8: M}}]\n    to: lis"))
    found = [finding for finding in findings(changes) if finding.code == "CFG-002"]
    assert [finding.fix for finding in found] == ["did you mean steps?"]


def test_a_bare_set_is_one_finding() -> None:
    """A step that was begun and not written is one mistake."""
    assert [finding.code for finding in findings({ADT: with_steps("- set:")})] == ["CFG-005"]


def test_a_segment_of_a_sample_message_is_meant() -> None:
    """A sender that invented a segment without Z is not warned about for ever."""
    steps = {ADT: with_steps("- drop_segments: [QQQ]")}
    assert [finding.code for finding in findings(steps)] == ["CFG-127"]
    assert findings({**steps, "sample_messages/q.hl7": "MSH|^~\\&|A\nQQQ|1\n"}) == []


def test_a_table_that_cannot_be_read_is_told_once() -> None:
    """No step is said to use a table that does not exist when the table has findings itself."""
    found = findings({ADT: LOOKUP, SEX: b"hl7,lis\n\xff,1\n"})
    assert [finding.code for finding in found] == ["CFG-032"]


@pytest.mark.parametrize("segment", ["PID", "PV1", "MSH"])
def test_no_hint_for_what_stands_once_in_practice(segment: str) -> None:
    """One message is about one patient: hints about PID in a result would be noise."""
    text = with_steps(f"- clear: [{segment}-8]").replace("ADT^A01", "ORU^R01")
    assert [f.code for f in findings({ADT: text})] == []


def test_no_hint_inside_each_or_after_split() -> None:
    """A path on the segment at hand, or on what is left of a split, is no mistake."""
    steps = "- each: OBX\n  steps:\n    - set: {OBX-8: N}\n"
    steps += "- split: {group: OBR, lead: [ORC]}\n- set: {OBR-1: '1'}"
    text = with_steps(steps).replace("ADT^A01", "ORU^R01")
    assert [f.code for f in findings({ADT: text})] == []
