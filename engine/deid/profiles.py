"""
A profile ready to run: compiled once per configuration, applied to every message.

Rules of this file: pure; the same message, arrival time and key give the same bytes. A message
is edited in place in two passes: first what identifies is replaced and remembered, then text is
searched for everything remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo

from engine.config.models.profiles import Profile
from engine.deid.actions import Treatment
from engine.deid.checks import check_layers
from engine.deid.dates import arrival_text, day_of, is_date
from engine.deid.errors import DeidError
from engine.deid.explain import Explanation, explain_segment
from engine.deid.identifiers import Identifiers, View
from engine.deid.method import MethodRecord, version_of
from engine.deid.normalise import fold, squeeze
from engine.deid.patterns import SHORTEST_PATTERN, has_hint
from engine.deid.plan import FINDS_SOMEBODY, Planner, Table
from engine.deid.pseudonyms import Pseudonymiser
from engine.deid.resolving import resolve
from engine.deid.rules import Layer, layers_of
from engine.deid.run import Run
from engine.deid.templates import Renderer, render
from engine.deid.words import built_in_words, parse_words
from engine.hl7.message import Message
from engine.hl7.segment import Segment
from engine.model.errors import Sealed
from engine.model.finding import Finding
from engine.model.records import LinkedNumber

NULL = '""'
#: the key ring's name of the key when a profile names none
DEFAULT_KEY = "default"


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What applying a profile found out; *identifiers* is patient data, never log it."""

    identifiers: Identifiers
    #: stretches taken out of free text
    soft_hits: int
    record: MethodRecord
    #: the pseudonyms made, with what they stand for, for a vault; patient data
    pseudonyms: Mapping[tuple[str, str], str]
    #: whether the profile wants them kept
    keeps_links: bool = False

    def links(self) -> tuple[LinkedNumber, ...]:
        """Return what a vault keeps of this message."""
        record = self.record
        return tuple(
            LinkedNumber(record.key_name, record.key_id, domain, made, original)
            for (domain, original), made in self.pseudonyms.items()
        )


@dataclass(slots=True)
class _Work:
    """A segment between the two passes."""

    segment: Segment
    fields: list[str]
    table: Table
    days: int
    pending: list[int]


