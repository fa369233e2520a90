"""The leak check finds an identifier however it hides in the final bytes, and says only where."""

from __future__ import annotations

import base64
import random
import zlib

import pytest

from engine.deid.leak_check import find_leaks
from engine.deid.profiles import CompiledProfile
from engine.hl7.message import Message
from tests.deid.canaries import HEADER, leaks_of, profile, run

PATIENT = (
    "PID|1||8800123^^^HOSP^MR~110101199003078515^^^CN^NI||Rutherford^Jonathan~张^三丰||19491205|M|||"
    "12 Orchard Terrace^^Springfield^IL^62704||(617)4385521|||||4711|123-45-6789"
)
HEAD = HEADER.format("OTHER1")


@pytest.fixture(scope="module")
def known():  # type: ignore[no-untyped-def]
    """The identifiers of a patient, as a profile collected them."""
    _, done, leaks = run(profile("safe_harbor"), f"{HEADER.format('MSG77001')}\n{PATIENT}\n")
    assert leaks == []
    return done.identifiers


PDF = b"%PDF-1.4\n1 0 obj << /Length 44 >>\nstream\n%s\nendstream\n%%EOF"


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("ZPI|1|Rutherford", "ZPI-2"),
        ("NTE|1||seen with JONATHAN today", "NTE-3"),
        ("PID|1||8800123", "PID-3"),
        ("OBX|1|ST|a||x^y&8800123&z", "OBX-5.2"),
        ("NTE|1||88-00-123", "NTE-3"),
        ("NTE|1||８８００１２３", "NTE-3"),
        ("NTE|1||张三丰", "NTE-3"),
        ("PID|||||张^三丰", "PID-5"),
        ("NTE|1||Ru\\X74\\herford", "NTE-3"),
        ("NTE|1||Ruther\\H\\ford", "NTE-3"),
        ("NTE|1||born 5 December 1949", "NTE-3"),
        ("OBX|1|TS|a||194912050815", "OBX-5"),
        ("NTE|1||call 438-5521", "NTE-3"),
        ("PV1|1|||||||||||||||||||4711", "PV1-20"),
        ("NTE|1||control MSG77001", "NTE-3"),
        ("NTE|1||12 ORCHARD TERRACE", "NTE-3"),
        (
            "OBX|1|ED|a||^TEXT^^Base64^" + base64.b64encode(b"Letter for Jonathan R.").decode(),
            "OBX-5.5",
        ),
        (
            "NTE|1||" + base64.b64encode("给张三丰的信，请转交".encode("gb18030") * 2).decode(),
            "NTE-3",
        ),
        ("NTE|1||" + base64.b64encode("Rutherford's letter".encode("utf-16")).decode(), "NTE-3"),
        (
            "OBX|1|ED|a||" + base64.b64encode(PDF.replace(b"%s", b"(Jonathan) Tj")).decode(),
            "OBX-5",
        ),
        (
            "OBX|1|ED|a||"
            + base64.b64encode(PDF.replace(b"%s", zlib.compress(b"BT (Jonathan) Tj ET"))).decode(),
            "OBX-5",
        ),
        ("NTE|1||" + b"Jonathan was here".hex(), "NTE-3"),
        ("NTE|1||new number 13912345678", "NTE-3"),
        ("NTE|1||身份证 110101199003070011", "NTE-3"),
        ("NTE|1||some.body@example.org", "NTE-3"),
    ],
)
def test_a_leak_is_found_and_placed(known, line: str, path: str) -> None:  # type: ignore[no-untyped-def]
    """Whatever the spelling or encoding, the leak is hard and its place is named."""
    hard = [leak for leak in leaks_of(known, f"{HEAD}\n{line}\n") if leak.hard]
    assert path in {leak.path for leak in hard}
    text = repr(hard).lower()
    assert not any(value in text for value in ("rutherford", "jonathan", "8800123", "三丰"))


