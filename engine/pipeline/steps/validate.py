"""The validate step: checks a message against the standard's definitions, or a profile of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.config.models.steps import StepModel
from engine.config.yaml_tree import parse_tree
from engine.model.finding import Finding, Severity, has_errors
from engine.pipeline.failures import StepFailed
from engine.pipeline.run import Run
from engine.pipeline.steps.base import Block, Steps
from engine.pipeline.steps.builder import Builder, loc_of
from engine.pipeline.validation import Validator, Violation, compile_validator

if TYPE_CHECKING:
    from engine.pipeline.trace import Recorder

#: how many violations a park reason names; a trace names all
_MOST_NAMED = 5
_TRACED = 200


def build_validate(builder: Builder, model: StepModel) -> Block | None:
    """Return the step that validates; a message in the wrong parks, or is counted and goes on."""
    validator = _validator(builder, model)
    if validator is None:
        return None
    parks = model.args.on_error == "park"

    def check(run: Run, recorder: Recorder | None) -> Steps:
        yield from ()
        found = validator.validate(run.message)
        if found and recorder is not None:
            recorder.note_log([str(violation) for violation in found[:_TRACED]])
        if found and parks:
            raise StepFailed(_told(found), found[0].path)
        if found:
            run.warnings.append("validation")
        return [run]

    return check


def _told(found: list[Violation]) -> str:
    """Return the violations in one line; none holds a value of the message."""
    named = "; ".join(str(violation) for violation in found[:_MOST_NAMED])
    rest = len(found) - _MOST_NAMED
    return f"{named}; and {rest} more" if rest > 0 else named


def _validator(builder: Builder, model: StepModel) -> Validator | None:
    """Return the validator, compiled once per site for each standard and profile."""
    shared, args = builder.shared, model.args
    key = (args.standard, args.profile)
    if key not in shared.validators:
        profile = _profile(builder, model, args.profile) if args.profile else {}
        if profile is None:
            return None
        validator, faults = compile_validator(args.standard, profile)
        for fault in faults:
            place = ".".join(str(part) for part in fault.loc)
            what = f"{args.profile}, {place}: {fault.what}" if place else fault.what
            builder.find(loc_of(model, "profile"), what, fault.fix, code="LNG-016")
        shared.validators[key] = validator
    found: Validator = shared.validators[key]
    return found


def _profile(builder: Builder, model: StepModel, file: str) -> Any:
    """Return what the profile file holds, None where it cannot be read."""
    raw = builder.shared.site.files.get(file)
    if raw is None:
        # That the file is missing is said by the check of the site's references.
        return None
    tree = parse_tree(file, raw, prefix=(file,), known_keys=frozenset())
    builder.shared.findings += [f for f in tree.findings if f not in builder.shared.findings]
    if has_errors(tree.findings):
        return None
    if not isinstance(tree.root, dict):
        builder.shared.findings.append(
            Finding("LNG-016", f"{file} is no mapping", "write fields: …", Severity.ERROR,
                    loc_of(model, "profile"))
        )  # fmt: skip
        return None
    return tree.root
