"""`medbus show`: one message; looking at a body is an audited act."""

from __future__ import annotations

import base64
import sys
from typing import Any

import click

from engine.cli.connection import connect
from engine.cli.output import print_indented, print_table, short_time
from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.errors import Usage
from engine.model.message_warnings import tell_warning


@click.command("show", short_help="Show one message; bodies are an audited act.")
@click.argument("id_", metavar="ID")
@click.option("--received", is_flag=True, help="The bytes as they arrived.")
@click.option("--sent", metavar="OUTBOUND", help="The bytes owed or sent to this channel.")
@click.option("--ack", is_flag=True, help="The acknowledgement we gave.")
@click.option("--raw", is_flag=True, help="Exact bytes to standard output, for files and pipes.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def show(
    settings: Settings, id_: str, *, received: bool, sent: str | None, ack: bool, raw: bool,
    reason: str,
) -> None:  # fmt: skip
    """
    Show the facts of a message, or with an option one of its bodies.

    Bodies hold patient data: every look at one leaves an audit record. They are never part of
    --json.

    \b
    Examples:
      medbus show 20261121-17
      medbus show 20261121-17 --received --reason "ticket 4711"
      medbus show 20261121-17 --sent lis --raw > sent.hl7
    """
    wanted = [name for name, on in (("received", received), ("sent", sent), ("ack", ack)) if on]
    if len(wanted) > 1:
        raise Usage("one of --received, --sent and --ack at a time")
    with connect(settings) as call:
        if not wanted:
            _print_facts(settings, call("message", {"id": id_}))
            return
        asked = {"id": id_, "what": wanted[0], "outbound": sent or "", "reason": reason}
        told = call("show", asked)
    if settings.as_json:
        print_json({key: value for key, value in told.items() if key not in ("body", "text")})
    elif raw:
        sys.stdout.buffer.write(base64.b64decode(told["body"]))
    else:
        click.echo(told["text"])


def _print_facts(settings: Settings, told: dict[str, Any]) -> None:
    if settings.as_json:
        print_json(told)
        return
    print_facts(told)


def print_facts(told: dict[str, Any]) -> None:
    """Print a message's header facts, routes and deliveries."""
    click.echo(
        f"{told['message_id']}  {told['message_type']}  {told['state']}  "
        f"{told['bytes']:,} bytes  {short_time(told['received_at'])}"
    )
    click.echo(
        f"from {told['inbound']} ({told['peer']}), control id {told['control_id'] or 'none'}, "
        f"ack {told['ack_code'] or 'none'}, configuration {told['snapshot_id'][:12]}"
    )
    for name in ("reject_reason", "duplicate_of", "replay_of"):
        if told[name]:
            click.echo(f"{name.replace('_', ' ')}: {told[name]}")
    for word in told["warnings"]:
        click.echo(f"warning: {tell_warning(word)}")
    if told["routes"]:
        click.echo()
        print_table(
            ("route", "result", "reason"),
            [(row["route"], row["result"], row["reason"]) for row in told["routes"]],
        )
    if told["deliveries"]:
        click.echo()
        print_table(
            ("delivery", "outbound", "state", "tries", "settled", "note"),
            [
                (
                    row["delivery_id"],
                    row["outbound"],
                    row["state"],
                    row["attempts"],
                    short_time(row["settled_at"])[5:],
                    row["why"],
                )
                for row in told["deliveries"]
            ],
        )
    print_next_steps(told["deliveries"])
    for row in told["deliveries"]:
        if row["method"]:
            click.echo(f"{row['delivery_id']} de-identified by {row['method']}")


def print_next_steps(rows: list[dict[str, Any]]) -> None:
    """Print what a person can do about each row, once where it is the same."""
    for step in dict.fromkeys(row["next_step"] for row in rows):
        if step:
            print_indented(f"next: {step}")
