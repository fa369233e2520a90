"""`medbus stop`: end the running engine, at once or after its queues are empty."""

from __future__ import annotations

import time

import click

from engine.cli.connection import connect, connect_running
from engine.cli.settings import Settings, pass_settings, print_json
from engine.cli.site import find_data
from engine.model.errors import MedbusError

_OWED = ("pending", "parked", "held")


@click.command("stop", short_help="Stop the running engine.")
@click.option("--drain", is_flag=True, help="First close the listeners and empty the queues.")
@click.option("--within", type=float, default=60.0, show_default=True, help="Seconds for --drain.")
@pass_settings
def stop(settings: Settings, *, drain: bool, within: float) -> None:
    """
    Stop the running engine. What it accepted is answered; attempts in flight may finish.

    Nothing owed is lost: it goes on at the next start. --drain waits for empty queues first;
    another stop ends the waiting.

    \b
    Examples:
      medbus stop
      medbus stop --drain --within 300
    """
    from engine.store.data_lock import is_locked

    with connect_running(settings) as call:
        told = call("stop", {"drain": drain, "within_s": within})
    until = time.monotonic() + within + 30.0
    while is_locked(find_data(settings)):
        if time.monotonic() > until:
            raise MedbusError("the engine is still running", code="RUN-029", fix="see its log")
        time.sleep(0.05)
    told = {**told, "state": "stopped", **_owed(settings, told["pending"])}
    if settings.as_json:
        print_json(told)
    else:
        owed = [f"{told[state]:,} {state}" for state in _OWED if told.get(state)]
        click.echo(f"stopped; still owed: {', '.join(owed) or 0}")


def _owed(settings: Settings, before: int) -> dict[str, int]:
    """Count what is owed after the stop; *before* is pending where a supervisor was faster."""
    try:
        with connect(settings) as call:
            rows = call("status", {})["outbound"]
    except MedbusError:
        return {"pending": before}
    return {state: sum(row[state] for row in rows) for state in _OWED}
