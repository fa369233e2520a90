"""Each step of the language on a message."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.states import ParkCode, RouteOutcome
from engine.pipeline.trace import Recorder
from tests.support.pipelines import ADT, ORU, findings_of, output, routed, segments_of


def park_of(steps: list[Any], text: str = ADT, **site: Any) -> Any:
    """Return why these steps park a message."""
    result = routed(steps, text, **site)
    assert [route.outcome for route in result.routes] == [RouteOutcome.PARKED]
    assert [(delivery.body, delivery.park) for delivery in result.deliveries] == [
        (None, result.routes[0].park)
    ]
    return result.routes[0].park


# -- set, copy, move, clear, nullify, join, let -----------------------------------------------


def test_set_reads_everything_before_it_writes_anything() -> None:
    """Two fields can be swapped in one set."""
    swapped = output([{"set": {"PID-5.1": "{{ PID-5.2 }}", "PID-5.2": "{{ PID-5.1 }}"}}])
    assert swapped.raw_text("PID-5") == "john^doe^m"


def test_literals_on_fields_are_structure_and_values_are_escaped() -> None:
    """On a whole field literal text is HL7, and a value cannot add structure."""
    text = ADT.replace("doe^john", "d\\S\\oe^john")
    done = output([{"set": {"PID-9": "A^B&C~D", "PID-10": "x^{{ PID-5.1 }}"}}], text)
    assert done.raw_text("PID-9") == "A^B&C~D"
    assert done.raw_text("PID-10") == "x^d\\S\\oe"


def test_everything_on_a_component_is_text() -> None:
    """On a component literal separators are text; raw opts out."""
    done = output([{"set": {"PID-9.2": "A^B", "PID-10.1": "{{ 'x&y' | raw }}z&"}}])
    assert done.raw_text("PID-9") == "^A\\S\\B"
    assert done.raw_text("PID-10") == "x&yz\\T\\"


def test_structure_is_written_in_the_messages_own_delimiters() -> None:
    """What is written as usual HL7 leaves in whatever the message declares."""
    text = "MSH#*!?%#HIS#H#E#H#20261101##ADT*A01#C1#P#2.5\rPID#1##1##doe*john\r"
    done = output([{"set": {"PID-9": "A^B&C~D", "PID-10.1": "1*2", "PID-11": "{{ PID-5 | raw }}"}}],
                  text)  # fmt: skip
    assert segments_of(done, "PID") == ["PID#1##1##doe*john####A*B%C!D#1?S?2#doe*john"]


def test_a_whole_segment_can_be_set() -> None:
    """A segment is written with its name, and values in it are escaped."""
    done = output([{"set": {"ZPI": "ZPI|2|{{ PID-5.1 }}^x"}}])
    assert segments_of(done, "ZPI") == ["ZPI|2|doe^x"]


def test_writing_makes_what_is_missing_but_nothing_for_an_empty_value() -> None:
    """A new repetition or segment appears for a value, and no bytes change for an empty one."""
    done = output([{"set": {"PID-3[5='PI'].1": "77", "NK1-2.1": "{{ PID-99 }}", "PV2-3": "x"}}])
    assert done.raw_text("PID-3") == "88001^^^HOSP^MR~110101199003078515^^^CN^NI~77^^^^PI"
    assert segments_of(done, "PV2") == ["PV2|||x"]
    assert segments_of(done, "NK1") == []
    untouched = routed([{"set": {"PID-30": "{{ PID-99 }}", "NK1-2": ""}}])
    assert untouched.deliveries[0].body == ADT.encode()


def test_copy_keeps_structure_and_move_empties_its_source() -> None:
    """Whole fields take their repetitions and components along."""
    done = output(
        [{"copy": {"from": "PID-5", "to": "PID-9"}},
         {"move": [{"from": "PV1-19", "to": "PID-18"}, {"from": "ZPI-2", "to": "PID-3[+]"}]}]
    )  # fmt: skip
    assert done.raw_text("PID-9") == "doe^john^m"
    assert done.get("PID-18") == "V8002"
    assert done.get("PV1-19") == ""
    assert done.raw_text("PID-3[-1]") == "VIP"


def test_moving_nothing_appends_nothing() -> None:
    """An absent source leaves no empty repetition behind."""
    done = output([{"move": {"from": "PID-4", "to": "PID-3[+]"}}])
    assert done.raw_text("PID-3") == "88001^^^HOSP^MR~110101199003078515^^^CN^NI"


def test_clear_empties_and_nullify_says_delete() -> None:
    """Empty and null stay two things."""
    done = output([{"clear": ["PID-8", "PID-3[2]"]}, {"nullify": ["PID-13", "PID-5.3"]}])
    assert done.find("PID-8") == ""
    assert done.raw_text("PID-3") == "88001^^^HOSP^MR~"
    assert done.raw_text("PID-13") == '""'
    assert done.raw_text("PID-5") == 'doe^john^""'


def test_join_makes_one_text_of_several() -> None:
    """Empty values are left out, and nothing is written where there is none."""
    steps = [{"each": {"group": "OBX"}, "steps": [
        {"join": {"from": "NTE[*]-3", "into": "OBX-20", "separator": " / "}},
        {"drop_segments": ["NTE"]}]}]  # fmt: skip
    done = output(steps, ORU)
    assert done.get_all("OBX[*]-20") == ["first note / second note"]
    assert done.get_all("NTE[*]-3") == ["about the patient"]


def test_let_names_a_value_with_its_kind_for_later_steps() -> None:
    """A number stays a number, and a variable nobody set is empty."""
    done = output(
        [{"let": {"count": "{{ PV1-1 | number }}", "name": "{{ PID-5.1 }}!"}},
         {"let": {"never": "x"}, "when": "PID-8 == 'F'"},
         {"set": {"PID-9.1": "{{ name }}{{ count + 1 }}{{ never }}"}}]
    )  # fmt: skip
    assert done.get("PID-9.1") == "doe!2"


# -- lookup ------------------------------------------------------------------------------------


def test_lookup_replaces_in_place_by_the_tables_first_column() -> None:
    """The named column is written, or the second where none is named."""
    assert (
        output([{"lookup": {"path": "PID-8", "table": "sex", "column": "text"}}]).get("PID-8")
        == "Male"
    )
    assert output([{"lookup": {"path": "PID-8", "table": "sex"}}]).get("PID-8") == "1"


@pytest.mark.parametrize(
    ("miss", "sex", "result"),
    [
        ("keep", "X", "X"),
        ("clear", "X", ""),
        ({"value": "9"}, "X", "9"),
        ({"value": "9"}, "", "9"),
        ("park", "", ""),
        ("park", '""', '""'),
        ({"value": "9"}, '""', '""'),
    ],
)
def test_a_value_that_is_not_in_the_table(miss: Any, sex: str, result: str) -> None:
    """miss decides; an empty field gets only a value, and null is left alone."""
    text = ADT.replace("|M\r", f"|{sex}\r")
    done = output([{"lookup": {"path": "PID-8", "table": "sex", "miss": miss}}], text)
    assert done.get("PID-8") == result


def test_an_unknown_value_parks_with_the_path_and_never_with_the_value() -> None:
    """The default of miss is to stop and say where."""
    park = park_of([{"set": {"PID-9": "x"}}, {"lookup": {"path": "PID-8", "table": "sex"}}],
                   ADT.replace("|M\r", "|secret\r"))  # fmt: skip
    assert park == (ParkCode.STEP, "the value is not in the table sex", "2", "PID-8")


def test_lookup_with_every_repetition() -> None:
    """A path with [*] is looked up place by place."""
    steps = [{"lookup": {"path": "OBX[*]-3.1", "table": "loinc", "miss": "keep"}}]
    assert output(steps, ORU).get_all("OBX[*]-3.1") == ["HGB", "NOTE", "K"]


def test_lookup_by_several_keys_writes_several_targets() -> None:
    """All keys must agree, and every target gets its column."""
    files = {"transforms/tables/two.csv": "code,system,local,name\nA,L,1,one\nA,M,2,two\n"}
    text = ADT + "OBR|1|||A^^M\r"
    steps = [{"lookup": {"table": "two", "keys": {"code": "OBR-4.1", "system": "OBR-4.3"},
                         "set": {"OBR-4.4": "local", "OBR-4.5": "name"}}}]  # fmt: skip
    assert output(steps, text, files=files).raw_text("OBR-4") == "A^^M^2^two"
    park = park_of(steps, text.replace("A^^M", "A^^X"), files=files)
    assert park.path == "OBR-4.1, OBR-4.3"


@pytest.mark.parametrize(("day", "unit"), [("20260630", "old"), ("20260701", "new"), ("", "new")])
def test_rows_are_valid_on_a_date(day: str, unit: str) -> None:
    """on_date chooses the row; without it the day of arrival does."""
    steps = [{"lookup": {"table": "dated", "keys": {"code": "OBX-3.1"}, "set": {"OBX-6": "unit"},
                         **({"on_date": "OBX-14"} if day else {})}}]  # fmt: skip
    text = ADT + f"OBX|1|NM|A||5||||||||{day}\r".replace("||||||||", "|||||||||")
    assert output(steps, text).get("OBX-6") == unit


# -- segments ----------------------------------------------------------------------------------


def test_segments_are_kept_and_dropped() -> None:
    """MSH always stays; a condition sees the segment at hand."""
    assert output([{"keep_segments": ["PID"]}]).segment_names() == ["MSH", "PID"]
    assert "ZPI" not in output([{"drop_segments": ["ZPI", "NK1"]}]).segment_names()
    steps = [{"drop_segments": {"segment": "OBX", "where": "OBX-2 == 'NM' and PID-5.1 == 'doe'"}}]
    assert output(steps, ORU).get_all("OBX[*]-5") == ["fine"]


def test_a_segment_is_added_where_it_is_wanted() -> None:
    """after puts it behind the last such segment, in a loop behind the one at hand."""
    add = {"segment": "NTE", "after": "OBX", "fields": {"NTE-1": "9", "3": "on {{ OBX-3.1 }}"}}
    done = output([{"each": "OBX", "where": "OBX-2 == 'NM'", "steps": [{"add_segment": add}]}], ORU)
    assert done.segment_names() == [
        "MSH", "PID", "NTE", "ORC", "OBR", "OBX", "NTE", "NTE", "NTE", "OBX", "ORC", "OBR", "OBX",
        "NTE", "ZDS",
    ]  # fmt: skip
    assert done.get_all("NTE[*]-3")[1] == "on 718-7"
    end = {"segment": "ZZ1", "at": "group_end", "fields": {"1.2": "a^b"}}
    done = output([{"each": {"group": "OBR", "lead": "ORC"}, "steps": [{"add_segment": end}]}], ORU)
    assert done.segment_names()[9:11] == ["ZZ1", "ORC"]
    assert segments_of(done, "ZZ1")[0] == "ZZ1|^a\\S\\b"


def test_what_was_added_to_an_element_belongs_to_it() -> None:
    """A later step of the loop writes to the new segment of its own element."""
    add = {"add_segment": {"segment": "NTE", "after": "OBX"}}
    steps = [{"each": "OBX", "steps": [add, {"set": {"NTE-3": "for {{ OBX-1 }} of {{ OBR-1 }}"}}]}]
    notes = output(steps, ORU).get_all("NTE[*]-3")
    assert notes == ["about the patient", "for 1 of 1", "first note", "second note",
                     "for 2 of 1", "for 1 of 2"]  # fmt: skip


RESULTS = (
    "MSH|^~\\&|L|L|E|L|20261101||ORU^R01|1|P|2.5\rPID|1||1\r"
    "OBR|1\rOBX|1|NM|b||10\rNTE|1||of b\rOBX|2|NM|a||9\r"
    "OBR|2\rOBX|1|NM|d||2\rNTE|1||of d\rOBX|2|NM|c||1\r"
)


def test_sort_moves_groups_whole_and_stays_within_the_order() -> None:
    """Each OBX takes its notes along and never changes to another OBR."""
    done = output([{"sort": {"segment": "OBX", "by": "OBX-3.1"}}], RESULTS)
    assert done.segment_names()[2:] == ["OBR", "OBX", "OBX", "NTE", "OBR", "OBX", "OBX", "NTE"]
    assert done.get_all("OBX[*]-3.1") == ["a", "b", "c", "d"]


def test_sort_by_numbers_and_downwards() -> None:
    """Numbers are sorted as numbers."""
    done = output([{"sort": {"segment": "OBX", "by": ["OBX-5"]}}], RESULTS)
    assert done.get_all("OBX[*]-5") == ["9", "10", "1", "2"]
    done = output([{"sort": {"segment": "OBX", "by": "OBX-5", "order": "descending"}}], RESULTS)
    assert done.get_all("OBX[*]-5") == ["10", "9", "2", "1"]
    done = output([{"sort": {"segment": "OBR", "by": "OBR-1", "order": "descending"}}], RESULTS)
    assert done.get_all("OBX[*]-5") == ["2", "1", "10", "9"]


def test_what_stands_behind_the_last_group_does_not_move_with_it() -> None:
    """The PV1 behind the last NK1 is the patient's; the IN2 behind the last IN1 is its own."""
    text = (
        "MSH|^~\\&|L|L|E|L|20261101||ADT^A01|1|P|2.5\rPID|1||1\r"
        "NK1|1|a\rNTE|1||of a\rNK1|2|b\rPV1|1|I\rIN1|1|x\rIN1|2|y\rIN2|1\rZXX|1\r"
    )
    steps = [
        {"sort": {"segment": name, "by": f"{name}-1", "order": "descending"}}
        for name in ("NK1", "IN1")
    ]
    names = output(steps, text).segment_names()
    assert names == ["MSH", "PID", "NK1", "NK1", "NTE", "PV1", "IN1", "IN2", "IN1", "ZXX"]


