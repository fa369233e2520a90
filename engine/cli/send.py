"""`medbus send`: messages out over MLLP, every answer printed."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from engine.cli.addresses import Address, client_tls, is_address, parse_address
from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.errors import MedbusError, NotFound, Usage

GOOD = ("AA", "CA")


@dataclass(slots=True)
class Sending:
    """One message on its way: where it came from and what was answered."""

    body: bytes
    file: str
    number: int
    control_id: bytes = b""
    wants_answer: bool = True
    answer: str = ""
    took_s: float = 0.0
    stray_answers: int = 0


@dataclass(slots=True)
class Target:
    """Where to send, how fast and how long to wait."""

    address: Address
    timeout_s: float
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    rate: float = 0.0
    connections: int = 1
    _next_at: float = field(default=0.0)

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next message may leave, and take that turn."""
        if self.rate <= 0:
            return 0.0
        turn = max(self._next_at, now)
        self._next_at = turn + 1.0 / self.rate
        return turn - now


def read_sendings(paths: Sequence[Path], *, new_ids: bool) -> Iterator[Sending]:
    """Read the messages of files: framed, or one at each MSH line; batch envelopes left out."""
    from engine.hl7.batch import split_messages

    number = 0
    stamp = f"{time.time_ns() // 1_000_000:x}"
    for path in paths:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise NotFound(f"{path} cannot be read: {error.strerror}") from None
        for body in split_messages(raw):
            number += 1
            if b"\r" not in body:  # a text file: segments end in CR on the wire
                body = body.replace(b"\n", b"\r")
            yield _sending(body, path, number, f"{stamp}N{number}" if new_ids else "")


def _sending(body: bytes, path: Path, number: int, new_id: str) -> Sending:
    from engine.hl7.errors import Hl7Error
    from engine.hl7.header import parse_header
    from engine.hl7.message import Message

    try:
        if new_id:
            message = Message.parse(body)
            message.set("MSH-10", new_id)
            body = message.encode()
        header = parse_header(body)
    except Hl7Error:
        return Sending(body, str(path), number)  # sent as it is: that is what a test sender is for
    no_answer = header.accept_ack == "NE" and header.application_ack == "NE"
    return Sending(body, str(path), number, header.control_id_bytes, wants_answer=not no_answer)


class _Connection:
    """One MLLP connection that sends, waits for the matching answer, and sends on."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, sending: Sending) -> None:
        """Send one message; its answer, or what came instead, is noted in *sending*."""
        from engine.mllp.frames import encode_frame

        wait_s = self._target.wait_s(time.monotonic())
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._target.timeout_s):
                if self._writer is None:
                    await self._open()
                assert self._writer is not None
                self._writer.write(encode_frame(sending.body))
                await self._writer.drain()
                sending.answer = (
                    await self._read_answer(sending) if sending.wants_answer else "none wanted"
                )
        except TimeoutError:
            sending.answer = "timeout"
        except ssl.SSLError as error:
            sending.answer = f"TLS: {error.reason or type(error).__name__}"
        except OSError as error:
            told = os.strerror(error.errno) if error.errno else type(error).__name__
            sending.answer = f"broken: {told}"
        sending.took_s = time.monotonic() - began
        if sending.answer not in (*GOOD, "AE", "AR", "CE", "CR", "none wanted"):
            self.close()

    async def _open(self) -> None:
        target = self._target
        self._reader, self._writer = await asyncio.open_connection(
            target.address.host,
            target.address.port,
            ssl=target.tls,
            server_hostname=(target.server_name or target.address.host) if target.tls else None,
        )

    async def _read_answer(self, sending: Sending) -> str:
        from engine.hl7.ack import parse_ack
        from engine.hl7.errors import Hl7Error
        from engine.mllp.frames import Frame, FrameDecoder

        decoder = FrameDecoder(1 << 20)
        assert self._reader is not None
        while True:
            chunk = await self._reader.read(65536)
            if not chunk:
                raise ConnectionResetError
            for event in (*decoder.feed(chunk), *decoder.close_frame()):
                if not isinstance(event, Frame):
                    continue
                try:
                    ack = parse_ack(event.body)
                except Hl7Error:
                    return "unreadable"
                if sending.control_id and ack.control_id_bytes != sending.control_id:
                    sending.stray_answers += 1
                    continue
                return ack.code

    def close(self) -> None:
        """Close; the next message opens anew."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def send_all(sendings: Iterator[Sending], target: Target, report: _Report) -> None:
    """Send everything over the target's connections; several connections share one list."""

    async def one_connection() -> None:
        connection = _Connection(target)
        try:
            for sending in sendings:
                await connection.send(sending)
                report.add(sending)
        finally:
            connection.close()

    await asyncio.gather(*(one_connection() for _ in range(target.connections)))


