"""
What a Python step sees of a message, and how a worker runs one step.

    def flag_panic(message, context):
        for obx in message.segments("OBX"):
            value = obx.number("OBX-5")
            if obx["OBX-3.1"] == "2823-3" and value is not None and value > Decimal("6.5"):
                obx["OBX-8"] = "HH"
        return message

Rules of this file: reading and writing is text, escapes are done here; nothing of the engine but
HL7 and tables is imported, so that a worker starts fast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from engine.hl7.errors import PathError
from engine.hl7.message import Message
from engine.hl7.path import parse_path
from engine.hl7.segment import Segment
from engine.pipeline.groups import whole_groups
from engine.pipeline.numbers import find_number
from engine.pipeline.python_modules import SiteModules, modules_of

_MOST_LOG_LINES = 100
_LONGEST_LOG_LINE = 1_000


class NoMessageReturned(TypeError):
    """A step returned something else; the text holds nothing of the message."""


class _Reading(ABC):
    """What messages, groups and segments have alike: text by path."""

    @abstractmethod
    def __getitem__(self, path: str) -> str:
        """Return the text at *path*; "" when absent or empty, two quotes for HL7 null."""
        ...

    def number(self, path: str) -> Decimal | None:
        """Return the number at *path*, None where there is none (``<5`` is none either)."""
        found = find_number(self[path])
        return found if isinstance(found, Decimal) else None


class PythonSegment(_Reading):
    """One segment: ``obx["OBX-5"]``, ``obx["5.1"]`` and ``obx[5]`` mean the same field."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment

    def __repr__(self) -> str:
        return f"<{self.name} segment>"

    @property
    def name(self) -> str:
        """The segment's name."""
        return self._segment.name

    def __getitem__(self, path: str | int) -> str:
        return self._segment.get(path)

    def __setitem__(self, path: str | int, text: object) -> None:
        """Write *text* at *path*, escaped; None empties it."""
        _write(self._segment, path, text)

    def get_all(self, path: str | int) -> list[str]:
        """Return the text of every repetition that *path* means (``PID-3[*].1``)."""
        return self._segment.get_all(path)

    def hl7(self, path: str | int) -> str:
        """Return the HL7 at *path* as it stands, separators and escapes included."""
        return self._segment.raw_text(path)

    def set_hl7(self, path: str | int, text: str) -> None:
        """Write HL7 at *path*: ``A^B`` makes two components."""
        self._segment.set_hl7(path, text)


class PythonGroup(_Reading):
    """A run of segments that belong together, such as an OBR with its OBX."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = list(segments)

    def __getitem__(self, path: str) -> str:
        parsed = parse_path(path)
        found = [s for s in self._segments if s.name == parsed.segment]
        return found[0].get(parsed) if found else ""

    def __setitem__(self, path: str, text: object) -> None:
        parsed = parse_path(path)
        found = [s for s in self._segments if s.name == parsed.segment]
        if not found:
            raise PathError(f"there is no {parsed.segment} in this group")
        _write(found[0], parsed, text)

    def segments(self, name: str | None = None) -> list[PythonSegment]:
        """Return the group's segments, or those called *name*."""
        return [PythonSegment(s) for s in self._segments if name is None or s.name == name]


