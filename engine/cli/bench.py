"""`medbus bench`: what this machine makes of the engine, beside the floor program."""

from __future__ import annotations

import os
import random
import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.counting import count_of
from engine.model.errors import MedbusError


def measure_fsync(folder: Path, tries: int = 200) -> float:
    """Return the median time of a small write and fdatasync, in ms."""
    path = folder / "fsync.probe"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    took = []
    try:
        for _ in range(tries):
            os.write(fd, b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(fd)
            took.append(time.perf_counter() - began)
    finally:
        os.close(fd)
        path.unlink()
    return 1000 * sorted(took)[len(took) // 2]


def _free_port() -> int:
    # Below where systems number outgoing connections: one of those could take the port before
    # the engine listens on it.
    while True:
        port = random.randint(20_000, 31_999)  # noqa: S311  no secret
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def _run_all(folder: Path, seconds: float) -> dict[str, Any]:
    from engine.cli.bench_rig import Peer, engine_program, floor_program, offer

    told: dict[str, Any] = {"cores": os.cpu_count(), "fsync_p50_ms": measure_fsync(folder)}
    for name in ("floor", "engine"):
        peer = Peer()
        program = (
            floor_program(folder, peer)
            if name == "floor"
            else engine_program(folder, peer, _free_port())
        )
        try:
            with program as port:
                click.echo(f"{name}: warming up", err=True)
                offer(port, peer, 1, 1.0)
                click.echo(f"{name}: {seconds:g} s, 64 connections", err=True)
                many = offer(port, peer, 10_000_000, seconds)
                click.echo(f"{name}: one connection, send, wait for the ack", err=True)
                one = offer(port, peer, 20_000_000, seconds / 2, connections=1)
                click.echo(f"{name}: 500 messages per second offered", err=True)
                offered = offer(port, peer, 30_000_000, seconds, rate=500)
        finally:
            peer.close()
        told[name] = {
            "many": asdict(many),
            "one": asdict(one),
            "offered": asdict(offered),
        }
    told["ratio"] = (
        told["engine"]["many"]["forwarded_rate"] / told["floor"]["many"]["forwarded_rate"]
    )
    return told


def _print(told: dict[str, Any]) -> None:
    floor, engine = told["floor"], told["engine"]

    def line(what: str, a: float, b: float, unit: str, target: str) -> None:
        click.echo(
            f"{what:<46} {a:>10,.2f} {b:>10,.2f} {unit:<6} {b / max(a, 1e-9):>6.2f}  {target}"
        )

    click.echo(f"{count_of(told['cores'], 'core')}, fsync p50 {told['fsync_p50_ms']:.2f} ms\n")
    click.echo(f"{'':<46} {'floor':>10} {'engine':>10} {'':<6} {'ratio':>6}  target")
    line(
        "store and forward, 64 connections, 1 KB ADT",
        floor["many"]["forwarded_rate"], engine["many"]["forwarded_rate"], "msg/s", "0.50 or more",
    )  # fmt: skip
    line(
        "one connection, p50 ack",
        floor["one"]["p50_ms"], engine["one"]["p50_ms"], "ms", "2 or less",
    )  # fmt: skip
    line(
        "500 msg/s offered, p50 ack",
        floor["offered"]["p50_ms"], engine["offered"]["p50_ms"], "ms", "",
    )  # fmt: skip
    line(
        "500 msg/s offered, p99 ack",
        floor["offered"]["p99_ms"], engine["offered"]["p99_ms"], "ms", "4 or less, 10 ms or less",
    )  # fmt: skip
    for name in ("floor", "engine"):
        refused = sum(told[name][part]["refused"] for part in ("many", "one", "offered"))
        if refused:
            click.echo(f"{name}: refused {count_of(refused, 'message')}; the figures do not count")
    pure = told["pure"]
    click.echo(
        f"{'de-identification of a 1 KB ADT, leak check':<46} {'':>10}"
        f" {pure['deid_us']:>10,.0f} µs             250 or less"
    )
    click.echo(
        f"{'5 MB ORU with embedded PDF, one route':<46} {'':>10}"
        f" {pure['big_oru_ms']:>10,.1f} ms             60 or less"
    )
    click.echo(
        f"{'  its memory, times its size':<46} {'':>10}"
        f" {pure['big_oru_memory_times']:>10,.1f}                8 or less"
    )


@click.command("bench", short_help="Measure this machine: engine, floor and their ratio.")
@click.option("--seconds", default=8.0, show_default=True, help="Length of each part.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/bench"),
    show_default=True,
    help="On the disk that is to be measured.",
)
@pass_settings
def bench(settings: Settings, *, seconds: float, folder: Path) -> None:
    """
    Run the engine and the floor program, one after the other, under the same load.

    The floor program does the same fsyncs for the same bytes and nothing else; the ratio says
    what medbus costs on top of this disk. Generator and receiver run on the same machine.

    \b
    Examples:
      medbus bench
      medbus bench --seconds 30 --folder /srv/medbus/bench
    """
    from engine.cli.bench_pure import measure_pure
    from engine.cli.bench_rig import SCRIPTS

    if not (SCRIPTS / "floor.py").is_file():
        raise MedbusError(
            "the floor program lies in medbus's repository and is not here",
            code="RUN-062",
            fix="run `medbus bench` from a checkout",
        )
    folder.mkdir(parents=True, exist_ok=True)
    told = _run_all(folder, seconds)
    told["pure"] = measure_pure()
    if settings.as_json:
        print_json(told)
    else:
        _print(told)
