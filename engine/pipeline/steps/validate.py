"""The validate step: checks a message against the standard's definitions, or a profile of them."""

from __future__ import annotations

from collections.abc import Callable

from engine.config.models.steps import StepModel
from engine.pipeline.run import Run
from engine.pipeline.steps.builder import Builder

Act = Callable[[Run], None]


def build_validate(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that validates."""
    return None