class CompiledProfile:
    """One profile under one key."""

    def __init__(
        self, name: str, layers: list[Layer], keys: Pseudonymiser, ordinary: frozenset[str]
    ) -> None:
        self.name = name
        self.layers = layers
        self.templates: list[str] = []
        self.planner = Planner(layers, self.templates)
        self.tables = self.planner.tables()
        self._dropped = self.planner.dropped_tables()
        self._originals = self.planner.original_tables()
        self._writes_arrival = self.planner.arrival_time
        self._keys = keys
        self._ordinary = ordinary
        key_name = key_name_of(layers)
        self.record = MethodRecord(name, version_of(layers), keys.key_id, key_name)
        self.unknown = next(layer.unknown for layer in layers if layer.unknown)
        self._passes = frozenset(name for layer in layers for name in layer.keep)
        self._record_segment = next((layer.record for layer in layers if layer.record), "")
        decided = self._decisions()
        #: whether dates are moved: refused on live routes unless accepted
        self.uses_date_shift = any(
            action == "date_shift" or (action == "surrogate" and kind in ("birth_date", "date"))
            for _, kind, action in decided
        )
        #: whether its pseudonyms go into the vault
        self.keeps_links = any(layer.vault for layer in layers)
        self.accepts_live_shift = any(layer.accept_live_shift for layer in layers)
        self._keep_places = frozenset(
            place for place, kind, action in decided if action == "keep" and kind in FINDS_SOMEBODY
        )
        self._birth_places = frozenset(
            place for place, kind, action in decided if kind == "date" and action == "keep"
        )
        self._scrub_dates = self.planner.kinds["date"].rule.action != "keep"

    def _decisions(self) -> list[tuple[tuple[str, int], str, str]]:
        """Return ((segment, field), kind, action) of every place of the tables."""
        found = []
        for explanation in self.explain():
            place = (explanation.segment, explanation.field)
            found.append((place, explanation.kind, explanation.action))
        return found

    def explain(self, segment: str | None = None) -> list[Explanation]:
        """Return for every field of *segment* (or of all) what becomes of it and by which rule."""
        names = [segment] if segment else sorted(self.planner.segments())
        return [line for name in names for line in explain_segment(name, self.planner)]

    def apply(
        self,
        message: Message,
        *,
        received_at: float,
        timezone: tzinfo,
        template: Renderer | None = None,
        original: Message | None = None,
    ) -> Deidentified:
        """
        De-identify *message* in place.

        Args:
            original: the message as it was received: what earlier steps took out of its own
                place is looked for all the same.
            template: renders expressions of replace templates beyond PATH and pseudonym(PATH).

        Raises:
            DeidError: an unknown segment, where the profile says that it fails.
        """
        identifiers = Identifiers(self._ordinary)
        identifiers.keep_places = self._keep_places
        identifiers.birth_places = self._birth_places
        today = day_of(received_at, timezone)
        run = Run(message.delimiters, identifiers, self._keys, today, scrub_dates=self._scrub_dates)
        if self.templates:
            run.values = [render(text, message, run, template) for text in self.templates]
        if original is not None and message.is_edited:
            if original.delimiters != message.delimiters:
                original = original.copy()
                original.set_delimiters(message.delimiters)
            self._remember(original.segments(), self._originals, run)
        segments = message.segments()
        if self.uses_date_shift:
            run.days = self._days(segments, run)
        work = self._first_pass(segments, run)
        self._second_pass(work, run)
        arrival = arrival_text(received_at, timezone)
        if self._writes_arrival:
            identifiers.arrival = arrival
        self._write(message, work, segments, arrival)
        return Deidentified(identifiers, run.scrubbed, self.record, run.memo, self.keeps_links)

    def _first_pass(self, segments: list[Segment], run: Run) -> list[_Work]:
        work: list[_Work] = []
        tables = self.tables
        for segment in segments:
            table = tables.get(segment.name)
            if table is None:
                self._remember_dropped(segment, run)
                continue
            original = segment.fields()
            run.segment = original
            if segment.name == "PID" and self.uses_date_shift:
                run.days = self._days([segment], run)
            first, later, dates = table.first, table.later, table.dates
            fields = original[: len(first)]
            pending: list[int] = []
            for number in range(3 if segment.name == "MSH" else 1, len(fields)):
                value = fields[number]
                if not value:
                    continue
                treat = first[number]
                if treat is not None:
                    fields[number] = treat(value, run) if value != NULL else ""
                if later[number] is not None and fields[number]:
                    if number in dates and is_date(value):
                        if number == 7 and segment.name == "PID":
                            run.identifiers.kept_births.add(value[:8])
                        continue
                    pending.append(number)
            work.append(_Work(segment, fields, table, run.days, pending))
        return work

    def _second_pass(self, work: list[_Work], run: Run) -> None:
        """Search all text at once, then each field only for what was found at all."""
        texts = [one.fields[number] for one in work for number in one.pending]
        view = View(resolve("\n".join(texts), run.delimiters))
        found = run.identifiers.find(view)
        hinted = has_hint(view.folded)
        run.present = present = run.identifiers.narrowed(found)
        run.clean = clean = not found and not hinted
        terms = () if clean else present.terms()
        squeezes = any(hit.form == "anywhere" for hit in found)
        for one in work:
            run.segment, run.days = one.segment.fields(), one.days
            for number in one.pending:
                treat = one.table.later[number]
                assert treat is not None
                value = one.fields[number]
                if not clean and not terms:
                    run.clean = len(value) < SHORTEST_PATTERN or not has_hint(
                        fold(resolve(value, run.delimiters))
                    )
                elif not clean:
                    folded = fold(resolve(value, run.delimiters))
                    run.clean = not (
                        any(term in folded for term in terms)
                        or (squeezes and _holds_squeezed(terms, folded))
                        or (hinted and len(folded) >= SHORTEST_PATTERN and has_hint(folded))
                    )
                one.fields[number] = treat(value, run)

    def _write(
        self, message: Message, work: list[_Work], segments: list[Segment], arrival: str
    ) -> None:
        header = work[0].fields
        if self._writes_arrival:
            header += [""] * (8 - len(header))
            header[7] = arrival
        separator = message.delimiters.field
        for one in work:
            fields = one.fields
            if one.segment.name == "MSH":
                text = fields[0] + fields[1] + separator.join(fields[2:])
            else:
                text = separator.join(fields)
            one.segment.replace_text(text)
        if self.unknown == "keep" or self._passes:
            known = {id(one.segment) for one in work}
            kept = [s for s in segments if id(s) in known or self._may_pass(s.name)]
        else:
            kept = [one.segment for one in work]
        if len(kept) < len(segments):
            message.set_segments(kept)
        if self._record_segment:
            message.insert_segment(len(kept), self._record_segment, self.record.fields())

    def _may_pass(self, name: str) -> bool:
        """Return whether an unknown segment stays; the leak check reads it."""
        if not name or name in self.tables or self._dropping(name) is not None:
            return False
        return self.unknown == "keep" or name in self._passes

    def _dropping(self, name: str) -> object:
        return self.planner.segment_decision(name)

    def _remember_dropped(self, segment: Segment, run: Run) -> None:
        """Collect from a segment that goes; refuse an unknown one where the profile says so."""
        if segment.name not in self._dropped:
            self._check_unknown(segment.name)
            return
        self._remember([segment], self._dropped, run)

    def _remember(
        self, segments: list[Segment], tables: Mapping[str, list[Treatment | None]], run: Run
    ) -> None:
        """Collect what *segments* hold, changing nothing."""
        for segment in segments:
            run.segment = segment.fields()
            for value, treat in zip(run.segment, tables.get(segment.name, ()), strict=False):
                if treat is not None and value and value != NULL:
                    treat(value, run)

    def _check_unknown(self, name: str) -> None:
        if (
            self.unknown == "fail"
            and name
            and name not in self._passes
            and self._dropping(name) is None
        ):
            raise DeidError(
                f"the profile {self.name} does not know the segment {name}",
                where=name,
                fix="name its fields in the profile, drop it, or say segments: {unknown: drop}",
            )

    def _days(self, segments: list[Segment], run: Run) -> int:
        """Return the offset of the first patient of *segments*; MRG keeps the survivor's."""
        for segment in segments:
            if segment.name == "PID":
                return run.keys.shift_days(_patient(segment, run))
        control_id = segments[0].fields()[10:11]
        return run.keys.shift_days("message\x1f" + "".join(control_id))


