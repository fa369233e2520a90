"""Shifted dates on a live route: the arrival time gives the offset away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.check.walk import walk_site
from engine.config.models.site import Site
from engine.model.finding import Finding, Loc


def check_live_shift(site: Site, profiles: Mapping[str, Any]) -> Iterator[Finding]:
    """
    Yield a finding for every `deidentify` step that shifts dates without saying that it may.

    Args:
        profiles: the compiled profiles by name.
    """
    for visit in walk_site(site):
        if visit.step.kind != "deidentify" or visit.step.args.accept_live_shift:
            continue
        name = visit.step.args.profile
        profile = profiles.get(name)
        if profile is None or not profile.uses_date_shift or profile.accepts_live_shift:
            continue
        loc: Loc = (*visit.loc, "deidentify", "profile")
        yield Finding(
            "CFG-114",
            f"{name} shifts dates on a live route: arrival minus shifted time is the offset",
            "use year, or write accept_live_shift: true if that is known and meant",
            loc=loc,
        )