@pytest.mark.parametrize(
    "line",
    [
        "OBX|1|NM|2823-3^Potassium^LN||4711.5|mmol/L",
        "NTE|1||Rutherfordium, 88001234 cells",
        "NTE|1||张医生，三丰收",
        "OBX|1|TS|a||19491206",
        "OBX|1|ST|a||1949",
        "NTE|1||A long day in May, 白云",
        "OBX|1|ED|a||" + base64.b64encode(random.Random(3).randbytes(4000)).decode(),
        "OBR|1|1.2.840.113883.2.13812345678.4",
    ],
)
def test_what_is_no_identifier_raises_no_alarm(known, line: str) -> None:  # type: ignore[no-untyped-def]
    """Numbers, words and dates that only look alike stop nothing."""
    found = leaks_of(known, f"{HEAD}\n{line}\n")
    if "88001234" in line:
        # 8800123 is within it: from six digits on a number is found anywhere.
        assert [leak.kind for leak in found if leak.hard] == ["id"]
    else:
        assert [leak for leak in found if leak.hard] == []


def test_a_short_number_is_only_looked_for_where_numbers_of_patients_stand() -> None:
    """A record number of three digits is found in PID-3, and not in every result of 123."""
    text = f"{HEAD}\nPID|1||123^^^HOSP^MR\n"
    _, done, _ = run(profile("safe_harbor"), text)
    other = HEADER.format("X")
    assert [leak.path for leak in leaks_of(done.identifiers, f"{other}\nPID|1||123\n")] == ["PID-3"]
    assert leaks_of(done.identifiers, f"{other}\nOBX|1|NM|a||123\n") == []


@pytest.mark.parametrize("codec", ["gb18030", "utf-8", "utf-16-le", "utf-16-be"])
def test_bytes_of_another_character_set_are_read_too(known, codec: str) -> None:  # type: ignore[no-untyped-def]
    """A name in other bytes than the declared character set is still the name."""
    output = HEAD.encode() + b"\rNTE|1||" + "张三丰".encode(codec) + b"\r"
    found = find_leaks(known, output, Message.parse(output, charset="latin-1"))
    assert any(leak.hard for leak in found)


def test_other_delimiters_hide_nothing(known) -> None:  # type: ignore[no-untyped-def]
    """Where a message declares other delimiters, values are found and cut as declared."""
    output = b"MSH$%~\\@$A$B$C$D$20261101083000$$ADT%A01$X1$P$2.5\rZPI$1$a%Rutherford@b\r"
    assert [leak.path for leak in find_leaks(known, output)] == ["ZPI-2.2"]


def _compiled(**rules: object) -> CompiledProfile:
    from engine.config.models.profiles import Profile
    from engine.deid.profiles import compile_profile
    from tests.deid.canaries import key

    site = {"own": Profile.model_validate({"extends": "safe_harbor", **rules})}
    compiled, findings = compile_profile("own", site, key=key)
    assert compiled is not None, findings
    return compiled


def test_a_z_segment_that_names_the_patient_is_parked() -> None:
    """A profile that lets unknown segments pass is caught by the check, not believed."""
    text = f"{HEAD}\n{PATIENT}\nZPI|1|VIP|Jonathan Rutherford\n"
    _, _, dropped = run(profile("safe_harbor"), text)
    assert dropped == []
    _, _, kept = run(_compiled(segments={"unknown": "keep"}), text)
    assert {leak.path for leak in kept if leak.hard} == {"ZPI-3"}


def test_what_the_profile_keeps_is_no_leak_there_and_one_elsewhere() -> None:
    """A kept record number may stand in its own field only."""
    compiled = _compiled(fields={"PID-3": "keep"}, segments={"unknown": "keep"})
    text = f"{HEAD}\nPID|1|8800123|8800123^^^HOSP^MR\n"
    message, _, leaks = run(compiled, text)
    assert message.get("PID-3.1") == "8800123"
    assert message.get("PID-2.1") != "8800123"
    assert leaks == []
    _, _, leaks = run(compiled, f"{text}ZAB|8800123\n")
    assert [leak.path for leak in leaks if leak.hard] == ["ZAB-1"]
