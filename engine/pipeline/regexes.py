"""
Regular expressions from analysts, bounded so that none can stop the engine.

Rules of this file: what can blow up exponentially is refused when the site is compiled; what can
only grow by a power gets a limit on the length of its input.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

from engine.pipeline.failures import LanguageError, StepFailed
from engine.pipeline.values import check_length

#: steps of the matcher one search may cost at worst, about a second
_WORST_STEPS = 5 * 10**8
_MOST_TEXT = 1_000_000
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


class Regex:
    """A compiled regular expression with the longest text it may be tried on."""

    __slots__ = ("max_text", "pattern", "source")

    def __init__(self, source: str) -> None:
        try:
            tree = _parser.parse(source)
            self.pattern = re.compile(source)
        except (re.error, OverflowError, RecursionError) as error:
            raise LanguageError(
                f"the regular expression is wrong: {error}", code="LNG-014"
            ) from None
        _refuse_blow_up(tree)
        self.source = source
        self.max_text = _longest_text(tree)

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first match in *text*, or None."""
        self._check(text)
        return self.pattern.search(text)

    def replace(self, text: str, replacement: str) -> str:
        """Return *text* with every match replaced; ``\\1`` means the first group."""
        self._check(text)
        # Counted before it is made: a short pattern and a long replacement can fill the memory.
        count = sum(1 for _ in self.pattern.finditer(text))
        groups = replacement.count("\\") * len(text)
        check_length(len(text) + count * len(replacement) + (groups if count > 1 else 0))
        return self.pattern.sub(replacement, text)

    def _check(self, text: str) -> None:
        if len(text) > self.max_text:
            raise StepFailed(
                f"the text is too long for this regular expression ({self.max_text:,} characters"
                " at most; start it with ^ or use fewer * and +)"
            )


@lru_cache(maxsize=1024)
def compile_regex(source: str) -> Regex:
    """Return the compiled form; raises LanguageError."""
    return Regex(source)


def check_replacement(regex: Regex, replacement: str) -> None:
    """Raise LanguageError where *replacement* names a group that is not there."""
    try:
        re._parser.parse_template(replacement, regex.pattern)  # type: ignore[attr-defined]
    except (re.error, IndexError) as error:
        raise LanguageError(f"the replacement is wrong: {error}", code="LNG-014") from None


def _refuse_blow_up(tree: Any) -> None:
    for operation, argument in tree:
        if operation in _REPEATS:
            _, high, body = argument
            if high == _constants.MAXREPEAT or (high > 1 and _ways(body) ** high > 10**6):
                _refuse_ambiguous_body(body)
        if operation in (_constants.GROUPREF, _constants.GROUPREF_EXISTS):
            raise LanguageError(
                "a regular expression may not refer back to a group", code="LNG-014"
            )
        for part in _parts(operation, argument):
            _refuse_blow_up(part)


def _refuse_ambiguous_body(body: Any) -> None:
    for operation, argument in body:
        if operation in _REPEATS and argument[0] != argument[1]:
            raise LanguageError(
                "a repeat inside a repeat can take for ever on a long text",
                "write it without the inner or the outer + or *",
                code="LNG-014",
            )
        if operation is _constants.BRANCH and not _starts_differ(argument[1]):
            raise LanguageError(
                "alternatives inside a repeat must begin with different letters",
                "put what they share in front of the ( | )",
                code="LNG-014",
            )
        for part in _parts(operation, argument):
            _refuse_ambiguous_body(part)


def _starts_differ(branches: list[Any]) -> bool:
    starts = [branch[0] if len(branch) else None for branch in branches]
    letters = [item[1] for item in starts if item and item[0] is _constants.LITERAL]
    return len(letters) == len(branches) == len(set(letters))


def _ways(body: Any) -> int:
    """Return in how many lengths *body* can match, at most; a measure of its freedom."""
    low, high = body.getwidth()
    return int(min(high, 10**6) - min(low, 10**6) + 1)


def _parts(operation: Any, argument: Any) -> list[Any]:
    if operation in _REPEATS:
        return [argument[2]]
    if operation is _constants.SUBPATTERN:
        return [argument[3]]
    if operation is _constants.BRANCH:
        return list(argument[1])
    if operation in (_constants.ASSERT, _constants.ASSERT_NOT):
        return [argument[1]]
    if operation is _constants.ATOMIC_GROUP:
        return [argument]
    return []


def _count_open_repeats(tree: Any) -> int:
    count = 0
    for operation, argument in tree:
        if operation in _REPEATS and argument[1] - argument[0] > 16:
            count += 1
        count += sum(_count_open_repeats(part) for part in _parts(operation, argument))
    return count


def _longest_text(tree: Any) -> int:
    """Return n so that n to the power of the freedoms of the pattern stays bearable."""
    power = _count_open_repeats(tree)
    if not (len(tree) and tree[0] == (_constants.AT, _constants.AT_BEGINNING)):
        power += 1
    if power == 0:
        return _MOST_TEXT
    return min(_MOST_TEXT, int((_WORST_STEPS * math.factorial(power)) ** (1 / power)))
