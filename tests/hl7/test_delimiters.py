"""Delimiters are used as declared, and refused only where they cannot be used."""

from __future__ import annotations

import pytest

from engine.hl7.delimiters import DEFAULT_DELIMITERS, Delimiters, parse_delimiters
from engine.hl7.errors import Hl7Error


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("MSH|^~\\&|A", Delimiters()),
        ("MSH|^~\\&#|A", Delimiters(truncation="#")),
        ("MSH^~|\\&^A", Delimiters("^", "~", "|", "\\", "&")),
        ("MSH#!@%*#A", Delimiters("#", "!", "@", "%", "*")),
        ("MSH@~&#\\@A", Delimiters("@", "~", "&", "#", "\\")),
        ("MSH|^~&|A", Delimiters("|", "^", "~", "", "&")),
        ("MSH|^~*&|A", Delimiters("|", "^", "~", "*", "&")),
        ("MSH|^~\\|A", Delimiters("|", "^", "~", "\\", "")),
        ("MSH|^~|A", Delimiters("|", "^", "~", "", "")),
        ("MSH|^|A", Delimiters("|", "^", "", "", "")),
        ("MSH||A", DEFAULT_DELIMITERS),
        ("MSH|", DEFAULT_DELIMITERS),
        ("MSH|^~\\&", DEFAULT_DELIMITERS),
        ("MSH|^~\\&\rPID|", DEFAULT_DELIMITERS),
        ("MSH|^~\\\\&|A", DEFAULT_DELIMITERS),
        ("FHS|^~\\&|A", DEFAULT_DELIMITERS),
    ],
)
def test_what_is_declared_is_used(text, wanted):
    """Usual, unusual, short and doubled declarations mean what their senders mean."""
    assert parse_delimiters(text) == wanted


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "HL7-001"),
        ("PID|1", "HL7-001"),
        ("MSH", "HL7-002"),
        ("MSHA^~\\&A", "HL7-002"),
        ("MSH ^~\\& ", "HL7-002"),
        ("MSH|^^\\&|", "HL7-003"),
        ("MSH|^~\\&#+|", "HL7-003"),
        ("MSH|^~a&|", "HL7-003"),
        ("MSH|HIS|LIS|", "HL7-003"),
        ("MSH^~^\\&^", None),
        ("MSH^^A", "HL7-003"),
    ],
)
def test_what_cannot_be_used_is_refused(text, code):
    """No header, letters, duplicates and too many characters are refused with a stable code."""
    if code is None:
        assert parse_delimiters(text).component == "~"
        return
    with pytest.raises(Hl7Error) as caught:
        parse_delimiters(text)
    assert caught.value.code == code
    assert caught.value.where


def test_encoding_characters_are_written_in_the_standards_order():
    """MSH-2 is component, repetition, escape, sub-component, truncation."""
    assert Delimiters().encoding_characters == "^~\\&"
    assert Delimiters(escape="", truncation="").encoding_characters == "^~&"
    assert parse_delimiters("MSH#!@%*#").encoding_characters == "!@%*"
