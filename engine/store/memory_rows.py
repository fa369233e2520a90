"""What the store in memory keeps, and which filters match it."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.model.records import (
    Arrival,
    DueDelivery,
    NewDelivery,
    Park,
    StoredDelivery,
    StoredMessage,
)
from engine.model.states import DeliveryState, MessageState
from engine.security.keyed_hash import fold
from engine.store.holding import Keys, Place
from engine.store.records import MESSAGE_STATES, MessageFilter, StoredAttempt


@dataclass(slots=True)
class Message:
    """A stored arrival."""

    arrival: Arrival
    seq: int
    state: MessageState
    ack: bytes
    ack_code: str
    duplicate_of: str = ""

    def stored(self, deliveries: tuple[StoredDelivery, ...]) -> StoredMessage:
        """Return it as operators see it."""
        arrival = self.arrival
        return StoredMessage(
            arrival.message_id,
            self.seq,
            arrival.inbound,
            arrival.received_at,
            self.state,
            arrival.message_type,
            arrival.version,
            arrival.control_id,
            self.ack_code,
            len(arrival.body),
            arrival.peer,
            arrival.snapshot_id,
            arrival.reject_reason,
            self.duplicate_of,
            arrival.replay_of,
            arrival.replay_as,
            arrival.warnings,
            () if self.duplicate_of else tuple(arrival.routes),
            deliveries,
        )


@dataclass(slots=True)
class Delivery:
    """A delivery as it stands."""

    delivery_id: str
    message: Message
    new: NewDelivery
    number: int
    at: Place
    state: DeliveryState
    park: Park | None = None
    on_park: str = "continue"
    outbound: str = ""
    due_at: float = 0.0
    tries: int = 0
    attempts: list[StoredAttempt] = field(default_factory=list)
    first_failure_at: float = 0.0
    settled_at: float = 0.0
    uncertain: bool = False
    commit_acked: bool = False
    holding: bool = False
    released: bool = False
    out_of_order: bool = False
    replaces: str = ""
    replaced_by: str = ""
    operation_id: str = ""

    def __post_init__(self) -> None:
        self.outbound = self.outbound or self.new.outbound

    @property
    def keys(self) -> Keys:
        """Its order keys."""
        return self.new.order_keys

    def due(self) -> DueDelivery:
        """Return it as a lane sees it."""
        assert self.new.body is not None
        return DueDelivery(
            self.delivery_id,
            self.message.seq,
            self.number,
            self.outbound,
            self.new.route,
            self.message.arrival.inbound,
            self.new.body,
            self.new.control_id,
            self.new.promises,
            self.keys,
            self.new.file_name,
            self.message.arrival.received_at,
            self.due_at,
            self.tries,
            self.first_failure_at,
            self.uncertain,
            self.commit_acked,
            self.at[1],
        )

    def stored(self, orphaned: bool) -> StoredDelivery:
        """Return it as operators see it."""
        park = self.park
        return StoredDelivery(
            self.delivery_id,
            self.message.arrival.message_id,
            self.message.seq,
            self.message.arrival.inbound,
            self.new.route,
            self.outbound,
            self.state,
            self.due_at,
            len(self.attempts),
            self.uncertain,
            park.code.value if park else "",
            park.reason if park else "",
            park.step if park else "",
            self.new.control_id,
            self.settled_at,
            self.new.body is not None,
            self.out_of_order,
            self.released,
            orphaned,
            self.replaced_by,
            self.replaces,
            self.new.method,
        )


def matches_message(where: MessageFilter, message: Message, deliveries: list[Delivery]) -> bool:
    """Return whether a message is asked for."""
    if where.ids and message.arrival.message_id not in {one.partition(".")[0] for one in where.ids}:
        return False
    if not _matches_arrival(where, message.arrival):
        return False
    message_states = [one for one in where.states if one in MESSAGE_STATES]
    delivery_states = [one for one in where.states if one not in MESSAGE_STATES]
    if not (where.outbounds or delivery_states or where.park_codes):
        if message_states and message.state.value not in message_states:
            return False
        results = () if message.duplicate_of else message.arrival.routes
        return not where.routes or any(one.route in where.routes for one in results)
    some = any(
        _matches_delivery_itself(where, one)
        and (not delivery_states or one.state.value in delivery_states)
        for one in deliveries
    )
    in_state = not message_states or message.state.value in message_states
    if message_states and delivery_states:
        return in_state or some
    return in_state and some


def matches_delivery(where: MessageFilter, one: Delivery) -> bool:
    """Return whether a delivery is asked for."""
    message = one.message
    if where.ids and not {one.delivery_id, message.arrival.message_id} & set(where.ids):
        return False
    message_states = [found for found in where.states if found in MESSAGE_STATES]
    delivery_states = [found for found in where.states if found not in MESSAGE_STATES]
    return (
        _matches_arrival(where, message.arrival)
        and (not message_states or message.state.value in message_states)
        and (not delivery_states or one.state.value in delivery_states)
        and _matches_delivery_itself(where, one)
    )


def _matches_delivery_itself(where: MessageFilter, one: Delivery) -> bool:
    code = one.park.code.value if one.park else ""
    return (
        (not where.outbounds or one.outbound in where.outbounds)
        and (not where.routes or one.new.route in where.routes)
        and (not where.park_codes or code in where.park_codes)
    )


def _matches_arrival(where: MessageFilter, arrival: Arrival) -> bool:
    found = {(kind, fold(value)) for kind, value in arrival.terms}
    return (
        (not where.inbounds or arrival.inbound in where.inbounds)
        and (where.since is None or arrival.received_at >= where.since)
        and (where.until is None or arrival.received_at < where.until)
        and (not where.replay_of or arrival.replay_of == where.replay_of)
        and (not where.message_types or _is_type(arrival.message_type, where.message_types))
        and all((kind, fold(value)) in found for kind, value in where.terms())
    )


def _is_type(message_type: str, wanted: tuple[str, ...]) -> bool:
    code = message_type.partition("^")[0]
    return any(one in (message_type, code, f"{code}^*") for one in wanted)