BEHIND = (
    "MSH|^~\\&|L|L|E|L|20261101||ADT^A01|1|P|2.5\rPID|1||1\r"
    "NK1|1|a\rNTE|1||of a\rNK1|2|b\rZNK|1\rPV1|1|I\rIN1|1|x\rIN2|1\rZXX|1\r"
)


def test_the_last_group_of_a_loop_ends_where_the_structure_says() -> None:
    """PV1-2 behind the last NK1 is not the relative's; a Z segment behind it is."""
    steps = [{"each": {"group": "NK1"}, "steps": [{"drop_segments": ["PV1", "ZNK", "IN2"]}]},
             {"each": {"group": "IN1"}, "steps": [{"drop_segments": ["IN2"]}]}]  # fmt: skip
    names = output(steps, BEHIND).segment_names()
    assert names == ["MSH", "PID", "NK1", "NTE", "NK1", "PV1", "IN1", "ZXX"]


@pytest.mark.parametrize(("header", "shared"), [(["PID"], []), (["PID", "PV1"], ["PV1"])])
def test_what_stands_behind_the_last_part_goes_with_all_parts_or_none(
    header: list[str], shared: list[str]
) -> None:
    """The PV1 behind the last NK1 is no more of the second relative than of the first."""
    made = routed([{"split": {"group": "NK1", "header": header}}], BEHIND).deliveries
    names = [[line[:3] for line in (one.body or b"").decode().split("\r")[:-1]] for one in made]
    assert names == [
        ["MSH", "PID", "NK1", "NTE", *shared],
        ["MSH", "PID", "NK1", "ZNK", *shared],
    ]


