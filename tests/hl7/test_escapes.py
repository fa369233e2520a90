"""Escape sequences are resolved when read, written when set, and otherwise left alone."""

from __future__ import annotations

import pytest

from engine.hl7.delimiters import DEFAULT_DELIMITERS, Delimiters
from engine.hl7.errors import Hl7Error
from engine.hl7.escapes import escape, translate, unescape


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("A\\T\\B", "A&B"),
        ("\\F\\\\S\\\\R\\\\E\\", "|^~\\"),
        ("one\\.br\\two", "one\ntwo"),
        ("\\X0D0A\\", "\r\n"),
        ("\\X41\\", "A"),
        ("\\P\\", "#"),
        ("\\H\\bold\\N\\", "\\H\\bold\\N\\"),
        ("\\.sp+2\\", "\\.sp+2\\"),
        ("\\Zabc\\", "\\Zabc\\"),
        ("\\C2842\\", "\\C2842\\"),
        ("\\XE9\\", "\\XE9\\"),
        ("C:\\dir\\file", "C:\\dir\\file"),
        ("a\\b\\S\\c", "a\\b^c"),
        ("\\", "\\"),
        ("\\\\", "\\\\"),
        ("\\X4\\", "\\X4\\"),
        ("\\f\\", "\\f\\"),
        ("no escapes", "no escapes"),
    ],
)
def test_known_sequences_are_resolved_and_others_stay(written, text):
    """Reading resolves what the standard defines for text and keeps all else verbatim."""
    assert unescape(written, DEFAULT_DELIMITERS) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("A&B", "A\\T\\B"),
        ("a|b^c~d", "a\\F\\b\\S\\c\\R\\d"),
        ("C:\\dir", "C:\\E\\dir"),
        ("one\ntwo", "one\\.br\\two"),
        ("one\r\ntwo\r", "one\\X0D0A\\two\\X0D\\"),
        ("\\H\\bold\\N\\", "\\H\\bold\\N\\"),
        ("room #5", "room #5"),
        ("张三", "张三"),
    ],
)
def test_text_is_written_so_that_it_cuts_nothing(text, written):
    """Writing escapes delimiters and line ends, keeps formatting, and touches nothing else."""
    assert escape(text, DEFAULT_DELIMITERS) == written


def test_without_an_escape_character_nothing_is_lost_silently():
    """Text that would need escaping is refused where the message declares no escape character."""
    marks = Delimiters(escape="")
    assert escape("plain text", marks) == "plain text"
    assert unescape("a\\T\\b", marks) == "a\\T\\b"
    with pytest.raises(Hl7Error) as caught:
        escape("a|b", marks)
    assert caught.value.code == "HL7-012"


def test_translation_carries_formatting_over():
    """Between delimiter sets a formatting sequence stays one; delimiters of either are right."""
    source, target = DEFAULT_DELIMITERS, Delimiters("#", "!", "@", "%", "*")
    assert translate("\\H\\x\\N\\\\T\\\\F\\ 50%!", source, target) == "%H%x%N%&| 50%E%%S%"
