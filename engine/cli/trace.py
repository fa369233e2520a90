"""`medbus trace`: what happened to a message, from arrival to the last attempt."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import click

from engine.cli.connection import connect
from engine.cli.output import short_time, show_value
from engine.cli.settings import Settings, pass_settings, print_json
from engine.cli.show import print_facts
from engine.model.counting import count_of


@click.command("trace", short_help="What happened to a message, step by step.")
@click.argument("id_", metavar="ID")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def trace(settings: Settings, id_: str, *, reason: str) -> None:
    """
    Run the message again, on paper, through the configuration that routed it, and show each
    route and step as a field diff; then every attempt with its ack, and replays.

    Field values are patient data: a trace leaves an audit record.

    \b
    Example:
      medbus trace 20261121-17
    """
    with connect(settings) as call:
        told = call("trace", {"id": id_, "reason": reason})
    if settings.as_json:
        print_json(told)
        return
    print_facts(told["message"])
    if told["inbound_steps"]:
        click.echo("\ninbound steps")
        for step in told["inbound_steps"]:
            _print_step(step)
    for route in told["routes"]:
        click.echo(f"\nroute {route['route']}: {route['result']} {route['reason']}".rstrip())
        for step in route["steps"]:
            _print_step(step)
    if told["note"]:
        click.echo(f"\n{told['note']}")
    for delivery in told["deliveries"]:
        click.echo(f"\n{delivery['delivery_id']} to {delivery['outbound']}: {delivery['state']}")
        if delivery["method"]:
            click.echo(f"  de-identified by {delivery['method']} (profile, version, key id)")
        _print_attempts(delivery["attempts"])
    for replay in told["replays"]:
        click.echo(f"\nreplayed as {replay['message_id']} ({replay['replay_as']})")


def _print_attempts(attempts: list[dict[str, Any]]) -> None:
    """Print every try; of many that ended alike only the first and the last."""
    for _, alike in groupby(attempts, key=lambda a: (a["outcome"], a["code"], a["detail"])):
        first, *rest = alike
        _print_attempt(first)
        if len(rest) > 1:
            click.echo(f"  {'':19}  and {count_of(len(rest) - 1, 'try', 'tries')} like it, until")
        if rest:
            _print_attempt(rest[-1])


def _print_attempt(attempt: dict[str, Any]) -> None:
    click.echo(
        f"  {short_time(attempt['at'])}  {attempt['outcome']:<9} {attempt['code']:<3}"
        f" {attempt['took_s'] * 1000:8.1f} ms  {attempt['detail']}".rstrip()
    )


def _print_step(step: dict[str, Any]) -> None:
    element = f"  {step['element']}" if step.get("element") else ""
    why = f"  {step['why']}" if step.get("why") else ""
    click.echo(f"  {step['step']:>4} {step['kind']:<14} {step['outcome']}{element}{why}".rstrip())
    for change in step["changes"]:
        name = f" ({change['name']})" if change.get("name") else ""
        before, after = show_value(change["before"]), show_value(change["after"])
        click.echo(f"         {change['path']}{name}: {before} -> {after}")
    for line in step.get("log", ()):
        click.echo(f"         {line}")
