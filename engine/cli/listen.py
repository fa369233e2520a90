"""`medbus listen`: a test receiver with a choice of answers, good and bad."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from engine.cli.addresses import Address, parse_address, server_tls
from engine.cli.settings import Settings, pass_settings
from engine.model.errors import MedbusError

ANSWERS = ("AA", "AE", "AR", "none", "late", "wrong-id", "garbage")
#: how long `late` waits when no --delay is given: longer than the default time-out of a sender
LATE_S = 40.0


@dataclass(slots=True)
class Manners:
    """How this receiver behaves."""

    answer: str = "AA"
    delay_s: float = 0.0
    only: bytes = b""
    out: Path | None = None
    stop_after: int = 0


class Receiver:
    """Takes frames, prints a line for each, keeps the bytes if asked, answers as told."""

    def __init__(self, manners: Manners, *, as_json: bool) -> None:
        self._manners = manners
        self._as_json = as_json
        self.count = 0
        self.is_finished = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        from engine.mllp.frames import Frame, FrameDecoder

        decoder = FrameDecoder(100 << 20)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while chunk := await reader.read(65536):
                for event in (*decoder.feed(chunk), *decoder.close_frame()):
                    if isinstance(event, Frame):
                        await self._take(event.body, writer)
        writer.close()

    async def _take(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        from engine.mllp.frames import encode_frame

        manners = self._manners
        answer = manners.answer if manners.only in body else "AA"
        self.count += 1
        if manners.out is not None:
            _keep(manners.out, self.count, body)
        self._print(body, answer)
        delay_s = manners.delay_s or (LATE_S if answer == "late" else 0.0)
        if delay_s:
            await asyncio.sleep(delay_s)
        if answer == "garbage":
            writer.write(encode_frame(b"this is not HL7"))
        elif answer != "none":
            writer.write(encode_frame(_build_answer(body, answer)))
        await writer.drain()
        if self.count == manners.stop_after:
            self.is_finished.set()

    def _print(self, body: bytes, answer: str) -> None:
        import json

        from engine.hl7.errors import Hl7Error
        from engine.hl7.header import parse_header

        try:
            header = parse_header(body)
            message_type, control_id = header.message_type, header.control_id
        except Hl7Error:
            message_type, control_id = "unreadable", ""
        at = datetime.now(UTC).astimezone()
        if self._as_json:
            line = {
                "at": at.isoformat(timespec="milliseconds"),
                "message_type": message_type,
                "control_id": control_id,
                "bytes": len(body),
                "answer": answer,
            }
            click.echo(json.dumps(line, ensure_ascii=False))
        else:
            click.echo(
                f"{at:%H:%M:%S}  {self.count:>6}  {message_type:<8} {control_id:<22}"
                f" {len(body):>9,} bytes  -> {answer}"
            )


def _build_answer(body: bytes, answer: str) -> bytes:
    from engine.hl7.ack import AckError, build_ack
    from engine.hl7.errors import Hl7Error
    from engine.hl7.header import parse_header

    try:
        header = parse_header(body)
    except Hl7Error:
        header = None
    code = answer if answer in ("AA", "AE", "AR") else "AA"
    error = None if code == "AA" or header is None else AckError("207")
    ack = build_ack(
        header,
        code=code,
        control_id=f"{time.time_ns() // 1000:x}",
        at=time.time(),
        timezone=UTC,
        error=error,
        text="" if code == "AA" else "medbus listen was told to answer so",
    )
    if answer == "wrong-id" and header is not None:
        wanted, other = header.control_id_bytes, b"X" + header.control_id_bytes
        ack = ack.replace(b"|" + wanted, b"|" + other, 1)
    return ack


def _keep(folder: Path, count: int, body: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{count:06}.part"
    temporary.write_bytes(body)
    os.replace(temporary, folder / f"{count:06}.hl7")


async def _listen(address: Address, receiver: Receiver, tls: ssl.SSLContext | None) -> None:
    import signal

    loop = asyncio.get_running_loop()
    try:
        server = await asyncio.start_server(
            receiver.serve, address.host, address.port, ssl=tls, backlog=1024
        )
    except OSError as error:
        raise MedbusError(
            f"cannot listen on {address}: {os.strerror(error.errno or 0)}",
            code="RUN-022",
            fix="is another program using that port?",
        ) from None
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, receiver.is_finished.set)
    bound = server.sockets[0].getsockname()
    click.echo(f"listening on {Address(bound[0], bound[1])}; stop with Ctrl-C", err=True)
    await receiver.is_finished.wait()
    server.close()


@click.command("listen", short_help="A test receiver with a choice of answers.")
@click.argument("address", metavar="HOST:PORT")
@click.option("--ack", type=click.Choice(ANSWERS), default="AA", show_default=True)
@click.option("--delay", type=float, default=0.0, help="Seconds before each answer.")
@click.option("--only", default="", help="Answer --ack only to messages with this text; else AA.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Keep messages here.")
@click.option("--count", type=int, default=0, help="Stop after so many messages.")
@click.option("--cert", help="Listen with TLS, with this certificate.")
@click.option("--key", help="The key of --cert.")
@click.option("--client-ca", help="Demand client certificates signed by this CA.")
@pass_settings
def listen(
    settings: Settings, address: str, *, ack: str, delay: float, only: str, out: Path | None,
    count: int, cert: str | None, key: str | None, client_ca: str | None,
) -> None:  # fmt: skip
    """
    A test receiver: prints a line per message and answers as told.

    `late` answers AA after --delay (40 s without it); `wrong-id` answers with another MSA-2;
    `garbage` answers with something that is not HL7. Files in --out are plain text.

    \b
    Examples:
      medbus listen 127.0.0.1:6661
      medbus listen 127.0.0.1:6661 --ack AR --only 88001
      medbus listen :6661 --ack late --delay 45 --out out/received
    """
    tls = server_tls(cert=cert, key=key, client_ca=client_ca) if cert else None
    manners = Manners(ack, delay, only.encode(), out, count)

    async def run() -> None:
        receiver = Receiver(manners, as_json=settings.as_json)
        await _listen(parse_address(address), receiver, tls)

    asyncio.run(run())
