"""From one message to its deliveries: routes, outputs, keys, names, failures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.hl7.message import Message
from engine.model.records import Term
from engine.model.states import ParkCode, RouteOutcome
from engine.pipeline.context import Arrived, FixedKeys
from engine.pipeline.file_names import safe_file_name
from engine.pipeline.response import drive_response, run_response
from engine.pipeline.route import drive, no_python, run_inbound
from engine.pipeline.trace import Recorder
from tests.support.pipelines import ADT, ARRIVED, ORU, compiled, findings_of, in_process, routed

MERGE = (
    "MSH|^~\\&|HIS|H|E|H|20261101||ADT^A40|C9|P|2.5\r"
    'PID|1||88001^^^H^MR||""^x\rMRG|77001^^^H^MR~5^^^H^PI\r'
)


# -- which routes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "takes"),
    [
        (["ADT^A01"], True),
        (["ADT"], True),
        (["ADT^*"], True),
        (["any"], True),
        (["ORU", "ADT^A01"], True),
        (["ADT^A04"], False),
        (["ORU^A01"], False),
    ],
)
def test_types_are_matched_on_code_and_trigger(types: list[str], takes: bool) -> None:
    """A route takes what its types name, and filters the rest with the type as reason."""
    result = routed([], route={"types": types}).routes[0]
    assert (result.outcome is RouteOutcome.QUEUED) is takes
    if not takes:
        assert result.reason == f"type ADT^A01 is not among {', '.join(types)}"


def test_a_condition_that_is_not_met_filters_with_the_rule_and_no_value() -> None:
    """What is stored names the rule; the values are for the trace."""
    result = routed([], ADT.replace("|I|", "|secret|"), route={"when": "PV1-2 in ['I']"})
    assert result.routes[0].outcome is RouteOutcome.FILTERED
    assert result.routes[0].reason == "when is not met: PV1-2 in ['I']"
    assert result.deliveries == ()


def test_a_condition_that_cannot_be_decided_parks() -> None:
    """A number that is none in a condition is a failure a person sees."""
    result = routed([], route={"when": "PV1-3 | number > 5"})
    park = result.routes[0].park
    assert park is not None
    assert (park.code, park.step) == (ParkCode.STEP, "when")


def test_every_route_of_the_channel_gets_exactly_one_result() -> None:
    """Routes run in file order, each on its own copy."""
    files = {"channels/b.yaml": (
        "routes:\n  second: {from: his, to: lis, steps: [{set: {PID-9: two}}]}\n"
        "  third: {from: his, to: lis, when: PID-9}\n"
    )}  # fmt: skip
    result = routed([{"set": {"PID-9": "one"}}], files=files)
    assert [(r.route, r.outcome.value) for r in result.routes] == [
        ("r", "queued"), ("second", "queued"), ("third", "filtered"),
    ]  # fmt: skip
    assert [b"one" in (d.body or b"") for d in result.deliveries] == [True, False]


def test_deliveries_are_numbered_by_route_output_and_outbound() -> None:
    """K counts routes first, then outputs, then outbound channels."""
    steps = [{"emit": [{"name": "a", "steps": []}, {"name": "b", "steps": []}]}]
    outbounds = {"two": {"mllp": {"connect": "127.0.0.1:3"}}}
    result = routed(steps, outbounds=outbounds)
    assert [(d.number, d.output, d.outbound) for d in result.deliveries] == [
        (1, 1, "lis"), (2, 1, "two"), (3, 2, "lis"), (4, 2, "two"),
    ]  # fmt: skip


def test_a_rerun_can_be_for_some_routes_and_outbound_channels_only() -> None:
    """A requeue makes only what it asks for."""
    outbounds = {"two": {"mllp": {"connect": "127.0.0.1:3"}}}
    site, _ = compiled([], outbounds=outbounds)
    run = run_inbound(site.inbound["his"], Message.parse(ADT.encode()), ARRIVED,
                      only_routes={"r"}, only_outbounds={"two"})  # fmt: skip
    result = drive(run, no_python)
    assert [(d.number, d.outbound) for d in result.deliveries] == [(1, "two")]
    nothing = run_inbound(site.inbound["his"], Message.parse(ADT.encode()), ARRIVED,
                          only_routes=set())  # fmt: skip
    assert drive(nothing, no_python).routes == ()


# -- pure --------------------------------------------------------------------------------------


def test_the_same_message_gives_the_same_bytes_and_is_never_changed() -> None:
    """Nothing but message, arrival, configuration and keys decides; the received message stays."""
    steps = [{"set": {"PID-9": "{{ received_at | date('%H:%M') }} {{ message_id }}"}},
             {"keep_segments": ["PID"]}]  # fmt: skip
    site, _ = compiled(steps, inbound={"steps": [{"clear": ["PID-8"]}]})
    received = Message.parse(ADT.encode())
    first = drive(run_inbound(site.inbound["his"], received, ARRIVED), no_python)
    again = drive(run_inbound(site.inbound["his"], received, ARRIVED), no_python)
    assert first.deliveries == again.deliveries
    assert b"|10:30 20261101-7" in (first.deliveries[0].body or b"")
    assert not received.is_edited
    assert received.encode() == ADT.encode()


def test_a_run_asks_for_python_by_yielding() -> None:
    """The pipeline runs no site code itself; whoever drives it decides where that happens."""
    files = {"transforms/python/p.py": "def f(message, context):\n    return message\n"}
    site, _ = compiled([{"python": "p:f"}], files=files)
    run = run_inbound(site.inbound["his"], Message.parse(ADT.encode()), ARRIVED)
    call = next(run)
    assert (call.module, call.function, call.body) == ("p", "f", ADT.encode())
    assert call.context["message_id"] == "20261101-7"
    assert set(call.sources) >= {"p", "tables/sex.json"}
    again = next(run_inbound(site.inbound["his"], Message.parse(ADT.encode()), ARRIVED))
    assert again.sources is call.sources
    result = drive(
        run_inbound(site.inbound["his"], Message.parse(ADT.encode()), ARRIVED), no_python
    )
    assert result.routes[0].outcome is RouteOutcome.PARKED


# -- inbound and outbound steps ----------------------------------------------------------------


def test_inbound_steps_clean_up_once_before_routing() -> None:
    """Routes see the cleaned message."""
    result = routed(
        [], inbound={"steps": [{"set": {"PV1-2": "E"}}]}, route={"when": "PV1-2 == 'E'"}
    )
    assert b"PV1|1|E|" in (result.deliveries[0].body or b"")


def test_inbound_steps_that_fail_park_every_route_that_would_take_the_message() -> None:
    """Nothing is silent: each such route has its parked deliveries."""
    result = routed([], inbound={"steps": [{"lookup": {"path": "PID-5.1", "table": "sex"}}]})
    assert result.failure is not None
    assert result.failure.reason == "inbound his: the value is not in the table sex"
    assert [d.park for d in result.deliveries] == [result.failure]


def test_inbound_steps_may_filter() -> None:
    """A sender's rubbish is filtered for all routes with the reason."""
    result = routed([], inbound={"steps": [{"filter": "test patient", "when": "PID-5.1 == 'doe'"}]})
    assert [(r.outcome, r.reason) for r in result.routes] == [
        (RouteOutcome.FILTERED, "test patient")
    ]


