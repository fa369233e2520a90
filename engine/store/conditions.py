"""MessageFilter as SQL conditions; every value is a parameter."""

# ruff: noqa: S608 - what is put into the text here are columns and words of our own enums

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from engine.model.states import DeliveryState, MessageState
from engine.store.ids import parse_delivery_id
from engine.store.records import MessageFilter

_OWED = frozenset(
    {DeliveryState.PENDING.value, DeliveryState.HELD.value, DeliveryState.PARKED.value}
)
_DELIVERY_STATES = frozenset(state.value for state in DeliveryState)
_MESSAGE_STATES = frozenset(state.value for state in MessageState)


class Conditions:
    """Conditions joined by AND."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.parameters: list[Any] = []

    def add(self, sql: str, *parameters: object) -> None:
        """Add one condition."""
        self._parts.append(sql)
        self.parameters += parameters

    def add_one_of(self, column: str, values: Sequence[object]) -> None:
        """Add that *column* is one of *values*, unless there are none."""
        if values:
            self.add(f"{column} IN (SELECT value FROM json_each(?))", json.dumps(list(values)))

    def sql(self) -> str:
        """Return the WHERE clause."""
        return " WHERE " + " AND ".join(self._parts) if self._parts else ""


def message_conditions(where: MessageFilter, numbers: Sequence[int] | None) -> Conditions:
    """Return the conditions on ``messages m``."""
    conditions = Conditions()
    if numbers is not None:
        conditions.add_one_of("m.n", numbers)
    _add_shared(conditions, where)
    message_states = [state for state in where.states if state in _MESSAGE_STATES]
    delivery_states = [state for state in where.states if state in _DELIVERY_STATES]
    about_deliveries = bool(where.outbounds or delivery_states or where.park_codes)
    if not about_deliveries:
        conditions.add_one_of("m.state", message_states)
        if where.routes:
            _add_any_route(conditions, where.routes)
        return conditions
    matching, parameters = _matching_deliveries(where, delivery_states)
    if message_states and delivery_states:
        conditions.add(
            f"(m.state IN (SELECT value FROM json_each(?)) OR {matching})",
            json.dumps(message_states),
            *parameters,
        )
    else:
        conditions.add_one_of("m.state", message_states)
        conditions.add(matching, *parameters)
    return conditions


def delivery_conditions(
    where: MessageFilter, numbers: Sequence[int] | None, day: str
) -> Conditions:
    """Return the conditions on ``deliveries d JOIN messages m``."""
    conditions = Conditions()
    if numbers is not None:
        conditions.add_one_of("m.n", numbers)
    named = [identity for identity in where.ids if "." in identity]
    if named:
        whole = [int(identity[9:]) for identity in where.ids if "." not in identity]
        rows = [row for found, row in map(parse_delivery_id, named) if found == day]
        conditions.add(
            "(d.id IN (SELECT value FROM json_each(?)) OR m.n IN (SELECT value FROM json_each(?)))",
            json.dumps(rows),
            json.dumps(whole),
        )
    _add_shared(conditions, where)
    conditions.add_one_of("m.state", [one for one in where.states if one in _MESSAGE_STATES])
    states = [one for one in where.states if one in _DELIVERY_STATES]
    if len(states) == 1:
        # Literal, so that the index of just these rows can be used; it is a word of the enum.
        conditions.add(f"d.state = '{states[0]}'")
    else:
        conditions.add_one_of("d.state", states)
    conditions.add_one_of("d.outbound", where.outbounds)
    conditions.add_one_of("d.route", where.routes)
    conditions.add_one_of("d.park_code", where.park_codes)
    return conditions


def _add_shared(conditions: Conditions, where: MessageFilter) -> None:
    conditions.add_one_of("m.inbound", where.inbounds)
    if where.since is not None:
        conditions.add("m.received_at >= ?", where.since)
    if where.until is not None:
        conditions.add("m.received_at < ?", where.until)
    if where.replay_of:
        conditions.add("m.replay_of = ?", where.replay_of)
    if where.message_types:
        exact = [one for one in where.message_types if "^" in one and not one.endswith("^*")]
        codes = [one.partition("^")[0] for one in where.message_types if one not in exact]
        parts: list[str] = []
        parameters: list[object] = []
        if exact:
            parts.append("m.message_type IN (SELECT value FROM json_each(?))")
            parameters.append(json.dumps(exact))
        for code in codes:
            parts.append("(m.message_type = ? OR substr(m.message_type, 1, ?) = ?)")
            parameters += [code, len(code) + 1, code + "^"]
        conditions.add(f"({' OR '.join(parts)})", *parameters)


def _add_any_route(conditions: Conditions, routes: Sequence[str]) -> None:
    parts = " OR ".join("instr(m.routes, ?) > 0" for _ in routes)
    conditions.add(f"({parts})", *(f"[{json.dumps(route)}," for route in routes))


def _matching_deliveries(where: MessageFilter, states: Sequence[str]) -> tuple[str, list[Any]]:
    """Return a condition that some delivery of the message matches."""
    inner = Conditions()
    inner.add_one_of("d.outbound", where.outbounds)
    inner.add_one_of("d.route", where.routes)
    inner.add_one_of("d.park_code", where.park_codes)
    if states and _OWED.issuperset(states):
        # What is owed is little and indexed: find the messages from there.
        parts = []
        parameters: list[Any] = []
        for state in states:
            one = Conditions()
            one.add(f"d.state = '{state}'")
            parts.append(f"SELECT d.id >> 16 FROM deliveries d{one.sql()}{_and(inner)}")
            parameters += inner.parameters
        return f"m.n IN ({' UNION ALL '.join(parts)})", parameters
    inner.add_one_of("d.state", states)
    return (
        "EXISTS (SELECT 1 FROM deliveries d WHERE"
        f" d.id BETWEEN m.n << 16 AND (m.n << 16) | 65535{_and(inner)})",
        inner.parameters,
    )


def _and(conditions: Conditions) -> str:
    return conditions.sql().replace(" WHERE ", " AND ", 1)
