"""
A receiver's answer on its way back to the sender: the route's response steps, then the header.

Rules of this file: pure, as routes are; the sender gets its own MSH-10 in MSA-2, its own names in
MSH-5 and MSH-6 and its own character set, whatever the receiver wrote there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.hl7.path import parse_path
from engine.model.records import Park
from engine.model.states import ParkCode
from engine.pipeline.compiled import CompiledRoute
from engine.pipeline.context import Arrived
from engine.pipeline.run import Run
from engine.pipeline.steps.base import Parked, PythonAnswer, PythonCall, run_steps
from engine.pipeline.trace import Recorder

#: field of the answer -> field of the request it takes its value from
_RESTORED = tuple(
    (parse_path(own), parse_path(callers))
    for own, callers in (
        ("MSH-3", "MSH-5"), ("MSH-4", "MSH-6"), ("MSH-5", "MSH-3"), ("MSH-6", "MSH-4"),
        ("MSA-2", "MSH-10"),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Responded:
    """What goes back to the sender."""

    #: the answer's bytes; None when the steps failed or filtered it
    body: bytes | None
    park: Park | None = None


def run_response(
    route: CompiledRoute,
    *,
    request: Message,
    answer: Message,
    arrived: Arrived,
    recorder: Recorder | None = None,
) -> Generator[PythonCall, PythonAnswer, Responded]:
    """
    Run the response steps of *route* on *answer*.

    Args:
        request: the message as the sender sent it; never changed.
        answer: what the receiver of the delivery answered; never changed.
    """
    run = Run(answer.copy(), arrived, route.tables, route=route.name, received=request)
    if recorder is not None:
        recorder.enter("response", route.name)
    try:
        left = yield from run_steps(route.response or (), run, recorder)
        if not left:
            return Responded(None, Park(ParkCode.STEP, run.stop_reason or "filtered"))
        return Responded(_restored(left[0].message, request).encode())
    except Parked as stop:
        return Responded(None, stop.park)
    except (Hl7Error, UnicodeError) as error:
        what = error.what if isinstance(error, Hl7Error) else "a character cannot be written"
        return Responded(None, Park(ParkCode.CHARSET, what))


def drive_response(
    run: Generator[PythonCall, PythonAnswer, Responded],
    call_python: Callable[[PythonCall], PythonAnswer],
) -> Responded:
    """Run to the end, answering Python calls with *call_python*."""
    try:
        call = next(run)
        while True:
            call = run.send(call_python(call))
    except StopIteration as end:
        responded: Responded = end.value
        return responded


def _restored(answer: Message, request: Message) -> Message:
    has_msa = "MSA" in answer.segment_names()
    for own, callers in _RESTORED:
        if own.segment == "MSA" and not has_msa:
            continue
        value = request.raw_text(callers)
        if value:
            answer.set_hl7(own, value, request.delimiters)
        else:
            answer.clear(own)
    if answer.charset != request.charset and answer.charset != "ascii":
        declared = request.declared_charset.partition(request.delimiters.repetition)[0]
        answer.set_charset(declared or request.charset)
    return answer