def test_outbound_steps_run_last_on_every_output() -> None:
    """One receiver's wishes do not touch what another gets."""
    outbounds = {"two": {"mllp": {"connect": "127.0.0.1:3"}}}
    result = routed([], outbound={"steps": [{"set": {"MSH-5": "LIS"}}]}, outbounds=outbounds)
    assert [b"|LIS|" in (d.body or b"") for d in result.deliveries] == [True, False]
    assert result.deliveries[1].body == ADT.encode()


def test_an_outbound_step_that_fails_parks_that_delivery_alone() -> None:
    """The other receiver still gets its message; the route is parked only when all failed."""
    bad = {"steps": [{"lookup": {"path": "PID-5.1", "table": "sex"}}]}
    outbounds = {"two": {"mllp": {"connect": "127.0.0.1:3"}}}
    result = routed([], outbound=bad, outbounds=outbounds)
    assert result.routes[0].outcome is RouteOutcome.QUEUED
    assert [d.park.reason if d.park else "" for d in result.deliveries] == [
        "outbound lis: the value is not in the table sex", "",
    ]  # fmt: skip
    assert routed([], outbound=bad).routes[0].outcome is RouteOutcome.PARKED


def test_outbound_charset_and_cleared_promises() -> None:
    """`charset` re-encodes and says so; `ack: original` clears MSH-15/16: no promises."""
    text = ADT.replace("doe", "葉東").replace("|2.5.1\r", "|2.5.1|||AL|NE\r", 1)
    result = routed([], text.encode("gb18030"), charset="GB18030",
                    outbound={"charset": "UTF-8", "ack": "original"})  # fmt: skip
    body = result.deliveries[0].body or b""
    assert "葉東".encode() in body
    assert b"|2.5.1||||||UNICODE UTF-8" in body.split(b"\r")[0]
    assert result.deliveries[0].promises == ("", "")
    plain = routed([], text.encode("gb18030"), charset="GB18030").deliveries[0]
    assert plain.promises == ("AL", "NE")