def test_an_order_group_keeps_all_that_repeats_with_it() -> None:
    """In an ORM the DG1 and FT1 behind the last OBR are of that order."""
    text = (
        "MSH|^~\\&|L|L|E|L|20261101||ORM^O01|1|P|2.5\rPID|1||1\rORC|NW\rOBR|1\rORC|NW\rOBR|2\r"
        "DG1|1\rOBX|1\rFT1|1\r"
    )
    made = routed([{"split": {"group": "OBR", "lead": ["ORC"]}}], text).deliveries
    assert (made[1].body or b"").decode().split("\r")[1:-1] == [
        "ORC|NW", "OBR|2", "DG1|1", "OBX|1", "FT1|1",
    ]  # fmt: skip


def test_orders_with_their_common_order_segment_are_sorted_together() -> None:
    """The ORC right before each OBR moves with it."""
    done = output([{"sort": {"segment": "OBR", "by": "OBR-1", "order": "descending"}}], ORU)
    assert done.get_all("ORC[*]-2") == ["O2", "O1"]
    assert done.get_all("OBX[*]-5") == [">10", "13.2", "fine"]


def test_renumber_counts_anew_in_each_group() -> None:
    """OBX restart under each OBR, notes under what they follow, and OBR count through."""
    text = RESULTS.replace("OBX|1|", "OBX|7|").replace("OBR|2", "OBR|5")
    done = output([{"renumber": ["OBX-1", "OBR-1"]}], text)
    assert done.get_all("OBX[*]-1") == ["1", "2", "1", "2"]
    assert done.get_all("OBR[*]-1") == ["1", "2"]
    done = output([{"renumber": ["NTE-1", "OBR-1"]}], ORU.replace("NTE|2", "NTE|5"))
    assert done.get_all("NTE[*]-1") == ["1", "1", "2"]
    assert done.get_all("OBR[*]-1") == ["1", "2"]


