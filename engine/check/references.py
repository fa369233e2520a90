"""
Names that one part of a site uses for another: every one must lead somewhere.

Rules of this file: what steps name (tables, transforms, profiles, …) is found by compiling them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.check.walk import walk_site
from engine.config.explain import nearest
from engine.config.load import LoadedSite
from engine.config.models.profiles import BUILT_IN_PROFILES
from engine.config.models.site import Site
from engine.hl7.charset import codec_for
from engine.model.finding import Finding, Loc


def unknown(code: str, what: str, name: str, known: Iterable[str], loc: Loc) -> Finding:
    """Return the finding for a name that leads nowhere, with the nearest that does."""
    listed = sorted(known)
    fix = nearest(name, listed) or ("known: " + ", ".join(listed) if listed else "there is none")
    return Finding(code, f"there is no {what} {name}", fix, loc=loc)


def check_references(loaded: LoadedSite) -> Iterator[Finding]:
    """Yield a finding for every name of a channel, table, transform … that does not exist."""
    site = loaded.partial
    names = {kind: set(declared) for kind, declared in loaded.declared.items()}
    yield from _check_routes(site, names)
    yield from _check_renames(site, names)
    for name, inbound in site.inbound.items():
        for key in ("default", "force"):
            charset = getattr(inbound.charset, key)
            if charset is not None and codec_for(charset) is None:
                yield _no_charset(charset, ("inbound", name, "charset", key))
    for name, rules in site.profiles.items():
        words = rules.leak_check.allow_words
        if words is not None and words not in site.files:
            loc: Loc = ("profiles", name, "leak_check", "allow_words")
            yield Finding("CFG-108", f"there is no file {words}", _RELATIVE, loc=loc)
    profiles = names["profiles"] | set(BUILT_IN_PROFILES)
    place: Loc
    for visit in walk_site(site):
        if visit.step.kind == "deidentify" and visit.step.args.profile not in profiles:
            place = (*visit.loc, "deidentify", "profile")
            yield unknown("CFG-105", "profile", visit.step.args.profile, profiles, place)
        profile = visit.step.args.profile if visit.step.kind == "validate" else None
        if profile is not None and profile not in site.files:
            place = (*visit.loc, "validate", "profile")
            yield Finding("CFG-108", f"there is no file {profile}", _RELATIVE, loc=place)


_RELATIVE = "paths of files are relative to the site"


def _no_charset(name: str, loc: Loc) -> Finding:
    fix = "such as UTF-8, GB18030, 8859/1 or ASCII"
    return Finding("CFG-113", f"{name} is no known character set", fix, loc=loc)


def _check_routes(site: Site, names: dict[str, set[str]]) -> Iterator[Finding]:
    for name, route in site.routes.items():
        for kind, key, targets in (
            ("inbound", "from", route.from_),
            ("outbound", "to", route.to),
        ):
            for i, target in enumerate(targets):
                if target not in names[kind]:
                    loc: Loc = ("routes", name, key, i)
                    yield unknown("CFG-101", f"{kind} channel", target, names[kind], loc)
    yield from _check_answers(site, names)


def _check_answers(site: Site, names: dict[str, set[str]]) -> Iterator[Finding]:
    awaited = {
        name: inbound.ack.delivered_by
        for name, inbound in site.inbound.items()
        if inbound.ack.delivered_by is not None
    }
    for name, target in awaited.items():
        loc: Loc = ("inbound", name, "ack", "delivered_by")
        if target not in names["outbound"]:
            yield unknown("CFG-101", "outbound channel", target, names["outbound"], loc)
        elif not any(name in r.from_ and target in r.to for r in site.routes.values()):
            what = f"no route sends what {name} gets to {target}"
            yield Finding("CFG-111", what, f"add a route from {name} to {target}", loc=loc)
        elif target in site.outbound and site.outbound[target].mllp is None:
            what = f"{target} writes files; it gives no answer to wait for"
            yield Finding("CFG-111", what, "name an mllp channel", loc=loc)
    for name, route in site.routes.items():
        is_awaited = any(awaited.get(source) in route.to for source in route.from_)
        if route.response is not None and not is_awaited:
            what = "the answer is not awaited, so response never runs"
            fix = "set ack: {delivered_by: …} on the inbound channel"
            yield Finding("CFG-111", what, fix, loc=("routes", name, "response"), at_key=True)


def _check_renames(site: Site, names: dict[str, set[str]]) -> Iterator[Finding]:
    taken: dict[tuple[str, str], str] = {}
    for kind in ("inbound", "outbound", "routes"):
        for name, item in getattr(site, kind).items():
            old = item.renamed_from
            loc: Loc = (kind, name, "renamed_from")
            if old is None:
                continue
            if old in names[kind]:
                what = f"{old} still exists, so {name} is not its new name"
                yield Finding("CFG-112", what, "remove one of the two", loc=loc)
            elif (kind, old) in taken:
                what = f"{taken[kind, old]} is already renamed from {old}"
                yield Finding("CFG-112", what, "one queue has one heir", loc=loc)
            taken.setdefault((kind, old), name)
