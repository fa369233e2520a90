"""
A profile as layers of rules: the analyst's own, what it extends, down to a built-in one.

Within a layer: segment drop > fields > free_text; a layer decides before the layer it extends;
what no rule names is decided by its kind, and the nearest layer that names the kind decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from engine.config.models.profiles import BUILT_IN_PROFILES, Profile


class Rule(NamedTuple):
    """An action, with its template where it is replace."""

    action: str
    template: str = ""


class Decision(NamedTuple):
    """What becomes of a place and which rule says so."""

    rule: Rule
    #: "research: fields PID-5", "safe_harbor: kinds patient_name"
    why: str


@dataclass(frozen=True)
class Layer:
    """The rules of one profile file."""

    name: str
    note: str = ""
    extends: str = ""
    key: str = ""
    kinds: Mapping[str, Rule] = field(default_factory=dict)
    fields: Mapping[str, Rule] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    unknown: str = ""
    free_text: Sequence[str] = ()
    allow_words: str = ""
    record: str = ""
    accept_live_shift: bool = False
    vault: bool = False
    #: code or wording of OBX-3 -> kind of its value
    observations: Mapping[str, str] = field(default_factory=dict)
    #: unknown segments that pass
    keep: frozenset[str] = frozenset()


@cache
def built_in_text(name: str) -> str:
    """Return the YAML of a built-in profile, as analysts read it."""
    return (files("engine.deid") / "builtin" / f"{name}.yaml").read_text("utf-8")


@cache
def built_in(name: str) -> Layer:
    """Return a built-in profile."""
    loaded: dict[str, Any] = yaml.load(built_in_text(name), Loader=yaml.CSafeLoader)
    return Layer(
        name,
        note=loaded["about"]["note"],
        kinds={kind: Rule(action) for kind, action in loaded["kinds"].items()},
        fields={path: Rule(action) for path, action in loaded.get("fields", {}).items()},
        unknown="drop",
    )


def layer_of(name: str, profile: Profile) -> Layer:
    """Return the layer of a profile file."""
    segments = profile.segments
    return Layer(
        name,
        extends=profile.extends or "",
        key=profile.key or "",
        kinds={kind: Rule(r.action, r.replace or "") for kind, r in profile.kinds.items()},
        fields={path: Rule(r.action, r.replace or "") for path, r in profile.fields.items()},
        drop=frozenset(segments.drop),
        unknown=(segments.unknown or "") if "unknown" in segments.model_fields_set else "",
        free_text=profile.free_text,
        allow_words=profile.leak_check.allow_words or "",
        record=profile.record or "",
        accept_live_shift=profile.accept_live_shift,
        vault=profile.vault,
        observations=profile.observations,
        keep=frozenset(segments.keep),
    )


def layers_of(name: str, profiles: Mapping[str, Profile]) -> list[Layer]:
    """
    Return the layers of profile *name*, its own first, the built-in one last.

    Raises:
        LookupError: args are (the name that is missing or goes in a circle, the profile saying it).
    """
    layers: list[Layer] = []
    wanted, asked_by = name, ""
    while True:
        if wanted in profiles and wanted not in [layer.name for layer in layers]:
            layers.append(layer_of(wanted, profiles[wanted]))
            wanted, asked_by = layers[-1].extends or "safe_harbor", wanted
        elif wanted in BUILT_IN_PROFILES:
            layers.append(built_in(wanted))
            return layers
        else:
            raise LookupError(wanted, asked_by)
