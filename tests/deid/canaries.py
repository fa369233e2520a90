"""Messages with planted identifiers: every value is unlike any other, so what survives is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from zoneinfo import ZoneInfo

from engine.deid.catalogue import Row, catalogue
from engine.deid.identifiers import Identifiers
from engine.deid.leak_check import Leak, find_leaks
from engine.deid.profiles import CompiledProfile, Deidentified, compile_profile
from engine.hl7.message import Message

TIMEZONE = ZoneInfo("Asia/Shanghai")
RECEIVED_AT = 1_793_500_200.0
PROFILES = ("safe_harbor", "limited_dataset", "china_pipl", "test_data", "mask_display")
HEADER = "MSH|^~\\&|HIS|HOSP|ENGINE|HOSP|20261101083000||ADT^A01^ADT_A01|{}|P|2.5.1"


def key(name: str) -> bytes:
    """Return a fixed key per name."""
    return name.encode().ljust(32, b"k")


@cache
def profile(name: str) -> CompiledProfile:
    """Return a built-in profile under the fixed key, compiled once."""
    return compiled_anew(name)


def compiled_anew(name: str) -> CompiledProfile:
    """Return a built-in profile compiled from the catalogue as it is at this moment."""
    compiled, findings = compile_profile(name, {}, key=key)
    assert compiled is not None, findings
    return compiled


def run(
    compiled: CompiledProfile, text: str | bytes, *, charset: str = "utf-8"
) -> tuple[Message, Deidentified, list[Leak]]:
    """Return (message after, result, leaks of its final bytes)."""
    raw = text.replace("\n", "\r").encode(charset) if isinstance(text, str) else text
    message = Message.parse(raw, charset=charset)
    done = compiled.apply(message, received_at=RECEIVED_AT, timezone=TIMEZONE)
    return message, done, find_leaks(done.identifiers, message.encode(), message)


def leaks_of(identifiers: Identifiers, output: str | bytes) -> list[Leak]:
    """Return the leaks of a hand-made output."""
    raw = output.replace("\n", "\r").encode() if isinstance(output, str) else output
    return find_leaks(identifiers, raw, Message.parse(raw, charset="utf-8"))


@dataclass
class Planter:
    """Makes values of every datatype out of words and numbers nobody else uses."""

    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    #: what was planted as an identifier: words and numbers
    planted: list[str] = field(default_factory=list)

    def word(self) -> str:
        """Return a new name of eight letters."""
        return self._keep(self._letters())

    def _street(self) -> str:
        return self._keep(f"12 {self._letters()} Street")

    def _mail(self) -> str:
        return self._keep(f"{self._letters()}@example.org")

    def _letters(self) -> str:
        number, letters = next(self.numbers), ""
        for _ in range(5):
            number, rest = divmod(number, 21)
            letters += "bcdfghjklmnpqrstvwxyz"[rest]
        return f"Qzo{letters}"

    def digits(self) -> str:
        """Return a new number of nine digits."""
        return self._keep(f"7{next(self.numbers) * 7919 % 10**8:08d}")

    def _keep(self, made: str) -> str:
        self.planted.append(made)
        return made

    def value(self, datatype: str) -> str:
        """Return an identifying value of *datatype*; plain words where it has no shape."""
        makers = {
            "XPN": lambda: f"{self.word()}^{self.word()}^{self.word()}",
            "XCN": lambda: f"{self.digits()}^{self.word()}^{self.word()}",
            "PPN": lambda: f"{self.digits()}^{self.word()}^{self.word()}",
            "NDL": lambda: f"{self.digits()}&{self.word()}&{self.word()}^^^W1^101^2",
            "CX": lambda: f"{self.digits()}^^^AUTH^MR",
            "EI": lambda: f"{self.digits()}^NS",
            "EIP": lambda: f"{self.digits()}&NS^{self.digits()}&NS",
            "XAD": lambda: f"{self._street()}^^Springfield^IL^62704",
            "XTN": lambda: f"^PRN^PH^{self._mail()}^^617^{self._phone()}",
            "DLN": lambda: f"{self.digits()}^IL",
            "PLN": lambda: f"{self.digits()}^L",
            "AUI": lambda: f"{self.digits()}^20261101^PAYER",
        }
        return makers.get(datatype, self.digits)()

    def _phone(self) -> str:
        return self._keep(f"4{next(self.numbers) * 6007 % 10**6:06d}")


#: harmless values, to see that what is kept is kept
HARMLESS = {
    "TS": "20261101083000", "DTM": "20261101083000", "DT": "20261101", "DR": "20261101^20261102",
    "TM": "0830", "NM": "7.5", "SI": "1", "ID": "F", "IS": "MED", "CE": "A1^^L", "CWE": "A1^^L",
    "CNE": "A1^^L", "PL": "W1", "XON": "General", "HD": "GENERAL", "TX": "stable", "FT": "stable",
    "ST": "stable", "CQ": "5", "MO": "5", "CP": "5",
}  # fmt: skip


def segment(name: str, fields: dict[int, str]) -> str:
    """Return a segment with these fields."""
    values = [fields.get(number, "") for number in range(1, max(fields, default=1) + 1)]
    return "|".join([name, *values])


def rows_of(name: str) -> list[Row]:
    """Return the catalogue's rows of a segment, in order."""
    return sorted(row for row in catalogue().values() if row.segment == name)
