"""Every warning of a message has a meaning that a person can read."""

from __future__ import annotations

import re
from pathlib import Path

import engine
from engine.model.message_warnings import MEANINGS, tell_warning

ENGINE = Path(engine.__file__).parent
#: where messages get their warnings
SOURCES = ("hl7/message.py", "hl7/lines.py", "hl7/charset.py", "pipeline/steps/*.py")
_WARNS = re.compile(r"(?:warnings\.append\(|found\.insert\(0, |found\.append\(|found = \[)(.+)")


def test_no_warning_is_shown_as_a_bare_word() -> None:
    """If this failed, a new warning would be shown as the engine calls it."""
    files = [path for pattern in SOURCES for path in ENGINE.glob(pattern)]
    lines = [line for path in files for line in _WARNS.findall(path.read_text("utf-8"))]
    words = {word for line in lines for word in re.findall(r'"([a-z]+(?:_[a-z]+)*)"', line)}
    assert {"bom", "stray_line", "charset_fallback", "deid_soft_hit", "validation"} <= words
    assert words - MEANINGS.keys() == set()
    assert all(" " in tell_warning(word) for word in words)
