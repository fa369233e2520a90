"""`medbus messages`: find messages by what they are, where they went, whom they are about."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from engine.cli.connection import connect
from engine.cli.output import print_table, short_time
from engine.cli.selection import filter_options
from engine.cli.settings import Settings, pass_settings, print_json


@click.command("messages", short_help="Find messages.")
@filter_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--cursor", default="", help="Go on where the last page ended.")
@pass_settings
def messages(settings: Settings, *, filters: dict[str, str], limit: int, cursor: str) -> None:
    """
    List messages, newest first.

    --state takes a state of messages (accepted, rejected, duplicate) or of deliveries (pending,
    delivered, parked, held, cancelled, expired); a message matches if any of its deliveries does.

    \b
    Examples:
      medbus messages --state parked
      medbus messages --patient 88001 --since "yesterday 18:00"
      medbus messages --outbound lis --type ORU^R01 --limit 10 --json
    """
    with connect(settings) as call:
        page = call("messages", {**filters, "limit": limit, "cursor": cursor})
    if settings.as_json:
        print_json(page)
        return
    rows = [
        (
            item["message_id"],
            short_time(item["received_at"])[5:],
            item["inbound"],
            item["message_type"],
            item["control_id"],
            item["state"],
            summarise(item),
        )
        for item in page["items"]
    ]
    if not rows:
        click.echo("no message matches", err=True)
        return
    print_table(
        ("message", "received", "inbound", "type", "control id", "state", "deliveries"), rows
    )
    if page["next"]:
        click.echo(f"more: --cursor {page['next']}", err=True)


def summarise(item: dict[str, Any]) -> str:
    """Return the deliveries of a message in a few words: ``lis delivered, mpi parked``."""
    states = Counter((d["outbound"], d["state"]) for d in item["deliveries"])
    told = [
        f"{outbound} {state}" + (f" x{count}" if count > 1 else "")
        for (outbound, state), count in states.items()
    ]
    if told:
        again = f"replay of {item['replay_of']}: " if item["replay_of"] else ""
        return again + ", ".join(told)
    if item["state"] == "duplicate":
        return f"of {item['duplicate_of']}"
    return item["reject_reason"] or "filtered"
