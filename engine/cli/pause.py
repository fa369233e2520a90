"""`medbus pause` and `resume`: switches that persist over restarts."""

from __future__ import annotations

from typing import Any

import click

from engine.cli.connection import connect
from engine.cli.output import short_time
from engine.cli.settings import Settings, pass_settings, print_json


@click.command("pause", short_help="Pause a channel; persists over restarts.")
@click.argument("channel")
@click.option("--until", metavar="TIME", help="Resume by itself then: 2h, 18:00, 2026-11-22 06:00.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def pause(settings: Settings, channel: str, *, until: str | None, reason: str) -> None:
    """
    Pause a channel. An inbound channel closes its listener; an outbound one finishes the attempt
    in flight and then waits. Nothing is lost: messages stay in the queue.

    \b
    Example:
      medbus pause lis --until 18:00 --reason "LIS upgrade"
    """
    with connect(settings) as call:
        _say(settings, call("pause", {"channel": channel, "until": until, "reason": reason}))


@click.command("resume", short_help="Let a paused channel go on.")
@click.argument("channel")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def resume(settings: Settings, channel: str, *, reason: str) -> None:
    """
    Let a paused channel go on.

    \b
    Example:
      medbus resume lis --reason "upgrade done"
    """
    with connect(settings) as call:
        _say(settings, call("resume", {"channel": channel, "reason": reason}))


def _say(settings: Settings, told: dict[str, Any]) -> None:
    if settings.as_json:
        print_json(told)
        return
    until = f" until {short_time(told['until'])}" if told.get("until") else ""
    click.echo(f"{told['channel']}: {told['state']}{until}")
