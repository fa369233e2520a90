"""An inbound channel over a writer that commits when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from engine.config.load import load_site
from engine.intake.acceptance import Acceptance
from engine.intake.budget import Budget
from engine.intake.channel import InboundChannel, IntakeSeams
from engine.intake.policy import IntakePolicy
from engine.model.records import Accepted, Arrival, DueDelivery
from engine.model.states import DeliveryState, MessageState
from engine.pipeline.compile import compile_site
from engine.pipeline.context import FixedKeys
from engine.pipeline.route import run_inbound
from engine.store.records import AckGiven, Noted
from tests.support.lanes import ReactorTime

ROUTES = """
inbound:
  his: {mllp: {listen: "127.0.0.1:2575"}}
outbound:
  lis: {mllp: {connect: "127.0.0.1:6661"}}
  archive: {file: {directory: out}}
routes:
  adt_to_lis:
    from: his
    types: [ADT]
    steps:
      - set: {MSH-5: LIS}
    to: lis
  broken:
    from: his
    types: [ORU]
    steps:
      - lookup: {path: OBX-3.1, table: codes, column: to}
    to: [lis, archive]
"""
MEDBUS = "site: test\ntimezone: Asia/Shanghai\n"
CODES = "from,to\nA,B\n"


def compile_routes(routes: str = ROUTES, **files: str) -> Any:
    """Return the compiled site of a channels file."""
    texts = {
        "medbus.yaml": MEDBUS,
        "channels/test.yaml": routes,
        "transforms/tables/codes.csv": CODES,
        **files,
    }
    loaded = load_site(
        {name: text.encode() for name, text in texts.items()}, environ={}, env_name=None
    )
    assert loaded.site is not None, [str(finding) for finding in loaded.findings]
    compiled, findings = compile_site(loaded.site, keys=FixedKeys())
    assert not findings, [str(finding) for finding in findings]
    return compiled


def acceptance_for(compiled: Any, **policy: Any) -> Acceptance:
    """Return the acceptance of inbound channel his."""
    inbound = compiled.inbound["his"]
    return Acceptance(
        IntakePolicy(inbound="his", **policy),
        lambda message, arrived: run_inbound(inbound, message, arrived),
        site="test",
        timezone=ZoneInfo("Asia/Shanghai"),
        snapshot_id="s1",
    )


class HandReply:
    """The place of an ack that the test looks at."""

    peer = "127.0.0.1:4000"

    def __init__(self) -> None:
        self.ack: bytes | None = None
        self.is_hung_up = False

    def give(self, ack: bytes) -> None:
        """Note it; the first counts."""
        assert self.ack is None, "answered twice"
        self.ack = ack

    def hang_up(self) -> None:
        """Note it."""
        self.is_hung_up = True

    def field(self, segment: str, number: int) -> str:
        """Return a field of the ack."""
        assert self.ack is not None
        for line in self.ack.decode().split("\r"):
            if line.startswith(segment):
                fields = line.split("|")
                index = number - 1 if segment == "MSH" else number
                return fields[index] if index < len(fields) else ""
        raise AssertionError(f"no {segment} in the ack")


@dataclass
class HandWriter:
    """Takes arrivals; answers when the test says so, or at once."""

    commits_at_once: bool = True
    arrivals: list[Arrival] = field(default_factory=list)
    acks_given: list[AckGiven] = field(default_factory=list)
    waiting: list[tuple[Any, Callable[[Any], None]]] = field(default_factory=list)
    #: instead of Accepted
    answer: Any = None
    seen: dict[bytes, Arrival] = field(default_factory=dict)
    delivery_state: DeliveryState = DeliveryState.PENDING
    store: Any = None

    def submit(self, work: Any, done: Callable[[Any], None]) -> None:
        """Take it."""
        self.waiting.append((work, done))
        if self.commits_at_once:
            self.commit()

    def call(self, function: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        """Run it on the test's store."""
        done(function(self.store))

    def commit(self) -> None:
        """Answer what waits."""
        waiting, self.waiting = self.waiting, []
        for work, done in waiting:
            done(self._commit(work))

    def _commit(self, work: Any) -> Any:
        if isinstance(work, AckGiven):
            self.acks_given.append(work)
        if not isinstance(work, Arrival):
            return Noted()
        if self.answer is not None:
            return self.answer
        self.arrivals.append(work)
        first = self.seen.get(work.sha256)
        if first is not None and work.state is MessageState.ACCEPTED:
            given = [each.ack for each in self.acks_given if each.message_id == first.message_id]
            return Accepted(
                work.message_id,
                MessageState.DUPLICATE,
                len(self.arrivals),
                given[-1] if given else first.ack,
                duplicate_of=first.message_id,
            )
        if work.state is MessageState.ACCEPTED:
            self.seen[work.sha256] = work
        states = tuple(
            DeliveryState.PARKED if new.park is not None else self.delivery_state
            for new in work.deliveries
        )
        return Accepted(
            work.message_id, work.state, len(self.arrivals), work.ack, delivery_states=states
        )


class IntakeBench:
    """An inbound channel, its writer, and what it hands on."""

    def __init__(self, routes: str = ROUTES, **policy: Any) -> None:
        self.clock = Clock()
        self.writer = HandWriter()
        self.offered: list[DueDelivery] = []
        self.expired: list[tuple[str, str]] = []
        self.python_calls: list[tuple[Any, Deferred[Any]]] = []
        self.budget = Budget()
        self._drawn = 0
        self.seams = IntakeSeams(
            reactor=self.clock,
            clock=ReactorTime(self.clock),
            timezone=ZoneInfo("Asia/Shanghai"),
            writer=self.writer,
            draw_id=self._draw,
            offer=self.offered.append,
            expire=lambda outbound, delivery_id: self.expired.append((outbound, delivery_id)),
            call_python=self._call_python,
        )
        self.compiled = compile_routes(routes)
        self.channel = InboundChannel("his", acceptance_for(self.compiled, **policy), self.seams)

    def send(self, body: bytes) -> HandReply:
        """Take one frame; return the place of its ack."""
        reply: Any = HandReply()
        self.channel.take_frame(body, reply)
        checked: HandReply = reply
        return checked

    def _draw(self, at: float) -> str:
        self._drawn += 1
        return f"20261121-{self._drawn}"

    def _call_python(self, call: Any) -> Deferred[Any]:
        answered: Deferred[Any] = Deferred()
        self.python_calls.append((call, answered))
        return answered
