"""
The demo's sample systems that send: the HIS (admissions, orders) and the laboratory (results).

Runs as its own process, `python -m engine.cli.demo_sender`; prints a line per ack, and sends
the same bytes again until they are acknowledged, as a real sender does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from engine.cli.addresses import parse_address
from engine.cli.send import GOOD, Sending, Target, send_all
from engine.hl7.batch import split_messages
from engine.hl7.message import Message

REFUSED = ("AE", "AR", "CE", "CR")


class AckLog:
    """One line per answer: when, to which channel, what was sent, what came back."""

    def __init__(self, channel: str) -> None:
        self._channel = channel

    def add(self, sending: Sending) -> None:
        """Print one finished try."""
        print(
            f"{datetime.now(UTC).astimezone():%H:%M:%S}  {self._channel:<12} {sending.file:<30}"
            f" {sending.control_id.decode('ascii', 'replace'):<18} <- {sending.answer}",
            flush=True,
        )


def endless(paths: Sequence[Path]) -> Iterator[Sending]:
    """
    Give the samples over and over, each with a new control id, until each is answered.

    A sample whose name says `unknown` comes once: it parks, and once is enough to look at.
    """
    stamp = f"{time.time_ns() // 1_000_000_000 % 1_000_000:06}"
    usual = [path for path in paths if "unknown" not in path.name]
    for number, path in enumerate(itertools.chain(paths, itertools.cycle(usual)), 1):
        message = Message.parse(split_messages(path.read_bytes())[0])
        message.set("MSH-10", f"{message.get('MSH-3')}{stamp}N{number}")
        body = message.encode()
        sending = Sending(body, path.name, number, message.get("MSH-10").encode())
        while sending.answer not in (*GOOD, *REFUSED):
            yield sending


async def send_for_ever(plan: Sequence[tuple[str, str, list[Path]]], rate: float) -> None:
    """Send to each channel of the plan (name, address, samples) at *rate* messages per second."""
    await asyncio.gather(
        *(
            send_all(
                endless(paths),
                Target(parse_address(address), timeout_s=15.0, rate=rate),
                AckLog(name),  # type: ignore[arg-type]
            )
            for name, address, paths in plan
        )
    )


def main() -> int:
    """Send until stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n\n")[0])
    parser.add_argument("plan", nargs="+", metavar="CHANNEL=HOST:PORT=GLOB")
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=1.0)
    arguments = parser.parse_args()
    plan = []
    for entry in arguments.plan:
        channel, address, pattern = entry.split("=", 2)
        plan.append((channel, address, sorted(arguments.samples.glob(pattern))))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(send_for_ever(plan, arguments.rate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
