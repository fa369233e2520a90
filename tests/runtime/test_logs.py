"""The engine's log: facts yes, patient data never."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC

import pytest

from engine.model.errors import StoreFull
from engine.runtime.logs import start_logging

CANARY = "PID|1||SECRET^^^MR"


@pytest.fixture
def quiet_root() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(level: str = "debug", format_name: str = "json") -> tuple[io.StringIO, logging.Logger]:
    """Start logging into a text, and return it with a logger."""
    stream = io.StringIO()
    start_logging(level=level, format_name=format_name, zone=UTC, stream=stream)
    return stream, logging.getLogger("engine.test")


@pytest.mark.usefixtures("quiet_root")
def test_only_allowed_keys_leave() -> None:
    """If this failed, a careless log call could write a message body to disk."""
    stream, log = lines()
    log.info("accepted", extra={"message_id": "20261121-1", "body": CANARY})
    line = json.loads(stream.getvalue())
    assert (line["event"], line["message_id"]) == ("accepted", "20261121-1")
    assert "SECRET" not in stream.getvalue()


@pytest.mark.usefixtures("quiet_root")
@pytest.mark.parametrize("format_name", ["json", "text"])
def test_an_exception_leaves_type_and_place_but_not_its_text(format_name: str) -> None:
    """If this failed, an error that quotes a field would put it into the log."""
    stream, log = lines(format_name=format_name)
    try:
        raise ValueError(CANARY)
    except ValueError:
        log.exception("a message could not be processed")
    assert "ValueError" in stream.getvalue()
    assert "test_logs.py" in stream.getvalue()
    assert "SECRET" not in stream.getvalue()


@pytest.mark.usefixtures("quiet_root")
def test_our_own_errors_are_told_in_full() -> None:
    """If this failed, an operator would not read the remedy in the log."""
    stream, log = lines()
    log.error("stopped accepting", exc_info=StoreFull())
    assert "free disk space" in stream.getvalue()


@pytest.mark.usefixtures("quiet_root")
def test_a_library_that_logs_values_does_not_get_them_through() -> None:
    """If this failed, a third-party warning could carry a message."""
    stream, _ = lines()
    logging.getLogger("somelib").warning("bad input %s", CANARY)
    assert "SECRET" not in stream.getvalue()
    assert "bad input" in stream.getvalue()
