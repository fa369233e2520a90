"""
Load for the benchmark: a generator that waits for acks, and a receiver that gives them.

`load.py receive` prints its port, then answers each line on its standard input with a JSON line of
counts. `load.py send` prints one JSON line of results. Stands alone: uses no engine code.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import deque

import uvloop

VT, END = b"\x0b", b"\x1c\r"

_TEMPLATE = (
    rb"MSH|^~\&|HIS|RIVERSIDE|MEDBUS|RIVERSIDE|20261102081500||ADT^A01^ADT_A01|%s|P|2.5.1" + b"\r"
    b"EVN|A01|20261102081500|||CLERK7^Marlow^Ida\r"
    b"PID|1||%s^^^RIVERSIDE^MR||Harbour^Nell^K||19710618|F|||14 Quay Lane^^Port Alder^^20417^XX"
    b"||5550100||EN|M\r"
    b"NK1|1|Harbour^Tobias|SPO|14 Quay Lane^^Port Alder^^20417^XX|5550101\r"
    b"PV1|1|I|W3^312^A^RIVERSIDE|U|||D1007^Okoro^Ben|||MED||||7|||D1007^Okoro^Ben|IN|V2026110012\r"
    b"AL1|1|DA|PCN^Penicillin^LOCAL|SV|Rash\r"
    b"DG1|1||I50.9^Heart failure, unspecified^I10||20261102|A\r"
    b"NTE|1||" + b"Seen on the ward round, stable, diet as before. " * 9 + b"\r"
)


def make_message(number: int, patients: int = 5000) -> bytes:
    """Return the number-th message of about 1 KB; its control id is the number."""
    return _TEMPLATE % (b"%010d" % number, b"%06d" % (400000 + number % patients))


class Sender(asyncio.Protocol):
    """One connection: one message in flight, latency from its scheduled time to its ack."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._buffer = b""
        self._waiting: deque[float] = deque()
        self._sent_at = 0.0
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def offer(self, scheduled_at: float) -> None:
        """Send one message, after those that wait."""
        self._waiting.append(scheduled_at)
        if not self._is_busy:
            self._next()

    def _next(self) -> None:
        self._is_busy = bool(self._waiting)
        if self._is_busy:
            self._sent_at = self._waiting.popleft()
            frame = VT + make_message(self._results.take_number()) + END
            self._transport.write(frame)  # type: ignore[attr-defined]

    def data_received(self, chunk: bytes) -> None:
        """Note the ack and go on."""
        self._buffer += chunk
        if not self._buffer.endswith(END):
            return
        verdict = self._buffer.split(b"\rMSA|", 1)[-1][:2]
        self._buffer = b""
        self._results.note(time.perf_counter() - self._sent_at, verdict in (b"AA", b"CA"))
        if self._results.is_closed_loop and not self._results.is_over:
            self._waiting.append(time.perf_counter())
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that the other side closed."""
        if not self._results.is_over:
            self._results.broken += 1


class Results:
    """What the run has seen so far."""

    def __init__(self, first: int, *, is_closed_loop: bool) -> None:
        self._number = first
        self._first = first
        self.is_closed_loop = is_closed_loop
        self.is_over = False
        self.broken = 0
        self.refused = 0
        self.waits: list[float] = []

    @property
    def sent(self) -> int:
        """Messages sent so far."""
        return self._number - self._first

    def take_number(self) -> int:
        """Return the next message number."""
        self._number += 1
        return self._number - 1

    def note(self, wait_s: float, is_positive: bool) -> None:
        """Keep one ack."""
        self.waits.append(wait_s)
        self.refused += not is_positive

    def summary(self, seconds: float) -> dict[str, float]:
        """Return rate and percentiles."""
        ordered = sorted(self.waits) or [0.0]
        return {
            "sent": self.sent,
            "acked": len(self.waits),
            "refused": self.refused,
            "broken": self.broken,
            "seconds": seconds,
            "rate": len(self.waits) / seconds,
            "p50_ms": 1000 * ordered[len(ordered) // 2],
            "p99_ms": 1000 * ordered[int(len(ordered) * 0.99)],
        }


async def send(arguments: argparse.Namespace) -> None:
    """Offer load for a while, wait for the last acks, print the results."""
    loop = asyncio.get_running_loop()
    results = Results(arguments.first, is_closed_loop=not arguments.rate)
    host, port = arguments.to.rsplit(":", 1)
    senders: list[Sender] = []
    for _ in range(arguments.connections):
        _, sender = await loop.create_connection(lambda: Sender(results), host, int(port))
        senders.append(sender)
    started = time.perf_counter()
    if arguments.rate:
        count = int(arguments.rate * arguments.seconds)
        for n in range(count):
            due = started + n / arguments.rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            senders[n % len(senders)].offer(due)
    else:
        for sender in senders:
            sender.offer(time.perf_counter())
        await asyncio.sleep(arguments.seconds)
    results.is_over = True
    give_up = time.perf_counter() + 20
    while len(results.waits) < results.sent and time.perf_counter() < give_up:
        await asyncio.sleep(0.005)
    seconds = time.perf_counter() - started
    print(json.dumps({"started": time.time() - seconds, **results.summary(seconds)}), flush=True)


class Receiver(asyncio.Protocol):
    """Answers every message with AA."""

    received = 0
    last_at = 0.0

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, chunk: bytes) -> None:
        """Answer each frame that is complete."""
        parts = (self._rest + chunk).split(END)
        self._rest = parts.pop()
        acks = []
        for part in parts:
            control_id = part.split(b"|", 10)[9]
            acks.append(
                b"\x0bMSH|^~\\&|R|R|M|M|20261101083000||ACK^A01^ACK|R%b|P|2.5.1\rMSA|AA|%b\r\x1c\r"
                % (control_id, control_id)
            )
        if acks:
            Receiver.received += len(acks)
            Receiver.last_at = time.time()
            self._transport.write(b"".join(acks))  # type: ignore[attr-defined]


async def receive(arguments: argparse.Namespace) -> None:
    """Serve until standard input ends or SIGTERM."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", arguments.port)
    print(server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def answer() -> None:
        if not sys.stdin.readline():
            stop.set()
            return
        print(json.dumps({"received": Receiver.received, "last_at": Receiver.last_at}), flush=True)

    loop.add_reader(sys.stdin.fileno(), answer)
    await stop.wait()


def main() -> int:
    """Read the arguments and run the half that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n\n")[0])
    halves = parser.add_subparsers(required=True)
    sending = halves.add_parser("send")
    sending.add_argument("--to", required=True, metavar="HOST:PORT")
    sending.add_argument("--connections", type=int, default=64)
    sending.add_argument("--seconds", type=float, default=5.0)
    sending.add_argument("--rate", type=float, default=0.0, help="offered, 0: as fast as acked")
    sending.add_argument("--first", type=int, default=1)
    sending.set_defaults(run=send)
    receiving = halves.add_parser("receive")
    receiving.add_argument("--port", type=int, default=0)
    receiving.set_defaults(run=receive)
    arguments = parser.parse_args()
    uvloop.run(arguments.run(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
