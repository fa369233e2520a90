"""uvicorn inside the engine's own loop: started and stopped by the supervisor, no signals taken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from engine.model.errors import MedbusError
from engine.store.file_room import Kept, leaves_room

#: connections taken in one turn of the loop, before any of them is asked whether there is room
_BACKLOG = 16


# Which class it is, is chosen when it is imported.
class _Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that leaves file descriptors to the store."""

    _is_served = False

    def connection_made(self, transport: Any) -> None:
        """Serve it, or drop it where too few are left."""
        descriptor: int = transport.get_extra_info("socket").fileno()
        self._is_served = leaves_room(Kept.BY_SENDERS, descriptor)
        if self._is_served:
            super().connection_made(transport)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it, where it was served."""
        if self._is_served:
            super().connection_lost(exc)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the supervisor."""
        yield


class HttpServer:
    """One HTTP listener."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_Connection,
            backlog=_BACKLOG,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._where = f"{host}:{port}"
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; raises when the address is taken."""
        self._task = asyncio.ensure_future(self._serve())
        while not self._server.started:
            if self._task.done():
                self._task.result()
                break
            await asyncio.sleep(0.005)

    async def _serve(self) -> None:
        try:
            await self._server.serve()
        except SystemExit:  # uvicorn leaves so when it cannot bind
            raise MedbusError(
                f"cannot serve HTTP on {self._where}",
                code="RUN-032",
                fix="is another program using that port? see http.listen",
            ) from None

    @property
    def port(self) -> int:
        """Return the port listened on."""
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close the listener and what is connected."""
        self._server.should_exit = True
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError, MedbusError):
                await self._task