# -- each --------------------------------------------------------------------------------------


def test_paths_in_a_loop_mean_the_element_then_what_encloses_it_then_the_header() -> None:
    """OBX-5 is this OBX, OBR-4 its own OBR, PID-5 the patient."""
    steps = [{"each": "OBX", "steps": [
        {"set": {"OBX-18": "{{ OBX-1 }}/{{ OBR-4.1 }}/{{ PID-5.1 }}/{{ NTE-3 }}"}}]}]  # fmt: skip
    assert output(steps, ORU).get_all("OBX[*]-18") == [
        "1/718-7/doe/", "2/718-7/doe/", "1/2823-3/doe/",
    ]  # fmt: skip


def test_groups_in_groups() -> None:
    """Inner loops see only their own part; the notes of an OBX are those behind it."""
    mark = {"set": {"OBX-18": "{{ ORC-2 }}.{{ OBX-1 }}:{{ NTE[*]-3 | join('+') }}"}}
    inner = {"each": {"group": "OBX"}, "steps": [mark]}
    steps = [{"each": {"group": "OBR", "lead": ["ORC"]}, "steps": [inner]}]
    assert output(steps, ORU).get_all("OBX[*]-18") == [
        "O1.1:first note+second note", "O1.2:", "O2.1:",
    ]  # fmt: skip


def test_a_loop_runs_over_repetitions() -> None:
    """Inside each: PID-3 the field means the repetition at hand, for reading and writing."""
    steps = [
        {
            "each": "PID-3",
            "where": "PID-3.5 == 'NI'",
            "steps": [
                {"set": {"PID-3.4": "{{ PID-3.1 | left(6) }}"}},
                {"copy": {"from": "PID-3", "to": "PID-4"}},
            ],
        }
    ]
    done = output(steps)
    assert done.raw_text("PID-3") == "88001^^^HOSP^MR~110101199003078515^^^110101^NI"
    assert done.raw_text("PID-4") == "110101199003078515^^^110101^NI"


