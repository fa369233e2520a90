"""
Runs channel tests: one message in, and every expectation compared with what came of it.

Rules of this file: pure, on an empty store, at a fixed time, with a fixed key; how a channel takes
and answers messages is handed in, and so are the Python workers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from engine.config.models.site import Site
from engine.config.models.tests import (
    ChannelTest,
    OutputExpectation,
    RouteExpectation,
)
from engine.hl7.batch import split_messages
from engine.hl7.charset import codec_for
from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.model.finding import Loc
from engine.model.records import Arrival, NewDelivery, RouteResult
from engine.model.states import MessageState
from engine.pipeline.awaited_ack import awaited_ack, code_of
from engine.pipeline.blame import describe_writer, find_writer
from engine.pipeline.compiled import CompiledSite
from engine.pipeline.context import Arrived
from engine.pipeline.expectations import (
    Difference,
    compare_changes,
    compare_fields,
    compare_whole,
)
from engine.pipeline.route import RoutedRun, run_inbound
from engine.pipeline.steps.base import PythonAnswer, PythonCall
from engine.pipeline.trace import Recorder, StepRecord

#: when messages of a test without `at` arrive
DEFAULT_AT = datetime(2026, 11, 1, 8, 30, tzinfo=UTC).timestamp()

CallPython = Callable[[PythonCall], PythonAnswer]
RunInbound = Callable[[Message, Arrived], RoutedRun]


class Door(Protocol):
    """How one inbound channel takes and answers a message, as in the running engine."""

    def accept(
        self, body: bytes, message_id: str, at: float
    ) -> Generator[PythonCall, PythonAnswer, Arrival]:
        """Return the arrival of *body*, its ack included."""
        ...

    def answer(self, body: bytes, code: str, message_id: str, at: float) -> bytes:
        """Return the ack with *code* for *body*, where the ack had to wait."""
        ...


#: opens the door of an inbound channel, given what runs its routes
OpenDoor = Callable[[str, RunInbound], Door]


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that was not met."""

    what: str
    #: where the expectation stands
    loc: Loc
    #: the step that wrote the wrong value, in words, and where it stands
    step: str = ""
    step_loc: Loc = ()


