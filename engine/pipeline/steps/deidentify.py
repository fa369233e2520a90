"""The deidentify step: applies a compiled profile and keeps what it took out for the leak check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.config.models.steps import StepModel
from engine.hl7.message import Message
from engine.pipeline.run import Run
from engine.pipeline.steps.builder import Builder
from engine.pipeline.steps.outputs import cached_template

Act = Callable[[Run], None]


def build_deidentify(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that de-identifies by a profile."""
    name: str = model.args.profile
    profile = _profile(builder, name)
    if profile is None:
        return None
    builder.shared.note_use("profiles", name)
    site_vars = tuple(sorted(builder.shared.site.vars.items()))

    def act(run: Run) -> None:
        def render(text: str, message: Message) -> str:
            return cached_template(text, site_vars).render_hl7(_reading(run, message))

        done = profile.apply(
            run.message,
            received_at=run.arrived.received_at,
            timezone=run.arrived.timezone,
            template=render,
            original=run.received,
        )
        run.identifiers += (done.identifiers,)
        if done.soft_hits:
            run.warnings.append("deid_soft_hit")
        run.methods += (done.record,)
        if done.keeps_links:
            run.links += done.links()

    return act


def _reading(run: Run, message: Message) -> Run:
    """Return a run that reads *message*: the original, while the run's own is being changed."""
    if message is run.message:
        return run
    other = run.branch(message)
    return other


def _profile(builder: Builder, name: str) -> Any:
    """Return the compiled profile, compiled once per site; its findings are noted once."""
    shared = builder.shared
    if name not in shared.profiles:
        from engine.deid.profiles import compile_profile

        profile, findings = compile_profile(
            name, shared.site.profiles, key=shared.keys.named_key, words=shared.site.word_lists
        )
        shared.profiles[name] = profile
        for finding in findings:
            if finding not in shared.findings:
                shared.findings.append(finding)
    return shared.profiles[name]
