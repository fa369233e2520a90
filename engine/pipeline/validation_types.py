"""
How values of the primitive datatypes are written.

Source: HL7 v2.5.1 ch. 2A (DT, DTM, NM, SI, TM).
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ZONE = r"(?:[+-](?:0\d|1[0-4])[0-5]\d)?"
_MONTH, _DAY, _HOUR, _SIXTY = (
    r"(?:0[1-9]|1[0-2])",
    r"(?:0[1-9]|[12]\d|3[01])",
    r"(?:[01]\d|2[0-3])",
    r"[0-5]\d",
)
_CLOCK = rf"{_HOUR}(?:{_SIXTY}(?:{_SIXTY}(?:\.\d{{1,4}})?)?)?"

#: datatype -> how a value must look
_SHAPES = {
    "DT": rf"\d{{4}}(?:{_MONTH}(?:{_DAY})?)?",
    "TM": rf"{_CLOCK}{_ZONE}",
    "DTM": rf"\d{{4}}(?:{_MONTH}(?:{_DAY}(?:{_CLOCK})?)?)?{_ZONE}",
    "NM": r"[+-]?(?:\d+\.?\d*|\.\d+)",
    "SI": r"\d{1,4}",
}

#: what to tell a person
EXPECTED = {
    "DT": "a date, YYYY[MM[DD]]",
    "TM": "a time of day, HH[MM[SS]]",
    "DTM": "a date and time, YYYY[MM[DD[HH[MM[SS]]]]]",
    "NM": "a number",
    "SI": "a whole number of up to four digits",
}

#: characters at most, where the version says so of the datatype itself (2.5 to 2.6)
LENGTHS = {"ST": 199, "IS": 20, "NM": 16, "SI": 4, "TX": 65536, "FT": 65536}

Matches = Callable[[str], object]


def shape_of(datatype: str) -> Matches | None:
    """Return a test for values of *datatype*; None where anything may stand."""
    shape = _SHAPES.get(datatype)
    return None if shape is None else re.compile(shape, re.ASCII).fullmatch
