"""The processes of the demo: each can be stopped, started and killed while the others go on."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import click

MEDBUS = str(Path(sys.executable).with_name("medbus"))


@dataclass(slots=True)
class Part:
    """One process of the demo."""

    name: str
    what: str
    command: list[str]
    running: subprocess.Popen[str] | None = None
    is_wanted: bool = True
    reader: threading.Thread | None = None

    @property
    def typed(self) -> str:
        """The command as a person types it."""
        return shlex.join(["medbus" if word == MEDBUS else word for word in self.command])

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self.running is not None and self.running.poll() is None


@dataclass(slots=True)
class Demo:
    """The processes, their logs and the person who watches."""

    folder: Path
    environ: dict[str, str]
    parts: dict[str, Part]
    ended: threading.Event = field(default_factory=threading.Event)
    #: the engine did not start, or gave up by itself
    has_failed: bool = False

    def start(self, part: Part) -> None:
        """Start one process; its lines are shown and kept."""
        if part.is_alive:
            click.echo(f"{part.name} runs already")
            return
        part.is_wanted = True
        part.running = subprocess.Popen(  # noqa: S603  our own commands
            part.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environ,
            start_new_session=True,  # Ctrl-C is for the demo, which stops them in order
        )
        part.reader = threading.Thread(
            target=self._show, args=(part, part.running), daemon=True, name=part.name
        )
        part.reader.start()
        click.echo(f"{part.name:>8} | started, process {part.running.pid}")

    def stop(self, part: Part, wait_s: float = 15.0) -> None:
        """Stop one process by its own id, in order if it lets itself be stopped so."""
        part.is_wanted = False
        if part.running is None or not part.is_alive:
            return
        part.running.send_signal(signal.SIGTERM)
        try:
            part.running.wait(wait_s)
        except subprocess.TimeoutExpired:
            part.running.kill()
            part.running.wait()
        again = "" if self.ended.is_set() else f"; start it again with: start {part.name}"
        click.echo(f"{part.name:>8} | stopped{again}")

    def wait_for_engine(self, wait_s: float = 60.0) -> None:
        """Wait until the engine answers, so that the senders' first lines are acks."""
        from engine.runtime.control_socket import ControlClient

        engine = self.parts["engine"]
        socket = self.folder / "data" / "control.sock"
        give_up = time.monotonic() + wait_s
        while engine.is_alive and time.monotonic() < give_up and not self.ended.is_set():
            if client := ControlClient.find(socket, lambda _: None):
                client.close()
                return
            time.sleep(0.1)
        if engine.reader is not None and not engine.is_alive:
            engine.reader.join()  # its last words come before ours
        if not self.ended.is_set():
            self.give_up()

    def read_typed(self) -> None:
        """Obey what is typed, or comes through a pipe, until there is no more."""
        if sys.stdin is None:
            return  # it was closed before the start
        # A file of its own: Python's shutdown would wait for ever for the lock of sys.stdin.
        with open(sys.stdin.fileno(), closefd=False) as typed:
            for line in typed:
                self.obey(line)

    def stop_all(self) -> None:
        """Stop the senders first, the engine last but the receivers."""
        for name in ("his", "results", "engine", "lis", "ward"):
            self.stop(self.parts[name])

    def obey(self, line: str) -> None:
        """Do what was typed: `stop lis`, `start lis`, `quit`."""
        verb, _, name = line.strip().partition(" ")
        part = self.parts.get(name)
        if verb == "quit":
            self.ended.set()
        elif part is not None and verb == "stop":
            self.stop(part)
        elif part is not None and verb == "start":
            self.start(part)
        elif verb:
            click.echo(f"type: stop NAME, start NAME or quit; names: {', '.join(self.parts)}")

    def _show(self, part: Part, running: subprocess.Popen[str]) -> None:
        assert running.stdout is not None
        with (self.folder / "logs" / f"{part.name}.log").open("a") as log:
            for line in running.stdout:
                log.write(line)
                log.flush()
                click.echo(f"{part.name:>8} | {line.rstrip()}")
        code = running.wait()
        if not part.is_wanted or self.ended.is_set():
            return
        if part.name == "engine" and code > 0:
            # It gave up by itself and has said why; killed by somebody, it waits to be started.
            self.give_up()
            return
        click.echo(f"{part.name:>8} | ended with {code}; start it again with: start {part.name}")

    def give_up(self) -> None:
        """End the demo, which is nothing without its engine."""
        self.has_failed = True
        self.ended.set()
