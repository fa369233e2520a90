"""What a compiled step is, and how a list of them runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from engine.hl7.errors import Hl7Error
from engine.model.errors import MedbusError
from engine.model.finding import Loc
from engine.model.records import Park
from engine.model.states import ParkCode
from engine.pipeline.expressions import Expression
from engine.pipeline.failures import Filtered, StepFailed
from engine.pipeline.run import Run

if TYPE_CHECKING:
    from engine.pipeline.trace import Recorder


@dataclass(frozen=True, slots=True)
class PythonCall:
    """A Python step: what the caller of a run has to run elsewhere and answer."""

    module: str
    function: str
    #: the message's bytes
    body: bytes
    #: JSON-able: values of the language, charset
    context: dict[str, object]
    #: module name -> source, and tables/NAME.json -> table; one object per configuration
    sources: Mapping[str, str]
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class PythonAnswer:
    """What a Python step gave back."""

    #: the message's bytes; None when it failed
    body: bytes | None
    #: what went wrong, without values of the message
    error: str = ""
    log: tuple[str, ...] = ()


#: a run asks for Python by yielding a call, and is sent the answer
Steps = Generator[PythonCall, PythonAnswer, list[Run]]


class Parked(Exception):
    """A step failed; carries why and where."""

    def __init__(self, park: Park, reason: str = "") -> None:
        self.park = park
        super().__init__(reason or park.reason)


class Block(Protocol):
    """A step that holds steps, makes several outputs, or calls Python."""

    def __call__(self, run: Run, recorder: Recorder | None) -> Steps:
        """Go on with *run*; return the runs it became."""
        ...


@dataclass(slots=True)
class Step:
    """One compiled step: either *act* (a plain function) or *block*."""

    kind: str
    #: as the analyst counts: "3", or "2.1" inside a block
    number: str
    loc: Loc
    when: Expression | None = None
    act: Callable[[Run], None] | None = None
    block: Block | None = None
    #: name shown in traces: the transform, profile or module
    about: str = ""
    paths: tuple[str, ...] = field(default=())


def run_steps(steps: Sequence[Step], run: Run, recorder: Recorder | None = None) -> Steps:
    """
    Run *steps* on *run*; return the outputs that are left, none where all were filtered.

    Raises:
        Parked: a step failed.
    """
    runs = [run]
    for step in steps:
        going_on: list[Run] = []
        for one in runs:
            try:
                if step.when is not None and not step.when.value(one):
                    if recorder is not None:
                        recorder.skip(step, one)
                    going_on.append(one)
                elif recorder is not None:
                    going_on += yield from _run_recorded(step, one, recorder)
                elif step.act is not None:
                    step.act(one)
                    going_on.append(one)
                elif step.block is not None:
                    going_on += yield from step.block(one, None)
            except Filtered as stop:
                one.stop_reason = run.stop_reason = stop.reason
            except Parked:
                raise
            except Exception as error:
                # Whatever a step does, the engine goes on.
                raise Parked(park_of(error, step.number)) from error
        runs = going_on
        if not runs:
            break
    return runs


def _run_recorded(step: Step, run: Run, recorder: Recorder) -> Steps:
    """Run one step and tell the recorder what it did."""
    record = recorder.begin(step, run)
    try:
        left = [run]
        if step.act is not None:
            step.act(run)
        elif step.block is not None:
            left = yield from step.block(run, recorder)
    except Filtered:
        recorder.end(record, run, "filtered")
        raise
    except Exception:
        recorder.end(record, run, "failed")
        raise
    recorder.end(record, run, "run" if left else "filtered")
    return left


def park_of(error: Exception, number: str) -> Park:
    """Return why a step failed, in words that hold nothing of the message."""
    if isinstance(error, StepFailed):
        return Park(ParkCode.STEP, error.reason, number, error.path)
    if isinstance(error, Hl7Error | MedbusError):
        return Park(ParkCode.STEP, error.what, number, error.where)
    return Park(ParkCode.STEP, f"an unexpected {type(error).__name__}", number)