def test_a_loop_runs_over_a_snapshot() -> None:
    """What a loop adds is not looped over, and what it removes is not missed."""
    add = [{"each": "OBX", "steps": [{"add_segment": {"segment": "OBX", "after": "OBX",
                                                       "fields": {"1": "99"}}}]}]  # fmt: skip
    assert len(output(add, ORU).segments("OBX")) == 6
    drop = [{"each": "OBX", "steps": [{"drop_segments": ["OBX"]}]}]
    assert output(drop, ORU).segments("OBX") == []


def test_an_index_in_a_loop_counts_within_the_element() -> None:
    """OBX[2] in a group is the group's second."""
    steps = [{"each": {"group": "OBR"}, "steps": [
        {"set": {"OBR-9": "{{ OBX[2]-5 }}|{{ OBX[-1]-5 }}"}}]}]  # fmt: skip
    assert output(steps, ORU).get_all("OBR[*]-9") == ["fine|fine", "|>10"]


def test_steps_cannot_pull_the_ground_from_under_a_loop() -> None:
    """Steps about the whole message are refused inside each."""
    for step in ({"charset": "UTF-8"}, {"split": {"group": "OBX"}}, {"template": {"file": "x.j2"}}):
        found = findings_of([{"each": "OBX", "steps": [step]}])
        assert "cannot stand inside each" in found[0].what


# -- choose, apply, split, emit ----------------------------------------------------------------


def test_choose_takes_the_first_that_fits() -> None:
    """Alternatives are tried in order; else takes the rest; none is fine too."""
    steps = [{"choose": [
        {"when": "PID-8 == 'F'", "steps": [{"set": {"PID-9": "her"}}]},
        {"when": "PV1-2 == 'I'", "steps": [{"set": {"PID-9": "in"}}]},
        {"else": [{"set": {"PID-9": "out"}}]}]}]  # fmt: skip
    assert output(steps).get("PID-9") == "in"
    assert output(steps, ADT.replace("|I|", "|O|")).get("PID-9") == "out"
    assert output([{"choose": steps[0]["choose"][:1]}]).get("PID-9") == ""


TRANSFORM = {
    "transforms/mark.yaml": (
        "steps:\n- set: {PID-9.1: '{{ mark }}'}\n- filter: no\n  when: PV1-2 == 'O'\n"
    )
}


def test_apply_runs_a_list_with_its_own_values() -> None:
    """with gives variables that live inside the list only."""
    steps = [{"apply": {"name": "mark", "with": {"mark": "{{ PID-8 | lower }}"}}}]
    assert output(steps, files=TRANSFORM).get("PID-9.1") == "m"
    leaking = [*steps, {"set": {"PID-10": "{{ mark }}"}}]
    found = findings_of(leaking, files=TRANSFORM)
    assert [finding.what for finding in found] == ["there is no variable mark"]
    result = routed(steps, ADT.replace("|I|", "|O|"), files=TRANSFORM)
    assert (result.routes[0].outcome, result.routes[0].reason) == (RouteOutcome.FILTERED, "no")


def test_a_failed_step_in_a_list_is_numbered_as_the_analyst_counts() -> None:
    """Step 2 of the list applied in step 1 is 1.2; an alternative counts too."""
    files = {
        "transforms/two.yaml": "steps:\n- clear: [PID-9]\n- lookup: {path: PID-8, table: sex}\n"
    }
    park = park_of([{"apply": "two"}], ADT.replace("|M\r", "|X\r"), files=files)
    assert park.step == "1.2"
    look = {"lookup": {"path": "PID-5.1", "table": "sex"}}
    chosen = [{"clear": ["PID-9"]}, {"choose": [{"else": [look]}]}]
    assert park_of(chosen).step == "2.1.1"


def test_split_makes_one_message_per_group() -> None:
    """Each part has the header segments and its group; parts 2..n get MSH-10 + -n."""
    steps = [{"split": {"group": "OBR", "lead": ["ORC"], "header": ["MSH", "PID"]}},
             {"set": {"PID-2": "{{ part }}"}}]  # fmt: skip
    result = routed(steps, ORU)
    bodies = [(delivery.body or b"").decode().split("\r") for delivery in result.deliveries]
    assert [delivery.control_id for delivery in result.deliveries] == ["R0003", "R0003-2"]
    assert [delivery.output for delivery in result.deliveries] == [1, 2]
    assert [[line[:3] for line in body[:-1]] for body in bodies] == [
        ["MSH", "PID", "ORC", "OBR", "OBX", "NTE", "NTE", "OBX"],
        ["MSH", "PID", "ORC", "OBR", "OBX", "ZDS"],
    ]
    assert bodies[1][1] == "PID|1|2|88001^^^HOSP^MR||doe^john"


