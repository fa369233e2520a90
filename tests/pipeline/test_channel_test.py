"""Channel tests say what is wrong, where, and which step did it; they never pass by accident."""

from __future__ import annotations

from functools import partial

import pytest

from engine.check.doors import open_door
from engine.check.site import check_site
from engine.config.load import LoadedSite, load_site
from engine.model.finding import has_errors
from engine.pipeline.channel_test import DEFAULT_AT, TestResult, run_test
from engine.pipeline.compile import compile_site
from engine.pipeline.context import FixedKeys
from engine.pipeline.coverage import measure_coverage
from engine.pipeline.steps.base import PythonAnswer, PythonCall
from tests.support.sites import CHANNELS, make_site, with_steps

ADT = "channels/adt.yaml"
TEST = "channels/adt_test.yaml"
SEND = "send: {file: sample_messages/adt.hl7, to: his}"


def load(channels: str, test: str, **more: str | bytes) -> LoadedSite:
    """Return the good site with these channels and one test with this body; without errors."""
    body = "".join(f"    {line}\n" for line in test.strip("\n").split("\n"))
    changes = {ADT: channels, TEST: f"tests:\n  - name: one\n{body}", **more}
    loaded = load_site(make_site(changes), environ={})
    findings = check_site(loaded)
    assert not has_errors(findings), [str(finding) for finding in findings]
    return loaded


def echo(call: PythonCall) -> PythonAnswer:
    """A worker that gives the message back."""
    return PythonAnswer(call.body)


def run(loaded: LoadedSite) -> list[TestResult]:
    """Return the results of the site's tests."""
    site = loaded.partial
    compiled, _ = compile_site(site, keys=FixedKeys())
    door = partial(open_door, site)
    return [
        run_test(test, file, site=site, compiled=compiled, open_door=door, call_python=echo)
        for file, test in site.tests
    ]


def told(loaded: LoadedSite) -> list[str]:
    """Return the failures of all tests as they are printed."""
    return [
        f"{loaded.mark_of(failure.loc)} {failure.what}"
        for result in run(loaded)
        for failure in result.failures
    ]


def test_a_met_expectation_passes() -> None:
    """Ack, route and fields as expected: no failure."""
    test = SEND + "\nexpect:\n  ack: AA\n  routes: {adt_to_lis: queued}\n"
    test += (
        "  lis: {MSH-5: LIS, PID-5.1: DOE, PID-5: DOE^Ann, NK1: absent, PID: present, PID-30: ''}"
    )
    assert told(load(CHANNELS, test)) == []


@pytest.mark.parametrize(
    ("expect", "failure"),
    [
        ("ack: AE", "ack: expected AE, got AA"),
        ("ack: {MSA-1: AE}", "ack MSA-1: expected 'AE', got 'AA'"),
        ("routes: {adt_to_lis: filtered}", "adt_to_lis: expected filtered, got queued"),
        ("lis: {PID-5.1: ROE}", "lis PID-5.1: expected 'ROE', got 'DOE'"),
        ("lis: {PID-5.1: ''}", "lis PID-5.1: expected '', got 'DOE'"),
        ("lis: {PID-5.1: absent}", "lis PID-5.1: expected 'absent', got 'DOE'"),
        ("lis: {PID: absent}", "lis PID: expected no such segment, found 1"),
        ("lis: {NK1: present}", "lis NK1: expected the segment, found none"),
        ("lis: {PID-5.1: {matches: 'D.'}}", "lis PID-5.1: expected a match of 'D.', got 'DOE'"),
        ("lis: {PID-5.1: {matches: '['}}", "lis PID-5.1: '[' is no regular expression"),
        ("lis: {PID-5: {not_contains: ann}}", "lis PID-5: expected it not to contain 'ann'"),
        ("lis: {PID-5: {contains: Bob}}", "lis PID-5: expected it to contain 'Bob'"),
        ("lis: {PID-3: {not_contains: '77'}}", "lis PID-3: expected it not to contain '77'"),
        ("lis: absent", "lis: expected no output, got one output"),
        ("lis: [{}, {}]", "lis: expected 2 outputs, got one output"),
        ("lis: {PID-5.1.1.1: X}", "lis PID-5.1.1.1: "),
    ],
)
def test_an_unmet_expectation_fails_where_it_stands(expect: str, failure: str) -> None:
    """Each kind of expectation can fail, with the place in the test and the value found."""
    (line,) = told(load(CHANNELS, f"{SEND}\nexpect:\n  {expect}"))
    assert line.startswith(f"{TEST}:5:")
    assert failure in line


