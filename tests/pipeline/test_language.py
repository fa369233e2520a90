"""Expressions and templates: what they mean, and that both ways of running them agree."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.pipeline.expressions import compile_expression, compile_with_jinja
from engine.pipeline.failures import StepFailed
from engine.pipeline.paths_in_jinja import rewrite_expression, rewrite_template
from engine.pipeline.templates import compile_template
from engine.pipeline.values import NULL, Quantity
from tests.support.pipelines import ADT, ORU, known, run_on


def value_of(text: str, message: str = ADT) -> Any:
    """Return what the expression gives on the message, by closures and by Jinja alike."""
    expression, objections = compile_expression(text, known())
    assert expression is not None, [str(objection) for objection in objections]
    found = expression.value(run_on(message))
    assert compile_with_jinja(text, known())(run_on(message)) == found
    return found


def rendered(text: str, message: str = ADT, *, hl7: bool = False) -> str:
    """Return what the template gives on the message."""
    template, objections = compile_template(text, known())
    assert template is not None, [str(objection) for objection in objections]
    run = run_on(message)
    return template.render_hl7(run) if hl7 else template.render(run)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("PID-5.1", ["PID-5.1"]),
        ("PID-3[5='MR'].1 == 'x'", ["PID-3[5='MR'].1"]),
        ('PID-3[5="it\'s"].1', ["PID-3[5='it''s'].1"]),
        ("OBX[3.1='8480-6']-5", ["OBX[3.1='8480-6']-5"]),
        ("OBX[*]-5|join('~')", ["OBX[*]-5"]),
        ("PID-3[-1].4.2", ["PID-3[-1].4.2"]),
        ("PID and NK1", ["PID", "NK1"]),
        ("'PID-5' ~ \"PV1-2\"", []),
        ("vars.LAB ~ a_PID", []),
        ("PID-5.1|upper~PID-5.2", ["PID-5.1", "PID-5.2"]),
    ],
)
def test_paths_are_found_where_they_are_paths_and_nowhere_else(text: str, paths: list[str]) -> None:
    """A path is read as a path, and what is in quotes, behind a dot or part of a name is not."""
    assert [str(path) for path in rewrite_expression(text).paths] == paths


def test_a_subtraction_of_variables_stays_a_subtraction() -> None:
    """Small names with a minus between them are calculated, not read as a path."""
    assert rewrite_expression("a - b").source == "a - b"
    assert rewrite_expression("a-1").paths == []
    assert value_of("5 - 3 - 1") == 1


def test_literal_text_and_comments_of_a_template_are_left_alone() -> None:
    """Only what is inside {{ }} and {% %} is searched for paths."""
    rewritten = rewrite_template("PID-5 {{ PID-3 }} {# PID-7 #}PID-8")
    assert [str(path) for path in rewritten.paths] == ["PID-3"]
    assert rewritten.source == "PID-5 {{ path__0 }} PID-8"


def test_a_quote_with_closing_braces_does_not_end_a_value() -> None:
    """Strings may hold braces."""
    assert rendered("{{ 'a}}b' }}-{{ \"%}\" }}") == "a}}b-%}"


def test_a_backslash_in_quotes_is_a_backslash() -> None:
    """Strings are taken as written, so regular expressions and HL7 escapes need no doubling."""
    assert value_of(r"'\.br\'") == "\\.br\\"
    assert value_of(r"'12' | matches('^\d\d$')") is True
    assert value_of(r"'a\b' == 'a\b'") is True


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PV1-2 in ['I', 'E'] and PID-3[5='MR'].1", "88001"),
        ("PV1-2 not in ['I', 'E']", False),
        ("PID-8 == 'M'", True),
        ("PID-8 != 'M'", False),
        ("not NK1", True),
        ("PID-5.1 if PID-8 == 'M' else 'x'", "doe"),
        ("'y' if PID-8 == 'F'", ""),
        ("PID-99 or 'none'", "none"),
        ("PID-5.1 ~ '^' ~ PID-5.2", "doe^john"),
        ("'110101199003078515' in PID-3[*].1", True),
        ("PID-3[*].1 | join('/')", "88001/110101199003078515"),
        ("1 < PV1-1 | number + 1 <= 2", True),
        ("0.1 + 0.2 == 0.3", True),
        ("7 // 2", Decimal(3)),
        ("-(2 * 3)", Decimal(-6)),
        ("vars.LAB", "L1"),
        ("message_id", "20261101-7"),
        ("control_id", "C0001"),
        ("inbound ~ '/' ~ site", "his/test"),
        ("received_at", "20261101103000+0800"),
        ("part", 1),
        ("PID-8 | lookup('sex', 'lis')", "1"),
        ("lookup('sex', 'text', PID-8)", "Male"),
        ("'X' | lookup('sex', 'lis', else='9')", "9"),
        ("PID-19 is empty", True),
        ("'5' is number and 'x' is not number", True),
    ],
)
def test_expressions_mean_what_they_say(text: str, value: Any) -> None:
    """Closures and Jinja give this value for this expression."""
    assert value_of(text) == value


NULLED = ADT.replace("|M\r", '|""\r')


def test_hl7_null_is_falsy_is_null_and_passes_on() -> None:
    """Null is no value in a condition, but is written as null where it is passed on."""
    assert not value_of("PID-8", NULLED)
    assert value_of("PID-8 is null", NULLED) is True
    assert value_of("PID-8 is empty", NULLED) is False
    assert value_of("PID-8 == ''", NULLED) is False
    assert rendered("{{ PID-8 }}", NULLED) == '""'
    assert rendered("{{ PID-8 | default('U') }}", NULLED) == '""'
    for name in ("upper", "lower", "trim", "digits", "title_name", "cn_family"):
        assert value_of(f"PID-8 | {name}", NULLED) is NULL
    assert value_of("PID-8 | lookup('sex', 'lis')", NULLED) is NULL
    assert value_of("PID-8 | hl7_date('%Y')", NULLED) is NULL
    assert value_of("PID-8 | pad(3, '0')", NULLED) is NULL


def test_values_are_escaped_in_hl7_and_raw_ones_are_not() -> None:
    """A value cannot make structure by accident; raw can on purpose."""
    text = ADT.replace("doe^john^m", "d\\T\\e^j\\S\\n~x")
    assert rendered("{{ PID-5.1 }}^{{ PID-5.2 }}", text, hl7=True) == "d\\T\\e^j\\S\\n"
    assert rendered("{{ PID-5 }}", text) == "d&e^j^n"
    assert rendered("{{ PID-5 | raw }}", text, hl7=True) == "d\\T\\e^j\\S\\n~x"
    assert rendered("{{ 'A^B' }}", text, hl7=True) == "A\\S\\B"
    assert rendered("{{ 'A^B' | raw }}", text, hl7=True) == "A^B"


def test_raw_structure_is_given_in_the_usual_delimiters_whatever_the_message_declares() -> None:
    """`| raw` of a message with other delimiters is readable by set, which expects the usual."""
    text = "MSH#*!?%#HIS#H#E#H#20261101##ADT*A01#C1#P#2.5\rPID#1##1##d^e*john!x*y\r"
    assert rendered("{{ PID-5 | raw }}", text, hl7=True) == "d\\S\\e^john~x^y"


def test_templates_loop_over_elements_with_paths_meaning_the_one_at_hand() -> None:
    """each() in a template scopes paths as the each step does."""
    text = (
        "{% for n in each('OBR', lead=['ORC']) %}{{ n }}:{{ ORC-2 }}"
        "{% for k in each('OBX') %}[{{ k }}/{{ OBR-1 }} {{ OBX-5 }} {{ PID-5.1 }}]{% endfor %}"
        "{% if not loop.last %};{% endif %}{% endfor %}"
    )
    assert rendered(text, ORU) == "1:O1[1/1 13.2 doe][2/1 fine doe];2:O2[1/2 >10 doe]"


def test_templates_know_if_set_and_lists() -> None:
    """if, set and for over a path with [*] work, and local names do not leak."""
    text = (
        "{% set sex = PID-8 | lower %}{% if sex == 'm' %}he{% elif PID-8 %}she"
        "{% else %}?{% endif %}"
        "{% for id in PID-3[*].1 %} {{ loop.index }}={{ id }}{% endfor %}"
    )
    assert rendered(text) == "he 1=88001 2=110101199003078515"


def test_an_endless_template_is_stopped() -> None:
    """Nested loops end with a plain reason instead of holding up the engine."""
    many = ORU + "".join(f"OBX|{n}|ST|X||v\r" for n in range(1100))
    loops = "{% for a in OBX[*]-5 %}{% for b in OBX[*]-5 %}{% endfor %}{% endfor %}"
    with pytest.raises(StepFailed, match="loops turned more than"):
        rendered(loops, many)


def test_the_output_of_a_template_is_bounded() -> None:
    """A template cannot fill the memory."""
    big = ADT.replace("|VIP", "|" + "x" * 200_000)
    loop = "{% for a in PID-3[*].1 %}" + "{{ ZPI-2 }}" * 60 + "{% endfor %}"
    with pytest.raises(StepFailed, match="longer than"):
        rendered(loop, big)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("5", "5"),
        ("<5.50", "<5.50"),
        (">=1.0", ">=1.0"),
        (" 7.10 ", "7.10"),
        ("+3", "3"),
        (".5", "0.5"),
    ],
)
def test_numbers_are_exact_and_keep_their_comparator(text: str, shown: str) -> None:
    """What is a number is written again as it was meant."""
    assert rendered(f"{{{{ '{text}' | number }}}}") == shown


@pytest.mark.parametrize("text", ["", "abc", "1e5", "1,5", "--1", "1 2", "0x10", "NaN", "Infinity"])
def test_what_is_no_number_fails_unless_said_otherwise(text: str) -> None:
    """number never guesses; else says what to take instead."""
    with pytest.raises(StepFailed, match="number needs a number"):
        value_of(f"'{text}' | number")
    assert value_of(f"'{text}' | number(else=0)") == 0


def test_a_comparator_is_ordered_only_where_the_answer_is_certain() -> None:
    """`<5` is below 6.5 for sure; whether it is below 3 nobody knows."""
    assert value_of("'<5' | number < 6.5") is True
    assert value_of("'<5' | number >= 5") is False
    assert value_of("'>10' | number > 6.5") is True
    assert value_of("'>10' | number <= 10") is False
    assert value_of("6.5 > '<5' | number") is True
    with pytest.raises(StepFailed, match="cannot be ordered"):
        value_of("'<5' | number < 3")


def test_units_are_converted_with_exact_numbers() -> None:
    """times, plus and decimals work on decimals, round half up and keep comparators."""
    assert rendered("{{ '5.55' | times('18.016') | decimals(1) }}") == "100.0"
    assert rendered("{{ '<2' | times(0.5) | decimals(2) }}") == "<1.00"
    assert rendered("{{ '2.5' | number | plus(0.05) }}") == "2.55"
    assert rendered("{{ '0.125' | decimals(2) }}") == "0.13"
    assert value_of("'<2' | times(-1)") == Quantity(">", Decimal(-2))


def test_text_and_numbers_never_meet_silently_when_a_message_runs() -> None:
    """What the checks cannot know before a message is refused in plain words when it runs."""
    template, _ = compile_template("{{ '5' }}", known())
    assert template is not None
    run = run_on()
    run.variables["x"] = "5"
    from engine.pipeline.filter_specs import Kind

    for text, words in (
        ("x == 5", "text is not compared with a number"),
        ("x < 5", "text is not ordered"),
        ("'a' in x", "'in' needs a list"),
        ("x + 1", "text is not calculated"),
    ):
        expression, objections = compile_expression(text, known(variables={"x": Kind.ANY}))
        assert expression is not None, objections
        with pytest.raises(StepFailed, match=words):
            expression.value(run)


# -- both ways of running agree ---------------------------------------------------------------

_leaves = st.sampled_from(
    ["PID-8", "PID-5.1", "PID-19", "PV1-2", "PID-3[*].1", "'M'", "''", "'5'", "5", "0.5",
     "vars.LAB", "message_id", "received_at", "part", "true", "PV1-1 | number", "PID-7 | age",
     "PID-3[5='MR'].1"]
)  # fmt: skip
_binary = st.sampled_from(
    [
        "and",
        "or",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "in",
        "not in",
        "~",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
    ]
)
_unary = st.sampled_from(
    ["not {}", "({})", "-({})", "({}) is empty", "({}) is null", "({}) | upper",
     "({}) | default('d')", "({}) | number(else=1)", "({}) | length", "'a' if {} else 'b'",
     "({}) | times(2)", "[{}, 'M']"]
)  # fmt: skip
_expressions = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.tuples(_unary, inner).map(lambda pair: pair[0].format(pair[1])),
        st.tuples(inner, _binary, inner).map(lambda three: f"({three[0]}) {three[1]} ({three[2]})"),
    ),
    max_leaves=6,
)


def _outcome(run_it: Any) -> Any:
    try:
        return run_it(run_on())
    except StepFailed as failure:
        return ("failed", failure.reason)


@settings(max_examples=400, deadline=None)
@given(_expressions)
def test_closures_and_jinja_agree_on_every_expression(text: str) -> None:
    """Whatever an analyst writes, both ways of running give one value or one failure."""
    expression, objections = compile_expression(text, known())
    if expression is None:
        assert objections
        return
    assert _outcome(expression.value) == _outcome(compile_with_jinja(text, known()))


def test_an_empty_value_is_not_ordered_and_says_how_to_ask_first() -> None:
    """An absent birth date is neither under nor over eighteen."""
    with pytest.raises(StepFailed, match="an empty value is not ordered"):
        value_of("PID-29 | age > 18")
    assert not value_of("PID-29 and PID-29 | age > 18")
