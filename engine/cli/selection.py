"""SELECTION: message or delivery ids, or the filters of `messages`; and the count-first rule."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from engine.cli.connection import CallVerb, connect
from engine.cli.output import print_table
from engine.cli.settings import Settings, print_json
from engine.model.counting import count_of
from engine.model.errors import Conflict, Usage

F = TypeVar("F", bound=Callable[..., Any])

FILTERS = (
    click.option("--inbound", metavar="NAME", help="Arrived on this inbound channel."),
    click.option("--route", metavar="NAME", help="Taken by this route."),
    click.option("--outbound", metavar="NAME", help="With a delivery to this outbound channel."),
    click.option("--type", "message_type", metavar="ADT^A01", help="Message type; ADT for all."),
    click.option("--state", metavar="STATE", help="State of the message or of any delivery."),
    click.option("--since", metavar="TIME", help="2h, 07:30, yesterday 18:00, 2026-11-20…"),
    click.option("--until", metavar="TIME", help="The same forms as --since."),
    click.option("--patient", metavar="ID", help="Patient id."),
    click.option("--visit", metavar="ID", help="Visit number."),
    click.option("--order", metavar="ID", help="Placer or filler order number."),
    click.option("--name", metavar="NAME", help="Patient's family or full name."),
    click.option("--control-id", metavar="ID", help="MSH-10 of the sender."),
)
_FILTER_NAMES = (
    "inbound", "route", "outbound", "message_type", "state", "since", "until", "patient", "visit",
    "order", "name", "control_id",
)  # fmt: skip

#: what is left out is named one by one up to here
_MOST_TOLD = 20


def filter_options(function: F) -> F:
    """Add the filters of `messages`; the command gets one argument, *filters*."""

    @functools.wraps(function)
    def command(*args: Any, **options: Any) -> Any:
        filters = {name: options.pop(name) for name in _FILTER_NAMES}
        kept = {name: value for name, value in filters.items() if value is not None}
        return function(*args, filters=kept, **options)

    for option in reversed(FILTERS):
        command = option(command)
    return command  # type: ignore[return-value]


def acting_options(function: F) -> F:
    """Add IDS, the filters, --reason and --yes: all that a changing command needs."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only show what would be done."),
        click.option("--yes", type=int, metavar="N", help="Do not ask; refused unless N matches."),
        click.option("--reason", metavar="TEXT", help="Why; kept in the audit record."),
        filter_options,
        click.argument("ids", nargs=-1, metavar="[ID]..."),
    ):
        function = option(function)
    return function


def act(
    settings: Settings,
    verb: str,
    *,
    ids: Sequence[str],
    filters: Mapping[str, str],
    reason: str | None,
    yes: int | None,
    dry_run: bool = False,
    **extra: object,
) -> None:
    """Show the count, ask, act on exactly what was shown; exit 1 when something was left out."""
    if not ids and not filters:
        raise Usage(f"{verb} of what?", fix="give message or delivery ids, or filters")
    if not (reason or "").strip() and not dry_run:
        raise Usage(
            f"{verb} wants --reason", fix='such as --reason "LIS fixed its table, ticket 4711"'
        )
    with connect(settings) as call:
        asked = {"verb": verb, "ids": list(ids), "filters": dict(filters), **extra}
        prepared = call("prepare", asked)
        if dry_run:
            _show_only(settings, verb, prepared)
        else:
            _act(settings, call, verb, prepared, reason=reason or "", yes=yes)


def _show_only(settings: Settings, verb: str, prepared: Mapping[str, Any]) -> None:
    if settings.as_json:
        print_json({key: value for key, value in prepared.items() if key != "token"})
    else:
        _show_prepared(verb, prepared)
        click.echo("nothing was done")
    if prepared["left_out"] or not prepared["count"]:
        click.get_current_context().exit(1)


def _act(
    settings: Settings,
    call: CallVerb,
    verb: str,
    prepared: Mapping[str, Any],
    *,
    reason: str,
    yes: int | None,
) -> None:
    count = prepared["count"]
    if not settings.as_json:
        _show_prepared(verb, prepared)
    if count == 0:
        _finish(settings, prepared, {"done": 0, "failed": [], "created": []})
        click.get_current_context().exit(1)
    demand_consent(verb, count, _counted(prepared), yes)
    report = call("perform", {"token": prepared["token"], "reason": reason})
    _finish(settings, prepared, report)
    if prepared["left_out"] or report["failed"]:
        click.get_current_context().exit(1)


def _counted(prepared: Mapping[str, Any]) -> str:
    many = prepared["unit"]
    return count_of(prepared["count"], "delivery" if many == "deliveries" else "message", many)


def demand_consent(verb: str, count: int, counted: str, yes: int | None) -> None:
    """Ask, or compare with --yes; raises where there is no consent to exactly this count."""
    if yes is not None:
        if yes != count:
            raise Conflict(
                f"--yes {yes}, but this would {verb} {count}; nothing was done",
                code="RUN-028",
                fix="look again, then give the right number",
            )
        return
    if not sys.stdin.isatty():
        raise Usage(
            f"this would {verb} {counted}; nothing was done", fix=f"say --yes {count} to do it"
        )
    click.confirm(f"{verb} {counted}?", abort=True)


def _show_prepared(verb: str, prepared: Mapping[str, Any]) -> None:
    click.echo(f"{verb}: {_counted(prepared)}")
    if prepared["by_outbound"]:
        print_table(
            ("outbound", "state", "count"),
            [(row["outbound"], row["state"], row["count"]) for row in prepared["by_outbound"]],
        )
    for ended in prepared["cancels"][:20]:
        click.echo(f"cancels {ended['id']}: {ended['reason']}")
    if len(prepared["cancels"]) > 20:
        click.echo(f"and cancels {len(prepared['cancels']) - 20} more")
    print_left_out(prepared["left_out"])


def print_left_out(left_out: Sequence[Mapping[str, str]]) -> None:
    """Print what is not acted on and why; where it is much, each reason with its count."""
    if len(left_out) <= _MOST_TOLD:
        for left in left_out:
            click.echo(f"not {left['id']}: {left['reason']}", err=True)
        return
    by_reason: dict[str, list[str]] = {}
    for left in left_out:
        by_reason.setdefault(left["reason"], []).append(left["id"])
    by_count = sorted(by_reason.items(), key=lambda one: -len(one[1]))
    for reason, ids in by_count[:_MOST_TOLD]:
        others = f" and {len(ids) - 1:,} more" if len(ids) > 1 else ""
        click.echo(f"not {ids[0]}{others}: {reason}", err=True)
    if unsaid := sum(len(ids) for _, ids in by_count[_MOST_TOLD:]):
        click.echo(f"and {unsaid:,} more are left out, for other reasons; --json has all", err=True)


def _finish(settings: Settings, prepared: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    if settings.as_json:
        print_json({"count": prepared["count"], "left_out": prepared["left_out"], **report})
        return
    if report["done"]:
        click.echo(f"done: {report['done']}")
    for made in report["created"][:20]:
        click.echo(f"made {made}")
    for failed in report["failed"][:20]:
        click.echo(f"failed {failed['id']}: {failed['reason']}", err=True)
