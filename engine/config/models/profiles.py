"""De-identification profiles: transforms/deid/NAME.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from engine.config.models.base import Model, Names, Short, Text
from engine.config.models.inbound import About
from engine.config.models.units import Switch, refuse

BUILT_IN_PROFILES = (
    "safe_harbor",
    "limited_dataset",
    "china_pipl",
    "test_data",
    "mask_display",
)

Action = Literal[
    "keep", "clear", "replace", "mask", "pseudonym", "date_shift", "year", "age_cap", "zip3",
    "scrub",
    "surrogate",
]  # fmt: skip


class FieldRule(Short):
    """What happens to one place, in every repetition."""

    short_key: ClassVar[str] = "action"
    action: Action = Field("replace", description="The action; replace wants its template.")
    replace: str | None = Field(None, description="Template of the new value.")

    @model_validator(mode="after")
    def _with_template(self) -> FieldRule:
        if (self.action == "replace") != (self.replace is not None):
            raise refuse(
                "CFG-008",
                "replace wants a template, and only replace has one",
                'write {replace: "X^{{ pseudonym(PID-3.1) }}"}',
            )
        return self


class SegmentRules(Model):
    """Whole segments."""

    drop: Names = Field((), description="Segments that are left out.")
    keep: Names = Field(
        (), description="Unknown or Z-segments that pass as they are; the leak check reads them."
    )
    unknown: Literal["drop", "keep", "fail"] | None = Field(
        None, description="Segments the catalogue does not know; default: as the base, drop."
    )


class LeakCheck(Model):
    """The check of the final bytes; it cannot be switched off."""

    allow_words: str | None = Field(
        None, description="File of ordinary words that are no leak although they are a name."
    )


class Profile(Model):
    """What is done with each field; where no rule speaks, the base profile's catalogue does."""

    about: About
    extends: Text | None = Field(
        None,
        description="The base profile: a built-in one or one of the site's.",
        examples=list(BUILT_IN_PROFILES),
    )
    key: str | None = Field(
        None, description="Named key of the key ring: pseudonyms are stable per key."
    )
    kinds: dict[str, FieldRule] = Field(
        {}, description="KIND of the catalogue: action, such as patient_name: clear."
    )
    fields: dict[str, FieldRule] = Field({}, description="PATH: action.")
    observations: dict[str, str] = Field(
        {},
        description="CODE or WORDING of OBX-3: KIND, where the value is itself an identifier.",
        examples=[{"X-77": "patient_name", "next of kin": "relative", "就诊卡": "patient_id"}],
    )
    segments: SegmentRules = Field(SegmentRules(), description="Whole segments.")
    free_text: Names = Field((), description="Paths whose text is scrubbed.")
    leak_check: LeakCheck = Field(LeakCheck(), description="The check of the final bytes.")
    record: str | None = Field(
        None,
        pattern=r"^Z[A-Z0-9]{2}$",
        description="Z-segment that says by which profile and key the output was made.",
        examples=["ZDI"],
    )
    vault: Switch = Field(
        False,
        description="Keep pseudonyms with what they stand for in the vault, for `medbus relink`.",
    )
    accept_live_shift: Switch = Field(
        False, description="Allow date_shift on a live route although arrival gives it away."
    )
