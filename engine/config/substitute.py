"""
Fill in what comes from outside a file: environment variables, vars, values kept in files.

Rules of this file: works on the tree before the models see it; every gap is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from engine.config.explain import nearest
from engine.config.models.base import YamlMap
from engine.model.finding import Finding, Loc

_ENVIRON = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|(\$\{)")
_VARS = re.compile(r"\{\{\s*vars\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
#: below these keys {{ vars.NAME }} is part of the language and is left to it
_LANGUAGE_KEYS = frozenset({"steps", "when", "response", "order_by"})
_LANGUAGE_ROOTS = frozenset({"transforms", "profiles"})

Replace = Callable[[str, Loc], str]


def replace_scalars(value: Any, loc: Loc, replace: Replace) -> Any:
    """Return *value* with every scalar given to *replace*; mappings keep their place."""
    if isinstance(value, str):
        return replace(value, loc)
    if isinstance(value, list):
        return [replace_scalars(item, (*loc, i), replace) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        copy = YamlMap(
            {key: replace_scalars(item, (*loc, key), replace) for key, item in value.items()}
        )
        copy.loc = getattr(value, "loc", loc)
        return copy
    return value


class FromEnviron:
    """Fills in ${NAME} and ${NAME:-default}; remembers what was used."""

    def __init__(self, environ: Mapping[str, str], findings: list[Finding]) -> None:
        self._environ = environ
        self._findings = findings
        self.used: dict[str, str] = {}

    def __call__(self, text: str, loc: Loc) -> str:
        """Return the text with its variables filled in; ``$${`` stands for ``${``."""
        if "${" not in text:
            return text
        return _ENVIRON.sub(lambda match: self._value(match, loc), text)

    def _value(self, match: re.Match[str], loc: Loc) -> str:
        literal, name, default_part, default, broken = match.groups()
        if literal:
            return "${"
        if broken:
            what = "${ begins a variable that is not complete"
            self._report(
                "CFG-020", what, "write ${NAME} or ${NAME:-default}; $${ for the text", loc
            )
            return "${"
        value: str | None = self._environ.get(name)
        if value is not None:
            self.used[name] = value
            return value
        if default_part is None:
            what = f"the environment has no {name}"
            self._report("CFG-020", what, f"set it, or write ${{{name}:-default}}", loc)
        return str(default or "")

    def _report(self, code: str, what: str, fix: str, loc: Loc) -> None:
        self._findings.append(Finding(code, what, fix, loc=loc))


class FromVars:
    """Fills in {{ vars.NAME }} where a value is no template of its own."""

    def __init__(self, vars_: Mapping[str, str], findings: list[Finding]) -> None:
        self._vars = vars_
        self._findings = findings

    def __call__(self, text: str, loc: Loc) -> str:
        """Return the text with its vars filled in, unless the place is a template."""
        if "vars." not in text or is_language(loc):
            return text
        return _VARS.sub(lambda match: self._value(match[1], loc), text)

    def _value(self, name: str, loc: Loc) -> str:
        if name in self._vars:
            return self._vars[name]
        fix = nearest(name, self._vars) or "add it to environments/NAME.yaml under vars"
        self._findings.append(Finding("CFG-021", f"there is no vars.{name}", fix, loc=loc))
        return ""


def is_language(loc: Loc) -> bool:
    """Return whether the value at *loc* is read by the pipeline as expression or template."""
    if not loc or loc[0] in _LANGUAGE_ROOTS:
        return bool(loc)
    if any(part in _LANGUAGE_KEYS for part in loc[2:]):
        return True
    return loc[0] == "outbound" and loc[2:] == ("file", "name")


def read_value_files(
    value: Any, loc: Loc, *, files: Mapping[str, bytes], findings: list[Finding]
) -> Any:
    """Return *value* with each ``KEY_file: PATH`` replaced by ``KEY: content``."""
    if isinstance(value, list):
        return [
            read_value_files(item, (*loc, i), files=files, findings=findings)
            for i, item in enumerate(value)
        ]
    if not isinstance(value, Mapping):
        return value
    result = YamlMap()
    result.loc = getattr(value, "loc", loc)
    for key, item in value.items():
        place = (*loc, key)
        if not key.endswith("_file") or not isinstance(item, str) or is_language(place):
            result[key] = read_value_files(item, place, files=files, findings=findings)
        elif item in files:
            result[key.removesuffix("_file")] = _value_of(files[item], item, place, findings)
        else:
            what = f"{key}: there is no file {item}"
            findings.append(Finding("CFG-024", what, "paths are relative to the site", loc=place))
    return result


def _value_of(raw: bytes, name: str, loc: Loc, findings: list[Finding]) -> str:
    try:
        return raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        findings.append(Finding("CFG-007", f"{name} is not UTF-8", "save it as UTF-8", loc=loc))
        return ""
