"""Names that one part of a site uses for another: every one must lead somewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.check.walk import Visit, walk_site
from engine.config.explain import nearest
from engine.config.load import LoadedSite
from engine.config.models.profiles import BUILT_IN_PROFILES
from engine.config.models.site import Site
from engine.config.models.steps import LookupArgs
from engine.config.models.tables import LookupTable
from engine.hl7.charset import codec_for, output_codec
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
    for name, outbound in site.outbound.items():
        if outbound.charset is not None and output_codec(outbound.charset) is None:
            yield _no_charset(outbound.charset, ("outbound", name, "charset"))
    for name, profile in site.profiles.items():
        words = profile.leak_check.allow_words
        if words is not None and words not in site.files:
            loc: Loc = ("profiles", name, "leak_check", "allow_words")
            yield Finding("CFG-108", f"there is no file {words}", _RELATIVE, loc=loc)
    for visit in walk_site(site):
        yield from _check_step(visit, site, names)


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


def _check_step(visit: Visit, site: Site, names: dict[str, set[str]]) -> Iterator[Finding]:
    step, loc = visit.step, visit.loc
    args = step.args
    if step.kind == "lookup":
        yield from _check_lookup(args, loc, site, names)
    elif step.kind == "apply" and args.name not in names["transforms"]:
        place: Loc = (*loc, "apply", "name")
        yield unknown("CFG-104", "list of steps", args.name, names["transforms"], place)
    elif step.kind == "deidentify":
        known = names["profiles"] | set(BUILT_IN_PROFILES)
        if args.profile not in known:
            yield unknown(
                "CFG-105", "profile", args.profile, known, (*loc, "deidentify", "profile")
            )
    elif step.kind == "template" and args.file not in site.templates:
        yield unknown("CFG-106", "template", args.file, site.templates, (*loc, "template", "file"))
    elif step.kind == "validate":
        if args.profile is not None and args.profile not in site.files:
            place = (*loc, "validate", "profile")
            yield Finding("CFG-108", f"there is no file {args.profile}", _RELATIVE, loc=place)
    elif step.kind == "charset" and output_codec(args.name) is None:
        yield _no_charset(args.name, (*loc, "charset", "name"))


def _check_lookup(
    args: LookupArgs, loc: Loc, site: Site, names: dict[str, set[str]]
) -> Iterator[Finding]:
    place: Loc = (*loc, "lookup")
    if args.table not in names["tables"]:
        yield unknown("CFG-102", "table", args.table, names["tables"], (*place, "table"))
        return
    table = site.tables.get(args.table)
    if table is None:
        return
    if args.column is not None:
        yield from _check_column(args.column, table, (*place, "column"))
    for column in args.keys:
        yield from _check_column(column, table, (*place, "keys", column), at_key=True)
    for path, column in args.set.items():
        yield from _check_column(column, table, (*place, "set", path))
    if args.on_date is not None and not table.is_dated:
        what = f"the table {table.name} has no valid_from or valid_to"
        yield Finding("CFG-103", what, "remove on_date or add the columns", loc=(*place, "on_date"))


def _check_column(
    column: str, table: LookupTable, loc: Loc, *, at_key: bool = False
) -> Iterator[Finding]:
    if column in table.columns:
        return
    fix = nearest(column, table.columns) or "columns are " + ", ".join(table.columns)
    what = f"the table {table.name} has no column {column}"
    yield Finding("CFG-103", what, fix, loc=loc, at_key=at_key)
