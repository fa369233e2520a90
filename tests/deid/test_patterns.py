"""Identifiers recognised by shape: found with proof, ordinary numbers left alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.deid.chinese_id import check_character, is_citizen_number, surrogate_number
from engine.deid.normalise import fold
from engine.deid.patterns import find_certain, find_patterns, has_hint, is_bank_card


def _found(text: str, *, dates: bool = False) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for span in find_patterns(text, dates=dates)]


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("身份证110101199003078515。", "id", "110101199003078515"),
        ("id 110101 19900307 8515 shown", "id", "110101 19900307 8515"),
        ("手机13812345678转", "phone", "13812345678"),
        ("call +86 138 1234 5678", "phone", "+86 138 1234 5678"),
        ("座机 0571-88886666", "phone", "0571-88886666"),
        ("call (555)555-1212 now", "phone", "(555)555-1212"),
        ("call 617-555-0188", "phone", "617-555-0188"),
        ("tel +44 20 7946 0958", "phone", "+44 20 7946 0958"),
        ("SSN is 123-45-6789", "id", "123-45-6789"),
        ("卡号 6222021001116245702", "id", "6222021001116245702"),
        ("paid by 4111 1111 1111 1111", "card", "4111 1111 1111 1111"),
        ("passport E12345678 seen", "id", "E12345678"),
        ("mail jane.doe@example.org please", "email", "jane.doe@example.org"),
        ("see https://a.example/p?id=1 there", "url", "https://a.example/p?id=1"),
        ("from 10.20.30.40 today", "ip", "10.20.30.40"),
        ("MRN: 88001 known", "id", "88001"),
        ("medical record number 4711 known", "id", "4711"),
        ("住院号:123456 转科", "id", "123456"),
        ("门诊号 A00123", "id", "A00123"),
        ("姓名：张三丰 女", "name", "张三丰"),
        ("家属: 李小明 陪同", "name", "李小明"),
        ("mother: Jane Doe was told", "name", "Jane Doe"),
        ("身份证号:110101900307851", "id", "110101900307851"),
    ],
)
def test_an_identifier_is_found_by_its_shape(text: str, kind: str, found: str) -> None:
    """Each shape of identifier is taken out of free text, whoever it belongs to."""
    assert (kind, found) in _found(text)
    assert has_hint(fold(text))


@pytest.mark.parametrize(
    "text",
    [
        "WBC 7.1 x10^9/L (3.5-9.5)", "BP 120/80, HR 72", "version 2.5.1", "5.2 mmol/L",
        "110101199003078516 wrong check digit", "4111 1111 1111 1112 fails Luhn",
        "LOINC 30525-0", "no pain, 白天平稳", "mother was told", "OID 1.2.840.113883.19.3",
    ],
)  # fmt: skip
def test_what_only_looks_a_little_like_an_identifier_stays(text: str) -> None:
    """Results, codes and wrong check digits are not taken for identifiers."""
    assert _found(text) == []


@pytest.mark.parametrize(
    "text",
    ["1949-12-31", "12/31/1949", "31.12.49", "1949年12月31日", "Dec 31, 1949", "31st December 1949",
     "19491231", "194912310815"],
)  # fmt: skip
def test_a_date_is_found_where_dates_go(text: str) -> None:
    """Every way to write a date is found, when the profile keeps no dates."""
    assert ("date", text) in _found(f"born {text} here", dates=True)
    assert has_hint(fold(f"born {text} here"))


@given(st.integers(0, 999), st.dates())
def test_a_surrogate_number_has_a_right_check_digit_and_a_region_of_nobody(
    sequence: int, birth: object
) -> None:
    """Surrogates pass a receiver's check digit, and are never a number that was given out."""
    made = surrogate_number(f"{birth:%Y%m%d}".rjust(8, "0"), sequence)
    assert len(made) == 18
    assert check_character(made[:17]) == made[17]
    assert not is_citizen_number(made)


def test_random_numbers_are_seldom_citizen_numbers() -> None:
    """The check digit keeps false alarms under one in two thousand random 18-digit numbers."""
    dice = random.Random(1)
    hits = sum(is_citizen_number(f"{dice.randrange(10**17, 10**18)}") for _ in range(20_000))
    assert hits < 10


def test_luhn() -> None:
    """The check digit of bank cards is the standard's."""
    assert is_bank_card("4111111111111111")
    assert not is_bank_card("4111111111111121")


def test_certain_shapes_are_found_anywhere_and_ordinary_numbers_are_not() -> None:
    """In final bytes only what is beyond doubt alarms: valid numbers, mobiles, e-mails."""
    text = "OBX|1|ST|x||a 13812345678 b|110101199003078515|j@d.org\rOBX|2|NM|||20261101083000"
    assert [found for found, _ in find_certain(text)] == [
        "j@d.org", "13812345678", "110101199003078515",
    ]  # fmt: skip
    assert (
        list(find_certain("1.2.840.13812345678.5|MSG13812345678|138123456789|A-13812345678")) == []
    )
