"""
Replace templates: HL7 structure with ``{{ PATH }}`` and ``{{ pseudonym(PATH) }}`` in it.

These two are worked out here, from the message as it came; any other expression is the
pipeline's language, and its renderer is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from engine.deid import shapes
from engine.deid.catalogue import SLOTS, catalogue
from engine.deid.errors import DeidError
from engine.deid.pseudonym_actions import pseudonym
from engine.deid.run import Run
from engine.hl7.delimiters import DEFAULT_DELIMITERS
from engine.hl7.errors import PathError
from engine.hl7.escapes import escape
from engine.hl7.message import Message
from engine.hl7.path import Path, parse_path
from engine.hl7.structure import FIELD, recode

#: renders what is not worked out here: (template text, message) -> HL7 text
Renderer = Callable[[str, Message], str]

_HOLE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_CALL = re.compile(r"pseudonym\(\s*(['\"]?)(.+?)\1\s*\)")
_MARK = "\ue000{}\ue001"
_MARKED = re.compile("\ue000([0-9]+)\ue001")


def check_template(text: str) -> str | None:
    """Return what is wrong with the pseudonym() calls of a template, None when nothing is."""
    if "{%" in text or text.count("{{") != text.count("}}"):
        return "a replace template has {{ }} only, and each is closed"
    for call in _CALL.finditer(text):
        try:
            parse_path(call[2])
        except PathError as error:
            return f"{error.what}; {error.fix}" if error.fix else error.what
    return None


def needs_renderer(text: str) -> bool:
    """Return whether *text* holds an expression that only the pipeline knows."""
    return any(_own_path(hole[1]) is None for hole in _HOLE.finditer(text))


def render(text: str, message: Message, run: Run, renderer: Renderer | None) -> str:
    """Return the template's HL7 text in the message's own delimiters."""
    made: list[str] = []

    def call(match: re.Match[str]) -> str:
        made.append(pseudonym_at(parse_path(match[2]), message, run))
        return f"'{_MARK.format(len(made) - 1)}'"

    def hole(match: re.Match[str]) -> str:
        path = _own_path(match[1])
        assert path is not None
        is_call = match[1].startswith("pseudonym")
        value = pseudonym_at(path, message, run) if is_call else message.get(path)
        return escape(value, DEFAULT_DELIMITERS)

    if not needs_renderer(text):
        rendered = _HOLE.sub(hole, text)
    elif renderer is None:
        raise DeidError(
            "a replace template uses an expression that is not known here",
            code="DEID-002",
            fix="use {{ PATH }} or {{ pseudonym(PATH) }}",
        )
    else:
        rendered = renderer(_CALL.sub(call, text), message)
        rendered = _MARKED.sub(lambda match: made[int(match[1])], rendered)
    return recode(rendered, FIELD, DEFAULT_DELIMITERS, run.delimiters)


def _own_path(expression: str) -> Path | None:
    call = _CALL.fullmatch(expression)
    try:
        return parse_path(call[2] if call else expression)
    except PathError:
        return None


def pseudonym_at(path: Path, message: Message, run: Run) -> str:
    """Return the pseudonym the action would put at *path*; "" where there is nothing."""
    if path.field is None:
        return ""
    row = catalogue().get((path.segment, path.field))
    kind, datatype = (row.kind, row.datatype) if row else ("order_id", "ST")
    repetition = message.raw_text(replace(path, component=None, subcomponent=None))
    repetition = repetition.split(run.repetition, 1)[0]
    if not repetition:
        return ""
    if path.component in (None, 1) and datatype in shapes.NUMBER | shapes.ENTITY | shapes.STAFF:
        slot = SLOTS.get((path.segment, path.field), "")
        whole = pseudonym(kind, datatype, slot)(repetition, run)
        return whole.split(run.component, 1)[0]
    text = message.get(path)
    return run.pseudonym(f"{kind}.{path.component or 1}", text) if text else ""
