"""
One argument model per step of the language, and the step that holds them.

A step in YAML is a mapping with one step name as key and, beside it, `when:` (and for
`each` also `where:` and `steps:`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    create_model,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.config.models.base import Expression, Model, Short, Text
from engine.config.models.step_args import (
    AddSegmentArgs,
    ApplyArgs,
    CharsetArgs,
    CopyArgs,
    DeidentifyArgs,
    DropSegmentsArgs,
    EachTarget,
    FilterArgs,
    JoinArgs,
    LetArgs,
    LookupArgs,
    Miss,
    PathPair,
    PathsArgs,
    PythonArgs,
    SegmentsArgs,
    SetArgs,
    SortArgs,
    SplitArgs,
    TemplateArgs,
    ValidateArgs,
)
from engine.config.models.units import refuse
from engine.model.finding import Loc

#: steps of the design that come with a later version
LATER_STEPS = frozenset({"extract"})
#: where the JSON Schema keeps the definition of a step
STEP_REF = "#/$defs/Step"


class StepModel(Model):
    """One step: *kind* is its name, *args* the argument model of that name."""

    kind: str
    args: Any
    when: str | None = None
    #: where it stands in the configuration
    loc: Loc = ()

    @model_validator(mode="wrap")
    @classmethod
    def _by_kind(cls, value: Any, handler: ModelWrapValidatorHandler[StepModel]) -> StepModel:
        if isinstance(value, StepModel):
            return value
        if not isinstance(value, Mapping):
            raise refuse("CFG-009", "a step is a mapping", "write it like - set: {PID-8: M}")
        kind = _find_kind(value)
        form = STEP_FORMS[kind].model_validate(value)
        args = getattr(form, _attribute(kind))
        if isinstance(form, each_step):
            args = EachArgs.model_construct(
                path=args.path, group=args.group, lead=args.lead,
                where=form.where, steps=form.steps,
            )  # fmt: skip
        loc = getattr(value, "loc", ())
        return cls.model_construct(kind=kind, args=args, when=form.when, loc=loc)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # Steps hold steps: the definition is written once, by engine.config.schema.
        return {"$ref": STEP_REF}


def _find_kind(value: Mapping[str, Any]) -> str:
    kinds = [key for key in value if key in STEP_FORMS]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        both = " and ".join(kinds[:2])
        raise refuse("CFG-018", f"{both} are two steps", "begin each step with its own dash")
    later = next((key for key in value if key in LATER_STEPS), None)
    if later:
        raise refuse("CFG-019", f"this version does not know the step {later} yet", key=later)
    unknown = next((key for key in value if key not in ("when", "where", "steps")), "")
    if not unknown:
        raise refuse("CFG-018", "there is no step here", "name a step, such as set or lookup")
    raise refuse("CFG-002", f"unknown step {unknown}", key=unknown, among="steps")


class EachArgs(Model):
    """A loop as the pipeline sees it: target, condition and steps together."""

    path: str | None = None
    group: str | None = None
    lead: tuple[str, ...] = ()
    where: str | None = None
    steps: tuple[StepModel, ...] = ()


class Branch(Model):
    """One alternative; the one without condition is written as {else: [steps]}."""

    when: Expression | None = Field(None, description="Condition of this alternative.")
    steps: tuple[StepModel, ...] = Field((), description="Its steps.")
    else_: tuple[StepModel, ...] | None = Field(
        None, alias="else", description="Steps when no alternative before fits."
    )

    @model_validator(mode="after")
    def _one_form(self) -> Branch:
        if (self.when is None) == (self.else_ is None):
            raise refuse("CFG-008", "an alternative needs when, or is else", "{when, steps}")
        return self

    @property
    def chosen_steps(self) -> tuple[StepModel, ...]:
        """The steps, whichever way the alternative is written."""
        return self.steps if self.else_ is None else self.else_


def _else_last(branches: tuple[Branch, ...]) -> tuple[Branch, ...]:
    if any(branch.else_ is not None for branch in branches[:-1]):
        raise refuse("CFG-018", "else hides the alternatives after it", "make it the last one")
    return branches


class ChooseArgs(Short):
    """Alternatives; the first that fits is taken."""

    short_key: ClassVar[str] = "branches"
    short_shapes: ClassVar[tuple[type, ...]] = (list, str, dict)
    branches: Annotated[tuple[Branch, ...], AfterValidator(_else_last)] = Field(
        description="{when, steps}, …, {else: [steps]}", min_length=1
    )


class EmitOutput(Model):
    """One of several outputs."""

    name: Text = Field(description="Its name in traces and tests.")
    steps: tuple[StepModel, ...] = Field((), description="What makes it different.")


class EmitArgs(Short):
    """Several outputs in this order, each on its own copy."""

    short_key: ClassVar[str] = "outputs"
    short_shapes: ClassVar[tuple[type, ...]] = (list, str, dict)
    outputs: tuple[EmitOutput, ...] = Field(description="The outputs.", min_length=1)


STEP_ARGS: dict[str, type[Model]] = {
    "set": SetArgs,
    "copy": CopyArgs,
    "move": CopyArgs,
    "clear": PathsArgs,
    "nullify": PathsArgs,
    "lookup": LookupArgs,
    "keep_segments": SegmentsArgs,
    "drop_segments": DropSegmentsArgs,
    "add_segment": AddSegmentArgs,
    "sort": SortArgs,
    "renumber": PathsArgs,
    "join": JoinArgs,
    "each": EachTarget,
    "choose": ChooseArgs,
    "let": LetArgs,
    "split": SplitArgs,
    "emit": EmitArgs,
    "template": TemplateArgs,
    "python": PythonArgs,
    "validate": ValidateArgs,
    "deidentify": DeidentifyArgs,
    "charset": CharsetArgs,
    "apply": ApplyArgs,
    "filter": FilterArgs,
}

_EXPLAIN: dict[str, tuple[str, Any]] = {
    "set": ("Write fields.", {"PID-5.1": "{{ PID-5.1 | upper }}", "MSH-5": "LIS"}),
    "copy": ("Copy one place to another.", {"from": "PV1-19", "to": "PID-18"}),
    "move": ("Move one place to another.", {"from": "PID-4", "to": "PID-3[+]"}),
    "clear": ("Empty fields.", ["PID-19"]),
    "nullify": ('Write the HL7 null "".', ["PID-13"]),
    "lookup": ("Translate by a table.", {"path": "PID-8", "table": "sex", "column": "lis"}),
    "keep_segments": ("Keep only these segments.", ["MSH", "EVN", "PID", "PV1"]),
    "drop_segments": ("Drop segments.", {"segment": "OBX", "where": "OBX-11 == 'X'"}),
    "add_segment": ("Add a segment.", {"segment": "NTE", "after": "PID", "fields": {"3": "x"}}),
    "sort": ("Sort segments; groups move whole.", {"segment": "OBX", "by": "OBX-3.1"}),
    "renumber": ("Count set ids from 1 again.", ["OBX-1"]),
    "join": ("Join values into one.", {"from": "NTE[*]-3", "into": "OBX-5", "separator": " "}),
    "each": ("Run steps for each segment, repetition or group.", "OBX"),
    "choose": ("Take the first alternative that fits.", [{"when": "PID-8 == 'F'", "steps": []}]),
    "let": ("Name a value for later steps.", {"mrn": "{{ PID-3[5='MR'].1 }}"}),
    "split": ("Make several messages.", {"group": "OBR", "header": ["MSH", "PID", "PV1"]}),
    "emit": ("Make several outputs.", [{"name": "update", "steps": []}]),
    "template": ("Build the output from a template.", {"file": "vxu.j2"}),
    "python": ("Call a function of transforms/python.", "results:flag_panic"),
    "validate": ("Check against the standard.", {"standard": "declared", "on_error": "warn"}),
    "deidentify": ("De-identify by a profile.", "research"),
    "charset": ("Set the output's encoding and MSH-18.", "GB18030"),
    "apply": ("Run a reusable list of steps.", "adt_to_lis"),
    "filter": ("Stop here; the message is filtered.", "not for the LIS"),
}


def _attribute(kind: str) -> str:
    """Return the attribute of a form; pydantic has methods of its own by some of the names."""
    return kind + "_" if kind in ("copy", "validate") else kind


class _Form(Model):
    when: Expression | None = Field(None, description="Run the step only when this holds.")


class each_step(_Form):
    """A loop with its condition and its steps, beside each other."""

    # Named as the other forms are, which are made from the table below.
    each: EachTarget = Field(description=_EXPLAIN["each"][0], examples=[_EXPLAIN["each"][1]])
    where: Expression | None = Field(None, description="Only those for which this holds.")
    steps: tuple[StepModel, ...] = Field(description="What is done for each of them.")


def _form_of(kind: str) -> type[_Form]:
    what, example = _EXPLAIN[kind]
    field: Any = (STEP_ARGS[kind], Field(alias=kind, description=what, examples=[example]))
    return create_model(f"{kind}_step", __base__=_Form, **{_attribute(kind): field})


#: what a step of each kind looks like in YAML
STEP_FORMS: dict[str, type[_Form]] = {
    kind: each_step if kind == "each" else _form_of(kind) for kind in STEP_ARGS
}
each_step.model_rebuild()

__all__ = [
    "LATER_STEPS",
    "STEP_ARGS",
    "STEP_FORMS",
    "STEP_REF",
    "AddSegmentArgs",
    "ApplyArgs",
    "Branch",
    "CharsetArgs",
    "ChooseArgs",
    "CopyArgs",
    "DeidentifyArgs",
    "DropSegmentsArgs",
    "EachArgs",
    "EachTarget",
    "EmitArgs",
    "EmitOutput",
    "FilterArgs",
    "JoinArgs",
    "LetArgs",
    "LookupArgs",
    "Miss",
    "PathPair",
    "PathsArgs",
    "PythonArgs",
    "SegmentsArgs",
    "SetArgs",
    "SortArgs",
    "SplitArgs",
    "StepModel",
    "TemplateArgs",
    "ValidateArgs",
]
