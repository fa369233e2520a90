"""
The pass over an expression or template that makes paths first-class.

Jinja alone would read ``PID-5.1`` as a subtraction. This pass cuts the source into strings, paths,
names and signs, and puts a name of its own in the place of each path.

Rules of this file: strings are taken as written (a backslash is a backslash); three capitals are a
segment, never a variable; nothing here knows what a path means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from engine.hl7.errors import PathError
from engine.hl7.path import Path, parse_path
from engine.pipeline.failures import LanguageError

#: names that stand for paths; no analyst can write one, double underscores are refused
PATH_PREFIX = "path__"

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>'[^']*'|"[^"]*")
      | (?P<segment>(?<![\w.])[A-Z][A-Z0-9]{2}(?!\w))
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>==|!=|<=|>=|<>|//|\*\*|&&|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
_FIELD = re.compile(r"-(?=\d)\d+")
_PARTS = re.compile(r"(?:\.\w+)+")
#: a path with what other languages call a method: PID-5.1.upper
_CALLED = re.compile(r"(.*?)\.([a-z]\w*)(?:\.\w+)*")
#: methods of other languages, by the filter that does the same
_METHODS = {
    "strip": "trim", "touppercase": "upper", "tolowercase": "lower", "len": "length",
    "substring": "mid", "substr": "mid", "split": "split_part",
}  # fmt: skip
_SPELLED_LOUD = {"AND": "and", "NOT": "not"}
_SIGNS = {"&&": "and", "||": "or", "!": "not", "<>": "!=", "?": "'A' if CONDITION else 'B'"}
_TAG = re.compile(r"\{%[-+]?\s*(\w+)")
_TAGS = frozenset({"if", "elif", "else", "endif", "for", "endfor", "set"})
_OPENERS = {"{{": "}}", "{%": "%}", "{#": "#}"}


@dataclass(slots=True)
class Rewritten:
    """Source in which every path is a plain name, with what the names stand for."""

    source: str
    #: path number n is the one the name PATH_PREFIX + n stands for
    paths: list[Path] = field(default_factory=list)
    #: where in the analyst's text each path begins
    offsets: list[int] = field(default_factory=list)
    #: where each other name was first seen, for findings
    names: dict[str, int] = field(default_factory=dict)
    #: whether the text has anything but literal text in it
    has_code: bool = False


def rewrite_expression(text: str) -> Rewritten:
    """
    Return *text*, one expression, with its paths replaced by names.

    Raises:
        LanguageError: a bad path, an unclosed string, ``=`` where ``==`` is meant.
    """
    rewritten = Rewritten("", has_code=True)
    pieces: list[str] = []
    end = _rewrite_code(text, 0, "", rewritten, pieces)
    if end != len(text):
        raise LanguageError("a bracket too many", offset=end, code="LNG-001")
    rewritten.source = "".join(pieces)
    return rewritten


def rewrite_template(text: str) -> Rewritten:
    """
    Return *text*, literal text with ``{{ }}`` and ``{% %}``, with its paths replaced by names.

    Raises:
        LanguageError: as for expressions, or an opening that is never closed.
    """
    rewritten = Rewritten("")
    pieces: list[str] = []
    position = 0
    while (start := _next_opening(text, position)) >= 0:
        pieces.append(text[position:start])
        opening = text[start : start + 2]
        closing = _OPENERS[opening]
        rewritten.has_code = True
        if opening == "{#":
            end = text.find(closing, start + 2)
        else:
            if opening == "{%":
                _check_tag(text, start)
            pieces.append(opening)
            end = _rewrite_code(text, start + 2, closing, rewritten, pieces)
            pieces.append(closing)
        if end < 0 or not text.startswith(closing, end):
            raise LanguageError(
                f"{opening} is never closed with {closing}", offset=start, code="LNG-001"
            )
        position = end + 2
    pieces.append(text[position:])
    rewritten.source = "".join(pieces)
    return rewritten


def _check_tag(text: str, start: int) -> None:
    tag = _TAG.match(text, start)
    if tag is None or tag[1] not in _TAGS:
        raise LanguageError(
            f"there is no {{% {tag[1] if tag else '…'} %}}", "known are for, if and set",
            code="LNG-015", offset=start,
        )  # fmt: skip


def _next_opening(text: str, start: int) -> int:
    found = [at for opening in _OPENERS if (at := text.find(opening, start)) >= 0]
    return min(found, default=-1)


def _rewrite_code(
    text: str, position: int, closing: str, rewritten: Rewritten, pieces: list[str]
) -> int:
    """Rewrite from *position* up to *closing* (or the end); return where that is."""
    brackets: list[str] = []
    before: list[str] = []
    while position < len(text):
        if closing and not brackets and text.startswith(closing, position):
            break
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise LanguageError("this cannot be read", offset=position, code="LNG-001")
        token, kind = match.group(), match.lastgroup
        if kind == "segment" and before[-1:] != ["."]:
            end = _end_of_path(text, match.end())
            pieces.append(_take_path(text, position, end, rewritten))
            before.append("path")
            position = end
            continue
        if kind == "string":
            pieces.append(_quote(token))
        elif kind == "sign":
            _check_sign(token, text, position, before, brackets)
            pieces.append(token)
        else:
            if kind in ("name", "segment"):
                _take_name(token, position, rewritten)
            pieces.append(token)
        if kind != "space":
            before.append(token)
        position = match.end()
    return position


def _end_of_path(text: str, position: int) -> int:
    position = _end_of_selector(text, position)
    field_match = _FIELD.match(text, position)
    if field_match:
        position = _end_of_selector(text, field_match.end())
    parts = _PARTS.match(text, position)
    return parts.end() if parts else position


def _end_of_selector(text: str, position: int) -> int:
    """Return the place after ``[…]`` at *position*, quotes in it respected."""
    if not text.startswith("[", position):
        return position
    quote = ""
    for at in range(position + 1, len(text)):
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "]":
            return at + 1
    raise LanguageError("[ is never closed with ]", offset=position, code="LNG-001")


def _take_path(text: str, start: int, end: int, rewritten: Rewritten) -> str:
    written = text[start:end]
    if written in _SPELLED_LOUD:
        small = _SPELLED_LOUD[written]
        raise LanguageError(
            f"{written} is read as a segment; write {small} in small letters",
            offset=start,
            code="LNG-001",
        )
    try:
        path = parse_path(written)
    except PathError as error:
        called = _CALLED.fullmatch(written) if text.startswith("(", end) else None
        if called is None:
            raise LanguageError(error.what, error.fix, code="LNG-002", offset=start) from None
        word = _METHODS.get(called[2].lower(), called[2])
        what = f"a value has no .{called[2]}(…)"
        fix = f"write {called[1]} | {word}"
        raise LanguageError(what, fix, code="LNG-002", offset=start) from None
    rewritten.paths.append(path)
    rewritten.offsets.append(start)
    return f"{PATH_PREFIX}{len(rewritten.paths) - 1}"


def _take_name(name: str, position: int, rewritten: Rewritten) -> None:
    if "__" in name:
        raise LanguageError(
            f"the name {name} has two underscores in a row", offset=position, code="LNG-001"
        )
    rewritten.names.setdefault(name, position)


def _quote(token: str) -> str:
    """Return the string literal so that Jinja reads exactly what the analyst wrote."""
    return token[0] + token[1:-1].replace("\\", "\\\\") + token[0]


def _check_sign(
    sign: str, text: str, position: int, before: list[str], brackets: list[str]
) -> None:
    if sign in "([{":
        brackets.append(sign)
    elif sign in ")]}":
        if not brackets:
            raise LanguageError(f"{sign} has no opening bracket", offset=position, code="LNG-001")
        brackets.pop()
    elif sign in "'\"":
        raise LanguageError("a quote is never closed", offset=position, code="LNG-001")
    elif sign in _SIGNS:
        raise LanguageError(
            f"write {_SIGNS[sign]} instead of {sign}", offset=position, code="LNG-001"
        )
    elif sign == "=" and not _is_naming(before, brackets):
        raise LanguageError(
            "write == to compare; = alone means nothing here", offset=position, code="LNG-001"
        )


def _is_naming(before: list[str], brackets: list[str]) -> bool:
    """Return whether ``=`` gives an argument or a ``{% set %}`` variable its value."""
    if brackets:
        return brackets[-1] == "(" and len(before) > 1 and before[-2] in ("(", ",")
    return "set" in before[:1] or before[:2] in (["-", "set"], ["+", "set"])
