"""
Masks for screens: 张*, 110101********1234, 138****5678.

A masked value still shows the surname, the region or the last digits. It keeps a passer-by from
reading the screen; it is not de-identification.
"""

from __future__ import annotations

from engine.deid.chinese_id import is_citizen_number
from engine.deid.normalise import has_han


def mask_name(part: str, *, is_family: bool) -> str:
    """Return a name part with its first letter; a Chinese given name goes wholly."""
    if has_han(part):
        return part[0] + "*" * (len(part) - 1) if is_family else "*" * len(part)
    return " ".join(word[0] + "*" * max(len(word) - 1, 1) for word in part.split())


def mask_number(value: str) -> str:
    """Return an identifier with its last two characters; of a citizen number region and end."""
    size = len(value)
    if is_citizen_number(value):
        return value[:6] + "********" + value[-4:]
    if size >= 6:
        return "*" * (size - 2) + value[-2:]
    return "*" * size


def mask_phone(value: str) -> str:
    """Return a phone number with its first three and last four digits."""
    digits = "".join(char for char in value if char.isdigit())
    if len(digits) >= 11:
        return digits[:3] + "*" * (len(digits) - 7) + digits[-4:]
    return "*" * max(len(digits) - 4, 3) + digits[-4:] if len(digits) > 6 else "***"


def mask_email(value: str) -> str:
    """Return an e-mail address with its first letter and its domain's last part."""
    name, _, domain = value.partition("@")
    return f"{name[:1]}***@***.{domain.rpartition('.')[2]}" if domain else "***"