def _holds_squeezed(terms: tuple[str, ...], folded: str) -> bool:
    squeezed = squeeze(folded)
    return any(term in squeezed for term in terms)


def _patient(segment: Segment, run: Run) -> str:
    """Return what stands for the patient: the record number, else any number, else the name."""
    fields = segment.fields() + [""] * 19
    repetitions = [part.split(run.component) for part in fields[3].split(run.repetition) if part]
    typed = [part for part in repetitions if len(part) > 4 and part[4] in ("MR", "PI", "PT")]
    if repetitions:
        chosen = (typed or repetitions)[0] + ["", "", ""]
        return f"{chosen[0].strip()}\x1f{chosen[3].split(run.subcomponent)[0]}"
    for number in (2, 18, 4, 5):
        if fields[number]:
            return fields[number].split(run.component)[0]
    return ""


def key_name_of(layers: list[Layer]) -> str:
    """Return the name of the key the layers ask for."""
    return next((layer.key for layer in layers if layer.key), DEFAULT_KEY)


def compile_profile(
    name: str,
    profiles: Mapping[str, Profile],
    *,
    key: Callable[[str], bytes],
    words: Mapping[str, str] | None = None,
) -> tuple[CompiledProfile | None, list[Finding]]:
    """
    Return profile *name* ready to run, and what is wrong with it; None where it cannot run.

    Args:
        profiles: the site's profiles by name; built-in ones are known without.
        key: gives the 32 bytes of a named key.
        words: texts of the files that leak_check.allow_words names, by path.
    """
    try:
        layers = layers_of(name, profiles)
    except LookupError as error:
        wanted, asked_by = error.args
        return None, [_no_such_profile(wanted, asked_by, profiles)]
    findings = check_layers(layers, words or {})
    if findings:
        return None, findings
    ordinary = built_in_words()
    for layer in layers:
        if layer.allow_words:
            ordinary = ordinary | parse_words((words or {})[layer.allow_words])
    try:
        keys = Pseudonymiser(key(key_name_of(layers)))
    except Sealed as error:
        names = [layer.name for layer in layers if layer.key]
        loc = ("profiles", names[0], "key") if names else ()
        return None, [Finding("DEID-018", error.what, error.fix, loc=loc)]
    return CompiledProfile(name, layers, keys, ordinary), []


def _no_such_profile(wanted: str, asked_by: str, profiles: Mapping[str, Profile]) -> Finding:
    if wanted in profiles:
        return Finding(
            "DEID-011",
            f"profile {asked_by} extends {wanted}, which leads back to itself",
            "let one of them extend a built-in profile",
            loc=("profiles", asked_by, "extends"),
        )
    return Finding(
        "DEID-010",
        f"there is no profile {wanted}",
        "write one in transforms/deid, or name a built-in one: safe_harbor, limited_dataset, "
        "china_pipl, test_data, mask_display",
        loc=("profiles", asked_by, "extends") if asked_by else (),
    )
