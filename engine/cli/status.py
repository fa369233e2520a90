"""`medbus status`: channels, queues, alarms, the ledger."""

from __future__ import annotations

from typing import Any

import click

from engine.cli.connection import connect
from engine.cli.output import print_indented, print_table, short_age, short_time
from engine.cli.settings import Settings, pass_settings, print_json


@click.command("status", short_help="Channels, queues, alarms and the ledger.")
@pass_settings
def status(settings: Settings) -> None:
    """
    Show every channel with its queue, then alarms, then today's ledger.

    Exit code 1 when there is an alarm or no engine runs.

    \b
    Examples:
      medbus status
      medbus status --json
    """
    with connect(settings) as call:
        told = call("status", {})
    if settings.as_json:
        print_json(told)
    else:
        _print(told)
    if told["alarms"] or told["state"] != "running":
        click.get_current_context().exit(1)


def _print(told: dict[str, Any]) -> None:
    since = f" since {short_time(told['started_at'])}" if told.get("started_at") else ""
    click.echo(f"{told['site']}: {told['state']}{since}, medbus {told['version']}")
    click.echo(f"store: {told['store']}, configuration {told['snapshot_id'][:12] or 'none'}\n")
    print_table(
        (
            "inbound",
            "state",
            "listens",
            "connected",
            "today",
            "per s",
            "last message",
        ),
        [
            (
                row["name"],
                row["state"],
                row["listen"],
                row["connections"],
                row["today_count"],
                row["rate"],
                short_time(row["last_message_at"])[5:],
            )
            for row in told["inbound"]
        ],
    )
    _print_errors(told["inbound"])
    click.echo()
    print_table(
        ("outbound", "state", "pending", "parked", "held", "oldest", "per s", "to"),
        [
            (
                row["name"],
                row["state"],
                row["pending"],
                row["parked"],
                row["held"],
                short_age(row["oldest_age_s"]),
                row["rate"],
                row["target"],
            )
            for row in told["outbound"]
        ],
    )
    _print_errors(told["outbound"])
    print_alarms(told["alarms"])
    print_ledger(told["ledger"])


def _print_errors(rows: list[dict[str, Any]]) -> None:
    """Print what went wrong last in each channel: too long for a column."""
    for row in rows:
        if row["last_error"]:
            print_indented(f"{row['name']}: {row['last_error']}", 2)


def print_alarms(alarms: list[dict[str, Any]]) -> None:
    """Print the alarms, whom they concern and whom to call."""
    if not alarms:
        return
    click.echo()
    for alarm in alarms:
        about = alarm["about"] or {}
        whom = ", ".join(f"{k} {v}" for k, v in about.items())
        tail = f" ({whom})" if whom else ""
        told = f"ALARM {alarm['code']} {alarm['subject']}: {alarm['what']}{tail}"
        print_indented(told, 0, fg="red")


def print_ledger(ledger: list[dict[str, Any]]) -> None:
    """Print one line per inbound channel and day."""
    click.echo()
    names = {
        "stored": "stored", "accepted": "accepted", "rejected": "rejected", "duplicate": "dup",
        "queued": "queued", "filtered": "filtered", "parked": "parked", "deliveries": "made",
        "difference": "diff",
    }  # fmt: skip
    days = {row["day"] for row in ledger}
    if len(days) == 1:
        headings, rows = [f"ledger {days.pop()}"], [[row["inbound"]] for row in ledger]
    else:
        headings, rows = ["ledger", "day"], [[row["inbound"], row["day"]] for row in ledger]
    print_table(
        (*headings, *names.values()),
        [(*first, *(row[name] for name in names)) for first, row in zip(rows, ledger, strict=True)],
    )
