"""uvicorn inside the engine's own loop: started and stopped by the supervisor, no signals taken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from engine.model.errors import MedbusError


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
