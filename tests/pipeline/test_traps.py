"""What is found before there is a message, and the plain words an analyst reads then."""

from __future__ import annotations

import pytest

from engine.pipeline.expressions import compile_condition
from engine.pipeline.failures import LanguageError, StepFailed
from engine.pipeline.regexes import compile_regex
from engine.pipeline.templates import compile_template
from tests.support.pipelines import known


def objections_to(text: str) -> list[LanguageError]:
    """Return what is wrong with a condition."""
    return compile_condition(text, known())[1]


TRAPS = [
    ("PID-8 = 'M'", "LNG-001", "write == to compare", "", 6),
    ("PID-8 && PID-7", "LNG-001", "write and instead of &&", "", 6),
    ("!PID-8", "LNG-001", "write not instead of !", "", 0),
    ("PID-8 AND PID-7", "LNG-001", "write and in small letters", "", 6),
    ("PID-8 == 'M", "LNG-001", "a quote is never closed", "", 9),
    ("(PID-8", "LNG-001", "", "", 0),
    ("PID-8)", "LNG-001", ") has no opening bracket", "", 5),
    ("{{ PID-8 }}", "LNG-001", "an expression already", "without {{ }}", 0),
    ("PID-8 == 'M' PID-7", "LNG-001", "PID-7 is not expected here", "and / or", 13),
    ("PID-8 <> 'M'", "LNG-001", "write != instead of <>", "", 6),
    ("PID-8 ? 'a' : 'b'", "LNG-001", "'A' if CONDITION else 'B'", "", 6),
    ("PID-8 eq 'M'", "LNG-001", "eq is not expected here", "write ==", 6),
    ("PID-8 IN ['M']", "LNG-001", "IN is not expected here", "write it small: in", 6),
    ("PID-8 != null", "LNG-003", "null means nothing here", "is null", 9),
    ("PID-3,1 == 'x'", "LNG-001", ", is not expected here", "with a dot: PID-5.1", 0),
    ("OBX-5 | number > '6'", "LNG-011", "with the text '6'", "quotes off: 6", 0),
    ("OBX-5 | number == '6'", "LNG-011", "with the text '6'", "quotes off: 6", 0),
    ("PID-3[x]", "LNG-002", "'PID-3[x]' is not a path", "PID-5.1", 0),
    ("PID.5", "LNG-002", "'PID.5' is not a path", "did you mean PID-5?", 0),
    ("PID-5.1.upper() == 'A'", "LNG-002", "has no .upper(…)", "write PID-5.1 | upper", 0),
    ("PID-5.strip().lower() == 'A'", "LNG-002", "has no .strip(…)", "write PID-5 | trim", 0),
    ("PID-0", "LNG-002", "counts from 0", "", 0),
    ("pid-8 == 'M'", "LNG-003", "no variable pid", "in capitals: PID-8", 0),
    ("PID8 == 'M'", "LNG-003", "no variable PID8", "PID-8", 0),
    ("PID-8 == M", "LNG-003", "no variable M", "quotes: 'M'", 9),
    ("PID-8 == ORU", "LNG-011", "ORU alone means the segment", "'ORU'", 9),
    ("mesage_id == 'x'", "LNG-003", "no variable mesage_id", "message_id", 0),
    ("PID-8 | uper == 'M'", "LNG-003", "no filter uper", "did you mean upper?", 8),
    ("OBX-5 | float > 1", "LNG-003", "no filter float", "VALUE | number", 8),
    ("OBX-5 | int > 1", "LNG-003", "no filter int", "VALUE | number", 8),
    ("OBX-5 | number | round == 1", "LNG-003", "no filter round", "decimals", 17),
    ("upper(PID-8) == 'M'", "LNG-003", "upper is a filter", "VALUE | upper", 0),
    ("now() == 'x'", "LNG-003", "no function now", "", 0),
    ("PID-8 is defined", "LNG-003", "no test is defined", "", 9),
    ("vars.LIS == 'x'", "LNG-003", "no vars.LIS", "", 5),
    ("PID-8 | lookup('sexx', 'lis')", "LNG-004", "no table sexx", "did you mean sex?", 8),
    ("PID-8 | lookup('sex', 'list')", "LNG-004", "no column list", "did you mean lis?", 8),
    ("PID-8 | lookup('sex')", "LNG-012", "lookup is called with 1", "lookup('sex', 'lis'", 8),
    ("OBX-5 > '6.5'", "LNG-011", "text is not ordered", "VALUE | number", 0),
    ("OBX-5 > 6.5", "LNG-011", "text is not ordered", "VALUE | number", 0),
    ("PID-8 == 1", "LNG-011", "text is compared with a number", "quote the number", 0),
    ("PID-8 in 'MF'", "LNG-011", "in needs a list on its right", "['A', 'B']", 0),
    ("PID-8 in ('M', 'F')", "LNG-001", "square brackets", "", 0),
    ("PID-8 in [1, 2]", "LNG-011", "text is compared with a number", "quote the numbers", 0),
    ("OBX[*]-5 == 'x'", "LNG-011", "a list is compared with one value", "'X' in OBX", 0),
    ("OBX[*]-5 | upper == 'X'", "LNG-011", "this is a list", "join", 0),
    ("PID-5 - 1 == 2", "LNG-011", "text is not calculated with -", "PID-5.1", 0),
    ("PID - 5 == 'x'", "LNG-011", "text is not calculated with -", "without blanks: PID-5", 0),
    ("PID-5.1 + PID-5.2 == 'x'", "LNG-011", "text is not calculated with +", "with ~", 0),
    ("PID-8 == 'M' or 'F'", "LNG-013", "'F' alone is always true", "in ['I', 'E']", 17),
    ("PID-8 | pad", "LNG-012", "pad is called with 0", "pad(10, '0')", 8),
    ("PID-8 | pad('10', '0')", "LNG-012", "pad takes a number", "", 8),
    ("OBX-5 | number(default=0) == 0", "LNG-012", "number knows no default=", "else=0", 8),
    ("PID-3 | matches('(')", "LNG-014", "the regular expression is wrong", "", 8),
    ("PID-3 | matches('(a+)+$')", "LNG-014", "a repeat inside a repeat", "", 8),
    ("PID-3 | matches(PID-8)", "LNG-012", "the pattern must be written out", "", 8),
    ("PID-3 | regex_replace('a', '\\2') == ''", "LNG-014", "the replacement is wrong", "", 8),
    ("PID-7 | hl7_date('%q') == ''", "LNG-012", "%q is no part of a time", "", 8),
    ("PID-7 | date('%Y') == ''", "LNG-011", "date is for received_at", "hl7_date", 0),
    ("none == PID-8", "LNG-003", "none means nothing", "is null", 0),
    ("PID-3['MR'] == ''", "LNG-002", "is not a path", "", 0),
    ("(PID-5)[0] == ''", "LNG-001", "takes nothing out of a value", "first", 0),
    ("message_id.upper == ''", "LNG-001", "nothing has a .upper", "", 0),
    ("''.__class__ == ''", "LNG-001", "two underscores", "", 3),
    ("2 ** 3 == 8", "LNG-001", "", "", 0),
    ("{'a': 1} == 1", "LNG-001", "", "", 0),
]


