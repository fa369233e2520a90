"""
Identifiers recognised by their shape alone, whoever they belong to.

Rules of this file: a shape that ordinary numbers share is only believed with proof: a check
digit, or a cue word before it. ``find_patterns`` serves free text, ``find_certain`` the final
bytes, where a false alarm stops a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from engine.deid.chinese_id import is_citizen_number, is_plausible_date


class Span(NamedTuple):
    """A stretch of text and what it seems to be; never holds the text itself."""

    start: int
    end: int
    kind: str


#: the tag that takes the place of a span
TAGS = {
    "name": "[NAME]", "id": "[ID]", "phone": "[PHONE]", "email": "[EMAIL]", "url": "[URL]",
    "ip": "[IP]", "date": "[DATE]", "address": "[ADDRESS]", "card": "[CARD]",
}  # fmt: skip

_B = r"(?<![0-9A-Za-z])"
_E = r"(?![0-9A-Za-z])"
_SEP = r"[ \-.\u2010-\u2014]?"

_CITIZEN = rf"(?<![0-9])[1-9](?:{_SEP}[0-9]){{16}}{_SEP}[0-9xX]{_E}"
_CARD = r"(?<![0-9])(?<![0-9]\.)[2-6](?:[ \-\u2010-\u2014]?[0-9]){12,18}(?![0-9]|\.[0-9])"
_MOBILE = (
    rf"(?<![0-9A-Za-z.])(?:(?:\+|00)?86{_SEP})?1[3-9][0-9]{_SEP}[0-9]{{4}}{_SEP}[0-9]{{4}}"
    r"(?![0-9A-Za-z]|\.[0-9])"
)
_LANDLINE = r"(?<![0-9])\(?0[0-9]{2,3}\)?[ \-\u2010-\u2014][0-9]{7,8}(?![0-9])"
_US_PHONE = (
    r"(?<![0-9A-Za-z.])(?:\+?1[ .\-]?)?(?:\([2-9][0-9]{2}\)[ ]?|[2-9][0-9]{2}[ .\-])"
    r"[2-9][0-9]{2}[ .\-][0-9]{4}(?![0-9])"
)
_INTERNATIONAL = r"(?<![0-9A-Za-z])\+[1-9][0-9]{0,2}(?:[ .\-()]{0,2}[0-9]){7,12}(?![0-9])"
_SSN = rf"{_B}(?!000|666|9)[0-9]{{3}}[- ](?!00)[0-9]{{2}}[- ](?!0000)[0-9]{{4}}{_E}"
_PASSPORT = rf"{_B}(?:E[0-9A-HJ-NP-Z]|G|D|S|P|H|M)[0-9]{{8}}{_E}"
_EMAIL = r"[A-Za-z0-9_.+\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+"
_URL = r"(?:https?|ftp)://[^\s|^~]+|\bwww\.[A-Za-z0-9\-]+\.[^\s|^~]+"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_IP = rf"(?<![0-9.])(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9.])"
_LABEL = (
    r"(?:\b(?:MRN|SSN|medical record(?: number| no\.?)?|patient id|account (?:number|no\.?)|acct|"
    r"policy (?:number|no\.?)|member id|chart (?:number|no\.?)|passport(?: no\.?)?|"
    r"licen[cs]e(?: no\.?)?)"
    r"|住院号|病历号|病案号|门诊号|就诊号|就诊卡号|登记号|社保卡号?|医保卡号?|医保号|身份证号?码?|护照号?码?|卡号|银行卡号?)"
    r"\s*(?:is|#|no\.?|为|是)?\s*[:：#]?\s*(?P<labelled>[A-Za-z]{0,4}[\-]?[0-9][0-9A-Za-z\-]{2,24})"
)
_CUED_NAME = (
    r"(?:姓名|患者|病人|联系人|家属|父亲|母亲|丈夫|妻子|监护人|陪护人?|签名|签字)\s*[:：]\s*"
    r"(?P<han>[\u3400-\u4dbf\u4e00-\u9fff·]{2,4})"
)
_CUED_LATIN = (
    r"\b(?i:patient(?: name)?|name|next of kin|contact|guardian|mother|father|husband|wife|"
    r"spouse|son|daughter|brother|sister)\s*[:：]\s*"
    r"(?P<latin>[A-Z][A-Za-z'\-]+(?:[ ,]+[A-Z][A-Za-z'\-.]*){0,3})"
)
_OLD_CITIZEN = r"身份证号?码?\s*[:：]?\s*(?P<old>[1-9][0-9]{14})(?![0-9])"

_TEXT = re.compile(
    f"(?P<email>{_EMAIL})|(?P<url>{_URL})|{_OLD_CITIZEN}|(?i:{_LABEL})|{_CUED_NAME}|{_CUED_LATIN}"
    f"|(?P<citizen>{_CITIZEN})|(?P<card>{_CARD})|(?P<phone>{_MOBILE}|{_LANDLINE}|{_US_PHONE}"
    f"|{_INTERNATIONAL})|(?P<ssn>{_SSN})|(?P<passport>{_PASSPORT})|(?P<ip>{_IP})"
)
_DATE = re.compile(
    r"(?<![0-9.])(?:(?:18|19|20)[0-9]{2}(?P<s>[\-/.])(?:1[0-2]|0?[1-9])(?P=s)(?:3[01]|[12][0-9]|0?[1-9])"
    r"|(?:3[01]|[12][0-9]|0?[1-9])(?P<t>[\-/.])(?:3[01]|[12][0-9]|0?[1-9])(?P=t)(?:18|19|20)?[0-9]{2}"
    r"|(?:18|19|20)[0-9]{2}\s*年\s*(?:1[0-2]|0?[1-9])\s*月(?:\s*[0-3]?[0-9]\s*[日号])?"
    r"|(?:19|20)[0-9]{2}(?:1[0-2]|0[1-9])(?:3[01]|[12][0-9]|0[1-9])(?:[0-9]{4}(?:[0-9]{2})?)?)(?![0-9])"
    r"|(?i:\b(?:[0-3]?[0-9](?:st|nd|rd|th)?[ \-.]*)?"
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?"
    r"|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
    r"[ \-]*(?:[0-3]?[0-9](?:st|nd|rd|th)?[ ,\-]+)?(?:(?:18|19|20)[0-9]{2})\b)"
)
_WRITTEN_MONTH = re.compile(
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ .,\-]*[0-9]|[0-9]\s*年"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DIGITS = re.compile(
    r"[0-9](?:[ \-.()/\u2010-\u2014]{0,2}[0-9]){6}|[0-9][./\-][0-9]{1,3}[./\-][0-9]"
)
_LATIN_HINTS = (
    "@", "://", "www.", "mrn", "ssn", "acct", "record", "patient id", "account", "policy",
    "member id", "chart", "passport", "licen",
)  # fmt: skip
_HAN_HINTS = (
    "住院号", "病历号", "病案号", "门诊号", "就诊", "登记号",
    "卡号", "身份证", "护照", "医保", "社保",
)  # fmt: skip
_CUE = re.compile(
    r"(?:name|patient|kin|contact|guardian|mother|father|husband|wife|spouse|son|daughter"
    r"|brother|sister|姓名|患者|病人|联系人|家属|父亲|母亲|丈夫|妻子"
    r"|监护人|陪护人?|签名|签字)\s*[:：]"
)
#: no pattern and no hint is shorter
SHORTEST_PATTERN = 3
_LONG_NUMBER = re.compile(r"[0-9]{11,}[xX]?")
_EMAILS = re.compile(_EMAIL)


def has_hint(folded: str) -> bool:
    """Return whether folded text may hold a pattern or a date; False is certain."""
    if _DIGITS.search(folded) is not None:
        return True
    for hint in _LATIN_HINTS:
        if hint in folded:
            return True
    if not folded.isascii() and any(hint in folded for hint in _HAN_HINTS):
        return True
    if (":" in folded or "：" in folded) and _CUE.search(folded) is not None:
        return True
    for month in _MONTHS:
        if month in folded:
            return _WRITTEN_MONTH.search(folded) is not None
    return "年" in folded and _WRITTEN_MONTH.search(folded) is not None


def find_patterns(text: str, *, dates: bool) -> Iterator[Span]:
    """Yield the spans of *text* that look like identifiers; of dates only where asked."""
    for match in _TEXT.finditer(text):
        span = _believed(match)
        if span is not None:
            yield span
    if dates:
        for match in _DATE.finditer(text):
            yield Span(match.start(), match.end(), "date")


def find_certain(text: str) -> Iterator[tuple[str, Span]]:
    """Yield (matched text, span) of what is an identifier beyond doubt, wherever it stands."""
    if "@" in text:
        for match in _EMAILS.finditer(text):
            yield match[0], Span(match.start(), match.end(), "email")
    for match in _LONG_NUMBER.finditer(text):
        kind = _certain_number(match, text)
        if kind:
            yield match[0], Span(match.start(), match.end(), kind)


def _certain_number(match: re.Match[str], text: str) -> str:
    """Return "id" for a citizen number, "phone" for a Chinese mobile number, else ""."""
    number, start, end = match[0], match.start(), match.end()
    before, after = text[start - 1 : start], text[end : end + 1]
    if after.isascii() and after.isalnum():
        return ""
    if len(number) == 18:
        return "id" if before != "." and is_citizen_number(number) else ""
    if len(number) == 13 and number.startswith("86"):
        number = number[2:]
    if len(number) != 11 or number[0] != "1" or number[1] not in "3456789" or number[-1] in "xX":
        return ""
    if before.isascii() and (before.isalnum() or (before and before in ".-_")):
        return ""
    joined = after in (".", "-") and text[end + 1 : end + 2].isdigit()
    return "" if joined else "phone"


#: first digits and length of the cards there are; 14 digits from 2 on are mostly a time
_CARD_FORM = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|2[2-7][0-9]{14}|3[47][0-9]{13}"
    r"|3[0689][0-9]{12}|6[0-9]{14,18}|[45][0-9]{17,18})\Z"
)


def is_bank_card(digits: str) -> bool:
    """Return whether digits have the form of a card and end in their Luhn check digit."""
    if not _CARD_FORM.match(digits):
        return False
    total = 0
    for place, char in enumerate(reversed(digits)):
        digit = int(char) * (1 + place % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def _believed(match: re.Match[str]) -> Span | None:
    kind = match.lastgroup or ""
    start, end = match.span(kind) if kind in ("labelled", "han", "latin", "old") else match.span()
    if kind in ("han", "latin"):
        return Span(start, end, "name")
    if kind in ("labelled", "ssn", "passport"):
        return Span(start, end, "id")
    digits = re.sub(r"[^0-9xX]", "", match[0]) if kind in ("citizen", "card") else ""
    if kind == "citizen":
        if is_citizen_number(digits):
            return Span(start, end, "id")
        return Span(start, end, "card") if digits.isdigit() and is_bank_card(digits) else None
    if kind == "card":
        return Span(start, end, "card") if is_bank_card(digits) else None
    if kind == "old":
        return Span(start, end, "id") if is_plausible_date("19" + match["old"][6:12]) else None
    return Span(start, end, kind)