def test_the_same_charset_leaves_the_bytes_alone() -> None:
    """Asking for what it is already changes nothing."""
    text = ADT.replace("doe", "葉東").encode("gb18030")
    result = routed([], text, charset="GB18030", outbound={"charset": "GB18030"})
    assert result.deliveries[0].body == text


# -- keys, terms, names ------------------------------------------------------------------------


def test_order_keys_are_hashed_from_the_received_message() -> None:
    """Several keys for a merge, no key for an empty one, and no effect of any step."""
    order = {"order_by": ["PID-3[5='MR'].1", "MRG-1[5='MR'].1"], "lanes": 4}
    steps = [{"clear": ["PID-3"]}]
    keys = FixedKeys()
    adt = routed(steps, outbound=order).deliveries[0]
    assert adt.order_keys == (keys.order_key("lis", "88001"),)
    merge = routed(steps, MERGE, outbound=order).deliveries[0]
    assert merge.order_keys == (keys.order_key("lis", "88001"), keys.order_key("lis", "77001"))
    empty = routed([], ADT.replace("88001^^^HOSP^MR", '""'), outbound=order).deliveries[0]
    assert empty.order_keys == ()
    same = routed([], MERGE.replace("77001", "88001"), outbound=order).deliveries[0]
    assert len(same.order_keys) == 1
    assert (adt.on_park, routed([]).deliveries[0].on_park) == ("hold_key", "continue")


def test_parked_deliveries_keep_their_order_keys() -> None:
    """A parked step holds its patient's later messages as any parked delivery does."""
    order = {"order_by": ["PID-3.1"]}
    bad = [{"lookup": {"path": "PID-5.1", "table": "sex"}}]
    assert routed(bad, outbound=order).deliveries[0].order_keys


def test_a_message_can_be_found_by_its_terms() -> None:
    """Patient ids, visits, orders, names and the control id; null and empty are none."""
    assert routed([], ORU).terms == (
        Term("control_id", "R0003"), Term("patient", "88001"), Term("name", "doe"),
        Term("name", "doe john"), Term("order", "O1"), Term("order", "O2"), Term("order", "F1"),
        Term("order", "F2"),
    )  # fmt: skip
    terms = routed([], MERGE).terms
    assert Term("patient", "77001") in terms
    assert Term("patient", "5") in terms
    assert all(term.value != '""' for term in terms)
    assert Term("visit", "V8002") in routed([], ADT).terms


