"""What operators have done to deliveries, and what came of it: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from engine.model.records import NewDelivery
from engine.model.states import DeliveryState


class OperationVerb(StrEnum):
    """What an operator asks for."""

    #: parked -> pending at its own place; or cancelled, with replacements in its place
    REQUEUE = "requeue"
    #: the parked one stays parked, its followers move on
    RELEASE = "release"
    #: pending, parked or held -> cancelled
    CANCEL = "cancel"
    #: pending or held -> expired
    EXPIRE = "expire"
    #: recorded and audited here; its arrivals come through ``commit``, then ``finish`` closes it
    REPLAY = "replay"
    #: everything an outbound channel owes goes over to ``new_name``
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class OperationItem:
    """One delivery an operation is about (for REPLAY: one message id)."""

    item_id: str
    #: REQUEUE after a rerun of the route: what now stands in its place; None: the same bytes.
    #: Numbers may be 0, the store gives the next free ones.
    replacements: tuple[NewDelivery, ...] | None = None
    #: snapshot that made the replacements
    snapshot_id: str = ""
    #: REQUEUE without replacements: why the route gives none; kept with the cancelled delivery
    why_nothing: str = ""


def tell_nothing(reason: str, why_nothing: str) -> str:
    """Return why a delivery was parked, and why nothing stands in its place after a requeue."""
    return f"{reason}; requeued: {why_nothing}"


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator's action; audited before it is applied, idempotent by its id."""

    operation_id: str
    verb: OperationVerb
    at: float
    actor: str
    reason: str
    items: tuple[OperationItem, ...] = ()
    #: what was asked, as typed ("--outbound lis --state parked"), and other facts for the audit
    detail: Mapping[str, str] = field(default_factory=dict)
    #: RENAME only
    old_name: str = ""
    new_name: str = ""


@dataclass(frozen=True, slots=True)
class ItemReport:
    """What an operation did to one delivery."""

    delivery_id: str
    before: DeliveryState | None
    after: DeliveryState | None
    #: "" when it was done, else why not, in plain words
    problem: str = ""
    #: ids of the deliveries now in its place
    replaced_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationReport:
    """What an operation did, item by item in the order asked."""

    operation_id: str
    items: tuple[ItemReport, ...]
    #: outbound channels that have something new to send: wake their lanes
    ready: frozenset[str] = frozenset()
    #: RENAME: rows moved; else the count of items without a problem
    done: int = 0
