"""What a pending delivery waits for, in words."""

from __future__ import annotations

from engine.model.counting import count_of
from engine.model.records import StoredDelivery
from engine.runtime.advice import Told
from engine.runtime.desk import Desk
from engine.runtime.overview import target_of
from engine.runtime.times import show_at
from engine.store.interface import MessageFilter, StoredAttempt, Switch


def tell_wait(desk: Desk, delivery: StoredDelivery) -> Told:
    """Return why a pending delivery has not gone yet."""
    outbound = delivery.outbound
    if outbound not in desk.configuration.site.outbound:
        return Told(
            f"{outbound} is not configured any more",
            f"hand its queue to another channel with `renamed_from: {outbound}`, or"
            f" `medbus cancel {delivery.delivery_id}`",
        )
    for switch in desk.store.switches():
        if (switch.kind, switch.channel) == ("outbound", outbound):
            return Told(_tell_pause(desk, switch), f"`medbus resume {outbound}`")
    if desk.engine is None:
        return Told("no engine runs", "`medbus run`")
    counts = desk.store.counts().outbounds.get(outbound)
    halted_by = counts.halted_by if counts is not None else ()
    tries = desk.store.get_attempts(delivery.delivery_id)
    if halted_by and delivery.delivery_id not in halted_by:
        many = desk.configuration.site.outbound[outbound].lanes > 1
        # Which lane it is in, the store does not tell; the others go on.
        halted = f"{'a lane of ' if many else ''}{outbound} is halted by {halted_by[0]}"
        return Told(halted, f"`medbus why {halted_by[0]} --to {outbound}`, and settle that one")
    if tries:
        again = ""
        if delivery.due_at > desk.clock.now():
            again = f"; next try {_clock(desk, delivery.due_at)}"
        last = f"{tell_last(delivery.attempts)}: {tell_try(tries[-1])}{again}"
        return Told(last, _look_at(desk, outbound))
    if (first := _find_first(desk, delivery)) is not None:
        told = tell_wait(desk, first)
        return Told(f"waits behind {first.delivery_id}: {told.why}", told.next_step)
    for found in desk.engine.view_outbounds():
        if found["name"] == outbound and found["last_error"]:
            trouble = f"{outbound} is {found['state']}: {found['last_error']}"
            return Told(trouble, _look_at(desk, outbound))
    limited = desk.configuration.site.outbound[outbound].rate is not None
    return Told(
        "waits for its turn, or is being sent" + (" (the channel has a rate)" if limited else "")
    )


def _tell_pause(desk: Desk, switch: Switch) -> str:
    until = f" until {_clock(desk, switch.until)}" if switch.until else ""
    reason = f": {switch.reason}" if switch.reason else ""
    return f"{switch.channel} is paused by {switch.actor}{until}{reason}"


def _find_first(desk: Desk, delivery: StoredDelivery) -> StoredDelivery | None:
    """Return the delivery that is being tried, where all others of the channel wait behind it."""
    if desk.configuration.site.outbound[delivery.outbound].lanes > 1:
        return None  # the first one may stand in another lane
    where = MessageFilter(outbounds=(delivery.outbound,), states=("pending",))
    first = next(iter(desk.store.find_deliveries(where, limit=1).items), delivery)
    return first if first.attempts and first.seq < delivery.seq else None


def _look_at(desk: Desk, outbound: str) -> str:
    """Return whom a person has to look at; the delivery itself goes without being asked."""
    model = desk.configuration.site.outbound[outbound]
    whom = ", ".join(f"{name} {value}" for name, value in model.about.items())
    told = f"look at {outbound} ({', '.join(filter(None, (target_of(model), whom)))})"
    return f"{told}; it goes by itself once {outbound} takes it"


def tell_last(tries: int) -> str:
    """Return which try is spoken of, when it is the last."""
    return "its one try" if tries == 1 else f"the last of {count_of(tries, 'try', 'tries')}"


def tell_try(tried: StoredAttempt) -> str:
    """Return how a try ended."""
    attempt = tried.attempt
    how = " ".join(filter(None, (str(attempt.outcome), attempt.code)))
    return f"{how}, {attempt.detail}" if attempt.detail else how


def _clock(desk: Desk, at: float) -> str:
    zone = desk.configuration.site.timezone
    return (show_at(at, zone) or "")[:19].replace("T", " ")