def test_file_names_come_from_a_template_without_patient_data() -> None:
    """Names use ids and times; a path of the patient in a name is a finding."""
    file = {"file": {"directory": "out", "name": "{{ MSH-10 }}_{{ delivery_id }}.hl7"}}
    outbounds = {"files": file}
    result = routed([], outbounds=outbounds)
    assert [d.file_name for d in result.deliveries] == ["", "C0001_20261101-7.2.hl7"]
    bad = {"files": {"file": {"directory": "out", "name": "{{ PID-3.1 }}.hl7"}}}
    assert [f.code for f in findings_of([], outbounds=bad)] == ["LNG-009"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a.hl7", "a.hl7"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/abs/x", "_abs_x"),
        ("..", "F"),
        ("", "F"),
        (".hidden", "hidden"),
        ("a\x00b\nc", "a_b_c"),
        ("姓名.hl7", "姓名.hl7"),
        ("x" * 300 + ".hl7", "x" * 176 + ".hl7"),
        ("C:\\x", "C_x"),
    ],
)
def test_file_names_stay_in_their_folder(text: str, name: str) -> None:
    """Whatever a message holds, its file is one plain file in the folder."""
    assert safe_file_name(text, "F") == name


# -- de-identification -------------------------------------------------------------------------


def test_a_leak_behind_deidentification_is_parked_and_named_without_its_value() -> None:
    """The final bytes are searched, after outbound steps; the output can never be sent."""
    steps = [{"let": {"mrn": "{{ PID-3.1 }}"}}, {"deidentify": "safe_harbor"}]
    clean = routed(steps).deliveries[0]
    assert clean.park is None
    assert b"88001" not in (clean.body or b"")
    leaking = routed([*steps, {"set": {"ZZ1-2": "id {{ mrn }}5"}}, {"set": {"PID-2": "{{ mrn }}"}}])
    park = leaking.deliveries[0].park
    assert park is not None
    assert park.code is ParkCode.LEAK
    assert "88001" not in park.reason
    behind = routed(steps, outbound={"steps": [{"set": {"PID-2": "{{ control_id }}"}}]},
                    text=ADT.replace("C0001", "88001"))  # fmt: skip
    assert behind.deliveries[0].park is not None
    assert behind.deliveries[0].park.code is ParkCode.LEAK


def test_the_record_of_method_is_given_with_the_output() -> None:
    """Who stores the outputs can say how they were de-identified."""
    result = routed([{"deidentify": "safe_harbor"}])
    assert [(route, output, record.profile) for route, output, record in result.methods] == [
        ("r", 1, "safe_harbor")
    ]


# -- validate ----------------------------------------------------------------------------------


def test_validate_parks_with_paths_or_goes_on_with_a_warning() -> None:
    """All violations are in the trace; the reason names places, never values."""
    bad = ADT.replace("|M\r", "|secret-value\r").replace("PV1|1|I", "PV1|1|")
    recorder = Recorder()
    result = routed([{"validate": {}}], bad, recorder=recorder)
    park = result.routes[0].park
    assert park is not None
    assert "PV1-2" in park.reason
    assert "secret" not in park.reason
    assert any("PV1-2" in line for line in recorder.records[0].log)
    warned = routed([{"validate": {"on_error": "warn"}}], bad)
    assert warned.warnings == ("validation",)
    assert warned.deliveries[0].body == bad.encode()


def test_a_validation_profile_is_read_from_the_site_and_checked() -> None:
    """A profile tightens; its mistakes are findings."""
    files = {
        "transforms/lis.yaml": "steps: []\n",
        "profiles/p.yaml": "fields: {ZPI-2: {values: [A]}}\n",
    }
    steps = [{"validate": {"profile": "profiles/p.yaml"}}]
    assert routed(steps, files=files).routes[0].outcome is RouteOutcome.PARKED
    files["profiles/p.yaml"] = "fieldz: {}\n"
    assert [f.code for f in findings_of(steps, files=files)] == ["LNG-016"]


