"""Numbers of patients: each repetition is decided by its type (CX.5, HL7 table 0203)."""

from __future__ import annotations

from collections.abc import Mapping

from engine.deid.actions import Treatment, repeated
from engine.deid.collect import collector
from engine.deid.identifiers import looks_like_citizen_number
from engine.deid.pseudonym_actions import STATE_TYPES
from engine.deid.run import Run

#: record, account and visit numbers: they find the patient in the hospital's own systems
HOSPITAL_TYPES = frozenset(
    {
        "", "MR", "MRT", "PI", "PT", "PN", "AN", "ANC", "AND", "ANT", "VN", "AM", "LR", "LMR",
        "XX", "U", "WP", "RI", "RRI", "EI", "FI", "EN", "PE", "BA", "BR", "ALT", "PRE", "AVN",
    }
)  # fmt: skip
INSURANCE_TYPES = frozenset(
    {"MC", "MCD", "MA", "MCN", "MCR", "HC", "JHN", "SN", "NH", "PHC", "SB", "WC"}
)


def kind_of_number(type_code: str, number: str) -> str:
    """Return the kind of an identifier, "" for a type nobody knows."""
    type_code = type_code.upper()
    if type_code in STATE_TYPES or type_code.startswith("NN") or looks_like_citizen_number(number):
        return "government_id"
    if type_code in INSURANCE_TYPES:
        return "insurance_id"
    return "patient_id" if type_code in HOSPITAL_TYPES else ""


def patient_number(by_kind: Mapping[str, Treatment | None]) -> Treatment:
    """Return what treats each repetition as its type says; an unknown type is emptied."""
    collect = collector("patient_id", "CX")
    assert collect is not None

    def treat(value: str, run: Run) -> str:
        parts = value.split(run.component)
        type_code = parts[4].split(run.subcomponent)[0] if len(parts) > 4 else ""
        kind = kind_of_number(type_code.strip(), run.text(parts[0]))
        if not kind:
            collect(value, run)
            return ""
        chosen = by_kind[kind]
        return value if chosen is None else chosen(value, run)

    return repeated(treat)
