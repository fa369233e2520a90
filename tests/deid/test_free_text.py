"""Free text: the message's own identifiers go in every spelling, and what else there is stays."""

from __future__ import annotations

import pytest

from engine.deid.free_text import scrub
from engine.deid.identifiers import Identifiers
from engine.deid.words import built_in_words
from tests.deid.canaries import HEADER, leaks_of, profile, run


def _identifiers() -> Identifiers:
    known = Identifiers(built_in_words())
    known.add_name("Rutherford", "Jonathan", ["Miles"])
    known.add_name("张", "三丰")
    known.add_name("Zhang", "Sanfeng")
    known.add_name("高", "峰")
    known.add_name("Long", "May")
    known.add_id("88001")
    known.add_id("V7001-234")
    known.add_id("110101199003078515")
    known.add_phone("(617)438-5521")
    known.add_phone("13812345678")
    known.add_birth("19491205")
    known.add_address("12 Orchard Terrace")
    known.add_address("北京市海淀区中关村大街27号")
    known.add_town("Springfield")
    known.add_email("jr@example.org")
    return known


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Mr Jonathan Rutherford came", "Mr [NAME] came"),
        ("RUTHERFORD, J. came", "[NAME] came"),
        ("J. Rutherford came", "[NAME] came"),
        ("ruther\u00adford", None),
        ("JonathanRutherford", None),
        ("患者张三丰入院", "患者[NAME]入院"),
        ("张 三 丰", "[NAME]"),
        ("zhang sanfeng / SanfengZhang", None),
        ("ＺＨＡＮＧ", "[NAME]"),
        ("MRN ８８００１", "MRN [ID]"),
        ("no. 88001.", "no. [ID]."),
        ("no. 0088001", None),
        ("V7001234 / v7001 234", "[ID] / [ID]"),
        ("110101-19900307-8515", "[ID]"),
        ("617.438.5521 or 438 5521", "[PHONE] or [PHONE]"),
        ("+86 138-1234-5678", None),
        ("born 1949-12-05", "born [DATE]"),
        ("born 5/12/1949", "born [DATE]"),
        ("born Dec 5th, 1949", None),
        ("生于1949年12月5日。", "生于[DATE]。"),
        ("lives at 12 orchard terrace", "lives at [ADDRESS]"),
        ("住北京市海淀区中关村大街27号。", "住[ADDRESS]。"),
        ("from Springfield", "from [ADDRESS]"),
        ("write jr@example.org", "write [EMAIL]"),
        ("May Long-term care", None),
        ("高峰时段", "[NAME]时段"),
    ],
)
def test_every_spelling_of_an_identifier_goes(text: str, left: str | None) -> None:
    """Names in both orders and scripts, numbers and dates in every spelling are taken out."""
    known = _identifiers()
    cleaned, count = scrub(text, known, dates=True)
    assert count
    if left is not None:
        assert cleaned == left
    leaks = leaks_of(known, f"{HEADER.format('X')}\nNTE|1||{cleaned}\n")
    assert not [leak for leak in leaks if leak.hard]


@pytest.mark.parametrize(
    "text",
    [
        "WBC 7.1, 880012 cells",
        "the longest month",
        "Rutherfordium",
        "张医生查房",
        "三月丰水",
        "1949",
        "438-55",
        "springfields",
        "白天平稳",
    ],
)
def test_what_is_nobody_s_stays(text: str) -> None:
    """Surnames alone, parts of words and other numbers are left in the text."""
    assert scrub(text, _identifiers(), dates=True) == (text, 0)


NOTE = (
    "PID|1||88001^^^HOSP^MR||高^峰|||M||||||\n"
    "NK1|1|白^云|SPO\n"
    "NTE|1||高峰期血压升高，家属白云诉白云样斑\n"
)


def test_names_that_are_ordinary_words_are_taken_out_and_raise_no_alarm() -> None:
    """高峰 and 白云 as names are scrubbed from the note; the words elsewhere stop no message."""
    message, done, leaks = run(profile("china_pipl"), HEADER.format("M1") + "\n" + NOTE)
    assert "高峰" not in message.get("NTE-3")
    assert "白云" not in message.get("NTE-3")
    assert done.soft_hits >= 3
    assert not [leak for leak in leaks if leak.hard]
    words = leaks_of(done.identifiers, HEADER.format("X") + "\nOBX|1|ST|x||高峰\n")
    assert [leak.hard for leak in words] == [False]


def test_escapes_are_opened_before_the_search_and_closed_after() -> None:
    """A name written around escapes is found, and what else was escaped stays escaped."""
    text = (
        HEADER.format("M1") + "\nPID|1||88001^^^HOSP^MR||O'Hara&Sons^Kim\n"
        "NTE|1||O\\X27\\Hara \\T\\ Kim\\.br\\MRN 88\\H\\001\\N\\ \\F\\ ok\n"
    )
    message, _, leaks = run(profile("limited_dataset"), text)
    raw = message.raw_text("NTE-3")
    assert "Hara" not in raw
    assert "\\T\\" in raw
    assert "\\F\\ ok" in raw
    assert "001" not in raw
    assert not [leak for leak in leaks if leak.hard]
