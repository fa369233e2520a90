"""`medbus demo`: the engine with a sample HIS, a laboratory and a ward, as separate processes."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.demo_parts import MEDBUS, Demo, Part
from engine.cli.settings import Settings, pass_settings
from engine.model.errors import MedbusError

if TYPE_CHECKING:
    from engine.config.models.site import Site

NEEDED = {"his_adt", "his_orders", "lis_results", "lis", "ward"}


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
            [MEDBUS, "listen", target_of("lis")],
        ),
        ("ward", "ward system, receives results", [MEDBUS, "listen", target_of("ward")]),
        ("engine", "medbus", [MEDBUS, "run", *here]),
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
        "PATH": f"{Path(MEDBUS).parent}:{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }
    # Ports of one's own, and whatever else this site was told by the environment.
    told = {name: os.environ[name] for name in sorted(os.environ) if name.startswith("MEDBUS_")}
    exported = {**told, **shown}
    lines = [f"export {name}={shlex.quote(exported[name])}" for name in exported if name != "PATH"]
    lines.append(f'export PATH={shlex.quote(str(Path(MEDBUS).parent))}:"$PATH"')
    (folder / "activate").write_text("\n".join(lines) + "\n")
    return {**os.environ, **shown}


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
            if running.ended.is_set():
                break
            running.start(part)
            if part.name == "engine":
                running.wait_for_engine()
        else:
            _greet(running, folder)
            threading.Thread(target=running.read_typed, daemon=True).start()
            running.ended.wait(seconds or None)
    except KeyboardInterrupt:
        click.echo("\nstopping")
    finally:
        running.ended.set()
        running.stop_all()
    if running.has_failed:
        raise MedbusError(
            "the engine of the demo did not start, or ended by itself",
            code="RUN-063",
            where=str(folder / "logs" / "engine.log"),
            fix="its last lines above say why",
        )
