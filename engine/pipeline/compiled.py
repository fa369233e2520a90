"""A site ready to run: what compile_site gives and run_inbound takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.hl7.charset import output_codec
from engine.hl7.path import Path, parse_path
from engine.pipeline.expressions import Expression
from engine.pipeline.run import Run
from engine.pipeline.steps.base import Step
from engine.pipeline.tables import Table
from engine.pipeline.templates import Template

_PROMISES = (parse_path("MSH-15"), parse_path("MSH-16"))


@dataclass(frozen=True, slots=True)
class CompiledOutbound:
    """What the pipeline needs to know of an outbound channel."""

    name: str
    steps: tuple[Step, ...]
    order_by: tuple[Path, ...]
    hash_key: Callable[[str], bytes]
    on_park: str
    #: Python's name of the output encoding; None leaves it as it came
    codec: str | None = None
    charset: str = ""
    #: `ack: original` clears MSH-15 and MSH-16
    clears_promises: bool = False
    file_name: Template | None = None

    @property
    def changes(self) -> bool:
        """Whether the channel's keys (not its steps) change how outputs leave."""
        return self.clears_promises or self.codec is not None

    def finish(self, run: Run) -> None:
        """Do what the channel's keys (not its steps) ask for."""
        if self.clears_promises:
            for path in _PROMISES:
                run.message.clear(path)
        if self.codec is not None and self.codec != run.message.charset:
            run.message.set_charset(self.charset)


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """One route."""

    name: str
    #: as written: ADT^A01, ADT, ADT^*, any
    types: tuple[str, ...]
    when: Expression | None
    steps: tuple[Step, ...]
    outbounds: tuple[CompiledOutbound, ...]
    #: steps on the answer of a receiver; None where there is no response
    response: tuple[Step, ...] | None = None
    tables: dict[str, Table] = field(default_factory=dict)
    codes: frozenset[str] = field(init=False)
    pairs: frozenset[tuple[str, str]] = field(init=False)
    takes_any: bool = field(init=False)

    def __post_init__(self) -> None:
        cut = [text.partition("^") for text in self.types]
        whole = {code for code, _, trigger in cut if trigger in ("", "*")}
        put = object.__setattr__
        put(self, "takes_any", "any" in self.types)
        put(self, "codes", frozenset(whole))
        put(self, "pairs", frozenset((code, trigger) for code, _, trigger in cut if trigger))

    def takes(self, code: str, trigger: str) -> bool:
        """Return whether a message of this type is for the route."""
        return self.takes_any or code in self.codes or (code, trigger) in self.pairs


@dataclass(frozen=True, slots=True)
class CompiledInbound:
    """One inbound channel with all the routes that take from it, in run order."""

    name: str
    steps: tuple[Step, ...]
    routes: tuple[CompiledRoute, ...]
    tables: dict[str, Table]


@dataclass(frozen=True, slots=True)
class CompiledSite:
    """All inbound channels, and what was used by whom."""

    inbound: Mapping[str, CompiledInbound]
    outbound: Mapping[str, CompiledOutbound]
    routes: Mapping[str, CompiledRoute]
    #: kind (tables, transforms, templates, profiles, python) -> names some step uses
    used: Mapping[str, frozenset[str]]
    tables: dict[str, Table]
    profiles: Mapping[str, Any]


def codec_of(charset: str | None) -> str | None:
    """Return Python's name for a character set, None where none is asked for or known."""
    return output_codec(charset) if charset else None
