"""What an action will do, worked out before it is shown: exactly that is done afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.runtime import rerun
from engine.runtime.desk import Desk
from engine.runtime.replay_plan import Choice, Plan, plan_replay
from engine.runtime.selection import LeftOut, choose_deliveries
from engine.store.interface import MessageFilter, OperationItem, OperationVerb


@dataclass(slots=True)
class Prepared:
    """An action that was shown and waits to be done."""

    verb: OperationVerb
    items: list[OperationItem]
    #: what was named and is not acted on, with the reason
    left_out: list[LeftOut]
    #: (outbound, state) -> how many
    by_outbound: Counter[tuple[str, str]]
    #: set for a replay
    replay: Plan | None = None
    #: what was asked, as typed
    typed: str = ""
    #: further facts for the audit record
    detail: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Return how many it acts on."""
        return len(self.items)


def prepare_change(
    desk: Desk, verb: str, ids: Sequence[str], where: MessageFilter | None
) -> Prepared:
    """Work out a requeue, release or cancel; a requeue reruns routes where there are no bytes."""
    chosen = choose_deliveries(desk.store, verb, ids, where)
    if verb == "requeue":
        items = rerun.plan(desk, chosen)
    else:
        items = [OperationItem(d.delivery_id) for d in chosen.deliveries]
    kept = {item.item_id for item in items}
    by_outbound = Counter(
        (d.outbound, d.state.value) for d in chosen.deliveries if d.delivery_id in kept
    )
    return Prepared(OperationVerb(verb), items, chosen.left_out, by_outbound)


def prepare_replay(
    desk: Desk, ids: Sequence[str], where: MessageFilter | None, choice: Choice
) -> Prepared:
    """Work out a replay."""
    plan = plan_replay(desk, ids, where, choice)
    detail = {
        "as": choice.replay_as,
        "to": " ".join(choice.outbounds),
        "deliveries": " ".join(sorted(plan.only_deliveries)),
    }
    items = [OperationItem(message_id) for message_id in plan.message_ids]
    verb = OperationVerb.REPLAY
    return Prepared(verb, items, plan.left_out, plan.by_outbound, replay=plan, detail=detail)