# -- trace -------------------------------------------------------------------------------------


def test_the_recorder_sees_each_step_with_before_after_and_what_decided() -> None:
    """Trace, test and why tell from this which step wrote what, and which rule stopped it."""
    steps = [{"set": {"PID-9": "x"}, "when": "PID-8 == 'M'"},
             {"set": {"PID-9": "y"}, "when": "NK1"},
             {"choose": [{"when": "PID-8 == 'F'", "steps": []}, {"else": [{"clear": ["PID-9"]}]}]},
             {"filter": "enough"}]  # fmt: skip
    recorder = Recorder()
    routed(steps, recorder=recorder, inbound={"steps": [{"clear": ["PV1-1"]}]})
    told = [(r.place, r.owner, r.number, r.kind, r.outcome) for r in recorder.records]
    assert told == [
        ("inbound", "his", "1", "clear", "run"),
        ("route", "r", "1", "set", "run"),
        ("route", "r", "2", "set", "skipped"),
        ("route", "r", "3", "choose", "run"),
        ("route", "r", "3.2.1", "clear", "run"),
        ("route", "r", "4", "filter", "filtered"),
    ]
    first = recorder.records[1]
    assert first.before is not None
    assert first.after is not None
    assert (first.before.get("PID-9"), first.after.get("PID-9")) == ("", "x")
    assert first.decision is not None
    assert first.decision.values == (("PID-8", "M"),)
    assert recorder.records[3].branch == 2


def test_the_recorder_knows_why_a_route_did_not_want_it_and_which_rows_were_used() -> None:
    """why shows the values the rule looked at; coverage counts table rows."""
    recorder = Recorder()
    routed([], recorder=recorder, route={"when": "PV1-2 == 'O'"})
    assert recorder.route_decisions["r"].values == (("PV1-2", "I"),)
    recorder = Recorder()
    routed([{"lookup": {"path": "PID-8", "table": "sex"}}], recorder=recorder)
    assert recorder.rows_used == [("sex", 1)]


def test_a_failed_step_is_recorded_as_failed() -> None:
    """The trace ends at the step that failed."""
    recorder = Recorder()
    routed([{"lookup": {"path": "PID-5.1", "table": "sex"}}], recorder=recorder)
    assert [record.outcome for record in recorder.records] == ["failed"]


def test_recording_changes_nothing() -> None:
    """With and without a recorder the same bytes come out."""
    steps = [{"each": "PID-3", "steps": [{"set": {"PID-3.4": "{{ PID-3.1 | left(2) }}"}}]},
             {"split": {"group": "PV1", "header": ["PID"]}}]  # fmt: skip
    assert routed(steps, recorder=Recorder()).deliveries == routed(steps).deliveries


# -- response ----------------------------------------------------------------------------------

ANSWER = "MSH|^~\\&|MPI|M|ENGINE|HOSP|20261101||RSP^K22|A77|P|2.5\rMSA|AA|X\rPID|||1||葉^x\r"


def test_an_answer_goes_back_with_the_callers_names_id_and_encoding() -> None:
    """The sender cannot tell that another system answered."""
    request = Message.parse(ADT.replace("doe", "東").encode("gb18030"), charset="GB18030")
    steps = {"response": {"steps": [{"set": {"PID-5.2": "{{ PID-5.2 | upper }}"}}]}}
    site, findings = compiled([], route=steps)
    assert not findings
    answer = Message.parse(ANSWER.encode(), charset="UTF-8")
    done = drive_response(
        run_response(site.routes["r"], request=request, answer=answer, arrived=ARRIVED), in_process
    )
    assert done.park is None
    head, msa, pid = (done.body or b"").split(b"\r")[:3]
    assert head.split(b"|")[2:6] == [b"ENGINE", b"HOSP", b"HIS", b"HOSP"]
    assert msa == b"MSA|AA|C0001"
    assert pid == "PID|||1||葉^X".encode("gb18030")


