"""The filters of the trade, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from engine.pipeline.failures import StepFailed
from engine.pipeline.filters import FILTERS
from engine.pipeline.templates import compile_template
from tests.support.pipelines import ADT, known, run_on


def shown(text: str, message: str = ADT, **how: Any) -> str:
    """Return what a value prints as."""
    template, objections = compile_template("{{ " + text + " }}", known())
    assert template is not None, [str(objection) for objection in objections]
    return template.render(run_on(message, **how))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("'Straße' | upper", "STRASSE"),
        ("'ÄB' | lower", "äb"),
        ("'\u3000 x ' | trim", "x"),
        ("'7' | pad(3, '0')", "007"),
        ("'1234' | pad(3, '0')", "1234"),
        ("'' | pad(3, '0')", ""),
        ("7 | pad(3, '0')", "007"),
        ("'+86 (555) 12-３' | digits", "86555123"),
        ("'abcdef' | left(2)", "ab"),
        ("'abcdef' | right(2)", "ef"),
        ("'ab' | right(5)", "ab"),
        ("'ab' | right(0)", ""),
        ("'abcdef' | mid(2, 3)", "bcd"),
        ("'abcdef' | mid(4)", "def"),
        ("'W1-101-A' | split_part('-', 2)", "101"),
        ("'W1-101-A' | split_part('-', -1)", "A"),
        ("'W1' | split_part('-', 2)", ""),
        ("'5,5' | replace(',', '.')", "5.5"),
        (r"'a1b22' | regex_replace('\d+', '#')", "a#b#"),
        (r"'Doe, John' | regex_replace('^(\w+), (\w+)$', '\2 \1')", "John Doe"),
        ("PID-3[*].1 | join('~')", "88001~110101199003078515"),
        ("\"o'brien-smith of\" | title_name", "O'Brien-Smith Of"),
        ("'JOHN' | title_name", "John"),
        ("'欧阳修' | cn_family", "欧阳"),
        ("'欧阳修' | cn_given", "修"),
        ("'张三丰' | cn_family", "张"),
        ("'张三丰' | cn_given", "三丰"),
        ("'欧阳' | cn_given", "阳"),
        ("'DOE' | cn_given", ""),
        ("'买买提·艾力' | cn_family", "买买提"),
        ("'19900307081500' | hl7_date('%d.%m.%Y %H:%M')", "07.03.1990 08:15"),
        ("'19900307' | hl7_date('%Y%m%d%H%M%S')", "19900307000000"),
        ("'19900307081500.123+0800' | hl7_date('%Y-%m-%dT%H:%M:%S')", "1990-03-07T08:15:00"),
        ("'' | hl7_date('%Y')", ""),
        ("'1990' | hl7_date('%Y')", "1990"),
        ("'19900307' | hl7_date('%d-%b-%Y')", "07-Mar-1990"),
        ("'07/03/1990' | to_hl7('%d/%m/%Y')", "19900307"),
        ("'07/03/1990 08:15' | to_hl7('%d/%m/%Y %H:%M')", "199003070815"),
        ("'Aug 15, 1942' | to_hl7('%b %d, %Y')", "19420815"),
        ("'' | to_hl7('%Y')", ""),
        ("received_at | date('%Y-%m-%d %H:%M')", "2026-11-01 10:30"),
        ("'20261231' | add_days(1)", "20270101"),
        ("'202612312359+0800' | add_days(-365)", "202512312359+0800"),
        ("'20261110' | date_diff('20261101')", "9"),
        ("'20261101083000' | date_diff('20261101080000', 'minutes')", "30"),
        ("'20261101' | date_diff('')", ""),
        ("'19901101' | age('20261101')", "36"),
        ("'19901102' | age('20261101')", "35"),
        ("'19901102' | age", "35"),
        ("'' | age", ""),
        ("'' | default('U')", "U"),
        ("PID-99 | default('U')", "U"),
        ("PID-8 | default('U')", "M"),
        ("'' | null", '""'),
        ("'x' | null", "x"),
        ("'abc' | length", "3"),
        ("PID-3[*].1 | length", "2"),
        ("PID-3[*].1 | first", "88001"),
        ("PID-3[*].1 | last", "110101199003078515"),
        ("['b', 'a', 'b'] | unique | sort | join('')", "ab"),
        ("PID-8 | lookup('sex', 'text')", "Male"),
    ],
)  # fmt: skip
def test_filters_give_what_they_promise(text: str, result: str) -> None:
    """Each filter gives this text for this value."""
    assert shown(text) == result


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("'x' | hl7_date('%Y')", "needs an HL7 time"),
        ("'19901301' | hl7_date('%Y')", "not in the calendar"),
        ("'1990' | hl7_date('%Y%m%d')", "the time has no month"),
        ("'199003' | hl7_date('%Y%m%d')", "the time has no day"),
        ("'31/31/1990' | to_hl7('%d/%m/%Y')", "not written as"),
        ("'1990' | add_days(1)", "needs a time with a day"),
        ("'20261101' | add_days(99999999)", "leaves the calendar"),
        ("'20261101+0800' | date_diff('20261101', 'hours')", "has a zone"),
        ("'X' | lookup('sex', 'lis')", "not in the table sex"),
        ("'a' | mid(0)", "counts from 1"),
        ("'a' | split_part('', 1)", "needs a separator"),
        ("'a' | pad(99999, '0')", "pad takes a width"),
        ("'a' | pad(5, 'xy')", "one character"),
        ("'x' | times(2)", "needs a number"),
        ("'5' | decimals(99)", "0 to 24 digits"),
    ],
)
def test_filters_fail_in_plain_words_without_the_value(text: str, reason: str) -> None:
    """A filter that cannot do its work says why, and never shows what it was given."""
    with pytest.raises(StepFailed, match=reason) as caught:
        shown(text)
    assert "31/31" not in caught.value.reason


def test_truncate_bytes_never_cuts_a_character_in_two() -> None:
    """A limit in bytes of the message's own encoding leaves whole characters."""
    text = ADT.replace("doe", "葉東")
    assert shown("PID-5.1 | truncate_bytes(3)", text, charset="GB18030") == "葉"
    assert shown("PID-5.1 | truncate_bytes(5)", text, charset="UTF-8") == "葉"
    assert shown("PID-5.1 | truncate_bytes(6)", text, charset="UTF-8") == "葉東"


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_every_filter_is_explained_by_an_example_that_compiles(name: str) -> None:
    """The example in the documentation of a filter is right."""
    spec = FILTERS[name]
    assert spec.about
    template, objections = compile_template("{{ " + spec.example + " }}", known())
    listing = name in ("unique", "sort")
    if listing:
        assert [objection.what for objection in objections] == [
            "this is a list, one value is needed"
        ]
    else:
        assert template is not None, [str(objection) for objection in objections]


@pytest.mark.parametrize(
    "text",
    [
        "PID-9 | replace('x', PID-10)",
        "PID-9 | regex_replace('x', PID-10)",
        "PID-10 ~ PID-10 ~ PID-10 ~ PID-10 ~ PID-10 ~ PID-10 ~ PID-10 ~ PID-10 ~ PID-10",
    ],
)
def test_no_filter_makes_a_text_without_bound(text: str) -> None:
    """The size is worked out before the text is made."""
    message = ADT.replace("|M\r", "|M|" + "x" * 10_000 + "|" + "y" * 2_000_000 + "\r")
    with pytest.raises(StepFailed, match="longer than"):
        shown(text, message)


def test_sums_of_long_numbers_stay_exact() -> None:
    """Nothing is rounded that was not asked to be."""
    long = "123456789012345678901234.123456789012"
    assert (
        shown(f"'{long}' | times('1.0001') | decimals(15)")
        == "123469134691246913469124.246869134690901"
    )
    assert shown(f"'{long}' | plus('0.000000000001')") == "123456789012345678901234.123456789013"
