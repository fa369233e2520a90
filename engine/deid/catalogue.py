"""
The catalogue: what every field of the standard's segments is, reviewed row by row.

``catalogue.tsv`` names for each field its kind (what a profile decides on) and the reason.
What is not in it is unknown, and what is unknown is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Row(NamedTuple):
    """One field of one segment."""

    segment: str
    field: int
    datatype: str
    name: str
    kind: str
    reason: str


#: kind -> what it is, in words an analyst reads
KINDS: dict[str, str] = {
    "structure": "controls how the message is read: message type, version, character set",
    "code": "coded values; their wording is text",
    "number": "counts, amounts, measures, sequence numbers",
    "time_of_day": "a time of day without a date",
    "range": "reference ranges",
    "organisation": "hospitals, departments, insurers, manufacturers",
    "place": "where the patient is: ward, room, bed",
    "message_time": "MSH-7; always becomes the arrival time",
    "message_id": "MSH-10 and MSA-2",
    "patient_id": "record, account and visit numbers; MRG in the same domain",
    "government_id": "numbers of the state: SSN, 身份证, passport, licences",
    "insurance_id": "numbers of insurances: policy, member, 医保卡",
    "order_id": "numbers of orders, specimens, documents, appointments",
    "device": "serial numbers of devices",
    "patient_name": "names of the patient",
    "relative": "anything about relatives, guarantors, the insured, employers",
    "staff": "names and numbers of staff",
    "staff_private": "private details of staff: phones, addresses, births",
    "address": "addresses of the patient and of events",
    "contact": "phones, fax, e-mail, URLs; addresses of organisations",
    "birth_date": "the patient's date of birth",
    "date": "dates of events",
    "demographic": "sex, race, language, marital status, citizenship",
    "sensitive": "religion, military service, VIP flags, credit and debts",
    "text": "free text",
    "value": "OBX-5: decided by OBX-2 and OBX-3",
    "query": "search parameters",
    "document": "embedded documents and pointers to them",
    "secret": "credentials, network addresses, quoted errors",
    "age": "ages in years, where an observation code says so",
}

#: the type of an identifier that names none, by place; what MRG holds is what PID and PV1 held
SLOTS: dict[tuple[str, int], str] = {
    ("PID", 2): "MR", ("PID", 3): "MR", ("PID", 18): "AN", ("PV1", 19): "VN",
    ("MRG", 1): "MR", ("MRG", 4): "MR", ("MRG", 3): "AN", ("MRG", 5): "VN",
    ("PID", 4): "ALT", ("MRG", 2): "ALT", ("PV1", 50): "AVN", ("MRG", 6): "AVN",
    ("PV1", 5): "PRE", ("PID", 21): "MR", ("PD1", 10): "MR",
}  # fmt: skip


@cache
def catalogue() -> Mapping[tuple[str, int], Row]:
    """Return the rows by (segment, field)."""
    lines = (files("engine.deid") / "catalogue.tsv").read_text("utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return {(r[0], int(r[1])): Row(r[0], int(r[1]), r[2], r[3], r[4], r[5]) for r in rows}


@cache
def observation_kinds() -> Mapping[str, str]:
    """Return the kind of an OBX-5 by its OBX-3 code, where the value itself is an identifier."""
    lines = (files("engine.deid") / "observations.tsv").read_text("utf-8").splitlines()[1:]
    return {line.split("\t")[0]: line.split("\t")[1] for line in lines}
