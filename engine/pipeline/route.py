"""
One accepted message through its inbound channel: clean-up, routes, outputs, deliveries.

Rules of this file: a generator without clock, dice or I/O; a Python step is a call it yields. What
a message cannot do ends as a parked delivery with a reason, never as an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.model.records import NewDelivery, Park, RouteResult, Term
from engine.model.states import ParkCode, RouteOutcome
from engine.pipeline.compiled import CompiledInbound, CompiledOutbound, CompiledRoute
from engine.pipeline.context import Arrived
from engine.pipeline.failures import StepFailed
from engine.pipeline.file_names import safe_file_name
from engine.pipeline.run import Run
from engine.pipeline.steps.base import Parked, PythonAnswer, PythonCall, park_of, run_steps
from engine.pipeline.terms import find_terms
from engine.pipeline.trace import Recorder

#: drives a run: yields Python calls, is sent their answers
RoutedRun = Generator[PythonCall, PythonAnswer, "Routed"]


@dataclass(slots=True)
class Routed:
    """What became of one message: all that acceptance stores, beside the message itself."""

    routes: tuple[RouteResult, ...]
    deliveries: tuple[NewDelivery, ...]
    warnings: tuple[str, ...]
    #: set when the inbound channel's own steps failed
    failure: Park | None
    #: how de-identified outputs were made: (route, output, record)
    methods: tuple[tuple[str, int, Any], ...]
    _message: Message = field(repr=False)

    @property
    def terms(self) -> tuple[Term, ...]:
        """What the received message can be found by."""
        return find_terms(self._message, self._message.header.control_id)


def run_inbound(
    compiled: CompiledInbound,
    message: Message,
    arrived: Arrived,
    *,
    only_routes: Collection[str] | None = None,
    only_outbounds: Collection[str] | None = None,
    recorder: Recorder | None = None,
    id_of: Callable[[int], str] | None = None,
) -> RoutedRun:
    """
    Run every route of *compiled* on its own copy of *message*.

    Args:
        message: as received; never changed.
        only_routes: names of the routes to run; None for all.
        only_outbounds: outbound channels to make deliveries for; None for all.
        recorder: is told of every step; None costs nothing.
        id_of: the id that delivery number so and so will have, for names of files; default: the
            message's id and the number.
    """
    work = _Work(compiled, message, arrived, only_outbounds, recorder, id_of)
    run = work.new_run()
    failure = (yield from work.clean_up(run)) if compiled.steps else None
    header = run.message.header
    code, trigger = header.message_code, header.trigger
    for route in compiled.routes:
        if only_routes is None or route.name in only_routes:
            yield from work.run_route(route, run, failure, code, trigger)
    return Routed(
        routes=tuple(work.results),
        deliveries=tuple(work.deliveries),
        warnings=tuple(dict.fromkeys(work.warnings)) if work.warnings else (),
        failure=failure,
        methods=tuple(work.methods),
        _message=message,
    )


def drive(run: RoutedRun, call_python: Callable[[PythonCall], PythonAnswer]) -> Routed:
    """Run to the end, answering Python calls with *call_python*."""
    try:
        call = next(run)
        while True:
            call = run.send(call_python(call))
    except StopIteration as end:
        routed: Routed = end.value
        return routed


def no_python(call: PythonCall) -> PythonAnswer:
    """Answer every Python call with a failure; for callers that have no workers."""
    return PythonAnswer(None, f"no worker to run {call.module}:{call.function}")


class _Work:
    """What one run of run_inbound has made so far."""

    def __init__(
        self,
        compiled: CompiledInbound,
        message: Message,
        arrived: Arrived,
        only_outbounds: Collection[str] | None,
        recorder: Recorder | None,
        id_of: Callable[[int], str] | None,
    ) -> None:
        self._compiled = compiled
        self._received = message
        self._arrived = arrived
        self._only_outbounds = only_outbounds
        self._recorder = recorder
        self._keys: dict[str, tuple[bytes, ...]] = {}
        self._number = 0
        self._id_of = id_of or (lambda number: f"{arrived.message_id}.{number}")
        self.results: list[RouteResult] = []
        self.deliveries: list[NewDelivery] = []
        self.warnings: list[str] = []
        self.methods: list[tuple[str, int, Any]] = []

    def new_run(self) -> Run:
        run = Run(self._received, self._arrived, self._compiled.tables)
        run.warnings = self.warnings
        if self._recorder is not None:
            run.rows_used = self._recorder.rows_used
        return run

    def clean_up(self, run: Run) -> Generator[PythonCall, PythonAnswer, Park | None]:
        """Run the inbound channel's steps once, before routing."""
        steps = self._compiled.steps
        run.message = self._received.copy()
        if self._recorder is not None:
            self._recorder.enter("inbound", self._compiled.name)
        try:
            left = yield from run_steps(steps, run, self._recorder)
        except Parked as stop:
            return stop.park._replace(reason=f"inbound {self._compiled.name}: {stop.park.reason}")
        if left:
            run.message = left[0].message
        else:
            run.stop_reason = run.stop_reason or "filtered by the inbound channel"
        return None

    # -- routes ----------------------------------------------------------------------------

    def run_route(
        self, route: CompiledRoute, cleaned: Run, failure: Park | None, code: str, trigger: str
    ) -> Generator[PythonCall, PythonAnswer, None]:
        """Decide whether *route* takes the message, and make its outputs."""
        recorder = self._recorder
        if recorder is not None:
            recorder.enter("route", route.name)
        if not route.takes(code, trigger):
            shown = f"{code}^{trigger}" if trigger else code or "empty"
            self._filter(route, f"type {shown} is not among {', '.join(route.types)}")
            return
        if failure is not None:
            self._park(route, failure)
            return
        if cleaned.stop_reason:
            self._filter(route, cleaned.stop_reason)
            return
        run = cleaned.branch(cleaned.message)
        run.route = route.name
        try:
            if route.when is not None and not route.when.value(run):
                if recorder is not None:
                    recorder.note_when(route, run)
                self._filter(route, f"when is not met: {route.when.text}")
                return
        except Exception as error:  # noqa: BLE001 - a condition that cannot be decided parks
            park = park_of(error, "when")
            looked_at = ", ".join(str(path) for path in route.when.paths) if route.when else ""
            self._park(route, park._replace(path=park.path or looked_at))
            return
        if recorder is not None:
            recorder.routes_begun.add(route.name)
        try:
            if route.steps:
                run.message = cleaned.message.copy()
                outputs = yield from run_steps(route.steps, run, recorder)
            else:
                outputs = [run]
        except Parked as stop:
            self._park(route, stop.park)
            return
        if not outputs:
            self._filter(route, run.stop_reason or "all outputs were filtered")
            return
        yield from self._deliver(route, outputs)

    def _filter(self, route: CompiledRoute, reason: str) -> None:
        self.results.append(RouteResult(route.name, RouteOutcome.FILTERED, reason))

    def _park(self, route: CompiledRoute, park: Park) -> None:
        self.results.append(RouteResult(route.name, RouteOutcome.PARKED, park.reason, park))
        for outbound in self._outbounds_of(route):
            self._add(route, 1, outbound, None, park=park)

    def _outbounds_of(self, route: CompiledRoute) -> Iterator[CompiledOutbound]:
        for outbound in route.outbounds:
            if self._only_outbounds is None or outbound.name in self._only_outbounds:
                yield outbound

    # -- outputs ---------------------------------------------------------------------------

    def _deliver(
        self, route: CompiledRoute, outputs: list[Run]
    ) -> Generator[PythonCall, PythonAnswer, None]:
        first = len(self.deliveries)
        for number, output in enumerate(outputs, 1):
            self.methods += [(route.name, number, record) for record in output.methods]
            for outbound in self._outbounds_of(route):
                if outbound.steps:
                    yield from self._deliver_to(outbound, route, number, output)
                elif outbound.changes:
                    changed = output.branch(output.message.copy())
                    self._finish(outbound, route, number, changed)
                else:
                    self._finish(outbound, route, number, output)
        made = self.deliveries[first:]
        if not made and self._only_outbounds is None:
            self._filter(route, "filtered by the steps of the outbound channel")
            return
        parked = [delivery.park for delivery in made if delivery.park is not None]
        if made and len(parked) == len(made) and parked[0].code is ParkCode.STEP:
            self.results.append(
                RouteResult(route.name, RouteOutcome.PARKED, parked[0].reason, parked[0])
            )
            return
        self.results.append(RouteResult(route.name, RouteOutcome.QUEUED))

    def _deliver_to(
        self, outbound: CompiledOutbound, route: CompiledRoute, number: int, output: Run
    ) -> Generator[PythonCall, PythonAnswer, None]:
        """Make one delivery of an output that the outbound channel's steps change first."""
        run = output.branch(output.message.copy())
        if self._recorder is not None:
            self._recorder.enter("outbound", outbound.name)
        try:
            left = yield from run_steps(outbound.steps, run, self._recorder)
        except Parked as stop:
            reason = f"outbound {outbound.name}: {stop.park.reason}"
            self._add(route, number, outbound, None, park=stop.park._replace(reason=reason))
            return
        if left:
            self._finish(outbound, route, number, left[0])

    def _finish(
        self, outbound: CompiledOutbound, route: CompiledRoute, number: int, run: Run
    ) -> None:
        """Encode an output and search it for what must not be in it."""
        try:
            if outbound.changes:
                outbound.finish(run)
            if run.encoded is None:
                body = run.message.encode()
                run.encoded = (body, _find_leak(run, body) if run.identifiers else None)
            body, leak = run.encoded
        except (Hl7Error, UnicodeError) as error:
            where = error.where if isinstance(error, Hl7Error) else ""
            reason = error.what if isinstance(error, Hl7Error) else "a character cannot be written"
            park = Park(ParkCode.CHARSET, f"outbound {outbound.name}: {reason}", "", where)
            self._add(route, number, outbound, None, park=park)
            return
        self._add(route, number, outbound, run, body=body, park=leak)

    def _add(
        self,
        route: CompiledRoute,
        output: int,
        outbound: CompiledOutbound,
        run: Run | None,
        *,
        body: bytes | None = None,
        park: Park | None = None,
    ) -> None:
        self._number += 1
        control_id, promises, file_name, method = "", ("", ""), "", ""
        if run is not None:
            if run.methods:
                method = ", ".join([str(record) for record in run.methods])
            header = run.message.header
            control_id = header.control_id
            if header.field(15) or header.field(16):
                promises = (header.accept_ack, header.application_ack)
            file_name = name_file(outbound, run, self._id_of(self._number))
        self.deliveries.append(
            NewDelivery(
                number=self._number,
                route=route.name,
                output=output,
                outbound=outbound.name,
                body=body,
                control_id=control_id,
                promises=promises,
                order_keys=self._order_keys(outbound),
                file_name=file_name,
                park=park,
                on_park=outbound.on_park,
                method=method,
                links=run.links if run is not None else (),
            )
        )

    def _order_keys(self, outbound: CompiledOutbound) -> tuple[bytes, ...]:
        """Return the hashed order keys of the received message, worked out once per outbound."""
        if not outbound.order_by:
            return ()
        keys = self._keys.get(outbound.name)
        if keys is None:
            received = self._received
            texts = [
                text
                for path in outbound.order_by
                for text in (
                    (received.get(path),)
                    if path.quick_field and path.component
                    else received.get_all(path)
                )
                if text and text != '""'
            ]
            keys = tuple([outbound.hash_key(text) for text in dict.fromkeys(texts)])
            self._keys[outbound.name] = keys
        return keys


def _find_leak(run: Run, body: bytes) -> Park | None:
    """Return why a de-identified output must not be sent, None where it may."""
    from engine.deid.leak_check import find_leaks

    for identifiers in run.identifiers:
        try:
            hard = [leak for leak in find_leaks(identifiers, body, run.message) if leak.hard]
        except Exception as error:  # noqa: BLE001 - what cannot be checked is not sent
            return Park(ParkCode.LEAK, f"the leak check failed: {type(error).__name__}")
        if hard:
            told = [f"{leak.path or 'across fields'} ({leak.kind})" for leak in hard[:5]]
            places = ", ".join(dict.fromkeys(told))
            reason = f"an identifier of the original is in the output: {places}"
            return Park(ParkCode.LEAK, reason, "", hard[0].path)
    return None


def name_file(outbound: CompiledOutbound, run: Run, delivery_id: str) -> str:
    """
    Return the name of the output's file, "" for a channel without files.

    It is the delivery id where the template cannot be made.
    """
    if outbound.file_name is None:
        return ""
    run.delivery_id = delivery_id
    fallback = f"{delivery_id}.hl7"
    try:
        return safe_file_name(outbound.file_name.render(run), fallback)
    except StepFailed:
        return safe_file_name(fallback, fallback)
