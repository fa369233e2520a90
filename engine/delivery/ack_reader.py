"""
Reading acks: the usual positive one at a glance, everything else in full.

Rules of this file: the glance says the same as `parse_ack`, or says nothing.
"""

from __future__ import annotations

import re

from engine.hl7.ack import Ack, AckLevel, Verdict, parse_ack

#: a plain MSA in an ASCII message with the usual delimiters and CR line ends
_USUAL = re.compile(rb"MSH\|\^~\\&\|[^\r\n]*\rMSA\|(AA|CA)\|([^|\r\n\\^~&]*)\r?\Z")
_LEVELS = {b"AA": ("AA", AckLevel.APPLICATION), b"CA": ("CA", AckLevel.COMMIT)}


def read_ack(body: bytes) -> Ack:
    """
    Return what the answer *body* says.

    Raises:
        Hl7Error: it is no ack that can be read.
    """
    usual = _USUAL.match(body) if body.isascii() else None
    if usual is None:
        return parse_ack(body)
    code, level = _LEVELS[usual[1]]
    return Ack(level, Verdict.ACCEPT, code, usual[2])