def test_the_step_that_wrote_a_wrong_value_is_named() -> None:
    """A failure says which step it was, the last one that wrote, inside loops and lists too."""
    steps = "- set: {PID-8: M}\n- apply: shared\n- each: PID-3\n  steps:\n    - set: {PID-3.4: Z}"
    channels = with_steps(steps).replace(
        '"127.0.0.1:6661"}', '"127.0.0.1:6661"}\n    steps: [{set: {MSH-6: R}}]'
    )
    expect = "lis: {PID-8: F, PID-7: '1', PID-3.4: H, MSH-6: L, PID-5.1: ROE}"
    loaded = load(
        channels,
        f"{SEND}\nexpect:\n  {expect}",
        **{"transforms/shared.yaml": "steps:\n  - set: {PID-7: '2', PID-8: U}\n"},
    )
    (result,) = run(loaded)
    named = {
        failure.what.split(":")[0]: (failure.step, str(loaded.mark_of(failure.step_loc)))
        for failure in result.failures
    }
    assert named["lis PID-8"][0] == "written by step 2.1 (set) of route adt_to_lis"
    assert named["lis PID-8"][1] == "transforms/shared.yaml:2:5"
    assert named["lis PID-3.4"][0] == "written by step 3.1 (set) of route adt_to_lis"
    assert named["lis MSH-6"][0] == "written by step 1 (set) of outbound lis"
    assert named["lis PID-5.1"][0] == "no step changed it: it is as received"


def test_only_changes_finds_what_else_changed() -> None:
    """A change nobody listed fails, and so does a listed one with another value."""
    steps = "- set: {MSH-5: LIS, PID-8: M}\n- add_segment: {segment: NK1, fields: {NK1-1: '1'}}"
    loaded = load(with_steps(steps), f"{SEND}\nexpect:\n  lis: {{only_changes: {{MSH-5: LIX}}}}")
    lines = told(loaded)
    assert [line.split(" ", 1)[1] for line in lines] == [
        "lis MSH-5: expected 'LIX', got 'LIS'",
        "lis not among only_changes: PID-8: 'F' -> 'M'",
        "lis not among only_changes: NK1: absent -> 'NK1|1'",
    ]


def test_only_changes_of_nothing_means_the_very_bytes() -> None:
    """A pass-through route is held to the bytes, not only to the fields."""
    expect = f"{SEND}\nexpect:\n  lis: {{only_changes: {{}}}}"
    channels = CHANNELS.replace("    steps:\n      - set: {MSH-5: LIS}\n", "")
    assert told(load(channels, expect)) == []
    (line,) = told(load(with_steps("- charset: UTF-8"), expect))
    assert "not among only_changes: MSH-18" in line
    (line,) = told(load(with_steps("- set: {PID-30: X}\n- clear: [PID-30]"), expect))
    assert "the bytes are not" in line


def test_a_whole_file_is_compared_field_by_field() -> None:
    """A whole expected output fails with the fields that differ, and can be renewed."""
    expected = make_site()["sample_messages/adt.hl7"].replace(b"|DOE^Ann|", b"|ROE^Ann|")
    test = f"{SEND}\nexpect:\n  lis: {{file: channels/expected/lis.hl7}}"
    loaded = load(CHANNELS, test, **{"channels/expected/lis.hl7": expected.replace(b"\r", b"\n")})
    (result,) = run(loaded)
    assert [failure.what for failure in result.failures] == [
        "lis MSH-5: expected 'ENGINE', got 'LIS'",
        "lis PID-5.1: expected 'ROE', got 'DOE'",
    ]
    body = result.updates["channels/expected/lis.hl7"]
    assert told(load(CHANNELS, test, **{"channels/expected/lis.hl7": body})) == []


