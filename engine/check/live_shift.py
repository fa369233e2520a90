"""Shifted dates on a live route: the arrival time gives the offset away."""

from __future__ import annotations

from collections.abc import Iterator

from engine.check.walk import walk_site
from engine.config.models.site import Site
from engine.model.finding import Finding


def check_live_shift(site: Site) -> Iterator[Finding]:
    """Yield a finding for every `deidentify` step that shifts dates without saying it may."""
    for visit in walk_site(site):
        if visit.step.kind != "deidentify" or visit.step.args.accept_live_shift:
            continue
        name = visit.step.args.profile
        if _shifts(site, name, frozenset()) and not _accepts(site, name):
            what = f"{name} shifts dates on a live route; arrival time minus shifted time "
            what += "gives the offset away"
            fix = "use year instead, or set accept_live_shift: true in the profile"
            loc = (*visit.loc, "deidentify", "profile")
            yield Finding("CFG-114", what, fix, loc=loc)


def _accepts(site: Site, name: str) -> bool:
    return name in site.profiles and site.profiles[name].accept_live_shift


def _shifts(site: Site, name: str, seen: frozenset[str]) -> bool:
    profile = site.profiles.get(name)
    if profile is None or name in seen:
        return False
    rules = [*profile.fields.values(), *profile.kinds.values()]
    if any(rule.action == "date_shift" for rule in rules):
        return True
    return profile.extends is not None and _shifts(site, profile.extends, seen | {name})
