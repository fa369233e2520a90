"""One engine, one receiver that misbehaves by script, and what an operator sees of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.missing import not_run
from tests.support.ports import free_port
from tests.torture.engine import WAIT_S, Engine, wait_until
from tests.torture.receiver import Receiver, Script, accept_all
from tests.torture.wire import PeerClosed, Wire

SHIM_SOURCE = Path(__file__).with_name("shim.c")

#: the patient's name in every message; must be in no log, metric or plain file
CANARY = b"ZQCANARY"

#: the receiver is threads of this process, which may be kept from answering for a while: a try
#: that was answered must not run out of time and be made again
OUTBOUND = "timeout: 60s"
#: for a receiver that does not answer; long enough for the try after it
IMPATIENT = "timeout: 3s"
#: quick waits, so that a fault shows within a second; the meaning is that of the real values
POLICY = "backoff: {first: 50ms, factor: 2, max: 200ms}"


def message(number: int, *, patient: str = "P1", text: str = "", control_id: str = "") -> bytes:
    """Return a small message; its control id is F and the number."""
    return (
        f"MSH|^~\\&|HIS|T|MEDBUS|T|20261101083000||ADT^A08|{control_id or f'F{number}'}|P|2.5.1\r"
        f"PID|1||{patient}^^^T^MR||ZQCANARY^Nell\rPV1|1|I|W1\rNTE|1||{text}\r"
    ).encode()


class Bench:
    """Engine and receiver of one fault test."""

    def __init__(
        self,
        folder: Path,
        script: Script = accept_all,
        *,
        connect: str = OUTBOUND,
        outbound: str = POLICY,
        inbound: str = "",
        mllp_in: str = "",
        steps: str = "",
        site: str = "",
        **files: str,
    ) -> None:
        self.port = free_port()
        self.receiver = Receiver(script)
        #: a site of the test's own may name these two ports
        site = site.format(port=self.port, lis=self.receiver.port) or "\n".join(
            (
                "inbound:",
                f'  his: {{mllp: {{listen: "127.0.0.1:{self.port}"{_more(mllp_in)}}}'
                f"{_more(inbound)}}}",
                "outbound:",
                "  lis:",
                f'    mllp: {{connect: "127.0.0.1:{self.receiver.port}", {connect}}}',
                *(f"    {line}" for line in outbound.split("\n") if line),
                "routes:",
                "  to_lis:",
                "    from: his",
                *(
                    ["    steps:", *(f"      {line}" for line in steps.split("\n"))]
                    if steps
                    else ()
                ),
                "    to: lis",
                "",
            )
        )
        self.engine = Engine(folder / "site", site, **files)

    def start(self, environ: Mapping[str, str] | None = None) -> None:
        """Start the engine and wait until all of it has started."""
        self.engine.start(self.port, environ=environ)
        self.engine.wait_started()

    def send(self, body: bytes, wait_s: float = WAIT_S) -> str:
        """Send one message on a new connection; return the ack code, or "none"."""
        try:
            wire = Wire.connect(self.port)
        except OSError:
            return "none"
        try:
            wire.send(body)
            return verdict(wire.receive(wait_s))
        except PeerClosed:
            return "none"
        finally:
            wire.close()

    def deliveries(self) -> list[dict[str, Any]]:
        """Return every delivery, oldest message first."""
        messages = reversed(self.engine.all_messages())
        return [delivery for item in messages for delivery in item["deliveries"]]

    def states(self) -> list[str]:
        """Return the states of all deliveries, oldest message first."""
        return [delivery["state"] for delivery in self.deliveries()]

    def wait_for_states(self, *states: str, wait_s: float = WAIT_S) -> list[dict[str, Any]]:
        """Wait until the deliveries are in *states*, oldest first; return them."""
        wait_until(lambda: self.states() == list(states), wait_s, f"deliveries become {states}")
        return self.deliveries()

    def attempts(self, message_id: str) -> list[dict[str, Any]]:
        """Return the attempts of a message's only delivery, as `trace` tells them."""
        trace = self.engine.ask("trace", message_id)
        attempts: list[dict[str, Any]] = trace["deliveries"][0]["attempts"]
        return attempts

    def first_message_id(self) -> str:
        """Return the id of the oldest message."""
        found: str = self.engine.all_messages()[-1]["message_id"]
        return found

    def close(self) -> None:
        """End engine and receiver; fails when patient data lies anywhere in plain sight."""
        if self.engine.running:
            self.engine.kill()
        self.receiver.stop()
        assert_nothing_in_plain_sight(self.engine.folder)


def assert_nothing_in_plain_sight(folder: Path) -> None:
    """Fail when a patient's name stands in any file of *folder*, deliveries to files aside."""
    for path in folder.rglob("*"):
        if path.is_file() and "out" not in path.relative_to(folder).parts:
            assert CANARY not in path.read_bytes(), f"patient data in {path.relative_to(folder)}"


def _more(text: str) -> str:
    return f", {text}" if text else ""


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other side has closed."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def verdict(ack: bytes) -> str:
    """Return MSA-1 of an ack."""
    return ack.split(b"\rMSA|", 1)[1].split(b"|", 1)[0].decode()


@contextmanager
def bench(folder: Path, script: Script = accept_all, **options: Any) -> Iterator[Bench]:
    """Give a started bench; whatever happens, nothing is left running."""
    made = Bench(folder, script, **options)
    try:
        made.start()
        yield made
    finally:
        made.close()


def built_library(source: Path, folder: Path) -> Path:
    """Return *source* compiled for LD_PRELOAD; without a compiler the test counts as not run."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        not_run("this machine has no C compiler for the fault shim; make packages")
    library = folder / source.with_suffix(".so").name
    options = ["-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run([compiler, *options], check=True)
    return library


class Shim:
    """Commands the preloaded shim of one engine."""

    def __init__(self, folder: Path) -> None:
        self._library = built_library(SHIM_SOURCE, folder)
        self._rules = folder / "shim.rules"

    @property
    def environ(self) -> dict[str, str]:
        """The environment an engine must be started with."""
        return {"LD_PRELOAD": str(self._library), "MEDBUS_SHIM": str(self._rules)}

    def arm(self, *rules: str) -> None:
        """Let calls fail from now on; each rule is CALL MATCH ACTION COUNT."""
        fresh = self._rules.with_suffix(".new")
        fresh.write_text("".join(f"{rule}\n" for rule in rules))
        fresh.rename(self._rules)

    def disarm(self) -> None:
        """Let all calls pass again."""
        self._rules.unlink(missing_ok=True)


@contextmanager
def shimmed(
    folder: Path, script: Script = accept_all, **options: Any
) -> Iterator[tuple[Bench, Shim]]:
    """Give a started bench whose system calls can be made to fail."""
    folder.mkdir(parents=True, exist_ok=True)
    shim = Shim(folder)
    made = Bench(folder, script, **options)
    try:
        made.start(shim.environ)
        yield made, shim
    finally:
        made.close()


def after(script: Script, count: int, then: Script) -> Script:
    """Return a script that follows *script* for *count* messages, then *then*."""

    def act(wire: Wire, body: bytes, number: int) -> None:
        (script if number <= count else then)(wire, body, number)

    return act


def answer_with(make: Callable[[bytes], bytes]) -> Script:
    """Return a script that answers with what *make* makes of the message."""

    def act(wire: Wire, body: bytes, number: int) -> None:
        wire.send(make(body))

    return act
