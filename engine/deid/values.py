"""OBX-5 (and MFE-4): decided by the datatype its message names, and by what was observed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from engine.deid import actions, shapes
from engine.deid.actions import Treatment
from engine.deid.catalogue import observation_kinds
from engine.deid.collect import collector
from engine.deid.identifiers import stands_alone
from engine.deid.normalise import fold, has_han
from engine.deid.rules import Decision
from engine.deid.run import Run

#: kinds of the datatypes a value can have; a datatype that is not here is emptied
VALUE_KINDS: dict[str, str] = {
    **dict.fromkeys(("NM", "SN", "SI", "CQ", "MO", "CP", "NA", "MA", "NR"), "number"),
    **dict.fromkeys(("CE", "CWE", "CNE", "CF", "ID", "IS"), "code"),
    **dict.fromkeys(("TX", "FT"), "text"),
    **dict.fromkeys(("DT", "TS", "DTM", "DR"), "date"),
    "TM": "time_of_day",
    **dict.fromkeys(("XPN", "PN"), "patient_name"),
    **dict.fromkeys(("XCN", "CN"), "staff"),
    **dict.fromkeys(("XAD", "AD"), "address"),
    **dict.fromkeys(("XTN", "TN"), "contact"),
    **dict.fromkeys(("CX", "CK"), "patient_id"),
    "EI": "order_id",
    "PL": "place",
    **dict.fromkeys(("XON", "HD"), "organisation"),
    **dict.fromkeys(("ED", "RP"), "document"),
}
#: words in OBX-3 that say the value is an identifier
_TELLS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("birth_date", re.compile(r"birth ?date|date of birth|\bdob\b|出生日期|出生年月")),
    ("government_id", re.compile(r"social security|\bssn\b|passport|身份证|护照|医保卡|社保卡")),
    ("patient_id", re.compile(r"\bmrn\b|medical record n|住院号|病历号|病案号|门诊号")),
    ("contact", re.compile(r"\bphone|telephone|mobile n|e-?mail|电话|手机|邮箱|微信")),
    ("address", re.compile(r"\baddress|住址|地址|籍贯")),
    (
        "patient_name",
        re.compile(
            r"(?:patient|mother|father|spouse|first|last|given|family|maiden|full)'?s? name"
            r"|\bname of|next of kin|emergency contact|guardian|姓名|联系人|家属|监护人"
        ),
    ),
    ("age", re.compile(r"(?:^|\W)age(?:$|[\s^,(])|年龄")),
)  # fmt: skip
#: datatype a value of such a kind is read as, when it is plain text
_READ_AS = {
    "birth_date": "DT", "government_id": "CX", "patient_id": "CX", "contact": "XTN",
    "address": "XAD", "patient_name": "XPN", "age": "NM",
}  # fmt: skip


#: OBX-3 to the kind of its value, "" where it is no identifier
Tell = Callable[[str], str]


def teller(own: Mapping[str, str]) -> Tell:
    """Return what tells identifying observations: the profile's *own*, then those of all."""
    words = {fold(text).strip(): kind for text, kind in own.items()}

    @lru_cache(maxsize=4096)
    def tell(observation: str) -> str:
        folded = fold(observation)
        parts = [part.strip() for part in folded.split("^")]
        for text, kind in words.items():
            found = text in folded if has_han(text) else stands_alone(text, folded)
            if text in parts or found:
                return kind
        return identifying_kind(observation)

    return tell


def identifying_kind(observation: str) -> str:
    """Return the kind of the value when the observation (OBX-3) is itself an identifier, or ""."""
    known = observation_kinds()
    for part in observation.split("^"):
        if part in known:
            return known[part]
    folded = fold(observation)
    for kind, tell in _TELLS:
        if tell.search(folded):
            return kind
    return ""


def _kind_and_type(run: Run, type_field: int, tell: Tell) -> tuple[str, str]:
    fields = run.segment
    datatype = fields[type_field].strip() if len(fields) > type_field else ""
    if type_field == 2 and len(fields) > 3 and fields[3]:
        kind = tell(run.text(fields[3]).replace(run.component, "^"))
        if kind:
            same = VALUE_KINDS.get(datatype) == kind or datatype in ("TS", "DTM", "NM", "SN")
            return kind, datatype if same else _READ_AS.get(kind, datatype or "ST")
    return VALUE_KINDS.get(datatype, "text" if not datatype or datatype == "ST" else ""), datatype


def collect_value(
    type_field: int, kinds: Mapping[str, Decision], tell: Tell, *, empty: bool = False
) -> Treatment:
    """Return what remembers an identifying value in the first pass and leaves it (or empties)."""

    def treat(value: str, run: Run) -> str:
        kind, datatype = _kind_and_type(run, type_field, tell)
        if kind in kinds and kinds[kind].rule.action != "keep":
            collect = collector(kind, datatype)
            if collect is not None:
                for part in value.split(run.repetition):
                    collect(part, run)
        return "" if empty else value

    return treat


def value_treatment(
    by_kind: Callable[[str, str], Treatment | None], type_field: int, tell: Tell, *,
    searches_text: bool,
) -> Treatment:  # fmt: skip
    """
    Return what treats a value by its datatype.

    Args:
        searches_text: the profile names the field under free_text: narrative text is searched
            and kept; else the kind ``text`` decides. Short results (ST) are always searched.
    """
    made: dict[tuple[str, str], Treatment | None] = {}
    search = actions.scrub("text", "TX")

    def choose(kind: str, datatype: str) -> Treatment | None:
        if not kind:
            return actions.clear("text", "TX")
        if kind == "text" and (searches_text or datatype in ("ST", "")):
            return search
        if kind in ("number", "code") and datatype in shapes.NUMERIC | {"CE", "CWE", "CNE", "CF"}:
            return actions.scrub(kind, datatype)
        return by_kind(kind, datatype or "TX")

    def treat(value: str, run: Run) -> str:
        chosen = _kind_and_type(run, type_field, tell)
        if chosen not in made:
            if len(made) > 200:
                made.clear()
            made[chosen] = choose(*chosen)
        action = made[chosen]
        return value if action is None else action(value, run)

    return treat
