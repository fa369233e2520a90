"""
Stand-ins for test data: they look right to a receiver's checks and belong to nobody.

Rules of this file: chosen by keyed number, so the same original always gives the same stand-in;
citizen numbers use a region that is not given out, US phones the 555-01xx range. China reserves
no phone numbers: those stand-ins may exist and must never be dialled.
"""

from __future__ import annotations

from engine.deid.chinese_id import surrogate_number
from engine.deid.normalise import has_han, squeeze
from engine.deid.pseudonyms import Pseudonymiser

_FAMILY = (
    "ALDERTON", "BRAMWICK", "CORBYNE", "DELAMOOR", "EASTHOLM", "FARROWAY", "GILLBERG", "HAVERLEY",
    "INGLESBY", "JARROWAY", "KESTERLY", "LORIMAR", "MERRIDEW", "NORBECK", "OAKHURST", "PENHALIG",
    "QUARREL", "ROSCOMBE", "SELWICK", "TREVANNE", "UNDERHAY", "VESPERLY", "WINCHELL", "YARDLOW",
)  # fmt: skip
_GIVEN = (
    "ALBERIC", "BEATRIS", "CASSIMIR", "DOROTHEE", "EDMONDA", "FLORIAN", "GISELLA", "HORATIO",
    "IMOGENE", "JOSCELYN", "KILLIAN", "LEOPOLDA", "MARCELLA", "NICODEM", "OPHELIE", "PEREGRIN",
    "QUENTINA", "ROSALBA", "SIEGMUND", "THEODORA", "URBANUS", "VALERIAN", "WILHELMA", "YOLANDA",
)  # fmt: skip
# Characters that GB 2312, Big5 and JIS X 0208 all have.
_HAN_FAMILY = "甲乙丙丁戊己庚辛壬癸"
_HAN_GIVEN = "一二三四五六七八九十子丑寅卯辰巳午未申酉戌亥"
_STREETS = ("Quillfern Lane", "Marrowgate Road", "Thistlewick Way", "Umberfold Row")


class Surrogates:
    """Chooses stand-ins with one key."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Pseudonymiser) -> None:
        self._keys = keys

    def name(self, family: str, given: str) -> tuple[str, str]:
        """Return (family, given) in the same script; a whole name in one part stays in one."""
        number = self._keys.number("name", squeeze(f"{family}{given}".lower()))
        if has_han(family) or has_han(given):
            last = _HAN_FAMILY[number % len(_HAN_FAMILY)]
            first = _pick(_HAN_GIVEN, number >> 8) + _pick(_HAN_GIVEN, number >> 24)
            return (last, first) if given else (last + first, "")
        last, first = _pick(_FAMILY, number), _pick(_GIVEN, number >> 16)
        if last.lower() == family.lower():
            last = _pick(_FAMILY, number + 1)
        return last, first if given else ""

    def number(self, domain: str, value: str) -> str:
        """Return an identifier of the same shape, never the same."""
        shaped = self._keys.same_shape(domain, value)
        return shaped if shaped != value else self._keys.same_shape(domain + "'", value)

    def citizen_number(self, value: str, birth: str) -> str:
        """Return an 18-digit number of the reserved region with a right check character."""
        return surrogate_number(birth, self._keys.number("citizen", squeeze(value)))

    def phone(self, value: str) -> str:
        """Return a phone number of the country's form."""
        digits = "".join(char for char in value if char.isdigit())
        number = self._keys.number("phone", digits)
        if len(digits.removeprefix("86")) == 11 and digits.removeprefix("86").startswith("1"):
            return f"1990000{number % 10_000:04d}"
        return f"(555)555-01{number % 100:02d}"

    def street(self, value: str) -> str:
        """Return a street that exists nowhere."""
        number = self._keys.number("street", value)
        if has_han(value):
            return f"例路{number % 900 + 100}"
        return f"{number % 900 + 100} {_pick(_STREETS, number >> 16)}"


def _pick(choices: list[str] | tuple[str, ...] | str, number: int) -> str:
    return choices[number % len(choices)]
