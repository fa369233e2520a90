"""
What was odd about a message that was taken all the same: the counted words, and what they mean.

Rules of this file: programs and metrics get the word, people the meaning.
"""

from __future__ import annotations

#: said by the store, which alone knows what came before
SAME_ID_OTHER_BYTES = "same_id_other_bytes"

MEANINGS = {
    "bom": "a byte order mark stands before MSH",
    "leading_white_space": "blanks or empty lines stand before MSH",
    "mixed_line_ends": "the lines do not all end with a carriage return",
    "stray_line": "a line does not begin with the name of a segment",
    "blank_line": "there is an empty line between the segments",
    "odd_segment_name": "the name of a segment is indented or in small letters",
    "charset_unknown": "MSH-18 names a character set that nobody knows",
    "charset_suspect": "MSH-18 names a one-byte character set, but the bytes are good UTF-8",
    "charset_fallback": "the bytes do not fit the character set that was declared or expected",
    SAME_ID_OTHER_BYTES: "an earlier message of this sender has the same MSH-10 and other bytes",
    "validation": "a validate step found violations and let the message go on",
    "deid_soft_hit": "de-identification took words out of free text; look whether they were all",
}


def tell_warning(word: str) -> str:
    """Return what *word* means; the word itself where it is of another version."""
    return MEANINGS.get(word, word)
