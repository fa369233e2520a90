"""
The way to the operations: the running engine's control socket, or the data lock of a stopped one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from engine.cli.settings import Settings
from engine.cli.site import find_data
from engine.model.errors import MedbusError

#: one operation by name; the result is what JSON can say
CallVerb = Callable[[str, Mapping[str, Any]], Any]


@contextmanager
def connect(settings: Settings) -> Iterator[CallVerb]:
    """Give a function that does operations, wherever they are done."""
    from engine.runtime.control_socket import ControlClient

    client = ControlClient.find(find_data(settings) / "control.sock", _show_progress)
    if client is not None:
        try:
            yield client.call
        finally:
            client.close()
        return
    from engine.runtime.stopped import open_stopped

    with open_stopped(settings.site, settings.env_name, _show_progress) as call:
        yield call


@contextmanager
def connect_running(settings: Settings) -> Iterator[CallVerb]:
    """Give a function that does operations in the running engine; refuse when none runs."""
    from engine.runtime.control_socket import ControlClient

    client = ControlClient.find(find_data(settings) / "control.sock", _show_progress)
    if client is None:
        raise MedbusError(
            "no engine is running on this site", code="RUN-027", fix="start it with `medbus run`"
        )
    try:
        yield client.call
    finally:
        client.close()


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)
