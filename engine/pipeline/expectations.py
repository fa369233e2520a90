"""
Comparing an output with what a channel test expects of it.

Rules of this file: pure; every difference is told with the path, what was expected and what is
there. Test messages are synthetic, so their values may be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.config.models.tests import FieldExpectation
from engine.hl7.diff import covers, diff_messages
from engine.hl7.errors import Hl7Error, PathError
from engine.hl7.message import Message
from engine.hl7.path import Path, parse_path


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected."""

    what: str
    #: the place in the output, or "" where it is no place
    path: str = ""
    #: the value that is there, for finding the step that wrote it
    value: str | None = None


def compare_fields(
    expected: Mapping[str, FieldExpectation], message: Message
) -> Iterator[Difference]:
    """Yield what differs between *message* and the fields expected of it."""
    for text, expectation in expected.items():
        try:
            path = parse_path(text)
        except PathError as error:
            yield Difference(f"{text}: {error.what}; {error.fix}")
            continue
        what = _compare_one(path, expectation, message)
        if what:
            value = message.raw_text(path) if path.field is not None else None
            yield Difference(f"{text}: {what}", text, value)


def _compare_one(path: Path, expected: FieldExpectation, message: Message) -> str:
    """Return what is wrong at *path*, or an empty text."""
    if path.field is None and expected.equals in ("absent", "present"):
        count = len(message.select(path))
        if expected.equals == "absent" and count:
            return f"expected no such segment, found {count}"
        return "" if count or expected.equals == "absent" else "expected the segment, found none"
    texts = _texts(path, message)
    if expected.equals is not None and expected.equals not in texts:
        return f"expected {expected.equals!r}, got {texts[0]!r}"
    if expected.matches is not None:
        return _compare_pattern(expected.matches, texts[0])
    whole = _everything(path, message)
    for part in expected.contains:
        if part not in whole:
            return f"expected it to contain {part!r}, got {texts[0]!r}"
    for part in expected.not_contains:
        if part.lower() in whole.lower():
            return f"expected it not to contain {part!r}, but it does"
    return ""


def _compare_pattern(pattern: str, text: str) -> str:
    try:
        found = re.fullmatch(pattern, text)
    except re.error as error:
        return f"{pattern!r} is no regular expression: {error}"
    return "" if found else f"expected a match of {pattern!r}, got {text!r}"


def _texts(path: Path, message: Message) -> list[str]:
    """Return the value as text, and as it is written where that is something else."""
    if path.has_all:
        joined = "~".join(message.get_all(path))
        return [joined]
    return list(dict.fromkeys([message.get(path), message.raw_text(path)]))


def _everything(path: Path, message: Message) -> str:
    """Return all that can be read at *path*: as text and as written, every repetition."""
    if path.field is None:
        return "\n".join(segment.text for segment in message.select(path))
    return "\n".join([message.raw_text(path), message.get(path), *message.get_all(path)])


def compare_changes(
    expected: Mapping[str, FieldExpectation], before: Message, after: Message
) -> Iterator[Difference]:
    """Yield every change between *before* and *after* that is not among the *expected*."""
    yield from compare_fields(expected, after)
    paths = []
    for text in expected:
        try:
            paths.append(parse_path(text))
        except PathError:
            continue
    for change in diff_messages(before, after):
        if not any(covers(path, change, after) for path in paths):
            yield Difference(f"not among only_changes: {change}", change.path, change.after or "")


def compare_whole(expected: bytes, body: bytes, charset: str | None) -> Iterator[Difference]:
    """Yield the differences of a whole output, field by field."""
    if _lines(expected) == _lines(body):
        return
    try:
        before = Message.parse(_lines(expected), charset=charset)
        after = Message.parse(body, charset=charset)
    except Hl7Error as error:
        yield Difference(f"the output cannot be compared: {error.what}")
        return
    changes = diff_messages(before, after)
    for change in changes:
        yield Difference(f"{change.path}: expected {_shown(change.before)}, got "
                         f"{_shown(change.after)}", change.path, change.after or "")  # fmt: skip
    if not changes:
        yield Difference("the fields are as expected, the bytes are not (encoding or separators)")


def _shown(text: str | None) -> str:
    return "nothing" if text is None else repr(text)


def _lines(raw: bytes) -> bytes:
    """Return a message from a file with CR line ends and a last one, as editors may have it."""
    text = raw.replace(b"\r\n", b"\r")
    if b"\r" not in text:
        text = text.replace(b"\n", b"\r")
    return text.rstrip(b"\r\n") + b"\r"
