"""
The floor: the least a store-and-forward engine can do on this machine, as a yardstick for medbus.

It listens for MLLP, writes each message and its output durably before it says AA, sends the
output on in lanes with one message in flight each, and writes each settlement durably before the
lane goes on. That is the same number of fsyncs, the same stored bytes and the same settlement
rule as medbus. It does not parse, map, seal, index or explain; it never reads its file again.

Stands alone: uses no engine code.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable

import uvloop

VT, END = b"\x0b", b"\x1c\r"
#: stored beside the two bodies of a message: ids, times, states, ack
ROW_BYTES = 400
#: stored for one attempt and its settlement
SETTLEMENT = b"s" * 250


class Frames:
    """Cuts MLLP frames out of a stream; trusts its peer."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the frames that *chunk* completes."""
        parts = (self.rest + chunk).split(END)
        self.rest = parts.pop()
        return [part[part.find(VT) + 1 :] for part in parts]


class Log:
    """Group commit: everything that waits is one write and one fdatasync."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._loop = loop
        self._waiting: list[tuple[bytes, Callable[[], None]]] = []
        self._wake = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, record: bytes, done: Callable[[], None]) -> None:
        """Make *record* durable, then call *done* on the loop."""
        with self._wake:
            self._waiting.append((record, done))
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting:
                    self._wake.wait()
                batch, self._waiting = self._waiting, []
            os.write(self._fd, b"".join([record for record, _ in batch]))
            os.fdatasync(self._fd)
            self._loop.call_soon_threadsafe(_call_all, [done for _, done in batch])


def _call_all(dones: list[Callable[[], None]]) -> None:
    for done in dones:
        done()


class Lane(asyncio.Protocol):
    """One connection to the receiver, one message in flight, next after the settlement."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._queue: deque[tuple[bytes, bytes]] = deque()
        self._frames = Frames()
        self._is_busy = False
        self._awaited = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def offer(self, control_id: bytes, body: bytes) -> None:
        """Queue *body*; send it now when the lane is idle."""
        self._queue.append((control_id, body))
        if not self._is_busy:
            self._next()

    def _next(self) -> None:
        self._is_busy = bool(self._queue)
        if self._is_busy:
            self._awaited, body = self._queue.popleft()
            self._transport.write(VT + body + END)  # type: ignore[attr-defined]

    def data_received(self, chunk: bytes) -> None:
        """Settle the message in flight when its ack comes."""
        for ack in self._frames.feed(chunk):
            msa = ack.split(b"\rMSA|", 1)[1].split(b"\r", 1)[0].split(b"|")
            if msa[0] == b"AA" and msa[1] == self._awaited:
                self._log.submit(SETTLEMENT, self._next)


class Inbound(asyncio.Protocol):
    """One sender's connection."""

    def __init__(self, log: Log, lanes: list[Lane]) -> None:
        self._log, self._lanes = log, lanes
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, chunk: bytes) -> None:
        """Store each frame; acknowledge and forward it after the commit."""
        for body in self._frames.feed(chunk):
            head = body.split(b"|", 10)
            control_id = head[9]
            patient = body.split(b"\rPID|", 1)[1].split(b"|", 3)[2]
            lane = self._lanes[hash(patient) % len(self._lanes)]
            ack = b"".join(
                (
                    b"MSH|^~\\&|FLOOR|FLOOR|" + head[2] + b"|" + head[3],
                    b"|20261101083000||ACK^A01^ACK|A" + control_id + b"|P|2.5.1\r",
                    b"MSA|AA|" + control_id + b"\r",
                )
            )
            self._log.submit(
                body + body + b"r" * ROW_BYTES,
                lambda lane=lane, control_id=control_id, body=body, ack=ack: self._accepted(
                    lane, control_id, body, ack
                ),
            )

    def _accepted(self, lane: Lane, control_id: bytes, body: bytes, ack: bytes) -> None:
        self._transport.write(VT + ack + END)  # type: ignore[attr-defined]
        lane.offer(control_id, body)


async def serve(arguments: argparse.Namespace) -> None:
    """Run until SIGTERM."""
    loop = asyncio.get_running_loop()
    log = Log(arguments.file, loop)
    host, port = arguments.connect.rsplit(":", 1)
    lanes = []
    for _ in range(arguments.lanes):
        _, lane = await loop.create_connection(lambda: Lane(log), host, int(port))
        lanes.append(lane)
    server = await loop.create_server(lambda: Inbound(log, lanes), "127.0.0.1", arguments.port)
    print(server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


def main() -> int:
    """Read the arguments and serve; the first line printed is the port."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--connect", required=True, metavar="HOST:PORT")
    parser.add_argument("--file", required=True)
    parser.add_argument("--lanes", type=int, default=8)
    uvloop.run(serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