def test_the_trace_of_a_split_tells_what_its_parts_are() -> None:
    """Without it a trace would show a split as a step that changed nothing."""
    recorder = Recorder()
    routed(
        [{"split": {"group": "OBR", "lead": ["ORC"], "header": ["PID"]}}], ORU, recorder=recorder
    )
    assert recorder.records[0].log == (
        "part 1 of 2, R0003: MSH PID ORC OBR OBX×2 NTE×2",
        "part 2 of 2, R0003-2: MSH PID ORC OBR OBX ZDS",
    )
    recorder = Recorder()
    routed([{"split": {"group": "OBR"}}], ADT, recorder=recorder)
    assert recorder.records[0].log == ("there is no OBR: the message goes on as it is",)


def test_filtered_parts_leave_the_others() -> None:
    """A filter behind a split stops single parts; the route is filtered when none is left."""
    split = {"split": {"group": "OBR", "lead": ["ORC"], "header": ["PID"]}}
    result = routed([split, {"filter": "not ours", "when": "OBR-4.1 == '718-7'"}], ORU)
    assert [delivery.control_id for delivery in result.deliveries] == ["R0003-2"]
    result = routed([split, {"filter": "none of them"}], ORU)
    assert result.deliveries == ()
    assert result.routes[0].reason == "none of them"


def test_a_part_that_fails_parks_the_whole_route() -> None:
    """Either all parts go or a person decides; nobody gets half a message."""
    split = {"split": {"group": "OBR", "lead": ["ORC"], "header": ["PID"]}}
    double = {"set": {"OBX-5": "{{ OBX[2]-5 | number | times(2) }}"}, "when": "part == 2"}
    assert park_of([split, double], ORU).step == "2"


def test_emit_makes_several_outputs_in_order() -> None:
    """Each output is made on its own copy; later steps run on every one."""
    steps = [{"emit": [{"name": "one", "steps": [{"set": {"MSH-9.2": "A08"}}]},
                       {"name": "two", "steps": [{"set": {"MSH-9.2": "A30"}}]}]},
             {"set": {"MSH-5": "ALL"}}]  # fmt: skip
    result = routed(steps)
    assert [(d.number, d.output, d.control_id) for d in result.deliveries] == [
        (1, 1, "C0001"), (2, 2, "C0001-2"),
    ]  # fmt: skip
    heads = [(delivery.body or b"").split(b"\r")[0].split(b"|") for delivery in result.deliveries]
    assert [(head[4], head[8]) for head in heads] == [
        (b"ALL", b"ADT^A08^ADT_A01"), (b"ALL", b"ADT^A30^ADT_A01"),
    ]  # fmt: skip


# -- template, charset, filter, python ---------------------------------------------------------


def test_a_template_makes_the_whole_output() -> None:
    """Blank lines are dropped, LF becomes CR, values are escaped."""
    source = (
        "MSH|^~\\&|{{ MSH-3 }}|||{{ MSH-6 }}|{{ received_at | date('%Y%m%d') }}||ADT^A08"
        "|{{ MSH-10 }}|P|2.3\n{% for n in each('PID-3') %}\n\n"
        "ZID|{{ n }}|{{ PID-3.1 }}\n{% endfor %}\n"
        "ZPI|{{ PID-5.1 }}\n"
    )
    text = ADT.replace("doe", "d\\T\\e")
    result = routed([{"template": {"file": "a08.j2"}}], text,
                    files={"transforms/templates/a08.j2": source})  # fmt: skip
    assert result.deliveries[0].body == (
        b"MSH|^~\\&|HIS|||HOSP|20261101||ADT^A08|C0001|P|2.3\rZID|1|88001\r"
        b"ZID|2|110101199003078515\rZPI|d\\T\\e\r"
    )


def test_a_template_keeps_the_encoding_of_the_message() -> None:
    """Chinese names leave in the bytes they came in, or in what the new MSH-18 declares."""
    text = ADT.replace("doe", "葉東").encode("gb18030")
    for declared, codec in (("", "gb18030"), ("UNICODE UTF-8", "utf-8")):
        source = (
            f"MSH|^~\\&|A|B|C|D|2026||ADT^A08|1|P|2.3||||||{declared}\nPID|||||{{{{ PID-5.1 }}}}\n"
        )
        result = routed([{"template": {"file": "x.j2"}}], text, charset="GB18030",
                        files={"transforms/templates/x.j2": source})  # fmt: skip
        assert "葉東".encode(codec) in (result.deliveries[0].body or b"")


def test_a_template_that_makes_no_hl7_parks() -> None:
    """What does not begin with MSH is not sent to anybody."""
    files = {"transforms/templates/x.j2": "hello {{ PID-5.1 }}"}
    assert "no HL7" in park_of([{"template": {"file": "x.j2"}}], files=files).reason


