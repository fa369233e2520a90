"""
The 18-digit citizen number (身份证): region, date of birth, sequence, check character.

Source: GB 11643-1999; check character by ISO 7064 MOD 11-2.
"""

from __future__ import annotations

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
#: first two digits that are given out: provinces, Hong Kong, Macao, Taiwan residents, foreigners
REGIONS = frozenset(
    f"{number}"
    for first, last in (
        (11, 15),
        (21, 23),
        (31, 37),
        (41, 46),
        (50, 54),
        (61, 65),
        (71, 71),
        (81, 83),
    )
    for number in range(first, last + 1)
) | {"91"}
#: never given out: surrogates use it
RESERVED_REGION = "990000"


def check_character(first17: str) -> str:
    """Return the last character for the first 17 digits."""
    return _CHECKS[sum(int(d) * w for d, w in zip(first17, _WEIGHTS, strict=True)) % 11]


def is_plausible_date(yyyymmdd: str) -> bool:
    """Return whether eight digits can be a date of birth."""
    year, month, day = int(yyyymmdd[:4]), int(yyyymmdd[4:6]), int(yyyymmdd[6:])
    return 1850 <= year <= 2100 and 1 <= month <= 12 and 1 <= day <= 31


def is_citizen_number(text: str) -> bool:
    """Return whether *text* (18 characters, no separators) could have been given out."""
    if len(text) != 18 or not text[:17].isdigit() or not text.isascii():
        return False
    return (
        text[:2] in REGIONS
        and is_plausible_date(text[6:14])
        and check_character(text[:17]) == text[17].upper()
    )


def surrogate_number(birth: str, sequence: int) -> str:
    """Return a number of the reserved region with a right check character."""
    first17 = f"{RESERVED_REGION}{birth}{sequence % 1000:03d}"
    return first17 + check_character(first17)
