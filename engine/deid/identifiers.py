"""
What the original said of people, in every spelling that is looked for afterwards.

Rules of this file (measured over random identifiers and real messages): digits from 6 on are
found anywhere, 4 and 5 only as a whole token, fewer only where an identifier stands; Latin
names from 3 letters on as whole words; Chinese full names anywhere, never the surname or the
given name alone; of dates only the full date of birth. An ordinary word that is also a name
is a soft term: taken out of free text, but no proof of a leak.

Everything here is patient data: never log it, never store it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.deid.chinese_id import is_citizen_number
from engine.deid.chinese_names import TITLES, cut_name
from engine.deid.dates import birth_literals, birth_spellings
from engine.deid.normalise import LONG_WORD, TOKEN, fold, has_han, squeeze, written_as_two

#: province, town and district before a street
_REGION = re.compile(r".*[省市区區县縣州盟旗](?=.*(?:[路街道巷弄里村号號]))")
_NUMBERED_STREET = re.compile(r"\s*([0-9]{1,6}[a-z]?)[\s,]+(?:[nsew]\.?\s+)?([a-z]{3,})")
#: kinds of terms, as leaks name them
NAME, ID, PHONE, EMAIL, BIRTH, ADDRESS = "name", "id", "phone", "email", "date", "address"


class View:
    """A text as it is searched: folded, and squeezed when that is needed."""

    __slots__ = ("_squeezed", "folded")

    def __init__(self, text: str) -> None:
        self.folded = fold(text)
        self._squeezed: str | None = None

    @property
    def squeezed(self) -> str:
        """The text without separators."""
        if self._squeezed is None:
            self._squeezed = squeeze(self.folded)
        return self._squeezed


class Terms:
    """Terms of one strength; each form of search has its own list, with the kind of the term."""

    __slots__ = ("anywhere", "bounded", "literal", "words")

    def __init__(self) -> None:
        #: whole words of the folded text
        self.words: dict[str, str] = {}
        #: anywhere in the squeezed text
        self.anywhere: dict[str, str] = {}
        #: in the folded text, no letter or digit beside it
        self.bounded: dict[str, str] = {}
        #: anywhere in the folded text, its separators count
        self.literal: dict[str, str] = {}

    def find(self, view: View) -> list[tuple[str, str, str]]:
        """Return (form, term, kind) of every term in *view*."""
        found: list[tuple[str, str, str]] = []
        whole = view.folded
        if self.words:
            found += [
                ("word", w, self.words[w]) for w in self.words if w in whole and is_word(w, whole)
            ]
        if self.anywhere:
            text = view.squeezed
            found += [("anywhere", t, self.anywhere[t]) for t in self.anywhere if t in text]
        text = view.folded
        if self.literal:
            found += [("literal", t, self.literal[t]) for t in self.literal if t in text]
        if self.bounded:
            found += [
                ("bounded", t, k)
                for t, k in self.bounded.items()
                if t in text and stands_alone(t, text)
            ]
        return found


class Found(NamedTuple):
    """A term found in a text; patient data, never log it."""

    #: word, anywhere, bounded or literal
    form: str
    term: str
    kind: str
    is_hard: bool


class Identifiers:
    """The identifiers of one original message, collected while it is de-identified."""

    __slots__ = (
        "_births", "_ordinary", "_seen", "arrival", "birth_places", "hard", "initials",
        "keep_places", "kept_births", "short", "soft", "surrogates",
    )  # fmt: skip

    def __init__(self, ordinary: frozenset[str]) -> None:
        self._ordinary = ordinary
        self._births: set[str] = set()
        self._seen: set[tuple[object, str]] = set()
        #: birth dates (YYYYMMDD) that the profile keeps in their place
        self.kept_births: set[str] = set()
        self.hard = Terms()
        self.soft = Terms()
        #: identifiers too short to be searched; compared with whole identifier fields only
        self.short: set[str] = set()
        #: (segment, field) where the profile says keep: an identifier there was meant to stay
        self.keep_places: frozenset[tuple[str, int]] = frozenset()
        #: texts the profile itself put in
        self.surrogates: set[str] = set()
        #: MSH-7 as the profile wrote it: its digits are nobody's
        self.arrival = ""
        #: first letters of given names, for "J. Doe"
        self.initials: set[str] = set()
        #: (segment, field) where the profile keeps dates: a birth date there is an event's date
        self.birth_places: frozenset[tuple[str, int]] = frozenset()

    # -- collecting ------------------------------------------------------------------------

    def is_new(self, kind: object, value: str) -> bool:
        """Return whether *value* was not yet collected as *kind*; a doctor is named often."""
        place = (kind, value)
        if place in self._seen:
            return False
        self._seen.add(place)
        return True

    def add_name(self, family: str, given: str, others: Iterable[str] = ()) -> None:
        """Add a person's name with its spellings."""
        if not (family + given).isascii() and not has_han(family + given):
            second = written_as_two(family), written_as_two(given)
            if second != (fold(family), fold(given)):
                self.add_name(*second)
        family, given = fold(family).strip(), fold(given).strip()
        if has_han(family) or has_han(given):
            self._add_han_name(family, given)
            return
        words: list[str] = []
        for part in (family, given, *[fold(other) for other in others]):
            found = [part] if part.isalpha() else TOKEN.findall(part)
            words += found
            for word in found:
                self._add_word(word)
            if len(found) > 1:
                self._add_word(squeeze(part))  # O'Brien is also written OBrien
        if given:
            self.initials.add(given[0])
            self._add_joined(squeeze(family), squeeze(given), words)

    def _add_word(self, word: str) -> None:
        if len(word) >= 3 and word.isalpha():
            terms = self.soft if word in self._ordinary else self.hard
            terms.words[word] = NAME

    def _add_joined(self, family: str, given: str, words: list[str]) -> None:
        """Add the names written together or side by side, in both orders."""
        if not family or not given:
            return
        terms = self.soft if all(word in self._ordinary for word in words) else self.hard
        for first, second in ((family, given), (given, family)):
            joined = first + second
            if len(joined) >= 6:
                terms.anywhere[joined] = NAME
            elif len(joined) >= 4:
                terms.bounded[joined] = NAME
                terms.bounded[f"{first} {second}"] = NAME

    def _add_han_name(self, family: str, given: str) -> None:
        family, given = squeeze(family), squeeze(given)
        full = family + given
        if len(full) < 2:
            return
        for name in {full, given + family}:
            hard = len(full) >= 3 or name not in self._ordinary
            (self.hard if hard else self.soft).anywhere[name] = NAME
        if family and given:
            self.hard.literal[f"{family}^{given}"] = NAME
        if not family or not given:
            family, given = cut_name(full)
        if len(given) >= 2 and given not in self._ordinary:
            self.soft.anywhere[given] = NAME
        for title in TITLES:
            self.soft.literal[family + title] = NAME

    def add_id(self, value: str) -> None:
        """Add an identifier of a person, order, account, device …"""
        folded = fold(value).strip()
        squeezed = squeeze(folded)
        size = len(squeezed)
        if size > 1 and squeezed.count(squeezed[0]) == size:
            # 0000000 and 999999 stand for "not known" and find nobody.
            return
        if size <= 3:
            if size:
                self.short.add(squeezed)
            return
        if squeezed.isalpha():
            self._add_lettered(squeezed)
            return
        if size >= 6:
            self.hard.anywhere[squeezed] = ID
        else:
            self.hard.bounded[folded] = ID
            if squeezed != folded:
                self.hard.bounded[squeezed] = ID
        bare = squeezed.lstrip("0")
        if bare != squeezed and bare.isdigit() and len(bare) >= 4:
            (self.hard.anywhere if len(bare) >= 6 else self.hard.bounded)[bare] = ID

    def _add_lettered(self, squeezed: str) -> None:
        """Add an identifier made of letters only: it is a word, and many words are ordinary."""
        if has_han(squeezed):
            (self.soft if squeezed in self._ordinary else self.hard).anywhere[squeezed] = ID
        else:
            (self.soft if squeezed in self._ordinary else self.hard).words[squeezed] = ID

    def add_phone(self, value: str) -> None:
        """Add a phone or fax number with and without its country code."""
        digits = re.sub(r"[^0-9]", "", fold(value))
        if len(digits) < 6 or len(set(digits)) == 1:
            return
        self.hard.anywhere[digits] = PHONE
        for code in ("0086", "86", "001", "1"):
            rest = digits.removeprefix(code)
            if rest != digits and len(rest) >= 10:
                self.hard.anywhere[rest] = PHONE
                digits = rest
                break
        if len(digits) == 10:
            self.hard.anywhere[digits[3:]] = PHONE

    def add_email(self, value: str) -> None:
        """Add an e-mail address, URL or account name."""
        folded = fold(value).strip()
        if len(folded) >= 5:
            self.hard.literal[folded] = EMAIL

    def add_birth(self, value: str) -> None:
        """Add a date of birth; only a full one finds a person."""
        self._births.add(value)

    def add_address(self, value: str) -> None:
        """Add a street or a whole address."""
        squeezed = squeeze(fold(value))
        is_whole = not squeezed.isalpha() or has_han(squeezed) or " " in value.strip()
        if len(squeezed) >= 6 and not squeezed.isdigit() and is_whole:
            self.hard.anywhere[squeezed] = ADDRESS
            self._add_parts_of_address(value, squeezed)
        elif len(squeezed) >= 3:
            self.soft.bounded[fold(value).strip()] = ADDRESS

    def _add_parts_of_address(self, value: str, squeezed: str) -> None:
        """Add what a note leaves of an address: the street without its town, or its short form."""
        if has_han(squeezed):
            street = _REGION.sub("", squeezed)
            if 5 <= len(street) < len(squeezed) and any(char.isdigit() for char in street):
                self.hard.anywhere[street] = ADDRESS
            return
        numbered = _NUMBERED_STREET.match(fold(value))
        if numbered and len(numbered[1] + numbered[2]) >= 6:
            self.hard.anywhere[numbered[1] + numbered[2]] = ADDRESS
            if len(numbered[2]) >= LONG_WORD and numbered[2] not in self._ordinary:
                self.soft.words[numbered[2]] = ADDRESS

    def add_town(self, value: str) -> None:
        """Add a town, county or zip code: taken out of free text, but towns name hospitals too."""
        folded = fold(value).strip()
        if has_han(folded) and len(folded) >= 2:
            self.soft.anywhere[squeeze(folded)] = ADDRESS
        elif len(folded) >= 3:
            self.soft.bounded[folded] = ADDRESS

    # -- searching -------------------------------------------------------------------------

    def find(self, view: View) -> list[Found]:
        """Return every term that *view* holds, hard ones first."""
        found = [Found(form, term, kind, True) for form, term, kind in self.hard.find(view)]
        for birth in self._births:
            if birth[:8] not in self.kept_births and _may_hold_birth(birth, view):
                spelled = Terms()
                spelled.anywhere = dict.fromkeys(birth_spellings(birth), BIRTH)
                spelled.literal = dict.fromkeys(birth_literals(birth), BIRTH)
                if len(birth) >= 8:
                    spelled.bounded = {birth[2:8]: BIRTH}
                found += [Found(*hit, True) for hit in spelled.find(view)]
        return found + [Found(form, term, kind, False) for form, term, kind in self.soft.find(view)]

    def narrowed(self, found: list[Found]) -> Identifiers:
        """Return identifiers with only the terms *found*: the others are known not to be there."""
        if not found:
            return NOBODY
        few = Identifiers(self._ordinary)
        few.initials = self.initials
        for form, term, kind, is_hard in found:
            terms = few.hard if is_hard else few.soft
            getattr(terms, "words" if form == "word" else form)[term] = kind
        return few

    def terms(self) -> tuple[str, ...]:
        """Return all terms, for a first look with plain searches."""
        every = (self.hard, self.soft)
        return tuple(
            term
            for terms in every
            for form in (terms.words, terms.anywhere, terms.bounded, terms.literal)
            for term in form
        )


