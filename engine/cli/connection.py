"""
The way to the operations: the running engine's control socket, or the data lock of a stopped one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from engine.cli.settings import Settings
from engine.cli.site import find_data
from engine.model.errors import Locked, MedbusError

#: one operation by name; the result is what JSON can say
CallVerb = Callable[[str, Mapping[str, Any]], Any]
#: how long to wait for whoever has the data folder
_LOCK_WAIT_S = 5.0


@contextmanager
def connect(settings: Settings) -> Iterator[CallVerb]:
    """
    Give a function that does operations, wherever they are done.

    An engine or command that is just starting or ending is waited for.
    """
    from engine.runtime.control_socket import ControlClient

    socket = find_data(settings) / "control.sock"
    with ExitStack() as stack:
        stack.callback(_clear_progress)
        until = time.monotonic() + _LOCK_WAIT_S
        while True:
            client = ControlClient.find(socket, _show_progress)
            if client is not None:
                stack.callback(client.close)
                yield client.call
                return
            from engine.runtime.stopped import open_stopped

            stopped = open_stopped(settings.site, settings.env_name, _show_progress)
            try:
                call = stack.enter_context(stopped)
            except Locked:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
                continue
            yield call
            return


@contextmanager
def connect_running(settings: Settings) -> Iterator[CallVerb]:
    """Give a function that does operations in the running engine; refuse when none runs."""
    from engine.runtime.control_socket import ControlClient

    data = find_data(settings)
    client = ControlClient.find(data / "control.sock", _show_progress)
    if client is None:
        raise MedbusError(
            "no engine is running on this data folder",
            code="RUN-027",
            where=str(data.absolute()),
            fix="start it with `medbus run`",
        )
    try:
        yield client.call
    finally:
        client.close()


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