def test_a_missing_expected_file_is_offered_by_update() -> None:
    """The first run of a whole-file test gives the file that --update writes."""
    loaded = load(CHANNELS, f"{SEND}\nexpect:\n  lis: {{file: channels/expected/lis.hl7}}")
    (result,) = run(loaded)
    assert "medbus test --update writes it" in result.failures[0].what
    assert b"|LIS|" in result.updates["channels/expected/lis.hl7"]


def test_several_outputs_are_compared_one_by_one() -> None:
    """A list of expectations stands for the outputs in their order."""
    steps = "- emit:\n    - {name: a, steps: [{set: {PID-8: A}}]}\n"
    steps += "    - {name: b, steps: [{set: {PID-8: B}}]}"
    (line,) = told(load(with_steps(steps), f"{SEND}\nexpect:\n  lis: [{{PID-8: A}}, {{PID-8: C}}]"))
    assert line.endswith("lis[2] PID-8: expected 'C', got 'B'")


def test_filtered_and_parked_are_told_with_their_reasons() -> None:
    """Reason, step and code are compared; a missing output says what became of its route."""
    steps = "- choose:\n    - when: PID-8 == 'F'\n      steps:\n        - set: {PID-8: X}\n"
    steps += "        - lookup: {path: PID-8, table: sex}"
    more = {"transforms/tables/sex.csv": "hl7,lis\nM,1\n"}
    good = "routes: {adt_to_lis: {parked: {step: 1.1.2, code: step}}}"
    assert told(load(with_steps(steps), f"{SEND}\nexpect:\n  {good}", **more)) == []
    bad = (
        "routes: {adt_to_lis: {parked: {step: '2', code: leak, reason: other}}}\n  lis: {PID-8: X}"
    )
    lines = told(load(with_steps(steps), f"{SEND}\nexpect:\n  {bad}", **more))
    assert ["expected to park at step 2" in lines[0], "park code leak" in lines[1]] == [True, True]
    assert "expected the reason 'other'" in lines[2]
    assert "lis: expected one output, got no output; adt_to_lis: parked at step 1.1.2" in lines[3]
    filtering = with_steps("- filter: not for us\n  when: PID-8 == 'F'")
    expect = "routes: {adt_to_lis: {filtered: not for us}}\n  lis: absent"
    assert told(load(filtering, f"{SEND}\nexpect:\n  {expect}")) == []
    wrong = f"{SEND}\nexpect:\n  routes: {{adt_to_lis: {{filtered: for you}}}}"
    (line,) = told(load(filtering, wrong))
    assert "expected the reason 'for you', got 'not for us'" in line


def test_the_clock_of_a_test_is_its_own() -> None:
    """`at` is the arrival time, in the site's zone; without it the same fixed time always."""
    channels = with_steps("- set: {MSH-7: \"{{ received_at | date('%Y%m%d%H%M') }}\"}")
    at = f"at: 2026-03-01T23:30:00+02:00\n{SEND}\nexpect:\n  lis: {{MSH-7: '202603012130'}}"
    assert told(load(channels, at)) == []
    assert told(load(channels, f"{SEND}\nexpect:\n  lis: {{MSH-7: '202611010830'}}")) == []
    assert DEFAULT_AT == 1_793_521_800.0