#: nothing to look for; patterns are looked for all the same
NOBODY = Identifiers(frozenset())


def _may_hold_birth(birth: str, view: View) -> bool:
    """Return whether the year stands beside something that may be the rest of a date."""
    year = birth[:4]
    text = view.squeezed
    at = text.find(year)
    while at >= 0:
        if _is_part(text[at - 1 : at]) or _is_part(text[at + 4 : at + 5]):
            return True
        at = text.find(year, at + 1)
    short = birth[2:4]
    if any(mark + short in view.folded for mark in "/-.") or birth[2:8] in text:
        return True
    return not text.isascii() and "年" in text


def _is_part(char: str) -> bool:
    return char.isalnum()


def is_word(word: str, text: str) -> bool:
    """Return whether *word* occurs with no letter beside it, nor a digit unless it is long."""
    if len(word) < LONG_WORD or has_han(word):
        return stands_alone(word, text)
    at = text.find(word)
    while at >= 0:
        if not (text[at - 1 : at].isalpha() or text[at + len(word) : at + len(word) + 1].isalpha()):
            return True
        at = text.find(word, at + 1)
    return False


def stands_alone(term: str, text: str) -> bool:
    """Return whether *term* occurs in *text* with no letter or digit beside it."""
    return next(bounded_positions(term, text), None) is not None


def bounded_positions(term: str, text: str) -> Iterator[int]:
    """Yield where *term* stands in *text* with no letter or digit beside it."""
    is_number = term[0].isdigit()
    at = text.find(term)
    while at >= 0:
        start, end = at, at + len(term)
        if is_number:
            # 0088001 is 88001 written wide, 88001.5 is another number.
            while text[start - 1 : start] == "0":
                start -= 1
        beside = text[max(start - 1, 0) : start], text[end : end + 1]
        if not (beside[0].isalnum() or beside[1].isalnum()) and not (
            is_number and _is_decimal(text, start, end)
        ):
            yield at
        at = text.find(term, at + 1)


def _is_decimal(text: str, start: int, end: int) -> bool:
    """Return whether the digits from *start* to *end* are part of a decimal number."""
    after = text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit()
    before = (
        text[max(start - 1, 0) : start] == "." and text[max(start - 2, 0) : start - 1].isdigit()
    )
    return after or before


def looks_like_citizen_number(value: str) -> bool:
    """Return whether an untyped identifier is a citizen number."""
    return is_citizen_number(squeeze(value))
