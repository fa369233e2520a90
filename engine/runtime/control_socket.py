"""
The control socket: JSON lines over a UNIX socket, the caller known by its OS user.

A request is ``{"verb": "status", "arguments": {…}}``; the answer is ``{"result": …}`` or
``{"error": {code, what, where, fix}}``, after any number of ``{"progress": "…"}`` lines.
Rules of this file: operations run in threads; the loop only carries lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pwd
import socket
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engine.model import errors
from engine.model.errors import MedbusError
from engine.runtime.logs import describe_exception

log = logging.getLogger(__name__)

#: longest request line
LINE_BYTES = 16 << 20
_CREDENTIALS = struct.Struct("3i")

#: what a request becomes: (user, verb, arguments, progress) -> result
Perform = Callable[[str, str, Mapping[str, Any], Callable[[str], None]], object]


class ControlServer:
    """
    Serves the control socket of one engine.

    Args:
        path: where the socket lies; made with mode 0600.
        perform: does one operation, in a thread of its own.
    """

    def __init__(self, path: Path, perform: Perform) -> None:
        self._path = path
        self._perform = perform
        self._server: asyncio.AbstractServer | None = None
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="operation")
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the socket; one left behind by a killed engine is replaced."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, address_path(self._path), limit=LINE_BYTES
            )
        except OSError as error:
            raise MedbusError(
                f"the control socket cannot be made: {error.strerror or 'its path is too long'}",
                code="RUN-043",
                where=str(self._path),
            ) from None
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Close the socket; operations under way may finish their answer for a second."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            user = _user_of(writer.get_extra_info("socket"))
            while line := await reader.readline():
                await self._answer(user, line, writer)
        except (OSError, ValueError, asyncio.CancelledError):
            log.debug("control connection ended")
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, user: str, line: bytes, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()

        def progress(text: str) -> None:
            loop.call_soon_threadsafe(_write_line, writer, {"progress": text})

        def work() -> object:
            request = json.loads(line)
            return self._perform(user, request["verb"], request.get("arguments", {}), progress)

        try:
            answer: dict[str, object] = {"result": await loop.run_in_executor(self._threads, work)}
        except MedbusError as error:
            answer = {"error": describe_error(error)}
        except Exception as error:
            log.error("an operation failed", exc_info=error)
            told = MedbusError(f"the operation failed: {describe_exception(error)}", code="RUN-024")
            answer = {"error": describe_error(told)}
        _write_line(writer, answer)
        await writer.drain()


def address_path(path: Path) -> str:
    """Return a form of *path* that fits into a socket address (107 bytes)."""
    full = str(path.resolve())
    if len(os.fsencode(full)) < 104:
        return full
    return os.path.relpath(full)


def _write_line(writer: asyncio.StreamWriter, value: object) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")


def _user_of(peer: socket.socket) -> str:
    packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return user_name(_CREDENTIALS.unpack(packed)[1])


def user_name(uid: int) -> str:
    """Return the OS user's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def describe_error(error: MedbusError) -> dict[str, str]:
    """Return an error as it travels."""
    return {
        "kind": type(error).__name__,
        "code": error.code,
        "what": error.what,
        "where": error.where,
        "fix": error.fix,
    }


def parse_error(described: Mapping[str, str]) -> MedbusError:
    """Return the error that `describe_error` described."""
    kind = getattr(errors, described.get("kind", ""), MedbusError)
    if not (isinstance(kind, type) and issubclass(kind, MedbusError)):
        kind = MedbusError
    return kind(
        described["what"], code=described["code"], where=described["where"], fix=described["fix"]
    )


class ControlClient:
    """Calls operations of the engine that listens on a control socket; blocking."""

    def __init__(self, peer: socket.socket, on_progress: Callable[[str], None]) -> None:
        self._peer = peer
        self._lines = peer.makefile("rwb")
        self._on_progress = on_progress

    @classmethod
    def find(cls, path: Path, on_progress: Callable[[str], None]) -> ControlClient | None:
        """Return a client of the running engine, or None when none answers."""
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect(address_path(path))
        except (FileNotFoundError, ConnectionRefusedError):
            peer.close()
            return None
        except PermissionError:
            peer.close()
            raise MedbusError(
                "this user may not speak to the running engine",
                code="RUN-025",
                fix="run the command as the user the engine runs as",
            ) from None
        return cls(peer, on_progress)

    def call(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """Do one operation and return its result; raises what the engine raised."""
        request = {"verb": verb, "arguments": arguments}
        try:
            self._lines.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
            self._lines.flush()
            for line in self._lines:
                answer = json.loads(line)
                if "progress" in answer:
                    self._on_progress(answer["progress"])
                elif "error" in answer:
                    raise parse_error(answer["error"])
                else:
                    return answer["result"]
        except OSError:
            pass
        raise MedbusError(
            "the engine went away before it answered",
            code="RUN-026",
            fix="see its log; an action that was begun goes on at its next start",
        )

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._peer.close()