def test_charset_sets_the_encoding_and_says_so() -> None:
    """MSH-18 follows; a character that does not exist there parks instead of turning into ?."""
    text = ADT.replace("doe", "葉東")
    result = routed([{"charset": "GB18030"}], text, charset="UTF-8")
    body = result.deliveries[0].body or b""
    assert "葉東".encode("gb18030") in body
    assert b"GB 18030-2000" in body.split(b"\r")[0]
    parked = routed([{"charset": "8859/1"}], text, charset="UTF-8").deliveries[0]
    assert parked.body is None
    assert parked.park is not None
    assert parked.park.code is ParkCode.CHARSET


PYTHON = {
    "transforms/python/steps.py": (
        "from decimal import Decimal\n"
        "def mark(message, context):\n"
        "    for obx in message.segments('OBX'):\n"
        "        value = obx.number('OBX-5')\n"
        "        obx['OBX-8'] = 'none' if value is None else str(value > Decimal('6.5'))\n"
        "    message['PID-9.1'] = context.lookup('loinc', 'local', '718-7') + context.vars['LAB']\n"
        "    context.log('done ' + context.route)\n"
        "    return message\n"
        "def keep(message, context):\n    return message\n"
        "def fail(message, context):\n    raise ValueError(message['PID-5.1'])\n"
        "def nothing(message, context):\n    pass\n"
        "def foreign(message, context):\n    return message.as_python_hl7()\n"
    )
}


def test_a_python_step_sees_text_numbers_tables_and_vars() -> None:
    """The function of transforms/python changes the message."""
    done = output([{"python": "steps:mark"}], ORU, files=PYTHON)
    assert done.get_all("OBX[*]-8") == ["True", "none", "none"]
    assert done.get("PID-9.1") == "HGBL1"


def test_a_python_step_that_changes_nothing_leaves_the_bytes() -> None:
    """Not one byte differs, whatever the encoding."""
    text = ADT.replace("doe", "葉東").encode("gb18030")
    result = routed([{"python": "steps:keep"}], text, charset="GB18030", files=PYTHON)
    assert result.deliveries[0].body == text
    assert output([{"python": "steps:foreign"}], files=PYTHON).get("PID-5.1") == "doe"


@pytest.mark.parametrize("function", ["fail", "nothing"])
def test_a_python_step_that_fails_parks(function: str) -> None:
    """The reason names what happened, not the patient."""
    park = park_of([{"python": f"steps:{function}"}], files=PYTHON)
    assert park.step == "1"
    assert "doe" not in park.reason


@pytest.mark.parametrize(
    ("step", "code", "what"),
    [
        ({"python": "stps:mark"}, "LNG-005", "no module stps"),
        ({"python": "steps:mrk"}, "LNG-007", "no function mrk"),
        ({"apply": "nothing"}, "LNG-005", "no transform nothing"),
        ({"template": {"file": "no.j2"}}, "LNG-005", "no template no.j2"),
        ({"lookup": {"path": "PID-8", "table": "sx"}}, "LNG-004", "no table sx"),
        ({"lookup": {"path": "PID-8", "table": "sex", "column": "li"}}, "LNG-004", "no column li"),
        ({"charset": "GB2"}, "LNG-006", "no character set GB2"),
        ({"set": {"PID5": "x"}}, "LNG-002", "'PID5' is not a path"),
        ({"set": {"PID-5": "{{ PID-5 | uper }}"}}, "LNG-003", "no filter uper"),
        ({"clear": ["NK1"]}, "LNG-002", "NK1 is a whole segment"),
        ({"copy": {"from": "OBX[*]-5", "to": "PID-9"}}, "LNG-010", "means many values"),
        ({"copy": {"from": "PID-3[+]", "to": "PID-9"}}, "LNG-002", "it cannot be read"),
        ({"drop_segments": ["MSH"]}, "LNG-010", "MSH cannot be dropped"),
        ({"keep_segments": ["pid"]}, "LNG-010", "'pid' is no segment name"),
        ({"let": {"route": "x"}}, "LNG-010", "route is a value of every message"),
        ({"let": {"OBX": "x"}}, "LNG-010", "cannot be a variable"),
        ({"each": "PID-3.1", "steps": []}, "LNG-002", "segments or the repetitions"),
        ({"filter": "{{ PID-5 }}"}, "LNG-010", "plain text"),
        ({"set": {"PID-9": "x"}, "when": "PID-8 = 'M'"}, "LNG-001", "write =="),
    ],
)
def test_what_is_wrong_with_a_step_is_found(step: Any, code: str, what: str) -> None:
    """Every mistake has its code, its words and its place."""
    found = findings_of([step], files=PYTHON)
    assert [finding.code for finding in found] == [code]
    assert what in found[0].what
    assert found[0].loc[:4] == ("routes", "r", "steps", 0)


def test_transforms_that_apply_themselves_are_found() -> None:
    """A circle is a finding, not an endless loop."""
    files = {
        "transforms/a.yaml": "steps:\n- apply: b\n",
        "transforms/b.yaml": "steps:\n- apply: a\n",
    }
    found = findings_of([{"apply": "a"}], files=files)
    assert "applies itself: a -> b -> a" in found[0].what


