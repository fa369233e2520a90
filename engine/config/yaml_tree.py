"""
Read one YAML file into text, lists and mappings, strictly, with a place for every key and value.

Rules of this file: scalars stay the text that was written; whatever YAML would do silently
(duplicate keys, tags, anchors, comments that eat a value) becomes a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from engine.config.models.base import YamlMap
from engine.model.finding import Finding, Loc, Mark

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML built without libyaml reads the same, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
_KEY_LINE = re.compile(r"\s*([a-z_]+):(?:\s|$)")
#: room #5: looks like a value to its author, and is a comment to YAML
_GLUED_COMMENT = re.compile(r"#\w")
#: keys whose block scalar is a message, not configuration
_FREE_BLOCKS = frozenset({"inline"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, and its key if it has one."""

    value: Mark
    key: Mark | None = None
    #: "" plain, ' " | > as in YAML, { mapping, [ list
    style: str = ""


@dataclass(slots=True)
class Tree:
    """A file as it was written."""

    root: Any = None
    places: dict[Loc, Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


class _Stop(Exception):
    """The rest of the file cannot be read."""


def parse_tree(file: str, raw: bytes, *, prefix: Loc, known_keys: frozenset[str]) -> Tree:
    """
    Return the file's tree; what is wrong with it is in its findings.

    Args:
        prefix: put before every place, such as ``("medbus.yaml",)``.
        known_keys: keys that a block scalar should not be seen to swallow.
    """
    return _Reader(file, prefix, known_keys).read(raw)


class _Reader:
    def __init__(self, file: str, prefix: Loc, known_keys: frozenset[str]) -> None:
        self.file = file
        self.prefix = prefix
        self.known_keys = known_keys
        self.tree = Tree()
        self.lines: list[str] = []
        self.events: Iterator[Any] = iter(())

    def read(self, raw: bytes) -> Tree:
        try:
            self._read(raw)
        except _Stop:
            pass
        except yaml.YAMLError as error:
            self._syntax(error)
        return self.tree

    def _read(self, raw: bytes) -> None:
        if len(raw) > MAX_BYTES:
            self._find("CFG-007", f"the file is larger than {MAX_BYTES // 1000} KB", "split it")
            return
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            self._find(
                "CFG-007", "the file is not UTF-8", "save it as UTF-8", Mark(self.file, line)
            )
            return
        self.lines = text.splitlines()
        self.events = iter(yaml.parse(text, Loader=_Loader))
        next(self.events)  # stream start
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return
        self.tree.root = self._node(next(self.events), self.prefix, "", None, 1)
        next(self.events)  # document end
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            mark = self._mark(event.start_mark)
            self._find("CFG-001", "a second document begins here", "one file is one document", mark)

    # -- nodes --------------------------------------------------------------

    def _node(self, event: Any, loc: Loc, key: str, key_mark: Mark | None, depth: int) -> Any:
        mark = self._mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            what = f"*{event.anchor} is a YAML alias, and those are not used here"
            self._find("CFG-004", what, "quote the value, or write it out", mark)
            return ""
        self._refuse_marks(event, mark)
        if depth > MAX_DEPTH:
            self._find("CFG-007", f"deeper than {MAX_DEPTH} levels", "flatten it", mark)
            raise _Stop
        if isinstance(event, yaml.ScalarEvent):
            self.tree.places[loc] = Place(mark, key_mark, event.style or "")
            return self._scalar(event, key, mark)
        if isinstance(event, yaml.SequenceStartEvent):
            self.tree.places[loc] = Place(mark, key_mark, "[")
            return self._sequence(loc, depth)
        self.tree.places[loc] = Place(mark, key_mark, "{")
        return self._mapping(loc, mark, depth)

    def _sequence(self, loc: Loc, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*loc, len(items)), "the item", None, depth + 1))
        return items

    def _mapping(self, loc: Loc, start: Mark, depth: int) -> YamlMap | str:
        is_odd = False
        mapping = YamlMap()
        mapping.loc = loc
        first_lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            mark = self._mark(event.start_mark)
            if not isinstance(event, yaml.ScalarEvent):
                self._skip_odd_key(event, start, loc, depth)
                is_odd = True
                continue
            self._refuse_marks(event, mark)
            name: str = event.value
            known = first_lines.setdefault(name, mark.line)
            is_twice = name in mapping
            value = self._node(next(self.events), (*loc, name), name, mark, depth + 1)
            if is_twice:
                what = f"{name} is given twice; the first is in line {known}"
                self._find("CFG-003", what, "remove one of them", mark)
            elif not name.startswith("x-"):
                mapping[name] = value
        # {{ x }} without quotes is a mapping to YAML, but a text to its author.
        return "" if is_odd and not mapping else mapping

    def _skip_odd_key(self, event: Any, mark: Mark, loc: Loc, depth: int) -> None:
        fix = 'a value that begins with {{ or [ is quoted: "{{ PID-5.1 }}"'
        self._find("CFG-001", "a key is a plain word, not a list or mapping", fix, mark)
        if not isinstance(event, yaml.AliasEvent):
            self._quietly(event, loc, depth)
        self._quietly(next(self.events), loc, depth)

    def _quietly(self, event: Any, loc: Loc, depth: int) -> None:
        """Read a node that was already found to be wrong, without further findings."""
        before = len(self.tree.findings)
        places = dict(self.tree.places)
        self._node(event, (*loc, "?"), "", None, depth + 1)
        self.tree.places = places
        del self.tree.findings[before:]

    # -- scalars ------------------------------------------------------------

    def _scalar(self, event: Any, key: str, mark: Mark) -> str:
        text: str = event.value
        if event.style in ("|", ">"):
            return self._block(event, key, mark)
        if event.style:
            return text
        end = event.end_mark
        rest = self.lines[end.line][end.column :].strip() if end.line < len(self.lines) else ""
        if not text and rest.startswith("#"):
            what = f"{key or 'the file'} has no value: what stands after # is a comment"
            self._find("CFG-006", what, 'quote it if it is meant: "#…"', mark)
        elif not text:
            what = f"{key or 'the file'} has no value"
            self._find("CFG-005", what, 'write a value, "" for an empty one', mark)
        elif rest.startswith("#") and _is_cut(text):
            what = "a # within quotes or braces begins a comment here and cuts the value off"
            self._find("CFG-006", what, "put the whole value in quotes", mark)
        elif _GLUED_COMMENT.match(rest):
            what = f"the value ends before {rest.split()[0]}: after a blank, # begins a comment"
            self._find("CFG-006", what, "quote the value; write a comment as # text", mark)
        return text

    def _block(self, event: Any, key: str, mark: Mark) -> str:
        text: str = event.value
        header = self.lines[mark.line - 1][mark.column - 1 :]
        if not text.strip() or re.match(r"[|>][+-]?\d", header):
            what = f"{header[:1]} begins a block of lines here and eats the value"
            self._find("CFG-006", what, f'quote it: "{header.strip()}"', mark)
            return text
        if key in _FREE_BLOCKS:
            return text
        for number in range(mark.line, min(event.end_mark.line, len(self.lines))):
            match = _KEY_LINE.match(self.lines[number])
            if match and match[1] in self.known_keys:
                what = f"the block of {key} eats the line of {match[1]}"
                fix = f"indent {match[1]} less than the block, or quote the value of {key}"
                self._find("CFG-006", what, fix, Mark(self.file, number + 1, match.start(1) + 1))
        return text.rstrip("\n")

    # -- findings -----------------------------------------------------------

    def _refuse_marks(self, event: Any, mark: Mark) -> None:
        if event.anchor is not None:
            what = f"&{event.anchor} is a YAML anchor, and those are not used here"
            self._find("CFG-004", what, "quote the value, or use apply for what repeats", mark)
        if event.tag is not None:
            what = f"{event.tag} is a YAML tag, and those are not used here"
            self._find("CFG-004", what, "remove it, or quote the value", mark)

    def _find(self, code: str, what: str, fix: str, mark: Mark | None = None) -> None:
        self.tree.findings.append(Finding(code, what, fix, mark=mark or Mark(self.file)))

    def _mark(self, mark: Any) -> Mark:
        return Mark(self.file, mark.line + 1, mark.column + 1)

    def _syntax(self, error: yaml.YAMLError) -> None:
        if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
            what = getattr(error, "reason", None) or "it cannot be read"
            self._find("CFG-001", f"this is not YAML: {what}", "remove control characters")
            return
        mark = self._mark(error.problem_mark)
        at = error.problem_mark.line
        # What was found on the line that cannot be read is a consequence of it.
        findings = self.tree.findings
        findings[:] = [f for f in findings if f.mark is None or f.mark.line != mark.line]
        line = self.lines[at] if at < len(self.lines) else ""
        context = f" {error.context}" if error.context else ""
        fix = _syntax_fix(line, str(error.problem))
        self._find("CFG-001", f"this is not YAML: {error.problem}{context}", fix, mark)


def _is_cut(text: str) -> bool:
    """Return whether quotes or braces are open at the end of a plain scalar."""
    return (
        text.count("'") % 2 == 1 or text.count('"') % 2 == 1 or text.count("{{") > text.count("}}")
    )


def _syntax_fix(line: str, problem: str) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not tabs"
    if "block scalar" in problem:
        return "quote a value that begins with > or |"
    if "escape character" in problem:
        return "a backslash is special in double quotes; use single quotes"
    if "{" in line and "[" in line:
        return "within { } quote every path that has [ ]"
    if "{{" in line:
        return 'quote a value that has braces: "{{ PID-5.1 }}"'
    if "mapping values" in problem:
        return "quote a value that holds a colon; a key ends with a colon and a blank"
    if "expected key" in problem and not set(line) & set("'\""):
        return "begin the keys of one mapping in the same column"
    if " #" in line:
        return "a # after a space begins a comment; quote the value"
    return "quote the whole value if it has quotes, braces, colons, &, *, !, % or @"