def test_an_answer_whose_steps_fail_is_parked_with_the_reason() -> None:
    """The caller is told by its own ack rule, not by an exception."""
    steps = {"response": {"steps": [{"lookup": {"path": "PID-5.1", "table": "sex"}}]}}
    site, _ = compiled([], route=steps)
    answer = Message.parse(ANSWER.encode())
    run = run_response(site.routes["r"], request=answer, answer=answer, arrived=ARRIVED)
    done = drive_response(run, in_process)
    assert done.body is None
    assert done.park is not None
    assert done.park.step == "1"


def test_arrival_in_another_zone_prints_in_that_zone() -> None:
    """received_at is the site's time."""
    arrived = replace(ARRIVED, timezone=ZoneInfo("Europe/Berlin"))
    assert isinstance(arrived, Arrived)
    result: Any = routed([{"set": {"PID-9.1": "{{ received_at }}"}}], arrived=arrived)
    assert b"20261101033000+0100" in result.deliveries[0].body


def test_routes_see_the_type_as_the_clean_up_left_it() -> None:
    """A sender's wrong MSH-9 is put right before routing."""
    result = routed([], inbound={"steps": [{"set": {"MSH-9.2": "A08"}}]},
                    route={"types": ["ADT^A08"]})  # fmt: skip
    assert result.routes[0].outcome is RouteOutcome.QUEUED


def test_the_expressions_of_a_profile_are_checked_too() -> None:
    """A replace template with a mistake does not wait for a patient."""
    profile = (
        'extends: safe_harbor\nfields:\n  PID-5: {replace: "X^{{ pseudonym(PID-3.1) | %s }}"}\n'
    )
    files = {"transforms/deid/p.yaml": profile % "uper"}
    found = findings_of([{"deidentify": "p"}], files=files)
    assert ("LNG-003", "there is no filter uper") in [(f.code, f.what) for f in found]
    files = {"transforms/deid/p.yaml": profile % "left(4)"}
    found = findings_of([{"deidentify": "p"}], files=files)
    assert [f.what for f in found] == ["a pseudonym is written as it is and takes no filter"]


def test_the_recorder_names_the_element_and_the_output_a_step_was_about() -> None:
    """In a trace one sees which of many OBX a step changed."""
    inner = {"each": "OBX", "steps": [{"clear": ["OBX-8"]}]}
    steps = [{"each": {"group": "OBR"}, "steps": [inner]},
             {"emit": [{"name": "one", "steps": [{"clear": ["PID-8"]}]}]}]  # fmt: skip
    recorder = Recorder()
    routed(steps, ORU, recorder=recorder)
    cleared = [(r.element, r.output) for r in recorder.records if r.kind == "clear"]
    assert cleared == [
        ("OBR[1] OBX[1]", ""), ("OBR[1] OBX[2]", ""), ("OBR[2] OBX[1]", ""), ("", "one"),
    ]  # fmt: skip


def test_a_leak_check_that_fails_keeps_the_output_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be checked is never sent."""

    def broken(*args: Any) -> Any:
        raise ValueError("with a name in it")

    monkeypatch.setattr("engine.deid.leak_check.find_leaks", broken)
    park = routed([{"deidentify": "safe_harbor"}]).deliveries[0].park
    assert park is not None
    assert (park.code, park.reason) == (ParkCode.LEAK, "the leak check failed: ValueError")


def test_a_file_name_that_cannot_be_made_is_the_delivery_id() -> None:
    """No message is lost over the name of its file."""
    file = {"file": {"directory": "out", "name": "{{ MSH-7 | hl7_date('%Y') }}.hl7"}}
    text = ADT.replace("|20261101083000||ADT", "|yesterday||ADT")
    assert routed([], text, outbounds={"f": file}).deliveries[1].file_name == "20261101-7.2.hl7"
    assert routed([], ADT, outbounds={"f": file}).deliveries[1].file_name == "2026.hl7"
