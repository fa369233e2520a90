"""
From a loaded site to one that runs, with everything that is wrong with its language.

Rules of this file: never raises for what an analyst wrote; what is wrong is left out of the result
and named in the findings.
"""

from __future__ import annotations

import json
import re
from functools import partial

from engine.config.models.outbound import Outbound
from engine.config.models.route import Route
from engine.config.models.site import Site
from engine.model.finding import Finding
from engine.pipeline.compiled import (
    CompiledInbound,
    CompiledOutbound,
    CompiledRoute,
    CompiledSite,
    codec_of,
)
from engine.pipeline.context import Keys
from engine.pipeline.known import Known
from engine.pipeline.steps.builder import Builder, Shared
from engine.pipeline.steps.compiler import compile_steps
from engine.pipeline.tables import build_tables
from engine.pipeline.templates import Template, compile_template

_FILTERED_PSEUDONYM = re.compile(r"pseudonym\([^)]*\)\s*\|")


def compile_site(site: Site, *, keys: Keys) -> tuple[CompiledSite, list[Finding]]:
    """Return *site* ready to run, and all findings of its language."""
    shared = Shared(
        site=site,
        keys=keys,
        tables=build_tables(dict(site.tables)),
        python_sources=_python_sources(site),
    )
    outbound = {
        name: _compile_outbound(shared, name, model) for name, model in site.outbound.items()
    }
    cleaning = {
        name: compile_steps(Builder(shared, place="inbound"), model.steps)
        for name, model in site.inbound.items()
    }
    routes = {
        name: _compile_route(shared, name, model, outbound) for name, model in site.routes.items()
    }
    _check_unused_transforms(shared)
    _check_replacements(shared)
    inbound = {
        name: CompiledInbound(
            name=name,
            steps=steps,
            routes=tuple(
                route for route in routes.values() if name in site.routes[route.name].from_
            ),
            tables=shared.tables,
        )
        for name, steps in cleaning.items()
    }
    used = {kind: frozenset(names) for kind, names in shared.used.items()}
    compiled = CompiledSite(inbound, outbound, routes, used, shared.tables, shared.profiles)
    return compiled, shared.findings


def _compile_route(
    shared: Shared, name: str, model: Route, outbound: dict[str, CompiledOutbound]
) -> CompiledRoute:
    builder = Builder(shared, place="route")
    when = builder.condition(model.when, ("routes", name, "when"))
    response = None
    steps = compile_steps(builder, model.steps)
    if model.response is not None:
        response = compile_steps(Builder(shared, place="response"), model.response.steps)
    return CompiledRoute(
        name=name,
        types=model.types or ("any",),
        when=when,
        steps=steps,
        outbounds=tuple(outbound[to] for to in model.to if to in outbound),
        response=response,
        tables=shared.tables,
    )


def _compile_outbound(shared: Shared, name: str, model: Outbound) -> CompiledOutbound:
    builder = Builder(shared, place="outbound")
    paths = [
        builder.field_path(text, ("outbound", name, "order_by", at))
        for at, text in enumerate(model.order_by)
    ]
    codec = codec_of(model.charset)
    if model.charset and codec is None:
        builder.find(
            ("outbound", name, "charset"), f"there is no character set {model.charset}",
            "write UTF-8, GB18030, 8859/1 or another name of table 0211", code="LNG-006",
        )  # fmt: skip
    return CompiledOutbound(
        name=name,
        steps=compile_steps(builder, model.steps),
        order_by=tuple(path for path in paths if path is not None),
        hash_key=partial(shared.keys.order_key, name),
        on_park=model.on_park,
        codec=codec,
        charset=model.charset or "",
        clears_promises=model.ack == "original",
        file_name=_file_name(builder, name, model),
    )


def _file_name(builder: Builder, name: str, model: Outbound) -> Template | None:
    if model.file is None:
        return None
    known = Known(site_vars=builder.shared.site.vars, has_delivery=True)
    loc = ("outbound", name, "file", "name")
    template, errors = compile_template(model.file.name, known)
    for error in errors:
        builder.find(loc, error.what, error.fix, code=error.code, offset=error.offset)
    if template is None:
        return None
    for path, offset in zip(template.paths, template.offsets, strict=True):
        if path.segment != "MSH":
            builder.find(
                loc, f"a file name never carries patient data; {path} may be some",
                "use delivery_id, message_id, control_id, received_at or MSH", code="LNG-009",
                offset=offset,
            )  # fmt: skip
    return template


def _check_unused_transforms(shared: Shared) -> None:
    """Compile transforms nobody applies as well, so that their mistakes are found."""
    for name, steps in shared.site.transforms.items():
        if name not in shared.used.get("transforms", set()):
            builder = Builder(shared, place="route")
            builder.applying.append(name)
            compile_steps(builder, steps)


def _check_replacements(shared: Shared) -> None:
    """Check the templates of de-identification profiles; their pseudonym() is worked out there."""
    builder = Builder(shared, place="profile")
    known = Known(site_vars=shared.site.vars, functions=frozenset({"pseudonym"}))
    functions = {"pseudonym": lambda run, *values: ""}
    for name, profile in shared.site.profiles.items():
        for place, rule in profile.fields.items():
            if rule.replace is None:
                continue
            _, errors = compile_template(rule.replace, known, functions)
            loc = ("profiles", name, "fields", place, "replace")
            for error in errors:
                builder.find(loc, error.what, error.fix, code=error.code, offset=error.offset)
            filtered = _FILTERED_PSEUDONYM.search(rule.replace)
            if filtered:
                builder.find(
                    loc, "a pseudonym is written as it is and takes no filter",
                    "leave out what follows pseudonym(…)", code="LNG-012",
                    offset=filtered.start(),
                )  # fmt: skip


def _python_sources(site: Site) -> dict[str, str]:
    """Return what Python workers are sent: module sources, and tables as JSON."""
    if not site.python:
        return {}
    sources = dict(site.python)
    for name, table in site.tables.items():
        sources[f"tables/{name}.json"] = json.dumps(
            {"columns": table.columns, "rows": table.rows}, ensure_ascii=False
        )
    return sources
