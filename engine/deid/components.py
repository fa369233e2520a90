"""Rules for single components: the field goes its way, then the component is decided by itself."""

from __future__ import annotations

from typing import NamedTuple

from engine.deid.actions import Treatment, join, repeated
from engine.deid.catalogue import Row
from engine.deid.cuts import zip3
from engine.deid.dates import birth_year, cap_age, shift_date, year_of
from engine.deid.masks import mask_number
from engine.deid.pseudonyms import domain_of
from engine.deid.run import Run


class ComponentRule(NamedTuple):
    """A rule for PID-11.4 or PID-3.4.2."""

    #: (component,) or (component, sub-component)
    numbers: tuple[int, ...]
    action: str
    #: which of the run's values, for replace
    value_index: int
    row: Row


def with_components(treat: Treatment | None, rules: list[ComponentRule]) -> Treatment:
    """Return *treat* for the field, then each rule on its component of every repetition."""

    def each(value: str, run: Run) -> str:
        parts = (value if treat is None else treat(value, run)).split(run.component)
        before = value.split(run.component)
        for rule in rules:
            place = rule.numbers[0] - 1
            if place >= len(before) or not before[place]:
                continue
            parts += [""] * (place + 1 - len(parts))
            parts[place] = _component(rule, before[place], parts[place], run)
        return join(parts, run.component)

    return repeated(each)


def _component(rule: ComponentRule, before: str, after: str, run: Run) -> str:
    """Return the component *before* as the rule has it, or *after* with one sub-component set."""
    if len(rule.numbers) == 1:
        mark = run.subcomponent
        return join([_leaf(rule, leaf, run) if leaf else "" for leaf in before.split(mark)], mark)
    place = rule.numbers[1] - 1
    leaves, kept = before.split(run.subcomponent), after.split(run.subcomponent)
    if place >= len(leaves) or not leaves[place]:
        return after
    kept += [""] * (place + 1 - len(kept))
    kept[place] = _leaf(rule, leaves[place], run)
    return join(kept, run.subcomponent)


def _leaf(rule: ComponentRule, leaf: str, run: Run) -> str:
    action = rule.action
    if action == "keep":
        return leaf
    if action == "scrub":
        return run.scrub(leaf)
    if action == "replace":
        return run.values[rule.value_index]
    return run.raw(_changed(rule, run.text(leaf), run))


def _changed(rule: ComponentRule, text: str, run: Run) -> str:
    action, domain = rule.action, domain_of(f"{rule.row.kind}.{rule.numbers[0]}", "")
    if action == "mask":
        return mask_number(text)
    if action == "pseudonym":
        return run.pseudonym(domain, text)
    if action == "surrogate":
        return run.surrogates.number(domain, text)
    if action == "date_shift":
        return shift_date(text, run.days)
    if action == "year":
        return year_of(text)
    if action == "age_cap":
        is_date = len(text) >= 4 and text[:4].isdigit()
        return birth_year(text, run.today) if is_date else cap_age(text)
    return zip3(text) if action == "zip3" else ""
