"""
The engine's log: JSON lines or text on stderr, allow-listed keys, no patient data.

Rules of this file: a log call says an event and facts as `extra`; keys outside KEYS are dropped;
an exception leaves its type and its places in the code, never its text (unless it is our own).
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import datetime, tzinfo
from typing import TextIO

from engine.model.errors import MedbusError

#: the only facts that may leave with a log line
KEYS = (
    "alarm", "attempt", "backlog", "bytes", "channel", "code", "config", "count", "day",
    "delivery_id", "detail", "dropped", "due_in_s", "env", "exit_code", "fix", "format", "held",
    "inbound", "lane", "lanes", "limit", "listen", "message_id", "mode", "outbound",
    "outcome", "parked", "path", "peer", "pending", "pid", "port", "reason", "route", "seq", "site",
    "snapshot_id", "state", "step", "subject", "took_s", "url", "user", "verb", "version", "where",
)  # fmt: skip


def _facts(record: logging.LogRecord) -> dict[str, object]:
    values = record.__dict__
    facts = {key: values[key] for key in KEYS if key in values}
    if record.exc_info and record.exc_info[1] is not None:
        facts["error"] = describe_exception(record.exc_info[1])
    return facts


def describe_exception(error: BaseException) -> str:
    """Return type and places of an exception; its text only where it is our own."""
    if isinstance(error, MedbusError):
        return str(error)
    places = [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)[-6:]
    ]
    return f"{type(error).__name__} at {' < '.join(reversed(places)) or 'unknown place'}"


class JsonLines(logging.Formatter):
    """One JSON object per line: at, level, part, event, and the allow-listed facts."""

    def __init__(self, zone: tzinfo | None) -> None:
        super().__init__()
        self._zone = zone

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, self._zone).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "part": record.name}
        line["event"] = _event(record)
        return json.dumps(line | _facts(record), ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """One line for people: time, level, event, then key=value."""

    def __init__(self, zone: tzinfo | None) -> None:
        super().__init__()
        self._zone = zone

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, self._zone).strftime("%Y-%m-%d %H:%M:%S")
        facts = " ".join(f"{key}={value}" for key, value in _facts(record).items())
        tail = f"  {facts}" if facts else ""
        return f"{at} {record.levelname.lower():<7} {_event(record)}{tail}"


def _event(record: logging.LogRecord) -> str:
    # Libraries put values into their texts; ours never do.
    own = record.name.split(".", 1)[0] in ("engine", "medbus")
    return record.getMessage() if own else f"{record.name}: {str(record.msg)[:200]}"


def start_logging(
    *, level: str, format_name: str, zone: tzinfo | None, stream: TextIO | None = None
) -> None:
    """Send everything the engine and its libraries log to one stream, in one format."""
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    sink = logging.StreamHandler(stream or sys.stderr)
    sink.setFormatter(JsonLines(zone) if format_name == "json" else TextLines(zone))
    root.addHandler(sink)
    root.setLevel(logging.WARNING)
    for own in ("engine", "medbus"):
        logging.getLogger(own).setLevel(level.upper())
    logging.captureWarnings(True)
