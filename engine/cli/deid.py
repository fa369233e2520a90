"""
`medbus deid`: what a de-identification profile does to messages in files.

Works without a running engine. The files are the caller's own, so values are shown; nothing
is stored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.errors import MedbusError, Usage

if TYPE_CHECKING:
    from engine.config.models.site import Site
    from engine.deid.explain import Explanation
    from engine.deid.leak_check import Leak
    from engine.deid.profiles import CompiledProfile
    from engine.hl7.diff import Change

#: stands in for a key that the site does not have; pseudonyms made with it mean nothing
TEST_KEY = hashlib.sha256(b"medbus deid test key").digest()
#: arrival time of the messages tried out: 2026-11-01 08:30 in Shanghai, as in channel tests
ARRIVED_AT = 1_793_493_000.0


@dataclass
class Tried:
    """One message after the profile."""

    file: str
    number: int
    message_type: str
    changes: list[Change]
    leaks: list[Leak]
    scrubbed: int
    explained: list[tuple[str, Explanation]]
    output: str


@click.command("deid", short_help="Show what a de-identification profile does to messages.")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--profile", required=True, metavar="NAME", help="A built-in or the site's profile.")
@click.option("--explain", is_flag=True, help="For each field: which rule decides, and why.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print a built-in profile's YAML.")
@click.option("--show", is_flag=True, help="Print the de-identified message too.")
@click.option("--charset", metavar="NAME", help="Character set where MSH-18 is empty.")
@pass_settings
def deid(
    settings: Settings, files: tuple[Path, ...], *, profile: str, explain: bool,
    as_yaml: bool, show: bool, charset: str | None,
) -> None:  # fmt: skip
    """
    De-identify messages from files and show, field by field, what changed.

    Ends with the leak report: whether an identifier of the original is anywhere in the result.
    Exit code 1 when one is. Without files, --explain lists the whole profile.

    \b
    Examples:
      medbus deid sample_messages/adt_a01.hl7 --profile safe_harbor
      medbus deid in/*.hl7 --profile research --explain
      medbus deid --profile china_pipl --explain
      medbus deid --profile china_pipl --yaml
    """
    if as_yaml:
        _print_yaml(profile)
        return
    compiled, key_note = _compile(settings, profile)
    if not files:
        if not explain:
            raise Usage("no file given", fix="name message files, or ask for --explain")
        _print_profile(settings, compiled)
        return
    tried = [one for file in files for one in _try_file(file, compiled, charset, explain=explain)]
    if not tried:
        raise MedbusError("there is no HL7 message in these files", code="RUN-070")
    if settings.as_json:
        print_json({"items": [_as_json(one, compiled, show=show) for one in tried], "next": ""})
    else:
        record = compiled.record
        click.echo(f"profile {record.profile}, version {record.version}, {key_note}")
        for one in tried:
            _print_one(one, explain=explain, show=show)
    if any(leak.hard for one in tried for leak in one.leaks):
        click.get_current_context().exit(1)


def _print_yaml(name: str) -> None:
    """Print a built-in profile: to read, to compare, to begin an own one from."""
    from engine.config.models.profiles import BUILT_IN_PROFILES
    from engine.deid.rules import built_in_text

    if name not in BUILT_IN_PROFILES:
        raise Usage(f"{name} is not built in", fix=f"read transforms/deid/{name}.yaml")
    click.echo(built_in_text(name), nl=False)


def _compile(settings: Settings, name: str) -> tuple[CompiledProfile, str]:
    from engine.config.models.profiles import BUILT_IN_PROFILES
    from engine.deid.profiles import compile_profile

    site = _find_site(settings, required=name not in BUILT_IN_PROFILES)
    key, note = _find_key(settings)
    profiles = site.profiles if site else {}
    words = site.word_lists if site else {}
    compiled, findings = compile_profile(name, profiles, key=key, words=words)
    if compiled is None:
        first = findings[0]
        raise MedbusError(first.what, code=first.code, fix=first.fix)
    return compiled, note


def _find_site(settings: Settings, *, required: bool) -> Site | None:
    from engine.cli.site import read_site

    try:
        return read_site(settings)
    except MedbusError:
        if required:
            raise
        return None


def _find_key(settings: Settings) -> tuple[Callable[[str], bytes], str]:
    """Return the site's keys where there is a key ring, else the test key, and which it is."""
    from engine.cli.site import find_data
    from engine.security.keyring import KeyRing

    try:
        folder = find_data(settings) / "keys"
        if KeyRing.exists(folder) and os.access(folder, os.R_OK):
            ring = KeyRing.open(folder)
            known = set(ring.named_keys())

            # A key is made when the engine first needs it, never by looking.
            def key(name: str) -> bytes:
                return ring.named_key(name) if name in known else TEST_KEY

            return key, "the site's keys (test key where one is not made yet)"
    except MedbusError:
        pass
    return (lambda name: TEST_KEY), "test key: pseudonyms differ from the engine's"


def _try_file(
    file: Path, compiled: CompiledProfile, charset: str | None, *, explain: bool
) -> Iterator[Tried]:
    from engine.hl7.batch import split_messages
    from engine.hl7.errors import Hl7Error

    for number, raw in enumerate(split_messages(file.read_bytes()), 1):
        try:
            yield _try_message(file.name, number, raw, compiled, charset, explain=explain)
        except Hl7Error as error:
            where = f"{file.name}, message {number}, {error.where}"
            raise MedbusError(error.what, code=error.code, where=where, fix=error.fix) from None


def _try_message(
    file: str, number: int, raw: bytes, compiled: CompiledProfile, charset: str | None, *,
    explain: bool,
) -> Tried:  # fmt: skip
    from zoneinfo import ZoneInfo

    from engine.deid.leak_check import find_leaks
    from engine.hl7.diff import diff_messages
    from engine.hl7.message import Message

    before = Message.parse(raw, charset=charset)
    after = before.copy()
    done = compiled.apply(after, received_at=ARRIVED_AT, timezone=ZoneInfo("Asia/Shanghai"))
    output = after.encode()
    return Tried(
        file,
        number,
        before.header.message_type,
        diff_messages(before, after),
        find_leaks(done.identifiers, output, after, locate_soft=True),
        done.soft_hits,
        _explain(before, compiled) if explain else [],
        output.decode(after.charset, "replace"),
    )


def _explain(message: Any, compiled: CompiledProfile) -> list[tuple[str, Explanation]]:
    """Return (label, explanation) for every field the message fills."""
    from engine.deid.explain import explain_unknown

    found: list[tuple[str, Explanation]] = []
    seen: set[tuple[str, int]] = set()
    for segment in message.segments():
        lines: dict[int, list[Explanation]] = {}
        for line in compiled.explain(segment.name):
            lines.setdefault(line.field, []).append(line)
        for number, value in enumerate(segment.fields()):
            place = (segment.name, number)
            if number == 0 or not value or place in seen:
                continue
            seen.add(place)
            unknown = explain_unknown(segment.name, number, compiled.unknown)
            found += [(line.path, line) for line in lines.get(number, [unknown])]
    return found


def _print_profile(settings: Settings, compiled: CompiledProfile) -> None:
    lines = compiled.explain()
    if settings.as_json:
        print_json({"items": [_explanation_json(line) for line in lines], "next": ""})
        return
    for line in lines:
        click.echo(f"{line.path:<10} {line.action:<11} {line.name}; {line.rule}; {line.reason}")


def _print_one(one: Tried, *, explain: bool, show: bool) -> None:
    click.echo(f"\n{one.file}, message {one.number}: {one.message_type}")
    for change in one.changes:
        name = f" ({change.name})" if change.name else ""
        click.echo(f"  {change.path}{name}: {_shown(change.before)} -> {_shown(change.after)}")
    if explain:
        click.echo("  which rule decides:")
        for label, line in one.explained:
            click.echo(f"    {label:<10} {line.action:<11} {line.rule}: {line.reason}")
    if one.scrubbed:
        click.echo(f"  taken out of free text: {one.scrubbed}")
    hard = [leak for leak in one.leaks if leak.hard]
    for leak in one.leaks:
        hidden = f", inside {leak.inside}" if leak.inside else ""
        what = "LEAK" if leak.hard else "an ordinary word that is also a name, or a town"
        click.echo(f"  {leak.path or 'across fields'}: {what} ({leak.kind}{hidden})")
    if hard:
        click.echo(f"  leak check: {len(hard)} found; the engine would park this output as leak")
    else:
        click.echo("  leak check: no identifier of the original is in the result")
    if show:
        click.echo(one.output.replace("\r\n", "\n").replace("\r", "\n"))


def _shown(value: str | None) -> str:
    if value is None:
        return "absent"
    return f"'{value}'" if value else "empty"


def _as_json(one: Tried, compiled: CompiledProfile, *, show: bool) -> dict[str, object]:
    record = compiled.record
    told: dict[str, object] = {
        "file": one.file,
        "number": one.number,
        "type": one.message_type,
        "profile": record.profile,
        "version": record.version,
        "key_id": record.key_id,
        "changes": [
            {"path": c.path, "name": c.name, "before": c.before, "after": c.after}
            for c in one.changes
        ],
        "scrubbed": one.scrubbed,
        "leaks": [leak._asdict() for leak in one.leaks],
        "is_clean": not any(leak.hard for leak in one.leaks),
    }
    if one.explained:
        told["explained"] = [
            {**_explanation_json(line), "path": label} for label, line in one.explained
        ]
    if show:
        told["output"] = one.output
    return told


def _explanation_json(line: Explanation) -> dict[str, object]:
    return {
        "path": line.path,
        "name": line.name,
        "kind": line.kind,
        "action": line.action,
        "rule": line.rule,
        "reason": line.reason,
    }
