"""The engine as an operator has it: a folder, a process, and the public commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.torture.wire import WAIT_S

MEDBUS = str(Path(sys.executable).parent / "medbus")


def wait_until(is_true: Callable[[], object], wait_s: float, what: str) -> None:
    """Return once *is_true*; fails loudly, saying *what* did not happen, when it never is."""
    give_up = time.monotonic() + wait_s
    pause = threading.Event()
    while not is_true():
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {wait_s} s: {what}")
        pause.wait(0.02)


def at_most(seconds: float) -> float:
    """Return *seconds* where the figures are made (`make torture`), else the patience of tests."""
    return seconds if os.environ.get("MEDBUS_PART") else WAIT_S


def is_listening(port: int) -> bool:
    """Return whether something accepts connections on *port*."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Engine:
    """One site and the engine that runs it; every process is ended by its own id."""

    def __init__(self, folder: Path, site: str, **files: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_path = folder / "engine.log"
        self.running: subprocess.Popen[bytes] | None = None
        self.starts = 0
        #: bytes of log from before the last launch
        self._logged = 0
        self.write("medbus.yaml", f"site: torture\ndata: data\ntimezone: UTC\n{EXTRA}")
        self.write("channels/channels.yaml", site)
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Write one file of the site."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(
        self, *ports: int, environ: Mapping[str, str] | None = None, wait_s: float = WAIT_S
    ) -> float:
        """Start it and wait until it listens on *ports*; return how long that took."""
        started = time.monotonic()
        self.launch(environ=environ)
        for port in ports:
            wait_until(
                lambda port=port: is_listening(port) or self._must_run(),
                wait_s,
                f"engine listens on {port}",
            )
        return time.monotonic() - started

    def launch(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        before_exec: Callable[[], None] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start it without waiting for anything."""
        self._logged = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self.running = subprocess.Popen(
                [MEDBUS, "--site", str(self.folder), "run"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environ or {})},
                preexec_fn=before_exec,
            )
        self.starts += 1
        return self.running

    def _must_run(self) -> bool:
        if self.running is None or self.running.poll() is not None:
            code = None if self.running is None else self.running.returncode
            raise AssertionError(f"the engine ended with {code}:\n{self.log_tail()}")
        return False

    def wait_started(self, wait_s: float = WAIT_S) -> None:
        """Wait until every channel and the control socket are open, or until it has ended."""
        assert self.running is not None
        running = self.running
        wait_until(lambda: self._says_started() or running.poll() is not None, wait_s, "started")

    def _says_started(self) -> bool:
        with self.log_path.open("rb") as log:
            log.seek(self._logged)
            return b'"started"' in log.read()

    @property
    def pid(self) -> int:
        """The process id of the running engine."""
        assert self.running is not None
        return self.running.pid

    def log(self) -> str:
        """Return what the engine wrote so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log().splitlines()[-20:])

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.running and self.running.poll() is None:
            self.running.send_signal(signal.SIGKILL)
        self.wait()

    def terminate(self, wait_s: float = WAIT_S) -> int:
        """SIGTERM; return the exit code."""
        assert self.running is not None
        self.running.send_signal(signal.SIGTERM)
        return self.wait(wait_s)

    def wait(self, wait_s: float = WAIT_S) -> int:
        """Wait for its end; return the exit code."""
        assert self.running is not None
        return self.running.wait(wait_s)

    def command(
        self, *arguments: str, wait_s: float = 2 * WAIT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run one medbus command on this site."""
        return subprocess.run(
            [MEDBUS, "--site", str(self.folder), *arguments],
            capture_output=True,
            text=True,
            timeout=wait_s,
            stdin=subprocess.DEVNULL,
        )

    def ask(self, *arguments: str) -> Any:
        """Run one command with --json and return what it printed."""
        answer = self.command(*arguments, "--json")
        try:
            return json.loads(answer.stdout)
        except json.JSONDecodeError:
            raise AssertionError(f"{arguments}: {answer.stdout}\n{answer.stderr}") from None

    def all_messages(self, *filters: str) -> list[dict[str, Any]]:
        """Return every message the filters choose, page by page, newest first."""
        items: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            more = ("--cursor", cursor) if cursor else ()
            page = self.ask("messages", "--limit", "1000", *filters, *more)
            items += page["items"]
            cursor = page.get("next") or None
        return items

    def owed(self) -> int:
        """Return how many deliveries wait, over all outbound channels."""
        status = self.ask("status")
        return sum(entry.get("pending", 0) + entry.get("held", 0) for entry in outbounds(status))

    def wait_drained(self, wait_s: float = WAIT_S) -> None:
        """Wait until nothing is owed any more."""
        wait_until(lambda: self.owed() == 0, wait_s, "every delivery settled")

    def memory_mb(self) -> float:
        """Return the resident size of the engine."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_s(self) -> float:
        """Return the processor time the engine has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        """Return how many file descriptors the engine has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))


#: further lines of medbus.yaml
EXTRA = "log: {level: info, format: json}\n"


def outbounds(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the outbound channels of a status answer."""
    channels = status.get("outbound", [])
    return list(channels.values()) if isinstance(channels, dict) else list(channels)


def torture_site(inbound: int, lis: int, ward: int) -> str:
    """Return the site of the torture run: a mapped route, a filtered one, and an archive."""
    return f"""
inbound:
  his: {{mllp: {{listen: "127.0.0.1:{inbound}"}}}}
outbound:
  lis:
    mllp: {{connect: "127.0.0.1:{lis}", timeout: 5s}}
    order_by: ["PID-3.1"]
    lanes: 4
    backoff: {{first: 50ms, factor: 2, max: 500ms}}
  ward:
    mllp: {{connect: "127.0.0.1:{ward}", timeout: 5s}}
    backoff: {{first: 50ms, factor: 2, max: 500ms}}
routes:
  to_lis:
    from: his
    steps:
      - set: {{MSH-5: LIS}}
    to: lis
  to_ward:
    from: his
    when: PV1-2 == 'I'
    to: ward
"""
