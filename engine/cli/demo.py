"""`medbus demo`: the engine with a sample HIS, a laboratory and a ward, as separate processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.settings import Settings, pass_settings
from engine.model.errors import MedbusError

if TYPE_CHECKING:
    from engine.config.models.site import Site

NEEDED = {"his_adt", "his_orders", "lis_results", "lis", "ward"}


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
        return shlex.join(["medbus" if word == _MEDBUS else word for word in self.command])

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self.running is not None and self.running.poll() is None


_MEDBUS = str(Path(sys.executable).with_name("medbus"))


@dataclass(slots=True)
class Demo:
    """The processes, their logs and the person who watches."""

    folder: Path
    environ: dict[str, str]
    parts: dict[str, Part]
    ended: threading.Event = field(default_factory=threading.Event)

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
        click.echo(f"{part.name:>8} | stopped; start it again with: start {part.name}")

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
        if part.is_wanted and not self.ended.is_set():
            click.echo(
                f"{part.name:>8} | ended with {code}; start it again with: start {part.name}"
            )


def _parts(settings: Settings, site: Site, rate: float) -> dict[str, Part]:
    def address_of(name: str) -> str:
        host, port = site.inbound[name].mllp.listen
        return f"{host}:{port}"

    def target_of(name: str) -> str:
        mllp = site.outbound[name].mllp
        assert mllp is not None
        return f"{mllp.connect[0]}:{mllp.connect[1]}"

    sender = [sys.executable, "-m", "engine.cli.demo_sender", "--rate", f"{rate:g}"]
    sender += ["--samples", str(settings.site / "sample_messages")]
    here = [] if settings.site == Path(".") else ["--site", str(settings.site)]
    rows = (
        (
            "lis",
            "laboratory, receives admissions and orders",
            [_MEDBUS, "listen", target_of("lis")],
        ),
        ("ward", "ward system, receives results", [_MEDBUS, "listen", target_of("ward")]),
        ("engine", "medbus", [_MEDBUS, "run", *here]),
        (
            "his",
            "HIS, sends admissions and orders, logs every ack",
            [
                *sender,
                f"his_adt={address_of('his_adt')}=adt_*.hl7",
                f"his_orders={address_of('his_orders')}=orm_*.hl7",
            ],
        ),
        (
            "results",
            "laboratory, sends results, logs every ack",
            [*sender, f"lis_results={address_of('lis_results')}=oru_*.hl7"],
        ),
    )
    return {name: Part(name, what, command) for name, what, command in rows}


def _prepare(settings: Settings, folder: Path) -> dict[str, str]:
    """Make the demo folder and a file that points another terminal to it."""
    folder = folder.absolute()
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    shown = {
        "MEDBUS_DATA": str(folder / "data"),
        "MEDBUS_ARCHIVE": str(folder / "archive"),
        "PATH": f"{Path(_MEDBUS).parent}:{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }
    # Ports of one's own, and whatever else this site was told by the environment.
    told = {name: os.environ[name] for name in sorted(os.environ) if name.startswith("MEDBUS_")}
    exported = {**told, **shown}
    lines = [f"export {name}={shlex.quote(exported[name])}" for name in exported if name != "PATH"]
    lines.append(f'export PATH={shlex.quote(str(Path(_MEDBUS).parent))}:"$PATH"')
    (folder / "activate").write_text("\n".join(lines) + "\n")
    return {**os.environ, **shown}


def _wait_for_doors(engine: Part, site: Site) -> None:
    """Wait until the engine listens, so that the senders' first lines are acks."""
    import socket

    host, port = site.inbound["his_adt"].mllp.listen
    for _ in range(200):
        if not engine.is_alive:
            return
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


def _greet(demo: Demo, folder: Path) -> None:
    click.echo("\nThe sample hospital runs. Each part is a process of its own:\n")
    for part in demo.parts.values():
        pid = part.running.pid if part.running else 0
        click.echo(f"  {part.name:<8} {part.what}")
        click.echo(f"           stop: kill {pid}  or type: stop {part.name}")
        click.echo(f"           start: {part.typed}  or type: start {part.name}")
    click.echo(
        f"\nIn another terminal:  . {folder}/activate\n"
        "then  medbus status · medbus messages · medbus trace ID · medbus --help\n"
        f"Data, keys and logs lie in {folder}. Stop everything with Ctrl-C.\n"
    )


@click.command("demo", short_help="The engine with a sample HIS and LIS, messages flowing.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/demo"),
    show_default=True,
    help="Where data, keys, archive and logs of the demo lie.",
)
@click.option("--rate", default=1.0, show_default=True, help="Messages per second and sender.")
@click.option("--seconds", default=0.0, help="Stop by itself after so long.")
@pass_settings
def demo(settings: Settings, *, folder: Path, rate: float, seconds: float) -> None:
    """
    Run the sample site with a HIS, a laboratory and a ward system, messages flowing.

    Each part is a process of its own that may be stopped and started while the others go on:
    stop the laboratory and watch its queue grow in `medbus status`; start it and watch it drain.

    \b
    Examples:
      medbus demo
      medbus demo --rate 20 --folder /srv/demo
    """
    from engine.cli.site import read_site

    site = read_site(settings)
    if missing := NEEDED - {*site.inbound, *site.outbound}:
        raise MedbusError(
            f"this is not the sample site: it has no {', '.join(sorted(missing))}",
            code="RUN-060",
            fix="run it in medbus's own repository; `medbus run` runs your site",
        )
    running = Demo(folder, _prepare(settings, folder), _parts(settings, site, rate))
    signal.signal(signal.SIGTERM, lambda *_: running.ended.set())
    try:
        for part in running.parts.values():
            running.start(part)
            if part.name == "engine":
                _wait_for_doors(part, site)
        _greet(running, folder)
        if sys.stdin.isatty():
            threading.Thread(target=_read_typed, args=(running,), daemon=True).start()
        running.ended.wait(seconds or None)
    except KeyboardInterrupt:
        click.echo("\nstopping")
    finally:
        running.ended.set()
        running.stop_all()


def _read_typed(running: Demo) -> None:
    for line in sys.stdin:
        running.obey(line)
