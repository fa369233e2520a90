"""How a filter is declared: what it takes, what it gives, how it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What is known of a value before there is a message."""

    TEXT = "text"
    NUMBER = "a number"
    YES_NO = "yes/no"
    LIST = "a list"
    MOMENT = "a point in time"
    ANY = "anything"


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """One filter of the language; documented from here."""

    name: str
    function: Callable[..., Any]
    about: str
    example: str
    takes: Kind = Kind.TEXT
    gives: Kind = Kind.TEXT
    #: kinds of the positional arguments
    arguments: tuple[Kind, ...] = ()
    #: how many of them must be given
    required: int = 0
    #: further positional arguments of this kind may follow
    more: Kind | None = None
    #: arguments given by name
    named: tuple[str, ...] = ()
    #: whether the run (message, tables, arrival time) is its first argument
    needs_run: bool = False