def test_an_inline_message_is_read_with_its_character_set() -> None:
    """Text in the YAML becomes the bytes that the sender would have sent."""
    channels = CHANNELS.replace('2575"}', '2575"}\n    charset: GB18030')
    test = "send:\n  to: his\n  inline: |\n    MSH|^~\\&|H|H|E|E|2026||ADT^A01|M1|P|2.5\n"
    test += "    PID|1||77||葉^東\nexpect:\n  lis: {PID-5.1: 葉, PID-5.2: 東}"
    assert told(load(channels, test)) == []


def test_a_rejected_message_is_told_as_such() -> None:
    """What the door refuses never reaches a route, and the test says why."""
    channels = CHANNELS.replace('2575"}', '2575"}\n    accept: {processing_id: T}')
    assert told(load(channels, f"{SEND}\nexpect:\n  ack: AR")) == []
    (line,) = told(load(channels, f"{SEND}\nexpect:\n  routes: {{adt_to_lis: queued}}"))
    assert "the message is rejected: the processing id is not taken here" in line


def test_a_route_of_another_channel_is_told_as_such() -> None:
    """Expecting something of a route that takes nothing from this channel is a mistake."""
    channels = CHANNELS.replace("outbound:", '  b:\n    mllp: {listen: "127.0.0.1:1"}\noutbound:')
    channels += "  other:\n    from: b\n    to: lis\n"
    (line,) = told(load(channels, f"{SEND}\nexpect:\n  routes: {{other: filtered}}"))
    assert "other takes nothing from his" in line


def test_a_file_with_two_messages_is_refused() -> None:
    """A test sends one message; a batch is not silently cut."""
    two = make_site()["sample_messages/adt.hl7"] * 2
    loaded = load(CHANNELS, f"{SEND}\nexpect: {{ack: AA}}", **{"sample_messages/adt.hl7": two})
    (line,) = told(loaded)
    assert "holds 2 messages" in line


DELIVERED = CHANNELS.replace(
    '2575"}',
    '2575"}\n    ack: {delivered_by: lis, on_timeout: AR, on_filtered: AA, on_park: AE}',
)


@pytest.mark.parametrize(
    ("reply", "ack"),
    [("AA", "AA"), ("CA", "AA"), ("AR", "AE"), ("AE", "AR"), ("none", "AR")],
)
def test_replies_decide_an_ack_that_waits(reply: str, ack: str) -> None:
    """With delivered_by, the receiver's answer becomes the sender's: parked, late or delivered."""
    loaded = load(DELIVERED, f"{SEND}\nreplies: {{lis: {reply}}}\nexpect: {{ack: {ack}}}")
    assert told(loaded) == []


def test_nothing_owed_is_answered_by_on_filtered() -> None:
    """A message that no route sends to the awaited channel gets the ack set for that."""
    channels = DELIVERED.replace("types: [ADT^A01]", "types: [ADT^A02]")
    assert told(load(channels, f"{SEND}\nexpect: {{ack: AA}}")) == []


def test_the_answer_itself_goes_back_through_response() -> None:
    """The sender gets the receiver's message with its own id, after the route's response steps."""
    channels = DELIVERED + "    response: {steps: [{set: {PID-8: X}}]}\n"
    answer = b"MSH|^~\\&|LIS|L|ENGINE|E|2026||RSP^K22|A1|P|2.5\rMSA|AA|OTHER\rPID|1||5|||||F\r"
    test = f"{SEND}\nreplies: {{lis: {{file: sample_messages/answer.hl7}}}}\n"
    test += "expect: {ack: {MSH-9.1: RSP, MSA-2: M1, PID-8: X, MSH-5: HIS}}"
    assert told(load(channels, test, **{"sample_messages/answer.hl7": answer})) == []


