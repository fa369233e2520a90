"""
The leak check: is anything the original said of people in the final bytes?

It reads the bytes that would be sent, not what the steps believe they did: decoded in the
declared and in the likely other character sets, escapes resolved, base64 opened. It knows
nothing of the profile but which values were to stay. A hit is reported with its place and
kind, never with the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from engine.deid.embedded import decoded_texts, has_long_run
from engine.deid.identifiers import Identifiers, View, is_word, stands_alone
from engine.deid.normalise import fold, squeeze
from engine.deid.patterns import find_certain
from engine.deid.resolving import resolve, usual_delimiters
from engine.hl7.delimiters import DEFAULT_DELIMITERS, Delimiters
from engine.hl7.message import Message

#: where a short identifier (up to 3 characters) is looked for, as a whole
IDENTITY_PLACES = frozenset(
    [("PID", n) for n in (2, 3, 4, 18, 19, 20, 21)]
    + [("MRG", n) for n in range(1, 7)]
    + [("PV1", n) for n in (5, 19, 50, 54)]
    + [("IN1", 36), ("IN1", 49), ("NK1", 33)]
)
_OTHER_CODECS = ("utf-8", "gb18030", "big5", "utf-16-le", "utf-16-be")


#: a line of a note or of a report
_WRAPPED = re.compile(
    r"[\r\n](?:NTE\|[^|\r]*\|[^|\r]*\||OBX\|[^|\r]*\|(?:TX|FT)\|[^|\r]*\|[^|\r]*\|)([^|\r]*)"
)
_CONTINUED = re.compile(r"\|*[\r\n]+ADD\|")


class Leak(NamedTuple):
    """An identifier of the original in an output; says where and what kind, never which."""

    #: as in PID-5.1 or OBX[3]-5; "" where it lies across places
    path: str
    #: name, id, phone, email, date, address
    kind: str
    #: whether the output must not be sent
    hard: bool
    #: where it hides: "", "base64", "lines" (over several of them), "continuation" (of ADD) or a
    #: character set
    inside: str = ""


class _Hit(NamedTuple):
    form: str
    term: str
    kind: str
    hard: bool
    inside: str = ""


def find_leaks(
    identifiers: Identifiers,
    output: bytes,
    output_message: Message | None = None,
    *,
    locate_soft: bool = False,
) -> list[Leak]:
    """
    Return every leak of *output*; hard ones forbid sending it.

    Args:
        output: the final bytes, as they would be sent.
        output_message: the message *output* was made from; read from the bytes when absent.
        locate_soft: find the places of soft hits too; else they have none (they only count).

    Safety: the result holds no patient data.
    """
    message = output_message if output_message is not None else Message.parse(output)
    text = _decode(output, message)
    # Text of two bytes a character read as one byte each has NULs between its letters.
    text = usual_delimiters(text, message.delimiters).replace("\x00", "")
    plain = resolve(text, DEFAULT_DELIMITERS)
    if identifiers.arrival:
        plain = plain.replace(f"|{identifiers.arrival}|", "||", 1)
    hits = list(_find_hits(identifiers, plain, output))
    if not hits and not identifiers.short:
        return []
    there = {hit.term for hit in hits if hit.inside == ""}
    hits = [hit for hit in hits if hit.inside in ("", "base64") or hit.term not in there]
    wanted = hits if locate_soft else [hit for hit in hits if hit.hard]
    leaks = {Leak("", hit.kind, False, hit.inside) for hit in hits if not hit.hard}
    if wanted or identifiers.short:
        located = set(_locate(identifiers, wanted, Message.parse(output)))
        leaks = located if locate_soft else leaks | located
    return sorted(leaks)


def _decode(output: bytes, message: Message) -> str:
    if output.isascii():
        return output.decode("ascii")
    try:
        return output.decode(message.charset)
    except UnicodeDecodeError:
        return output.decode("latin-1")


def _find_hits(identifiers: Identifiers, plain: str, output: bytes) -> Iterator[_Hit]:
    yield from _search(identifiers, plain, "")
    if "\rADD|" in plain or "\nADD|" in plain:
        # ADD goes on where the field before it stopped, in the middle of a name if need be.
        yield from _search(identifiers, _CONTINUED.sub("", plain), "continuation")
    has_lines = plain.count("NTE|") + plain.count("|TX|") + plain.count("|FT|") > 1
    lines = _WRAPPED.findall(plain) if has_lines else ()
    if len(lines) > 1:
        yield from _search_lines(identifiers, "".join(lines))
    yield from _search_bytes(identifiers, output)
    if has_long_run(plain):
        for reading in decoded_texts(plain):
            yield from _search(identifiers, reading, "base64")


def _search(identifiers: Identifiers, text: str, inside: str) -> Iterator[_Hit]:
    view = View(text)
    for form, term, kind, is_hard in identifiers.find(view):
        yield _Hit(form, term, kind, is_hard, inside)
    known = identifiers.surrogates
    for found, span in find_certain(view.folded):
        if found not in known:
            yield _Hit("pattern", found, span.kind, True, inside)


def _search_lines(identifiers: Identifiers, joined: str) -> Iterator[_Hit]:
    """Search notes and reports that were cut into lines: a name may begin in one of them."""
    text = View(joined).squeezed
    for term, kind in identifiers.hard.anywhere.items():
        if term in text:
            yield _Hit("anywhere", term, kind, True, "lines")


def _search_bytes(identifiers: Identifiers, output: bytes) -> Iterator[_Hit]:
    """Search for Chinese names in the bytes of other character sets than the declared one."""
    for term, kind in identifiers.hard.anywhere.items():
        if term.isascii():
            continue
        for codec in _OTHER_CODECS:
            if term.encode(codec, "ignore") in output and _can_write(term, codec):
                yield _Hit("anywhere", term, kind, True, codec)


def _can_write(term: str, codec: str) -> bool:
    return term.encode(codec, "ignore").decode(codec) == term


def _locate(identifiers: Identifiers, hits: list[_Hit], message: Message) -> Iterator[Leak]:
    """Yield a leak for every place a hit is at; one without a place for the rest."""
    for hit in hits:
        places = (
            []
            if hit.inside not in ("", "base64")
            else list(_places(hit, message, identifiers.arrival))
        )
        for path, place in places:
            if place in identifiers.keep_places:
                continue
            is_event = hit.kind == "date" and place in identifiers.birth_places
            yield Leak(path, hit.kind, hit.hard and not is_event, hit.inside)
        if not places and not _is_segment_name(hit, message):
            yield Leak("", hit.kind, hit.hard, hit.inside)
    if identifiers.short:
        yield from _short_leaks(identifiers, message)


def _places(hit: _Hit, message: Message, arrival: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield (path, (segment, field)) of the fields and components *hit* is in."""
    delimiters = message.delimiters
    for label, name, fields in _labelled(message):
        if hit.inside == "" and not _is_in(hit, resolve("|".join(fields), delimiters)):
            continue
        for number in range(1, len(fields)):
            value = fields[number]
            if name == "MSH" and number == 7 and value == arrival:
                continue
            if not value or not _is_in(hit, resolve(value, delimiters)):
                continue
            inner = ""
            for place, leaf in _leaves(value, delimiters):
                if _is_in(hit, resolve(leaf, delimiters)):
                    inner = place
                    break
            yield f"{label}-{number}{inner}", (name, number)


