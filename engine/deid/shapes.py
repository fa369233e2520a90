"""
Datatypes by shape: which components of a value are a name, a number, a date, a place.

Rules of this file: one row per datatype of HL7 v2.1 to v2.8.2 that the catalogue uses; a
datatype that is not here is searched leaf by leaf or emptied, never trusted.
"""

from __future__ import annotations

from typing import NamedTuple

PERSON = frozenset({"XPN", "PN"})
#: an id in the first component, then a name
STAFF = frozenset({"XCN", "CN", "PPN"})
#: the same, one level down, with dates and a place beside it
STAFF_NESTED = frozenset({"NDL", "CM_NDL"})
NUMBER = frozenset({"CX", "CK", "CM_CX"})
ENTITY = frozenset({"EI", "CM_EI"})
ENTITY_PAIR = frozenset({"EIP"})
ADDRESS = frozenset({"XAD", "AD"})
PHONE = frozenset({"XTN", "TN"})
PLACE = frozenset({"PL", "LA1", "LA2"})
DATE = frozenset({"TS", "DTM", "DT"})
ORGANISATION = frozenset({"XON", "HD"})
FREE_TEXT = frozenset({"TX", "FT", "ST", "GTS"})
NUMERIC = frozenset({"NM", "SI", "CQ", "MO", "CP", "SN", "NA", "MA", "NR", "TM", "WVI", "WVS"})
DOCUMENT = frozenset({"ED", "RP"})


class DateParts(NamedTuple):
    """Where the dates of a datatype are; the rest is coded or text."""

    dates: tuple[int, ...]
    #: components that are emptied: they repeat dates or ids in words
    gone: tuple[int, ...] = ()


#: datatypes with dates among other components (numbers count from 1)
DATED: dict[str, DateParts] = {
    "DR": DateParts((1, 2)),
    "TQ": DateParts((4, 5), gone=(7, 8, 9, 10, 11, 12)),
    "RI": DateParts(()),
    "DIN": DateParts((1,)),
    "OCD": DateParts((2,)),
    "OSP": DateParts((2, 3)),
    "CCD": DateParts((2,)),
    "DLD": DateParts((2,)),
    "FC": DateParts((2,)),
}