@pytest.mark.parametrize(("text", "code", "what", "fix", "offset"), TRAPS)
def test_each_trap_is_found_with_plain_words(
    text: str, code: str, what: str, fix: str, offset: int
) -> None:
    """The mistake is found without a message: its code, its words, its remedy, its place."""
    objections = objections_to(text)
    assert objections, text
    first = objections[0]
    assert first.code == code
    assert what in first.what
    assert fix in first.fix
    assert first.offset == offset


def test_all_mistakes_of_one_expression_are_found_at_once() -> None:
    """An analyst does not have to mend one mistake to see the next."""
    found = [objection.what for objection in objections_to("PID-8 | uper == x and y == 'z'")]
    assert found == ["there is no filter uper", "there is no variable x", "there is no variable y"]


def test_an_empty_condition_is_refused() -> None:
    """A rule that says nothing is nobody's rule."""
    assert objections_to("  ")[0].what == "the expression is empty"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ PID-5", "{{ is never closed"),
        ("{# note", "{# is never closed"),
        ("{% if PID-8 %}x", "{% if %} is never closed"),
        ("{{ if PID-8 }}", "PID-8 is not expected here"),
        ("{{ PID-3,1 | upper }}", "a list is written in square brackets"),
        ("{{ PID-8 upper }}", "upper is not expected here"),
        ("{% include 'x' %}", "there is no {% include %}"),
        ("{% macro x() %}{% endmacro %}", "there is no {% macro %}"),
        ("{% for x in PID-5 %}{% endfor %}", "for runs over a list"),
        ("{% for x in PID-3[*].1 if x %}{% endfor %}", "no condition of its own"),
        ("{{ PID-3[*].1 }}", "this is a list"),
        ("{% for n in each(PID-5) %}{% endfor %}", "each('OBX')"),
        ("{% for n in each('OBX-3.1') %}{% endfor %}", "each runs over segments"),
        ("{{ loop.index }}", "nothing has a .index"),
        ("{% raw %}{{ PID-5 }}{% endraw %}", "there is no {% raw %}"),
    ],
)
def test_mistakes_in_templates_are_found(text: str, what: str) -> None:
    """Templates are checked as expressions are."""
    template, objections = compile_template(text, known())
    assert template is None
    assert any(what in objection.what + objection.fix for objection in objections), [
        str(objection) for objection in objections
    ]


