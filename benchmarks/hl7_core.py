"""
The HL7 core beside python-hl7, on the corpus: header, three field reads, one edit, the bytes.

Run it as `python -m benchmarks.hl7_core [FOLDER]`; the folder is the shared corpus by
default. The machine's mood cancels out in the ratio: both run in turns.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import hl7

from engine.hl7.batch import split_messages
from engine.hl7.definitions import definitions
from engine.hl7.message import Message
from engine.pipeline.validation import compile_validator

READS = ("PID-5.1", "PV1-2", "PID-3.1")


def ours(raw: bytes) -> bytes:
    """Parse, read the header, read three fields, edit one, encode."""
    message = Message.parse(raw)
    header = message.header
    assert header.message_type is not None
    assert header.control_id is not None
    for path in READS:
        message.get(path)
    message.set("MSH-5", "RECEIVER")
    return message.encode()


def pass_through(raw: bytes) -> bytes:
    """Parse, read the header, read three fields; nobody edits."""
    message = Message.parse(raw)
    assert message.header.message_type is not None
    for path in READS:
        message.get(path)
    return message.encode()


def theirs(raw: bytes) -> bytes:
    """Do the same with python-hl7."""
    message = hl7.parse(raw.decode("utf-8", "surrogateescape"))
    header = message.segment("MSH")
    str(header[9])
    str(header[10])
    for path in READS:
        try:
            message[path.replace("-", ".F").replace(".1", ".R1.C1")]
        except (LookupError, hl7.HL7Exception):
            continue
    header[5] = "RECEIVER"
    return str(message).encode("utf-8", "surrogateescape")


def fastest(work: Callable[[bytes], object], raw: bytes, *, rounds: int, turns: int) -> float:
    """Return the microseconds of the best of many short rounds: those nobody disturbed."""
    best = float("inf")
    for _ in range(rounds):
        started = perf_counter()
        for _ in range(turns):
            work(raw)
        best = min(best, (perf_counter() - started) / turns)
    return best * 1e6


def corpus(folder: Path) -> Iterator[bytes]:
    """Yield every message that both can read, with CR line ends."""
    for path in sorted(folder.glob("*.hl7")):
        for raw in split_messages(path.read_bytes()):
            if b"\r" not in raw:
                raw = raw.replace(b"\n", b"\r")
            raw = raw.rstrip(b"\r\n") + b"\r"
            try:
                theirs(raw)
            except Exception:  # noqa: BLE001  what it raises is not our subject
                continue
            yield raw


def main() -> None:
    """Print the comparison."""
    default = os.environ.get("MEDBUS_CORPUS") or "../shared/corpus"
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    messages = sorted(corpus(folder), key=len)
    if not messages:
        sys.exit(f"no messages in {folder}; name the corpus folder")
    validator, _ = compile_validator()
    definitions("2.5.1")
    rows = [
        (
            len(raw),
            fastest(ours, raw, rounds=100, turns=10),
            fastest(pass_through, raw, rounds=100, turns=10),
            fastest(theirs, raw, rounds=20, turns=1),
            fastest(lambda raw: validator.validate(Message.parse(raw)), raw, rounds=30, turns=2),
        )
        for raw in messages
    ]
    size, edited, read, foreign, judged = rows[len(rows) // 2]
    kilobyte = min(rows, key=lambda row: abs(row[0] - 1024))
    print(f"{len(rows)} messages, {sum(row[0] for row in rows):,} bytes, microseconds per message")
    print(
        f"{'':28}{'bytes':>8}{'edited':>9}{'read':>9}{'python-hl7':>12}{'ratio':>8}{'validate':>10}"
    )
    for name, row in (("median by size", rows[len(rows) // 2]), ("about 1 KB", kilobyte)):
        size, edited, read, foreign, judged = row
        print(
            f"{name:28}{size:8,}{edited:9.1f}{read:9.1f}{foreign:12.1f}"
            f"{foreign / edited:7.0f}x{judged:10.1f}"
        )
    ratios = sorted(row[3] / row[1] for row in rows)
    print(
        f"ratio over all messages: median {median(ratios):.0f}x, "
        f"least {ratios[0]:.0f}x, most {ratios[-1]:.0f}x"
    )


if __name__ == "__main__":
    main()
