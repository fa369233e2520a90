"""Pseudonyms: stable under a key, apart by key, type and authority, the same where they must be."""

from __future__ import annotations

import hmac
import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from engine.deid.profiles import compile_profile
from engine.deid.pseudonyms import Pseudonymiser, domain_of
from tests.deid.canaries import HEADER, run

KEYS = Pseudonymiser(b"k" * 32)
OTHER = Pseudonymiser(b"o" * 32)


@given(st.text(min_size=1))
def test_a_pseudonym_is_stable_and_short(value: str) -> None:
    """The same value gives the same 16 characters, whatever the value."""
    made = KEYS.pseudonym("MR", value)
    assert made == KEYS.pseudonym("MR", value)
    assert re.fullmatch("[A-Z2-7]{16}", made)


@given(st.binary(min_size=1, max_size=200), st.text(), st.text())
def test_a_pseudonym_is_an_hmac(secret: bytes, domain: str, value: str) -> None:
    """The keyed bytes are HMAC-SHA256 (RFC 2104) of domain and value, for any key."""
    text = f"{domain}\x1f{unicodedata.normalize('NFKC', value)}"
    expected = hmac.digest(secret, text.encode(), "sha256")
    assert Pseudonymiser(secret).digest(domain, value) == expected


def test_keys_types_and_authorities_are_apart() -> None:
    """Nobody can join two projects, or a visit number with a record number of the same digits."""
    made = {
        keys.pseudonym(domain_of(kind, authority), "88001")
        for keys in (KEYS, OTHER)
        for kind in ("MR", "VN")
        for authority in ("HOSP", "CLINIC")
    }
    assert len(made) == 8
    assert KEYS.key_id != OTHER.key_id


def test_width_does_not_matter() -> None:
    """Full-width digits are the same number."""
    assert KEYS.pseudonym("MR", "８８００１") == KEYS.pseudonym("MR", "88001")


def test_a_shape_is_kept_and_the_value_is_not() -> None:
    """A stand-in has digits where digits were, letters where letters were."""
    made = KEYS.same_shape("MR", "AB-00123x")
    assert re.fullmatch(r"[A-Z]{2}-[0-9]{5}[a-z]", made)
    assert made != "AB-00123x"


@given(st.text())
def test_an_offset_is_never_nothing_and_never_forward(patient: str) -> None:
    """Dates move one day to one year back."""
    assert -365 <= KEYS.shift_days(patient) <= -1


def test_a_merge_still_merges() -> None:
    """The same number has the same pseudonym in PID-3, PID-18, PV1-19 and MRG of its type."""
    compiled, _ = compile_profile("safe_harbor", {}, key=lambda _: b"k" * 32)
    assert compiled is not None
    text = (
        HEADER.format("M1") + "\n"
        "PID|1||88001^^^HOSP^MR|||||||||||||||77001^^^HOSP^AN\n"
        "MRG|88001^^^HOSP^MR||77001^^^HOSP|88001^^^HOSP|66001^^^HOSP\n"
        "PV1|1|I|||||||||||||||||66001^^^HOSP^VN\n"
    )
    after, _, _ = run(compiled, text)
    assert after.get("PID-3.1") == after.get("MRG-1.1") == after.get("MRG-4.1")
    assert after.get("PID-18.1") == after.get("MRG-3.1")
    assert after.get("PV1-19.1") == after.get("MRG-5.1")
    assert len({after.get(path) for path in ("PID-3.1", "PID-18.1", "PV1-19.1")}) == 3
    assert after.get("PID-3.4") == "HOSP"


def test_an_ack_points_to_the_pseudonym_of_the_message_it_answers() -> None:
    """MSA-2 of an answer has the pseudonym that MSH-10 of the question had."""
    compiled, _ = compile_profile("safe_harbor", {}, key=lambda _: b"k" * 32)
    assert compiled is not None
    question, _, _ = run(compiled, HEADER.format("MSG00042") + "\n")
    answer, _, _ = run(compiled, HEADER.format("A1") + "\nMSA|AA|MSG00042\n")
    assert question.get("MSH-10") == answer.get("MSA-2") != "MSG00042"