def test_a_name_of_a_loop_is_unknown_behind_it() -> None:
    """What a loop names does not leak out."""
    text = "{% for x in PID-3[*].1 %}{{ x }}{% endfor %}{{ x }}"
    _, objections = compile_template(text, known())
    assert [objection.what for objection in objections] == ["there is no variable x"]


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a*)*b", "(\\w+\\s?)+$", "(a|ab)+", "(.*a){20}", "((a{1,9}){9}){9}", "(a)\\1"],
)
def test_patterns_that_can_take_for_ever_are_refused(pattern: str) -> None:
    """No pattern of an analyst can stop the engine."""
    with pytest.raises(LanguageError):
        compile_regex(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["^\\d{8}$", "(\\d{1,3}\\.){3}\\d{1,3}", "^[A-Z]+-\\d+$", "(?:foo|bar)+", "a?b*c+", "(ab)+"],
)
def test_ordinary_patterns_are_taken(pattern: str) -> None:
    """The guard does not get in the way of everyday patterns."""
    assert compile_regex(pattern).max_text > 100


def test_a_pattern_that_grows_by_a_power_gets_a_limit_on_its_text() -> None:
    """What is only slow on long texts is refused on long texts, not everywhere."""
    regex = compile_regex(".*a.*b.*c")
    assert regex.search("xxaxxbxxc") is not None
    with pytest.raises(StepFailed, match="too long for this regular expression"):
        regex.search("a" * 5_000)


def test_three_capitals_cannot_name_a_value_in_a_template() -> None:
    """They would hide a segment."""
    for text in ("{% set MRN = PID-3 %}", "{% for OBX in PID-3[*].1 %}{% endfor %}"):
        _, objections = compile_template(text, known())
        assert "is a path and cannot name a value" in objections[0].what


@pytest.mark.parametrize("text", ["not " * 20_000 + "PID-8", "(" * 5_000 + "PID-8" + ")" * 5_000])
def test_an_expression_that_is_too_deep_is_refused(text: str) -> None:
    """No text of an analyst can take the checker down."""
    assert "too deep" in objections_to(text)[0].what
