"""One message on its way through a profile: what the actions read and what they collect."""

from __future__ import annotations

from datetime import date
from typing import Final

from engine.deid.free_text import scrub
from engine.deid.identifiers import Identifiers
from engine.deid.pseudonyms import Pseudonymiser
from engine.deid.resolving import resolve
from engine.deid.surrogates import Surrogates
from engine.hl7.delimiters import Delimiters
from engine.hl7.escapes import escape, unescape


class Run:
    """State of one run; the delimiters are copied out because every action needs them."""

    __slots__ = (
        "clean", "component", "days", "delimiters", "escape", "identifiers", "keys", "memo",
        "present", "repetition", "scrub_dates", "scrubbed", "segment", "subcomponent", "surrogates",
        "today", "values",
    )  # fmt: skip

    def __init__(
        self, delimiters: Delimiters, identifiers: Identifiers, keys: Pseudonymiser, today: date,
        *, scrub_dates: bool,
    ) -> None:  # fmt: skip
        self.delimiters: Final = delimiters
        self.component = delimiters.component or "\x00"
        self.repetition = delimiters.repetition or "\x00"
        self.subcomponent = delimiters.subcomponent or "\x00"
        self.escape = delimiters.escape
        self.identifiers = identifiers
        self.keys = keys
        self.surrogates = Surrogates(keys)
        self.today = today
        self.scrub_dates = scrub_dates
        #: days the current patient's dates are moved by
        self.days = 0
        #: stretches taken out of free text
        self.scrubbed = 0
        #: whether no text of the message can hold an identifier (found by one look at all)
        self.clean = False
        #: the identifiers that some text of the message holds
        self.present = identifiers
        #: pseudonyms made in this run
        self.memo: dict[tuple[str, str], str] = {}
        #: fields of the segment at hand, as they came
        self.segment: list[str] = []
        #: texts computed from the original before anything changed, for replace templates
        self.values: list[str] = []

    def text(self, raw: str) -> str:
        """Return a leaf as text, escapes resolved."""
        return unescape(raw, self.delimiters) if self.escape and self.escape in raw else raw

    def raw(self, text: str) -> str:
        """Return text as a leaf."""
        return escape(text, self.delimiters)

    def pseudonym(self, domain: str, value: str) -> str:
        """Return the pseudonym of *value* in *domain*, worked out once per message."""
        place = (domain, value)
        made = self.memo.get(place)
        if made is None:
            made = self.memo[place] = self.keys.pseudonym(domain, value)
        return made

    def uid(self, value: str) -> str:
        """Return the UID that stands for the UID *value*."""
        place = ("UID", value)
        made = self.memo.get(place)
        if made is None:
            made = self.memo[place] = self.keys.uid(value)
        return made

    def scrub(self, raw: str) -> str:
        """Return a leaf without identifiers; untouched where it holds none."""
        if self.clean or not raw:
            return raw
        text = self.text(raw)
        cleaned, count = scrub(text, self.present, dates=self.scrub_dates)
        if self.escape and self.escape in text:
            # Highlighting may cut a name in two: Ru\\H\\therford. Then it goes.
            bare, more = scrub(resolve(raw, self.delimiters), self.present, dates=self.scrub_dates)
            if more > count:
                cleaned, count = bare, more
        if not count:
            return raw
        self.scrubbed += count
        return self.raw(cleaned)