@dataclass(slots=True)
class TestResult:
    """What came of one test."""

    __test__ = False

    test: ChannelTest
    file: str
    failures: list[Failure] = field(default_factory=list)
    #: whole outputs that are not as expected: path of the expectation -> the output
    updates: dict[str, bytes] = field(default_factory=dict)
    recorder: Recorder = field(default_factory=Recorder)
    routes: tuple[RouteResult, ...] = ()
    #: how long it ran, measured by who ran it
    took_s: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every expectation was met."""
        return not self.failures


def run_test(
    test: ChannelTest,
    file: str,
    *,
    site: Site,
    compiled: CompiledSite,
    open_door: OpenDoor,
    call_python: CallPython,
) -> TestResult:
    """Return the result of one test."""
    return _Running(test, file, site, compiled, open_door, call_python).run()


class _Running:
    def __init__(
        self,
        test: ChannelTest,
        file: str,
        site: Site,
        compiled: CompiledSite,
        open_door: OpenDoor,
        call_python: CallPython,
    ) -> None:
        self.test = test
        self.site = site
        self.compiled = compiled
        self.call_python = call_python
        self.result = TestResult(test, file)
        self.at = DEFAULT_AT if test.at is None else test.at
        self.message_id = datetime.fromtimestamp(self.at, site.timezone).strftime("%Y%m%d-1")
        self.inbound = site.inbound[test.send.to]
        inbound, recorder = compiled.inbound[test.send.to], self.result.recorder
        self.door = open_door(
            test.send.to,
            lambda message, arrived: run_inbound(inbound, message, arrived, recorder=recorder),
        )
        self.body = b""

    def run(self) -> TestResult:
        body = self._message(self.test.send.file, self.test.send.inline)
        if body is None:
            return self.result
        self.body = body
        arrival = self._drive(self.door.accept(body, self.message_id, self.at))
        self.result.routes = arrival.routes
        self._check_ack(arrival)
        if arrival.state is MessageState.REJECTED and (
            self.test.expect.routes or self.test.expect.outputs
        ):
            self._fail(f"the message is rejected: {arrival.reject_reason}", ())
            return self.result
        for name, expected in self.test.expect.routes.items():
            self._check_route(name, expected, arrival)
        for name, outputs in self.test.expect.outputs.items():
            self._check_outputs(name, outputs, arrival)
        return self.result

    def _drive(self, steps: Generator[PythonCall, PythonAnswer, Arrival]) -> Arrival:
        try:
            call = next(steps)
            while True:
                call = steps.send(self.call_python(call))
        except StopIteration as end:
            arrival: Arrival = end.value
            return arrival

    def _fail(
        self, what: str, place: Loc, writer: StepRecord | None = None, note: str = ""
    ) -> None:
        step = f"written by {describe_writer(writer)}" if writer else note
        loc = (*self.test.loc, *place)
        self.result.failures.append(Failure(what, loc, step, writer.loc if writer else ()))

    # -- messages ---------------------------------------------------------------------------

    def _message(self, file: str | None, inline: str | None) -> bytes | None:
        """Return the message to send, or note why there is none."""
        if inline is not None:
            return self._encode(inline)
        raw = self.site.files.get(file or "")
        if raw is None:
            self._fail(f"there is no file {file}", ("send", "file"))
            return None
        messages = split_messages(raw)
        if not messages:
            return raw
        if len(messages) > 1:
            what = f"{file} holds {len(messages)} messages; a test sends one"
            self._fail(what, ("send", "file"))
            return None
        return messages[0]

    def _encode(self, text: str) -> bytes:
        """Return an inline message in the character set it declares, or its channel's."""
        body = text.replace("\r\n", "\n").strip("\n").replace("\n", "\r") + "\r"
        charset = self.inbound.charset
        try:
            declared = Message.parse(body.encode()).declared_charset
        except Hl7Error:
            declared = ""
        name = charset.force or declared or charset.default or ""
        return body.encode(codec_for(name) or "utf-8", "replace")

    def _received(self) -> Message:
        """Return the message as its channel reads it."""
        charset = self.inbound.charset
        return Message.parse(self.body, charset=charset.default, force_charset=charset.force)

    # -- ack --------------------------------------------------------------------------------

    def _check_ack(self, arrival: Arrival) -> None:
        expected = self.test.expect.ack
        if expected is None:
            return
        ack = arrival.ack
        if arrival.state is MessageState.ACCEPTED and self.inbound.ack.mode == "delivered_by":
            ack = awaited_ack(
                arrival,
                received=self._received(),
                replies=self.test.replies,
                encode=self._encode,
                late=lambda code: self.door.answer(self.body, code, self.message_id, self.at),
                site=self.site,
                compiled=self.compiled,
                call_python=self.call_python,
                recorder=self.result.recorder,
            )
        if expected.code is not None:
            code = code_of(ack)
            if code != expected.code:
                why = f" ({arrival.reject_reason})" if arrival.reject_reason else ""
                self._fail(f"ack: expected {expected.code}, got {code}{why}", ("expect", "ack"))
        if not expected.fields:
            return
        try:
            message = Message.parse(ack)
        except Hl7Error:
            self._fail("there is no ack to compare fields of", ("expect", "ack"))
            return
        for difference in compare_fields(expected.fields, message):
            self._fail(f"ack {difference.what}", ("expect", "ack", difference.path))

    # -- routes and outputs -----------------------------------------------------------------

    def _check_route(self, name: str, expected: RouteExpectation, arrival: Arrival) -> None:
        place: Loc = ("expect", "routes", name)
        result = next((result for result in arrival.routes if result.route == name), None)
        if result is None:
            self._fail(f"{name} takes nothing from {self.test.send.to}", place)
            return
        if result.outcome != expected.outcome:
            what = f"{name}: expected {expected.outcome}, got {_told(result)}"
            self._fail(what, place)
            return
        if expected.filtered is not None and expected.filtered not in result.reason:
            what = f"{name}: expected the reason {expected.filtered!r}, got {result.reason!r}"
            self._fail(what, place)
        park, wanted = result.park, expected.parked
        if park is None or wanted is None:
            return
        if wanted.step is not None and wanted.step != park.step:
            self._fail(f"{name}: expected to park at step {wanted.step}, {_told(result)}", place)
        if wanted.code is not None and wanted.code != park.code:
            self._fail(f"{name}: expected the park code {wanted.code}, got {park.code}", place)
        if wanted.reason is not None and wanted.reason not in park.reason:
            self._fail(f"{name}: expected the reason {wanted.reason!r}, {_told(result)}", place)

    def _check_outputs(
        self, name: str, expected: Sequence[OutputExpectation], arrival: Arrival
    ) -> None:
        made = [d for d in arrival.deliveries if d.outbound == name and d.park is None]
        if len(made) != len(expected):
            what = f"{name}: expected {_count(len(expected))}, got {_count(len(made))}"
            self._fail(what + self._why_none(name, arrival), ("expect", name))
        for at, (delivery, wanted) in enumerate(zip(made, expected, strict=False)):
            label = name if len(expected) == 1 else f"{name}[{at + 1}]"
            self._check_output(label, delivery, wanted)

    def _why_none(self, name: str, arrival: Arrival) -> str:
        """Return what became of the routes that could have made an output."""
        told = [
            f"{result.route}: {_told(result)}"
            for result in arrival.routes
            if result.outcome != "queued" and name in self.site.routes[result.route].to
        ]
        parked = [
            f"parked as {delivery.park.code}: {delivery.park.reason}"
            for delivery in arrival.deliveries
            if delivery.outbound == name and delivery.park is not None
        ]
        return "".join(f"; {text}" for text in dict.fromkeys([*told, *parked]))

    def _check_output(self, label: str, delivery: NewDelivery, wanted: OutputExpectation) -> None:
        body = delivery.body or b""
        place = wanted.loc[len(self.test.loc) :]
        charset = self.inbound.charset
        output = Message.parse(body, charset=charset.default)
        differences: list[tuple[Difference, str]] = [
            (difference, "") for difference in compare_fields(wanted.fields, output)
        ]
        if wanted.only_changes is not None:
            found = list(compare_changes(wanted.only_changes, self._received(), output))
            if not found and not wanted.only_changes and body != self.body:
                found.append(Difference("the fields are the same, but the bytes are not"))
            differences += [(difference, "only_changes") for difference in found]
        if wanted.file is not None:
            differences += [
                (difference, "file") for difference in self._compare_file(wanted.file, body)
            ]
        for difference, key in differences:
            writer, note = self._writer(difference, delivery, output)
            where: Loc = (*place, key) if key else place
            self._fail(f"{label} {difference.what}", (*where, difference.path), writer, note)

    def _compare_file(self, file: str, body: bytes) -> Iterator[Difference]:
        expected = self.site.files.get(file)
        if expected is None:
            self.result.updates[file] = body
            yield Difference(f"there is no file {file}; medbus test --update writes it")
            return
        found = list(compare_whole(expected, body, self.inbound.charset.default))
        if found:
            self.result.updates[file] = body
        yield from found

    def _writer(
        self, difference: Difference, delivery: NewDelivery, output: Message
    ) -> tuple[StepRecord | None, str]:
        if not difference.path or difference.path == "order":
            return None, ""
        writer = find_writer(
            self.result.recorder.records,
            route=delivery.route,
            outbound=delivery.outbound,
            path=difference.path,
            output=output,
        )
        return writer, "no step changed it: it is as received"


def _told(result: RouteResult) -> str:
    if result.park is not None and result.park.step:
        return f"{result.outcome} at step {result.park.step}: {result.reason}"
    return f"{result.outcome}: {result.reason}" if result.reason else str(result.outcome)


def _count(number: int) -> str:
    return {0: "no output", 1: "one output"}.get(number, f"{number} outputs")
