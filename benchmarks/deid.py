"""
Measure de-identification of a 1 KB ADT, leak check included; prints microseconds per message.

Run: python -m benchmarks.deid [--json]. The target of the design is 250 us.
"""

from __future__ import annotations

import json
import sys
import timeit
from collections.abc import Callable
from zoneinfo import ZoneInfo

from engine.config.models.profiles import BUILT_IN_PROFILES
from engine.deid.leak_check import find_leaks
from engine.deid.profiles import CompiledProfile, compile_profile
from engine.hl7.message import Message

TIMEZONE = ZoneInfo("Asia/Shanghai")
RECEIVED_AT = 1_793_500_200.0
TARGET_US = 250


def segment(name: str, fields: dict[int, str]) -> str:
    """Return a segment with these fields."""
    values = [fields.get(number, "") for number in range(1, max(fields) + 1)]
    return "|".join([name, *values])


HOME = "12 Orchard Terrace^Apt 4^Springfield^IL^62704^USA^H"
DOCTOR = "A4711^Brooks^Harriet^^^Dr"
ADT = "\r".join(
    [
        "MSH|^~\\&|HIS|GENERAL|ENGINE|LAB|20261101083000+0800||ADT^A01^ADT_A01|MSG000042|P|2.5.1",
        segment("EVN", {1: "A01", 2: "20261101083000", 5: "U1234^Keller^Anna"}),
        segment(
            "PID",
            {
                1: "1", 3: "8800123^^^GENERAL^MR~110101199003078515^^^CN^NI",
                5: "Rutherford^Jonathan^Miles^^Mr", 7: "19900307", 8: "M",
                10: "2106-3^White^HL70005", 11: HOME, 13: "(555)555-1212^PRN^PH^jr@example.org",
                14: "(555)555-3434",                16: "M", 18: "V70011234", 19: "123-45-6789",
            },
        ),
        segment(
            "NK1", {1: "1", 2: "Rutherford^Janet", 3: "SPO^Spouse", 4: HOME, 5: "(555)555-1212"}
        ),
        segment(
            "PV1",
            {
                1: "1", 2: "I", 3: "W1^101^A^GENERAL", 4: "E", 7: DOCTOR, 8: "B4712^Okafor^Samuel",
                10: "MED", 14: "1", 17: DOCTOR, 18: "IN", 19: "V8002999", 44: "20261101081500",
            },
        ),
        segment("PV2", {3: "R07.9^Chest pain, unspecified^I10"}),
        segment("AL1", {1: "1", 2: "DA", 3: "70618^Penicillin^RXNORM", 4: "SV", 5: "Rash"}),
        segment("DG1", {1: "1", 3: "I20.0^Unstable angina^I10", 5: "20261101", 6: "A"}),
        segment(
            "IN1",
            {
                1: "1", 2: "PLAN1^Basic", 3: "INS01", 4: "Mutual Health", 8: "GRP5512",
                12: "20260101", 16: "Rutherford^Jonathan", 17: "SEL", 18: "19900307",
                19: HOME, 36: "POL-99812",
            },
        ),
        segment("NTE", {1: "1", 3: "Came by ambulance, chest pain since six. Family told."}),
        "",
    ]
).encode()  # fmt: skip


def profile(name: str) -> CompiledProfile:
    """Return a built-in profile under a fixed key."""
    compiled, findings = compile_profile(
        name, {}, key=lambda _: b"benchmark key of 32 bytes length"
    )
    assert compiled is not None, findings
    return compiled


def one_message(compiled: CompiledProfile, raw: bytes) -> Callable[[], None]:
    """Return a function that takes one message all the way."""

    def run() -> None:
        message = Message.parse(raw)
        done = compiled.apply(message, received_at=RECEIVED_AT, timezone=TIMEZONE)
        find_leaks(done.identifiers, message.encode(), message)

    return run


def measure(name: str, raw: bytes = ADT) -> float:
    """Return microseconds per message, the best of several rounds."""
    run = one_message(profile(name), raw)
    return min(timeit.repeat(run, number=200, repeat=7)) / 200 * 1e6


def main() -> None:
    """Print a line per profile: the quiet message, and one whose note names the patient."""
    named = ADT.replace(b"Family told.", b"Mrs Rutherford told, MRN 8800123.")
    rows = [
        {"profile": name, "us": round(measure(name)), "us_named": round(measure(name, named))}
        for name in BUILT_IN_PROFILES
    ]
    if "--json" in sys.argv:
        print(json.dumps({"bytes": len(ADT), "target_us": TARGET_US, "items": rows}))
        return
    print(f"ADT of {len(ADT)} bytes, parse to leak check; target {TARGET_US} us")
    for row in rows:
        print(
            f"{row['profile']:<16} {row['us']:>5} us   note names the patient: {row['us_named']} us"
        )


if __name__ == "__main__":
    main()
