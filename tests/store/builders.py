"""Arrivals, settlements and operations for the tests of the store; all synthetic."""

from __future__ import annotations

import hashlib
from typing import Any

from engine.model.records import (
    Accepted,
    Arrival,
    Attempt,
    NewDelivery,
    Park,
    RouteResult,
    Settlement,
    Term,
)
from engine.model.states import (
    AttemptOutcome,
    DeliveryState,
    MessageState,
    ParkCode,
    RouteOutcome,
)
from engine.store.interface import Settled, Store, Work
from engine.store.operation_records import (
    Operation,
    OperationItem,
    OperationReport,
    OperationVerb,
)

DAY = "20261121"
NEXT_DAY = "20261122"
#: noon of DAY
NOON = 1_795_262_400.0
CANARY = "ZYXWVUT"


def key(number: int) -> bytes:
    """Return an order key; the first half of them are negative as SQLite keeps them."""
    return hashlib.sha256(b"%d" % number).digest()[:8]


def delivery(number: int = 1, outbound: str = "lis", **changes: Any) -> NewDelivery:
    """Return an output."""
    values: dict[str, Any] = {
        "number": number,
        "route": "adt_to_lis",
        "output": 1,
        "outbound": outbound,
        "body": b"MSH|^~\\&|OUT %d" % number,
        "control_id": f"C{number}",
    }
    return NewDelivery(**{**values, **changes})


def parked(number: int = 1, outbound: str = "lis", **changes: Any) -> NewDelivery:
    """Return what stands for a failed step."""
    park = Park(ParkCode.STEP, "no such code in table units", "3", "OBX-6")
    return delivery(number, outbound, **{"body": None, "park": park, **changes})


def arrival(n: int, *deliveries: NewDelivery, day: str = DAY, **changes: Any) -> Arrival:
    """Return message N of a day; one delivery to lis unless others are given."""
    body = changes.pop("body", b"MSH|^~\\&|HIS|H|||||ADT^A01|C%d\rPID|1||%d" % (n, n))
    values: dict[str, Any] = {
        "message_id": f"{day}-{n}",
        "inbound": "his_adt",
        "received_at": NOON + n,
        "body": body,
        "sha256": hashlib.sha256(body).digest(),
        "state": MessageState.ACCEPTED,
        "ack": b"ACK %d" % n,
        "ack_code": "AA",
        "control_id": f"C{n}",
        "sender": ("HIS", "H"),
        "message_type": "ADT^A01",
        "version": "2.5",
        "peer": "127.0.0.1:4000",
        "terms": (Term("control_id", f"C{n}"), Term("patient", f"P{n % 3}")),
        "routes": (RouteResult("adt_to_lis", RouteOutcome.QUEUED),),
        "deliveries": deliveries or (delivery(),),
        "duplicate_window_s": 86_400.0,
    }
    return Arrival(**{**values, **changes})


def keyed(n: int, *numbers: int, outbound: str = "lis", **changes: Any) -> Arrival:
    """Return message N whose one delivery has the order keys of *numbers*."""
    return arrival(n, delivery(outbound=outbound, order_keys=tuple(map(key, numbers))), **changes)


def attempt(outcome: AttemptOutcome = AttemptOutcome.ACKED, code: str = "AA") -> Attempt:
    """Return one try."""
    return Attempt(NOON + 100, 0.25, outcome, code, b"MSA|" + code.encode(), "said so")


def delivered(delivery_id: str, token: int = 0) -> Settlement:
    """Return the settlement of an acknowledged delivery."""
    return Settlement(delivery_id, token, DeliveryState.DELIVERED, attempt())


def refused(
    delivery_id: str,
    on_park: str = "hold_key",
    token: int = 0,
    code: ParkCode = ParkCode.NACK,
) -> Settlement:
    """Return the settlement of a delivery that the receiver rejected."""
    return Settlement(
        delivery_id,
        token,
        DeliveryState.PARKED,
        attempt(AttemptOutcome.NACK, "AR"),
        park=Park(code, "AR from the receiver"),
        on_park=on_park,
    )


def operation(verb: str, *ids: str, name: str = "op-1", **changes: Any) -> Operation:
    """Return an operator's action on deliveries."""
    values: dict[str, Any] = {
        "operation_id": name,
        "verb": OperationVerb(verb),
        "at": NOON + 500,
        "actor": "nurse",
        "reason": "told to",
        "items": tuple(OperationItem(identity) for identity in ids),
    }
    return Operation(**{**values, **changes})


def commit(store: Store, *work: Work) -> list[Any]:
    """Commit and let everything that follows from it happen."""
    answers = store.commit(work)
    settle_down(store)
    return list(answers)


def accept(store: Store, *arrivals: Arrival) -> list[Accepted]:
    """Commit arrivals that must be taken."""
    answers = commit(store, *arrivals)
    assert all(isinstance(answer, Accepted) for answer in answers), answers
    return answers


def settle(store: Store, *settlements: Settlement) -> list[Settled]:
    """Commit settlements that must be answered."""
    answers = commit(store, *settlements)
    assert all(isinstance(answer, Settled) for answer in answers), answers
    return answers


def operate(store: Store, verb: str, *ids: str, **changes: Any) -> OperationReport:
    """Apply an operation and let everything that follows from it happen."""
    report = store.apply(operation(verb, *ids, **changes))
    settle_down(store)
    return report


def settle_down(store: Store) -> None:
    """Run what waits on the writer's thread."""
    while store.step():
        pass


def states(store: Store, *ids: str) -> list[str]:
    """Return the states of deliveries."""
    return [store.get_delivery(identity).state.value for identity in ids]


def due(
    store: Store, outbound: str = "lis", lane: int = 0, lanes: int = 1, n: int = 100
) -> list[str]:
    """Return the ids a lane would send, in order."""
    token = store.lane_open(outbound, lane, lanes)
    return [one.delivery_id for one in store.next(token, n)]


def ids(*numbers: int, day: str = DAY) -> list[str]:
    """Return the ids of the first deliveries of messages."""
    return [f"{day}-{n}.1" for n in numbers]
