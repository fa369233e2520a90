"""
Makes the parts of the documentation that only repeat what the program knows.

`python -m tests.docs.render` rewrites what stands between `<!-- begin: NAME -->` and
`<!-- end -->`; a test compares, so that these parts cannot drift from the program.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from engine.cli.main import COMMANDS, LazyGroup, cli
from engine.config.models.steps import STEP_ARGS, STEP_FORMS
from engine.config.schema import FILE_KINDS, build_schema
from engine.model import states
from engine.model.message_warnings import MEANINGS
from engine.pipeline.filters import FILTERS
from tests.docs.example_site import errors_of, site_with_steps
from tests.docs.mistakes import MISTAKES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: a step's summary and its model's that are so alike say the same
_SAME = 0.6
_PART = re.compile(r"(<!-- begin: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


# -- commands ---------------------------------------------------------------------------------
def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Give every command with its full name, groups before what is below them."""
    assert isinstance(cli, LazyGroup)
    context = click.Context(cli, info_name="medbus", **cli.context_settings)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                assert found is not None
                yield f"{name} {below}", found


def render_commands() -> str:
    """Return the help of every command."""
    parts = []
    for name, command in all_commands():
        parent = click.Context(cli, info_name="medbus", terminal_width=96, **cli.context_settings)
        context = click.Context(command, info_name=name, parent=parent, terminal_width=96)
        parts.append(f"## medbus {name}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


# -- configuration -----------------------------------------------------------------------------
def _kind_of(schema: dict[str, Any], defs: dict[str, Any]) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        target = defs[name]
        if "properties" in target:
            return f"[{name}](#{name.lower()})"
        return _kind_of(target, defs)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        seen = dict.fromkeys(_kind_of(option, defs) for option in options)
        return " or ".join(kind for kind in seen if kind != "null")
    if schema.get("type") == "array":
        return f"list of {_kind_of(schema.get('items', {}), defs)}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"name: {_kind_of(schema['additionalProperties'], defs)}"
    words = {"string": "text", "integer": "number", "boolean": "true or false", "object": "mapping"}
    kind = schema.get("type", "any")
    kind = kind[0] if isinstance(kind, list) else kind
    if isinstance(kind, list):
        return " or ".join(words.get(one, one) for one in kind if one != "null")
    return str(schema.get("format") or words.get(kind, kind))


def _keys_of(definition: dict[str, Any], defs: dict[str, Any]) -> str:
    required = set(definition.get("required", ()))
    lines = ["| key | value | default | what it says |", "|---|---|---|---|"]
    for key, schema in definition.get("properties", {}).items():
        if key == "loc":
            continue
        default = "required" if key in required else _shown_default(schema)
        about = schema.get("description", "").replace("|", "\\|").replace("\n", " ")
        lines.append(f"| `{key}` | {_kind_of(schema, defs)} | {default} | {about} |")
    return "\n".join(lines)


def _shown_default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return "" if default in (None, "", [], {}) or isinstance(default, dict) else f"`{default}`"


def _object_of(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the long form of a definition that has a short one beside it."""
    for form in (definition, *definition.get("anyOf", ())):
        if "properties" in form:
            return form
    return {}


def render_configuration() -> str:
    """Return every key of every kind of file, with its models."""
    parts, told = [], set(STEP_FORMS) | {"Step"}
    for kind, (_, where) in FILE_KINDS.items():
        schema = build_schema(kind)
        defs = schema["$defs"]
        queue = [schema["$ref"].rsplit("/", 1)[-1]]
        parts.append(f"## `{where[0]}`\n")
        while queue:
            name = queue.pop(0)
            definition = defs[name]
            form = _object_of(definition)
            if name in told or name.endswith("_step") or not form:
                continue
            told.add(name)
            about = (definition.get("description") or form.get("description") or "").split("\n\n")[
                0
            ]
            parts.append(f"### {name}\n\n{about}\n\n{_keys_of(form, defs)}\n")
            queue += re.findall(r"#/\$defs/(\w+)", str(form))
    return "\n".join(parts)


# -- steps and filters -------------------------------------------------------------------------
def render_steps() -> str:
    """Return each step: what it does, its arguments, an example."""
    import yaml

    defs = build_schema("channels")["$defs"]
    parts = []
    for kind, form in STEP_FORMS.items():
        field = next(f for n, f in form.model_fields.items() if (f.alias or n) == kind)
        example = field.examples[0] if field.examples else ""
        written: dict[str, Any] = {kind: example}
        if kind == "each":
            written |= {"where": "OBX-2 == 'NM'", "steps": [{"set": {"OBX-8": "N"}}]}
        text = yaml.safe_dump([written], sort_keys=False, allow_unicode=True, width=90)
        about = (STEP_ARGS[kind].__doc__ or "").strip()
        arguments = _object_of(defs.get(STEP_ARGS[kind].__name__, {}))
        table = f"\n{_keys_of(arguments, defs)}\n" if arguments else ""
        if kind == "each":
            table += (
                "\nBeside `each`: `where`, a condition on the element at hand, and `steps`,"
                " what is done for each of them.\n"
            )
        told = str(field.description)
        if SequenceMatcher(None, told, about).ratio() < _SAME:
            told += f" {about}"
        parts.append(f"### `{kind}`\n\n{told}\n{table}\n```yaml step\n{text}```\n")
    return "\n".join(parts)


def render_mistakes() -> str:
    """Return wrong steps with what `check` says to each."""
    parts = []
    for steps in MISTAKES:
        told = errors_of(site_with_steps(steps))
        findings = "\n".join(re.sub(r"^\S+ ", "", line) for line in told) or "(nothing)"
        parts.append(f"```yaml mistake\n{steps}\n```\n```text\n{findings}\n```\n")
    return "\n".join(parts)


def render_filters() -> str:
    """Return the filters of the language."""
    lines = ["| filter | what it does | example |", "|---|---|---|"]
    for name in sorted(FILTERS):
        spec = FILTERS[name]
        example = spec.example.replace("|", "\\|")
        lines.append(f"| `{name}` | {spec.about.replace('|', chr(92) + '|')} | `{example}` |")
    return "\n".join(lines) + "\n"


# -- states ------------------------------------------------------------------------------------
def _told_members(enum: type[StrEnum]) -> list[tuple[str, str]]:
    """Return value and the `#:` line above it, for each member."""
    about: list[str] = []
    members = []
    for line in inspect.getsource(enum).splitlines():
        text = line.strip()
        if text.startswith("#:"):
            about.append(text[2:].strip())
        elif match := re.match(r"[A-Z_]+ = \"(\w+)\"", text):
            members.append((match[1], " ".join(about)))
            about = []
    return members


def render_states() -> str:
    """Return every enum of states.py, the warnings, and the moves a delivery may make."""
    parts = []
    for title, enum in (
        ("Messages", states.MessageState),
        ("Route results", states.RouteOutcome),
        ("Deliveries", states.DeliveryState),
        ("Park codes", states.ParkCode),
        ("Outcomes of an attempt", states.AttemptOutcome),
    ):
        rows = "\n".join(f"| `{value}` | {about} |" for value, about in _told_members(enum))
        parts.append(f"## {title}\n\n| value | means |\n|---|---|\n{rows}\n")
    odd = "\n".join(f"| `{word}` | {about} |" for word, about in MEANINGS.items())
    parts.append(
        "## Warnings\n\nWhat was odd about a message that was taken all the same; `medbus show`"
        f" tells them.\n\n| value | means |\n|---|---|\n{odd}\n"
    )
    arrows = [
        f"  {before} --> {after}"
        for before, afters in states.TRANSITIONS.items()
        for after in sorted(afters)
        if before != after
    ]
    chart = "\n".join(["```mermaid", "stateDiagram-v2", "  [*] --> pending", *arrows, "```"])
    parts.append(f"## Moves of a delivery\n\nDrawn from the transition table.\n\n{chart}\n")
    return "\n".join(parts)


# -- errors ------------------------------------------------------------------------------------
#: codes of check (CFG) stand in docs/findings.md
_CODE = re.compile(r"^(LNG|RUN|HL7|STO|TLS|SEC|DEID|ALM)-\d{3}$")


def _text_of(node: ast.expr | None) -> str:
    """Return a string or f-string as a person reads it, values as …."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "…"  # type: ignore[misc]
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text_of(node.left) + _text_of(node.right)
    if isinstance(node, ast.IfExp):
        return _text_of(node.body) or _text_of(node.orelse)
    return ""


#: codes whose text is made where they are raised
_TOLD_HERE = {
    "HL7-020": ("a path cannot be understood; the text says which part", "see docs/language.md"),
    "HL7-040": ("an ack code is none of AA, AE, AR, CA, CE, CR", ""),
    "RUN-039": ("a listener could not be opened; the text says which and why", ""),
    "STO-010": (
        "the clock moved by more than a day since the last run: nothing is removed",
        "set the clock; where it is right, say so with `medbus prune --clock-is-right`",
    ),
    "DEID-016": ("a rule of a profile cannot be carried out; the text says which and why", ""),
    "DEID-018": ("the profile cannot be made as it is written; the text says why", ""),
    "ALM-012": ("a channel reports trouble; the text says which", ""),
}


def all_codes() -> dict[str, set[tuple[str, str]]]:
    """Return code -> texts and remedies, read from the source of the engine."""
    found: dict[str, set[tuple[str, str]]] = {}
    for path in sorted((ROOT / "engine").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    code = _text_of(getattr(item, "value", None))
                    if isinstance(item, ast.Assign) and _CODE.match(code):
                        about = (ast.get_docstring(node) or "").split("\n\n")[0]
                        found.setdefault(code, set()).add((about.replace("\n", " "), ""))
            elif isinstance(node, ast.Call):
                texts = [_text_of(argument) for argument in node.args]
                named = {word.arg: _text_of(word.value) for word in node.keywords}
                codes = [text for text in (*texts, *named.values()) if _CODE.match(text)]
                rest = [text for text in texts if text and not _CODE.match(text)]
                what = named.get("what") or (rest[0] if rest else "")
                fix = named.get("fix") or (rest[1] if len(rest) > 1 else "")
                for code in codes:
                    found.setdefault(code, set()).add((what, fix))
            elif isinstance(node, ast.Constant) and _CODE.match(str(node.value)):
                found.setdefault(str(node.value), set())
    for code, told in _TOLD_HERE.items():
        found.setdefault(code, set()).add(told)
    return found


def render_errors() -> str:
    """Return every code with its texts."""
    titles = {
        "LNG": "The language",
        "HL7": "Messages",
        "RUN": "Commands and the engine",
        "STO": "The store",
        "TLS": "TLS",
        "SEC": "Keys and users",
        "DEID": "De-identification",
        "ALM": "Alarms",
    }
    codes = all_codes()
    parts = []
    for prefix, title in titles.items():
        rows = []
        for code in sorted(code for code in codes if code.startswith(prefix)):
            texts = sorted((what, fix) for what, fix in codes[code] if what) or [("", "")]
            told = "<br>".join(what for what, _ in texts).replace("|", "\\|")
            fixes = "<br>".join(dict.fromkeys(fix for _, fix in texts if fix)).replace("|", "\\|")
            rows.append(f"| `{code}` | {told} | {fixes} |")
        if rows:
            parts.append(
                f"## {title}\n\n| code | says | what to do |\n|---|---|---|\n" + "\n".join(rows)
            )
    return "\n\n".join(parts) + "\n"


# -- metrics -----------------------------------------------------------------------------------
def all_metrics() -> list[tuple[str, str, str]]:
    """Return name, kind and help of every metric, read from the source."""
    kinds = {"Counter", "Gauge", "Histogram", "CounterMetricFamily", "GaugeMetricFamily",
             "HistogramMetricFamily", "Summary", "Info"}  # fmt: skip
    found = set()
    for path in sorted((ROOT / "engine").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and len(node.args) >= 2:
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                name = _text_of(node.args[0])
                if called in kinds and name.startswith("medbus_"):
                    kind = called.replace("MetricFamily", "").lower()
                    found.add((name, kind, _text_of(node.args[1])))
    return sorted(found)


def render_metrics() -> str:
    """Return every metric."""
    rows = "\n".join(f"| `{name}` | {kind} | {about} |" for name, kind, about in all_metrics())
    return f"| metric | kind | what it counts |\n|---|---|---|\n{rows}\n"


PARTS: dict[str, Callable[[], str]] = {
    "commands": render_commands,
    "configuration": render_configuration,
    "steps": render_steps,
    "mistakes": render_mistakes,
    "filters": render_filters,
    "states": render_states,
    "errors": render_errors,
    "metrics": render_metrics,
}


def rendered(page: str) -> str:
    """Return a page with its made parts as they must be."""
    return _PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}{match[4]}", page)


def pages() -> list[Path]:
    """Return the pages that have made parts."""
    return [path for path in sorted(DOCS.glob("*.md")) if _PART.search(path.read_text())]


def main() -> int:
    """Rewrite every page with made parts."""
    for path in pages():
        text = path.read_text()
        fresh = rendered(text)
        if fresh != text:
            path.write_text(fresh)
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