class _Report:
    """Prints a line per answer, or keeps them for --json."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json, self._quiet = as_json, quiet
        self.items: list[dict[str, object]] = []
        self.sent_count = self.bad_count = 0

    def add(self, sending: Sending) -> None:
        """Take in one finished message."""
        self.sent_count += 1
        is_good = sending.answer in (*GOOD, "none wanted")
        self.bad_count += not is_good
        control_id = sending.control_id.decode("ascii", "replace")
        if self._as_json:
            self.items.append(
                {
                    "number": sending.number,
                    "file": sending.file,
                    "control_id": control_id,
                    "answer": sending.answer,
                    "took_s": round(sending.took_s, 6),
                }
            )
        elif not self._quiet or not is_good:
            click.echo(
                f"{sending.number:>6}  {sending.answer:<12} {control_id:<22}"
                f" {sending.took_s * 1000:8.1f} ms  {Path(sending.file).name}"
            )


@click.command("send", short_help="Send messages over MLLP and print every answer.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="HOST:PORT|INBOUND", help="Where to send.")
@click.option("--tls", is_flag=True, help="Use TLS and verify the server.")
@click.option("--ca", help="CA certificates to verify the server with (implies --tls).")
@click.option("--cert", help="Our certificate, for mutual TLS (implies --tls).")
@click.option("--key", help="The key of --cert.")
@click.option("--server-name", help="Name to find in the server's certificate. [default: HOST]")
@click.option("--rate", type=float, default=0.0, help="Messages per second. [default: no limit]")
@click.option("--connections", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option("--new-ids", is_flag=True, help="Give every message a new MSH-10.")
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds per answer.")
@click.option("--quiet", is_flag=True, help="Print only answers that are not AA or CA.")
@pass_settings
def send(
    settings: Settings, files: tuple[Path, ...], to: str, *, quiet: bool, new_ids: bool,
    tls: bool, ca: str | None, cert: str | None, key: str | None, server_name: str | None,
    rate: float, connections: int, timeout: float,
) -> None:  # fmt: skip
    """
    Send messages over MLLP, one after the other, and print every answer.

    FILES hold framed messages, or text in which a message starts at each MSH line; batch
    envelopes (FHS, BHS, BTS, FTS) are left out. Exit code 1 when any answer is not AA or CA.

    \b
    Examples:
      medbus send sample_messages/adt_a01.hl7 --to his_adt
      medbus send night.hl7 --to 127.0.0.1:2575 --rate 50 --new-ids
      medbus send adt.hl7 --to hie.example:2575 --ca tls/ca.pem --cert tls/c.pem --key tls/c.key
    """
    context = client_tls(ca=ca, cert=cert, key=key) if tls or ca or cert else None
    target = Target(
        parse_address(to) if is_address(to) else _find_inbound(settings, to),
        timeout,
        context,
        server_name,
        rate,
        connections,
    )
    report = _Report(as_json=settings.as_json, quiet=quiet)
    began = time.monotonic()
    was_stopped = False
    try:
        asyncio.run(send_all(read_sendings(files, new_ids=new_ids), target, report))
    except KeyboardInterrupt:
        was_stopped = True
    took_s = time.monotonic() - began
    if settings.as_json:
        print_json({"items": report.items, "next": ""})
    else:
        click.echo(
            f"{report.sent_count} sent, {report.bad_count} not accepted, in {took_s:.1f} s"
            f" ({report.sent_count / max(took_s, 1e-9):.0f}/s)"
            + ("; stopped before the end" if was_stopped else "")
        )
    if report.sent_count == 0 and not was_stopped:
        raise MedbusError("there is no message in these files", code="RUN-021")
    if report.bad_count or was_stopped:
        click.get_current_context().exit(1)


def _find_inbound(settings: Settings, name: str) -> Address:
    from engine.cli.site import read_site

    inbound = read_site(settings).inbound.get(name)
    if inbound is None:
        raise Usage(f"there is no inbound channel {name!r} in this site", fix="or give HOST:PORT")
    host, port = inbound.mllp.listen
    return Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104