def test_steps_that_make_several_messages_belong_to_routes() -> None:
    """Clean-up and receivers' wishes change one message into one."""
    found = findings_of([], inbound={"steps": [{"split": {"group": "OBR"}}]},
                        outbound={"steps": [{"emit": [{"name": "x", "steps": []}]}]})  # fmt: skip
    assert sorted(finding.code for finding in found) == ["LNG-010", "LNG-010"]


def test_a_value_that_cannot_be_made_names_the_place_it_was_for() -> None:
    """At night one reads which field it was about."""
    park = park_of([{"set": {"PID-9": "x", "PID-7": "{{ PID-5.1 | hl7_date('%Y') }}"}}])
    assert (park.step, park.path) == ("1", "PID-7")
    park = park_of([{"let": {"value": "{{ PID-5.1 | number }}"}}])
    assert (park.step, park.path) == ("1", "PID-5.1")
    assert "doe" not in park.reason


def test_thousands_of_segments_are_changed_and_split_in_reasonable_work() -> None:
    """The work of a loop or a split grows with the message, not with its square."""
    many = RESULTS + "".join(f"OBX|{n}|NM|z||{n}\rNTE|1||x\r" for n in range(3, 2003))
    add = {"add_segment": {"segment": "NTE", "after": "OBX", "fields": {"3": "{{ OBX-5 }}"}}}
    done = output([{"each": "OBX", "steps": [add, {"clear": ["OBX-8"]}]}], many)
    assert done.segment_names()[-6:] == ["OBX", "NTE", "NTE", "OBX", "NTE", "NTE"]
    assert done.get_all("NTE[*]-3")[-2:] == ["2002", "x"]
    drop = [{"each": {"group": "OBX"}, "steps": [{"drop_segments": ["NTE"]}]}]
    assert "NTE" not in output(drop, many).segment_names()
    parts = routed([{"split": {"group": "OBX", "header": ["PID"]}}], many).deliveries
    assert len(parts) == 2004
    assert (parts[-1].body or b"").decode().split("\r")[1:] == [
        "PID|1||1", "OBX|2002|NM|z||2002", "NTE|1||x", "",
    ]  # fmt: skip


def test_what_a_loop_puts_in_and_takes_out_adds_up() -> None:
    """Several additions, a removal and an inner loop on the same element."""
    steps = [{"each": {"group": "OBR", "lead": ["ORC"]}, "steps": [
        {"drop_segments": ["NTE"]},
        {"each": "OBX", "steps": [{"add_segment": {"segment": "NTE", "after": "OBX",
                                                   "fields": {"3": "a{{ OBX-1 }}"}}},
                                  {"add_segment": {"segment": "NTE", "after": "NTE",
                                                   "fields": {"3": "b"}}},
                                  {"add_segment": {"segment": "ZZ1", "after": "OBX"}}]},
        {"add_segment": {"segment": "ZZ2", "at": "group_end"}},
        {"drop_segments": ["ZZ1"], "when": "ORC-2 == 'O2'"}]}]  # fmt: skip
    done = output(steps, ORU)
    assert done.segment_names() == [
        "MSH", "PID", "NTE", "ORC", "OBR", "OBX", "ZZ1", "NTE", "NTE", "OBX", "ZZ1", "NTE", "NTE",
        "ZZ2", "ORC", "OBR", "OBX", "NTE", "NTE", "ZDS", "ZZ2",
    ]  # fmt: skip
    assert done.get_all("NTE[*]-3") == ["about the patient", "a1", "b", "a2", "b", "a1", "b"]


def test_what_is_put_behind_something_gone_stands_where_that_stood() -> None:
    """An element that lost all its segments, then is sorted around, still gets its new one."""
    steps = [{"each": {"group": "OBR", "lead": ["ORC"]}, "steps": [
        {"each": "OBX", "steps": [
            {"add_segment": {"segment": "ZZ1", "after": "OBX"}},
            {"drop_segments": ["OBX", "ZZ1"]},
        ]},
        {"sort": {"segment": "NTE", "by": "NTE-3", "order": "descending"}},
        {"add_segment": {"segment": "ZZ2", "at": "group_end"}},
    ]}]  # fmt: skip
    done = output(steps, ORU)
    assert done.segment_names() == [
        "MSH", "PID", "NTE", "ORC", "OBR", "NTE", "NTE", "ZZ2", "ORC", "OBR", "ZDS", "ZZ2",
    ]  # fmt: skip
    assert done.get_all("NTE[*]-3")[1:] == ["second note", "first note"]
    emptied = [{"each": "OBX", "steps": [{"drop_segments": ["OBX"]}, {"set": {"ZZ3-1": "x"}}]}]
    assert output(emptied, ORU).segment_names()[5:8] == ["ZZ3", "NTE", "NTE"]