def test_python_steps_run_through_the_caller_that_is_handed_in() -> None:
    """The runner itself runs no Python of the site; it asks for it."""
    source = "def touch(message, context):\n    return message\n"
    channels = with_steps("- python: steps:touch\n- set: {MSH-5: LIS}")
    loaded = load(channels, f"{SEND}\nexpect: {{lis: {{MSH-5: LIS}}}}",
                  **{"transforms/python/steps.py": source})  # fmt: skip
    calls: list[PythonCall] = []

    def count(call: PythonCall) -> PythonAnswer:
        calls.append(call)
        return PythonAnswer(call.body)

    site = loaded.partial
    compiled, _ = compile_site(site, keys=FixedKeys())
    file, test = site.tests[0]
    result = run_test(
        test,
        file,
        site=site,
        compiled=compiled,
        open_door=partial(open_door, site),
        call_python=count,
    )
    assert result.passed
    assert [(call.module, call.function) for call in calls] == [("steps", "touch")]


def test_coverage_names_what_no_test_touched() -> None:
    """Routes, steps, alternatives and rows that no test reached are listed with their place."""
    steps = "- choose:\n    - when: PID-8 == 'F'\n      steps: [{set: {PID-7: '1'}}]\n"
    steps += "    - else: [{set: {PID-7: '2'}}]\n- lookup: {path: PID-8, table: sex}\n"
    steps += "- clear: [PID-9]\n  when: PID-9"
    channels = with_steps(steps) + "  never:\n    from: his\n    types: [ADT^A02]\n    to: lis\n"
    more = {"transforms/tables/sex.csv": "hl7,lis\nM,1\nF,2\n"}
    loaded = load(channels, f"{SEND}\nexpect: {{ack: AA}}", **more)
    measured = measure_coverage(loaded.partial, run(loaded))
    assert measured.counts == {
        "routes": (1, 2),
        "steps": (3, 5),
        "branches": (3, 6),
        "rows": (1, 2),
    }
    assert [(str(loaded.mark_of(p.loc)), p.what) for p in measured.untouched] == [
        (f"{ADT}:15:13", "alternative 2 of step 1 of route adt_to_lis"),
        (f"{ADT}:15:20", "step 1.2.1 (set) of route adt_to_lis"),
        (f"{ADT}:16:17", "step 2 of route adt_to_lis: the value is not found in the table sex"),
        (f"{ADT}:17:9", "step 3 (clear) of route adt_to_lis"),
        (f"{ADT}:18:15", "step 3 of route adt_to_lis: its when is met"),
        (f"{ADT}:20:3", "route never"),
        ("transforms/tables/sex.csv:2:1", "row M of the table sex"),
    ]


def test_coverage_counts_both_ways_of_a_condition_and_of_a_look_up() -> None:
    """A `when` that was only ever met, or a look-up that never missed, is half tested."""
    steps = "- lookup: {path: PID-8, table: sex, miss: keep}\n- each: OBX\n  steps:\n"
    steps += "    - lookup: {keys: {hl7: OBX-5}, table: sex, set: {OBX-6: lis}, miss: clear}\n"
    steps += "      when: OBX-2 == 'ST'\n"
    channels = with_steps(steps).replace("    to: lis\n", "    when: PID-8\n    to: lis\n", 1)
    more = {"transforms/tables/sex.csv": "hl7,lis\nM,1\nF,2\n"}
    header = r"MSH|^~\\&|HIS|H|LIS|H|20261101||ADT^A01|1|P|2.5\nPID|||||||| M\n".replace(" ", "")

    def missing(segments: str) -> list[str]:
        body = f'send: {{to: his, inline: "{header}{segments}"}}\nexpect: {{ack: AA}}'
        loaded = load(channels, body, **more)
        untouched = measure_coverage(loaded.partial, run(loaded)).untouched
        return sorted(part.what for part in untouched if part.kind == "branches")

    half = [
        "route adt_to_lis: its when is not met",
        "step 1 of route adt_to_lis: the value is not found in the table sex",
        "step 2.1 of route adt_to_lis: its when is not met",
        "step 2.1 of route adt_to_lis: the value is not found in the table sex",
    ]
    assert missing("OBX|1|ST|||M") == half
    assert missing(r"OBX|1|ST|||M\nOBX|2|ST|||X\nOBX|3|NM|||1") == half[:2]