def _is_segment_name(hit: _Hit, message: Message) -> bool:
    """Return whether what was found is the name of a segment: Mr. Sac and SAC are two things."""
    return hit.form == "word" and hit.term.upper() in message.segment_names()


def _labelled(message: Message) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (label, name, fields) of every segment: OBX[2] for the second of several."""
    counts: dict[str, int] = {}
    segments = message.segments()
    for segment in segments:
        counts[segment.name] = counts.get(segment.name, 0) + 1
    seen: dict[str, int] = {}
    for segment in segments:
        name = segment.name
        seen[name] = seen.get(name, 0) + 1
        label = f"{name}[{seen[name]}]" if counts[name] > 1 else name
        yield label, name, segment.fields()


def _leaves(value: str, delimiters: Delimiters) -> Iterator[tuple[str, str]]:
    repetitions = value.split(delimiters.repetition) if delimiters.repetition else [value]
    for index, repetition in enumerate(repetitions, 1):
        prefix = f"[{index}]" if len(repetitions) > 1 else ""
        parts = repetition.split(delimiters.component) if delimiters.component else [repetition]
        for place, part in enumerate(parts, 1):
            yield f"{prefix}.{place}" if len(parts) > 1 else prefix, part


def _is_in(hit: _Hit, text: str) -> bool:
    if hit.inside == "base64":
        return has_long_run(text) and any(
            _is_in(hit._replace(inside=""), reading) for reading in decoded_texts(text)
        )
    view = View(text)
    if hit.form == "word":
        return is_word(hit.term, view.folded)
    if hit.form == "bounded":
        return stands_alone(hit.term, view.folded)
    if hit.form == "anywhere":
        return hit.term in view.squeezed
    return hit.term in view.folded


def _short_leaks(identifiers: Identifiers, message: Message) -> Iterator[Leak]:
    delimiters = message.delimiters
    for label, name, fields in _labelled(message):
        for number in range(1, len(fields)):
            if (name, number) not in IDENTITY_PLACES or not fields[number]:
                continue
            for _, leaf in list(_leaves(fields[number], delimiters))[:1]:
                value = squeeze(fold(resolve(leaf, delimiters)))
                kept = (name, number) in identifiers.keep_places
                if value in identifiers.short and not kept:
                    yield Leak(f"{label}-{number}", "id", hard=True)
