"""
The process around the engine: checks, locks, loop, signals, exit code.

Rules of this file: nothing starts while the site has errors; the reactor is installed before
anything imports it; SIGTERM and SIGINT stop in order, SIGHUP reloads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.files import read_site_files
from engine.model.errors import Locked, MedbusError
from engine.runtime.configuration import (
    ConfigurationRefused,
    check_configuration,
)
from engine.runtime.control_socket import ControlClient, user_name
from engine.runtime.garbage import spare_the_collector
from engine.runtime.hardening import close_umask, raise_file_limit, switch_off_core_dumps
from engine.runtime.logs import start_logging
from engine.runtime.opening import open_store
from engine.runtime.places import CONTROL_SOCKET, find_data_folder

if TYPE_CHECKING:
    from engine.config.models.site import Site
    from engine.runtime.engine import Engine, MakeHttp
    from engine.store.sqlite_store import SqliteStore

log = logging.getLogger(__name__)

#: how long to wait for a command that has the data folder
_LOCK_WAIT_S = 5.0


def run_engine(
    site_folder: Path, env_name: str | None, environ: Mapping[str, str], make_http: MakeHttp
) -> int:
    """
    Run the engine of a site until it is stopped; return the exit code.

    Raises:
        MedbusError: it cannot start; nothing was listened on.
    """
    switch_off_core_dumps()
    close_umask()
    raise_file_limit()
    # Loop and writer hand work to each other all the time: 5 ms of waiting for a turn is too long.
    sys.setswitchinterval(0.0005)
    site_folder = site_folder.resolve()
    files = read_site_files(site_folder)
    data_folder = find_data_folder(site_folder, environ=environ, env_name=env_name)
    try:
        checked = check_configuration(files, environ=environ, env_name=env_name)
    except ConfigurationRefused as refused:
        for finding in refused.findings:
            sys.stderr.write(f"{finding}\n")
        raise
    site = checked.site
    start_logging(level=site.log.level, format_name=site.log.format, zone=site.timezone)
    for finding in checked.findings:
        log.warning("finding", extra={"code": finding.code, "where": str(finding.mark or "")})
    store = _open_once_free(data_folder, site)
    configuration = checked.compile(store.keys)
    loop = _new_loop()
    reactor = _install_reactor(loop)

    from engine.runtime.engine import Engine

    engine = Engine(
        site_folder=site_folder,
        data_folder=data_folder,
        env_name=env_name,
        environ=environ,
        configuration=configuration,
        store=store,
        keys=store.keys,
        reactor=reactor,
        loop=loop,
        make_http=make_http,
    )
    return _run(engine, reactor, loop)


def _open_once_free(data_folder: Path, site: Site) -> SqliteStore:
    """Open the store; a command (a monitor's `status`) is waited for, an engine is not."""
    until = time.monotonic() + _LOCK_WAIT_S
    is_told = False
    while True:
        try:
            return open_store(data_folder, site)
        except Locked:
            engine = ControlClient.find(data_folder / CONTROL_SOCKET, lambda text: None)
            if engine is not None:
                engine.close()
                raise
            if time.monotonic() > until:
                raise
        if not is_told:
            log.info("waiting", extra={"reason": "something else uses the data folder"})
            is_told = True
        time.sleep(0.1)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _install_reactor(loop: asyncio.AbstractEventLoop) -> Any:
    asyncio.set_event_loop(loop)
    from twisted.internet import asyncioreactor

    # Twisted's own log is not used: what it notes for it around every read and write is left out.
    setattr(asyncioreactor, "callWithLogger", _call)  # noqa: B010  not declared as settable
    asyncioreactor.install(loop)  # type: ignore[no-untyped-call]
    from twisted.internet import reactor

    # Twisted counts its timers on the wall clock: one that is set back would stop every retry and
    # every time-out for as long. Nothing is scheduled yet, so the clock can be exchanged.
    setattr(reactor, "seconds", time.monotonic)  # noqa: B010  not declared as settable
    return reactor


def _call(descriptor: object, function: Callable[..., None], *args: object) -> None:
    function(*args)


def _run(engine: Engine, reactor: Any, loop: asyncio.AbstractEventLoop) -> int:
    failure: list[BaseException] = []

    async def start() -> None:
        try:
            await engine.start()
            spare_the_collector()
        except BaseException as error:  # noqa: BLE001  it is raised again once the loop has ended
            failure.append(error)
            engine.exit_code = 1
            engine.begin_stop()

    def begin() -> None:
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, engine.begin_stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: engine.spawn(_reload(engine)))
        engine.spawn(start())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    if failure:
        raise failure[0]
    return engine.exit_code


async def _reload(engine: Engine) -> None:
    try:
        told = await asyncio.to_thread(
            engine.reloads.reload, user_name(os.getuid()), dry_run=False, reason="SIGHUP"
        )
        for finding in told["findings"]:
            log.warning("finding", extra={"code": finding["code"], "where": finding["where"]})
    except MedbusError as error:
        log.error("reload refused", exc_info=error)
