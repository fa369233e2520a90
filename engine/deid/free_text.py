"""
Free text: the message's own identifiers are taken out, then whatever has an identifier's shape.

A text is unescaped before it is searched and escaped again after; what is taken out leaves a
tag such as ``[NAME]``, so that a reader sees that something was there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.deid.identifiers import Identifiers, bounded_positions
from engine.deid.normalise import LETTERS, LONG_WORD, SEPARATORS, compose_with_map, squeeze_with_map
from engine.deid.patterns import TAGS, Span, find_patterns, has_hint

#: from here on a search by regular expression is quicker than a map of every character
LONG_TEXT = 4_000
_GAP = f"[{re.escape(SEPARATORS)}]*"
_INITIAL_BEFORE = re.compile(r"(?:^|(?<=[^a-z0-9]))([a-z])\.?\s*\Z")
_INITIAL_AFTER = re.compile(r",?\s*([a-z])(?:\.|(?![a-z0-9]))")


def scrub(text: str, identifiers: Identifiers, *, dates: bool) -> tuple[str, int]:
    """
    Return *text* without identifiers, and how many stretches were taken out.

    Args:
        text: escapes resolved.
        dates: whether full dates go too (a profile that keeps no dates says yes).
    """
    spans = find_spans(text, identifiers, dates=dates)
    if not spans:
        return text, 0
    parts: list[str] = []
    position = 0
    for span in spans:
        parts += [text[position : span.start], TAGS[span.kind]]
        position = span.end
    parts.append(text[position:])
    return "".join(parts), len(spans)


def find_spans(text: str, identifiers: Identifiers, *, dates: bool) -> list[Span]:
    """Return the stretches of *text* to take out: merged, in order, places in *text* itself."""
    composed, origin = (text, None) if text.isascii() else compose_with_map(text)
    folded = composed.lower()
    spans = _own_spans(folded, identifiers)
    if has_hint(folded):
        spans += find_patterns(composed, dates=dates)
    if origin is None:
        return _merge(spans)
    ends = [*origin[1:], len(text)]
    moved = [Span(origin[s.start], _after(origin, ends, s.end), s.kind) for s in spans]
    return _merge(moved)


def _after(origin: list[int], ends: list[int], end: int) -> int:
    """Return the place in the original text just behind composed character *end* - 1."""
    last = origin[end - 1]
    at = end
    while at < len(origin) and origin[at] == last:
        at += 1
    return origin[at] if at < len(origin) else ends[-1]


def _own_spans(folded: str, identifiers: Identifiers) -> list[Span]:
    spans: list[Span] = []
    for terms in (identifiers.hard, identifiers.soft):
        words = terms.words
        if words:
            for match in LETTERS.finditer(folded):
                if match[0] in words and _is_apart(match, folded):
                    spans.append(
                        _with_initials(match.start(), match.end(), folded, identifiers)
                        if words[match[0]] == "name"
                        else Span(match.start(), match.end(), words[match[0]])
                    )
        for term, kind in terms.bounded.items():
            spans += [Span(at, at + len(term), kind) for at in bounded_positions(term, folded)]
        for term, kind in terms.literal.items():
            spans += [Span(at, at + len(term), kind) for at in _positions(term, folded)]
        if terms.anywhere:
            spans += [
                Span(*_whole_token(start, end, folded), kind)
                for start, end, kind in _anywhere(terms.anywhere, folded)
            ]
    return spans


def _is_apart(match: re.Match[str], folded: str) -> bool:
    """Return whether a word may stand as it does: a short one has no digit beside it."""
    if len(match[0]) >= LONG_WORD:
        return True
    start, end = match.span()
    return not (folded[start - 1 : start].isalnum() or folded[end : end + 1].isalnum())


def _anywhere(terms: dict[str, str], folded: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, kind) of the terms, whatever separators stand between their letters."""
    if len(folded) > LONG_TEXT:
        for term, kind in terms.items():
            for match in re.finditer(_GAP.join(map(re.escape, term)), folded):
                yield match.start(), match.end(), kind
        return
    squeezed, kept = squeeze_with_map(folded)
    for term, kind in terms.items():
        for at in _positions(term, squeezed):
            yield kept[at], kept[at + len(term) - 1] + 1, kind


def _positions(term: str, text: str) -> list[int]:
    found = []
    at = text.find(term)
    while at >= 0:
        found.append(at)
        at = text.find(term, at + 1)
    return found


def _whole_token(start: int, end: int, folded: str) -> tuple[int, int]:
    """Widen a stretch that cuts a number or Latin word to the whole of it."""
    while start > 0 and _is_joined(folded[start - 1], folded[start]):
        start -= 1
    while end < len(folded) and _is_joined(folded[end - 1], folded[end]):
        end += 1
    return start, end


def _is_joined(left: str, right: str) -> bool:
    return left.isascii() and right.isascii() and left.isalnum() and right.isalnum()


def _with_initials(start: int, end: int, folded: str, identifiers: Identifiers) -> Span:
    """Take the initial in "J. Doe" and "Doe, J." with the name."""
    before = _INITIAL_BEFORE.search(folded, max(0, start - 6), start)
    if before and before[1] in identifiers.initials:
        start = before.start()
    after = _INITIAL_AFTER.match(folded, end)
    if after and after[1] in identifiers.initials:
        end = after.end()
    return Span(start, end, "name")


def _merge(spans: list[Span]) -> list[Span]:
    """Return the spans in order, overlapping ones as one."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Span(last.start, max(last.end, span.end), last.kind)
        else:
            merged.append(span)
    return merged
