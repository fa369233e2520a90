"""
A sender that behaves as a careful HIS does: same bytes again until they are acknowledged.

Each connection owns its patients, so the order in which it is acknowledged is the order in which
each patient's messages must arrive; or all share them, with merges among the messages. Runs as its
own process until SIGTERM; uses no engine code.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import threading
import time
from pathlib import Path

from tests.torture.ledger import Ledger, digest
from tests.torture.wire import PeerClosed, Wire, field

#: in every message; must be in no log, metric, plain file or command output
CANARY = "ZQCANARY"
PATIENTS_PER_CONNECTION = 7
#: of the messages about patients whom all connections share
MERGE_SHARE = 0.12


def make_message(connection: int, number: int, dice: random.Random) -> bytes:
    """Return a message whose ids say where it came from and in which place of the order."""
    control_id = f"T{connection}N{number}"
    patient = f"P{connection}X{dice.randrange(PATIENTS_PER_CONNECTION)}"
    kind = "I" if dice.random() < 0.5 else "O"
    note = "ward round note " * dice.choice((1, 4, 40, 400))
    return "\r".join(
        (
            f"MSH|^~\\&|HIS|TORTURE|MEDBUS|TORTURE|20261101083000||ADT^A08|{control_id}|P|2.5.1",
            "EVN|A08|20261101083000",
            f"PID|1||{patient}^^^T^MR||{CANARY}{patient}^Nell||19710618|F",
            f"PV1|1|{kind}|W1",
            f"OBX|1|ST|SEQ||{control_id}",
            f"NTE|1||{note}",
            "",
        )
    ).encode()


def make_mixed_message(connection: int, number: int, dice: random.Random, patients: int) -> bytes:
    """Return an update of a patient whom all connections share, or a merge of two of them."""
    control_id = f"T{connection}N{number}"
    patient, other = dice.sample([f"P{index}" for index in range(patients)], 2)
    is_merge = dice.random() < MERGE_SHARE
    trigger = "A40" if is_merge else "A08"
    return "\r".join(
        (
            f"MSH|^~\\&|HIS|TORTURE|LIS|TORTURE|20261101083000||ADT^{trigger}|{control_id}|P|2.5.1",
            f"EVN|{trigger}|20261101083000",
            f"PID|1||{patient}^^^T^MR||{CANARY}{patient}^Nell||19710618|F",
            *([f"MRG|{other}^^^T^MR"] if is_merge else []),
            "PV1|1|I|W1",
            "",
        )
    ).encode()


def expected_output(body: bytes) -> bytes:
    """Return what the torture site's route makes of *body* for the lis."""
    return body.replace(b"|TORTURE|MEDBUS|", b"|TORTURE|LIS|", 1)


class Connection(threading.Thread):
    """One connection: sends, waits, sends again until acknowledged."""

    def __init__(self, arguments: argparse.Namespace, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._arguments, self._number, self._stop_event = arguments, number, stop
        self._dice = random.Random(f"{arguments.seed}/{number}")
        self._ledger = Ledger(arguments.ledger)
        self._port = arguments.port[number % len(arguments.port)]
        self._wire: Wire | None = None

    def run(self) -> None:
        """Send until told to stop; the message in hand is seen through."""
        sent = 0
        while not self._stop_event.is_set() and sent < self._arguments.count:
            sent += 1
            body = self._make(sent)
            while not self._try_once(sent, body):
                if self._stop_event.wait(0.02):
                    break
            if self._arguments.pause_s:
                self._stop_event.wait(self._arguments.pause_s)

    def _make(self, number: int) -> bytes:
        if patients := self._arguments.shared_patients:
            return make_mixed_message(self._number, number, self._dice, patients)
        return make_message(self._number, number, self._dice)

    def _try_once(self, number: int, body: bytes) -> bool:
        event = {
            "id": field(body, b"MSH", 10).decode(),
            "patient": field(body, b"PID", 3).split(b"^")[0].decode(),
            "merged": field(body, b"MRG", 1).split(b"^")[0].decode(),
            "place": number,
            "class": field(body, b"PV1", 2).decode(),
            "sha256": digest(body),
            "expected": digest(expected_output(body)),
            "sent_at": time.time(),
        }
        try:
            self._wire = self._wire or Wire.connect(self._port)
            self._wire.send(body)
            answer = self._wire.receive(self._arguments.wait_s)
        except (OSError, PeerClosed):
            self._drop_wire()
            self._ledger.write(**event, answer="none", at=time.time())
            return False
        code = field(answer, b"MSA", 1).decode()
        is_mine = field(answer, b"MSA", 2) == field(body, b"MSH", 10)
        self._ledger.write(**event, answer=code if is_mine else "foreign", at=time.time())
        return code in ("AA", "CA") and is_mine

    def _drop_wire(self) -> None:
        if self._wire:
            self._wire.close()
            self._wire = None


def main() -> int:
    """Send until SIGTERM or until each connection has sent its count."""
    parser = argparse.ArgumentParser(description="torture sender")
    parser.add_argument("--port", type=int, required=True, nargs="+")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--pause-s", type=float, default=0.0)
    parser.add_argument("--wait-s", type=float, default=10.0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--shared-patients", type=int, default=0)
    arguments = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threads = [Connection(arguments, n, stop) for n in range(arguments.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
