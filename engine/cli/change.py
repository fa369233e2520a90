"""`medbus requeue`, `release`, `cancel`: moving deliveries that need a person."""

from __future__ import annotations

import click

from engine.cli.selection import act, acting_options
from engine.cli.settings import Settings, pass_settings


@click.command("requeue", short_help="Try parked deliveries again.")
@acting_options
@pass_settings
def requeue(
    settings: Settings, *, ids: tuple[str, ...], filters: dict[str, str], reason: str | None,
    yes: int | None, dry_run: bool,
) -> None:  # fmt: skip
    """
    Try parked deliveries again, at their own place in the order.

    After a nack or a time-out the same bytes go out again. After a failed step or a leak the
    route is run again under today's configuration. A message id stands for all its deliveries.

    \b
    Examples:
      medbus requeue 20261121-17.2 --reason "LIS table fixed"
      medbus requeue --outbound lis --state parked --since 2h --reason "LIS is back" --yes 14
    """
    act(settings, "requeue", ids=ids, filters=filters, reason=reason, yes=yes, dry_run=dry_run)


@click.command("release", short_help="Let the followers of a parked delivery pass.")
@acting_options
@pass_settings
def release(
    settings: Settings, *, ids: tuple[str, ...], filters: dict[str, str], reason: str | None,
    yes: int | None, dry_run: bool,
) -> None:  # fmt: skip
    """
    Let the deliveries held behind a parked one pass; the parked one stays parked.

    \b
    Example:
      medbus release 20261121-17.2 --reason "later updates must not wait for this one"
    """
    act(settings, "release", ids=ids, filters=filters, reason=reason, yes=yes, dry_run=dry_run)


@click.command("cancel", short_help="Take deliveries out for good.")
@acting_options
@pass_settings
def cancel(
    settings: Settings, *, ids: tuple[str, ...], filters: dict[str, str], reason: str | None,
    yes: int | None, dry_run: bool,
) -> None:  # fmt: skip
    """
    Take pending, held or parked deliveries out for good; they are never sent.

    \b
    Example:
      medbus cancel --outbound old_lis --state pending --reason "receiver was switched off"
    """
    act(settings, "cancel", ids=ids, filters=filters, reason=reason, yes=yes, dry_run=dry_run)
