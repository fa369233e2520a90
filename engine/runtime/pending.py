"""What a pending delivery waits for, in words."""

from __future__ import annotations

from engine.model.records import StoredDelivery
from engine.runtime.desk import Desk
from engine.runtime.times import show_at
from engine.store.interface import StoredAttempt


def tell_wait(desk: Desk, delivery: StoredDelivery) -> str:
    """Return why a pending delivery has not gone yet; "" for a channel that is no longer there."""
    outbound = delivery.outbound
    if outbound not in desk.configuration.site.outbound:
        return ""
    for switch in desk.store.switches():
        if (switch.kind, switch.channel) == ("outbound", outbound):
            until = f" until {_clock(desk, switch.until)}" if switch.until else ""
            return f"{outbound} is paused by {switch.actor}{until}"
    if desk.engine is None:
        return "no engine runs"
    tries = desk.store.get_attempts(delivery.delivery_id)
    if tries:
        again = ""
        if delivery.due_at > desk.clock.now():
            again = f"; next try {_clock(desk, delivery.due_at)}"
        return f"the last of {delivery.attempts} tries: {tell_try(tries[-1])}{again}"
    counts = desk.store.counts().outbounds.get(outbound)
    if counts is not None and counts.halted_by:
        return f"{outbound} is halted by {counts.halted_by[0]}"
    for found in desk.engine.view_outbounds():
        if found["name"] == outbound and found["last_error"]:
            return f"{outbound} is {found['state']}: {found['last_error']}"
    return "waits for its turn"


def tell_try(tried: StoredAttempt) -> str:
    """Return how a try ended."""
    attempt = tried.attempt
    how = " ".join(filter(None, (str(attempt.outcome), attempt.code)))
    return f"{how}, {attempt.detail}" if attempt.detail else how


def _clock(desk: Desk, at: float) -> str:
    zone = desk.configuration.site.timezone
    return (show_at(at, zone) or "")[:19].replace("T", " ")
