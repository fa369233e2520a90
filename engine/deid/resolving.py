"""Text as it is meant: escapes resolved, formatting taken out, the usual delimiters."""

from __future__ import annotations

import re

from engine.hl7.delimiters import DEFAULT_DELIMITERS, Delimiters
from engine.hl7.escapes import unescape
from engine.hl7.structure import marks

_FORMATTING = r"{0}(?:[HN]|\.[a-z]{{2}}[+-]?[0-9]*|[CMZ][0-9A-Za-z]*){0}"


def usual_delimiters(text: str, delimiters: Delimiters) -> str:
    """Return *text* with the usual delimiters: where @ cuts fields there are no e-mails in it."""
    if marks(delimiters) == marks(DEFAULT_DELIMITERS):
        return text
    pairs = zip(marks(delimiters), marks(DEFAULT_DELIMITERS), strict=True)
    return text.translate({ord(own): usual for own, usual in pairs if own})


def resolve(text: str, delimiters: Delimiters) -> str:
    """Return *text* with its escapes resolved and formatting sequences taken out."""
    mark = delimiters.escape
    if not mark or text.count(mark) < 2:
        return text
    return re.sub(_FORMATTING.format(re.escape(mark)), "", unescape(text, delimiters))