class PythonMessage(_Reading):
    """The message: ``message["PID-5.1"]`` reads and writes text."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def __repr__(self) -> str:
        return f"<{self._message.header.message_type} message>"

    def __getitem__(self, path: str) -> str:
        return self._message.get(path)

    def __setitem__(self, path: str, text: object) -> None:
        """Write *text* at *path*, escaped; what is missing is made; None empties it."""
        if text is None or text == "":
            self._message.clear(path)
        else:
            self._message.set(path, _as_text(text))

    def __contains__(self, path: str) -> bool:
        """Return whether there is something at *path*: ``"NK1" in message``."""
        return bool(self._message.get(path))

    def __iter__(self) -> Iterator[PythonSegment]:
        return iter(self.segments())

    def segments(self, name: str | None = None) -> list[PythonSegment]:
        """Return all segments, or those called *name*, in their order."""
        return [PythonSegment(segment) for segment in self._message.segments(name)]

    def groups(self, name: str, lead: Sequence[str] = ()) -> list[PythonGroup]:
        """Return the groups that each *name* begins, with *lead* segments right before it."""
        found = whole_groups(self._message, self._message.segments(), name, lead)
        return [PythonGroup(segments) for segments in found]

    def get_all(self, path: str) -> list[str]:
        """Return every text *path* means: ``message.get_all("OBX[*]-5")``."""
        return self._message.get_all(path)

    def hl7(self, path: str) -> str:
        """Return the HL7 at *path* as it stands."""
        return self._message.raw_text(path)

    def set_hl7(self, path: str, text: str) -> None:
        """Write HL7 at *path*."""
        self._message.set_hl7(path, text)

    def add_segment(
        self,
        name: str,
        fields: Mapping[int, str] | None = None,
        *,
        after: PythonSegment | None = None,
    ) -> PythonSegment:
        """Return a new segment behind *after*, or at the end; *fields* are HL7."""
        at = len(self._message.segments()) if after is None else after._segment.index + 1
        return PythonSegment(self._message.insert_segment(at, name, fields))

    def remove(self, *segments: PythonSegment) -> None:
        """Take segments out."""
        self._message.remove_segments([segment._segment for segment in segments])

    def drop_segments(self, *names: str) -> None:
        """Take out all segments of these names."""
        self._message.remove_segments([s for s in self._message.segments() if s.name in names])

    def as_python_hl7(self) -> Any:
        """Return a copy as a python-hl7 message; the step may return that instead."""
        return self._message.as_python_hl7()

    def encode(self) -> bytes:
        """Return the message's bytes."""
        return self._message.encode()


class PythonContext:
    """The values of the run, table look-ups, and a log that is kept with the trace."""

    def __init__(self, values: Mapping[str, Any], modules: SiteModules) -> None:
        self.message_id: str = values.get("message_id", "")
        self.control_id: str = values.get("control_id", "")
        #: HL7 time with zone
        self.received_at: str = values.get("received_at", "")
        #: seconds since the epoch
        self.received_at_s: float = values.get("received_at_s", 0.0)
        self.inbound: str = values.get("inbound", "")
        self.route: str = values.get("route", "")
        self.site: str = values.get("site", "")
        self.part: int = values.get("part", 1)
        #: vars of the site and its environment
        self.vars: dict[str, str] = dict(values.get("vars", {}))
        #: variables of let and with
        self.variables: dict[str, str] = dict(values.get("variables", {}))
        self._modules = modules
        self._lines: list[str] = []

    def lookup(self, table: str, column: str, *keys: str, default: str | None = None) -> str:
        """
        Return *column* of the row whose first columns hold *keys*.

        Raises:
            KeyError: no such table, column or row, and no *default* was given.
        """
        found = self._modules.get_table(table)
        if column not in found.columns:
            raise KeyError(f"the table {table} has no column {column}")
        row = found.find(found.columns[: len(keys)], keys)
        if row is not None:
            return found.cell(row, column)
        if default is None:
            raise KeyError(f"the value is not in the table {table}")
        return default

    def log(self, text: object) -> None:
        """Keep a line with the trace of this message; it may be read by whoever sees traces."""
        if len(self._lines) < _MOST_LOG_LINES:
            self._lines.append(str(text)[:_LONGEST_LOG_LINE])

    @property
    def logged(self) -> tuple[str, ...]:
        """The lines logged so far."""
        return tuple(self._lines)


def run_python_step(
    module: str, function: str, body: bytes, context: Mapping[str, Any], sources: Mapping[str, str]
) -> tuple[bytes, Sequence[str]]:
    """
    Run one step and return the message's new bytes and what was logged.

    Raises:
        Exception: whatever the step raises; NoMessageReturned where it returns no message.
    """
    charset = str(context.get("charset") or "") or None
    message = PythonMessage(Message.parse(body, force_charset=charset))
    modules = modules_of(sources)
    told = PythonContext(context, modules)
    result = getattr(modules.get_module(module), function)(message, told)
    if isinstance(result, PythonMessage):
        return result.encode(), told.logged
    if type(result).__module__.partition(".")[0] == "hl7":
        text = str(result)
        return text.encode(message._message.charset), told.logged
    raise NoMessageReturned(f"{function} must return the message")


def _write(segment: Segment, path: Any, text: object) -> None:
    if text is None or text == "":
        if any(segment.find_all(path)):
            segment.set(path, "")
    else:
        segment.set(path, _as_text(text))


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a field is written with text, a whole number or a Decimal")
    return str(value)
