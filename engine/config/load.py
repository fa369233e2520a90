"""
Load a site from its files: pure, strict, and never raising for what a user wrote.

Rules of this file: every part is read on its own, so that all findings come at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from engine.config import rules
from engine.config.explain import explain_errors, known_keys, nearest
from engine.config.loaded import SITE_FILE, LoadedSite
from engine.config.models.base import YamlMap
from engine.config.models.inbound import Inbound
from engine.config.models.outbound import Outbound
from engine.config.models.profiles import Profile
from engine.config.models.route import ChannelFile, Route, TransformFile
from engine.config.models.settings import Environment, SiteSettings
from engine.config.models.site import Site
from engine.config.models.tables import LookupTable
from engine.config.models.tests import ChannelTest, TestFile
from engine.config.read_table import read_table
from engine.config.substitute import FromEnviron, FromVars, read_value_files, replace_scalars
from engine.config.yaml_tree import Place, Tree, parse_tree
from engine.model.finding import Finding, Loc, Mark, has_errors

_ITEM_MODELS: dict[str, type[BaseModel]] = {
    "inbound": Inbound,
    "outbound": Outbound,
    "routes": Route,
}
#: codes of values that could not be read or filled in
_GAPS = frozenset({"CFG-004", "CFG-005", "CFG-006", "CFG-020", "CFG-021", "CFG-024"})
_M = TypeVar("_M", bound=BaseModel)


def load_site(
    files: Mapping[str, bytes], *, environ: Mapping[str, str], env_name: str | None = None
) -> LoadedSite:
    """
    Return the site, or what is wrong with it, from its files.

    Args:
        files: path relative to the site (with /) -> content.
        environ: the environment variables that ${NAME} may name.
        env_name: which environments/NAME.yaml holds, or None.
    """
    return _Loading(files, environ, env_name).load()


class _Loading:
    def __init__(
        self, files: Mapping[str, bytes], environ: Mapping[str, str], env_name: str | None
    ) -> None:
        self.files = files
        self.env_name = env_name
        self.findings: list[Finding] = []
        self.places: dict[Loc, Place] = {}
        self.from_environ = FromEnviron(environ, self.findings)
        self.declared: dict[str, dict[str, Loc]] = {
            kind: {} for kind in (*_ITEM_MODELS, "transforms", "tables", "profiles")
        }
        self.known = _all_keys()

    def load(self) -> LoadedSite:
        raw = {kind: YamlMap() for kind in _ITEM_MODELS}
        settings = self._read(SITE_FILE, (SITE_FILE,)) if SITE_FILE in self.files else None
        if settings is None and SITE_FILE not in self.files:
            self._find(
                "CFG-028", "there is no medbus.yaml", "begin with: medbus init DIR", SITE_FILE
            )
        for file in _under(self.files, "channels", ".yaml"):
            if not file.endswith("_test.yaml"):
                self._channels(file, raw)
        vars_ = self._environment(settings, raw)
        site = self._site(settings, raw, vars_)
        self._rules(site)
        loaded = LoadedSite(
            None, [], self.from_environ.used, site, self.declared, self.places, self.files
        )
        found = loaded.located(self.findings)
        # What else is wrong with a value that could not be read or filled in, is a consequence.
        gaps = {finding.mark for finding in found if finding.code in _GAPS}
        loaded.findings = [f for f in found if f.code in _GAPS or f.mark not in gaps]
        if not has_errors(loaded.findings):
            loaded.site = site
        return loaded

    # -- reading ------------------------------------------------------------

    def _read(self, file: str, prefix: Loc) -> Any:
        """Return the file's tree with the environment filled in; its places are kept."""
        tree: Tree = parse_tree(file, self.files[file], prefix=prefix, known_keys=self.known)
        self.findings.extend(tree.findings)
        self.places.update(tree.places)
        self.places.setdefault(prefix, Place(Mark(file)))
        root = replace_scalars(tree.root, prefix, self.from_environ)
        return read_value_files(root, prefix, files=self.files, findings=self.findings)

    def _channels(self, file: str, raw: dict[str, YamlMap]) -> None:
        tree = parse_tree(file, self.files[file], prefix=(file,), known_keys=self.known)
        self.findings.extend(tree.findings)
        self.places.update(tree.places)
        self.places.setdefault((file,), Place(Mark(file)))
        root = tree.root
        if root is None:
            return
        if not isinstance(root, Mapping):
            self._find("CFG-009", "this should be a mapping (key: value)", "", file)
            return
        for kind, items in root.items():
            if kind in _ITEM_MODELS and isinstance(items, Mapping):
                self.places.setdefault((kind,), tree.places[(file, kind)])
                fresh = set(items) - set(raw[kind])
                self._items(file, kind, items, raw[kind])
                for loc, place in tree.places.items():
                    if loc[1:2] == (kind,) and len(loc) > 3 and loc[2] in fresh:
                        self.places[loc[1:]] = place
            elif kind in _ITEM_MODELS:
                self._at((file, kind), "CFG-009", "this should be a mapping (name: …)")
            else:
                fix = nearest(kind, _ITEM_MODELS) or "known here: inbound, outbound, routes"
                self._at((file, kind), "CFG-002", f"unknown key {kind}", fix, at_key=True)

    def _items(self, file: str, kind: str, items: Mapping[str, Any], into: YamlMap) -> None:
        for name, item in items.items():
            loc: Loc = (kind, name)
            if name in into:
                first = self.places[loc].key
                what = f"{name} is declared twice; the first is at {first}"
                self._at((file, kind, name), "CFG-003", what, "rename one of them", at_key=True)
                continue
            self.declared[kind][name] = loc
            self.places[loc] = self.places[(file, kind, name)]
            item = replace_scalars(_relocated(item, loc), loc, self.from_environ)
            into[name] = read_value_files(item, loc, files=self.files, findings=self.findings)

    def _move_places(self, source: Loc, target: Loc) -> None:
        size = len(source)
        moved = {
            target + loc[size:]: place for loc, place in self.places.items() if loc[:size] == source
        }
        self.places.update(moved)

    # -- environments/NAME.yaml ---------------------------------------------

    def _environment(self, settings: Any, raw: dict[str, YamlMap]) -> dict[str, str]:
        vars_ = _text_map(settings.get("vars")) if isinstance(settings, Mapping) else {}
        file = f"environments/{self.env_name}.yaml"
        all_files = _under(self.files, "environments", ".yaml", deep=False)
        for other in all_files:
            if other != file:
                self._other_environment(other)
        if self.env_name is None:
            return vars_
        if file not in self.files:
            there = [PurePosixPath(name).stem for name in all_files]
            fix = nearest(self.env_name, there) or "known: " + (", ".join(there) or "none")
            self._find("CFG-029", f"there is no {file}", fix, SITE_FILE)
            return vars_
        tree = self._read(file, (file,))
        environment = self._model(Environment, tree, (file,))
        if environment is None:
            return vars_
        self._overrides(file, environment.overrides, settings, raw)
        return {**vars_, **environment.vars}

    def _other_environment(self, file: str) -> None:
        """Look at an environment that is not the chosen one; its variables may be set elsewhere."""
        tree = parse_tree(file, self.files[file], prefix=(file,), known_keys=self.known)
        self.findings.extend(tree.findings)
        self.places.update(tree.places)
        self.places.setdefault((file,), Place(Mark(file)))
        self._model(Environment, tree.root, (file,))

    def _overrides(
        self, file: str, overrides: Mapping[str, Any], settings: Any, raw: dict[str, YamlMap]
    ) -> None:
        for key, value in overrides.items():
            source: Loc = (file, "overrides", key)
            if key not in _ITEM_MODELS:
                if isinstance(settings, dict):
                    self._merge(settings, key, value, source, (SITE_FILE, key))
                continue
            if not isinstance(value, Mapping):
                self._at(source, "CFG-009", "this should be a mapping (name: …)")
                continue
            for name, item in value.items():
                if name in raw[key]:
                    self._merge(raw[key], name, item, (*source, name), (key, name))
                    continue
                what = f"there is no {name} to override in {key}"
                self._at((*source, name), "CFG-029", what, nearest(name, raw[key]), at_key=True)

    def _merge(self, into: dict[str, Any], key: str, value: Any, source: Loc, target: Loc) -> None:
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            for inner, item in value.items():
                self._merge(old, inner, item, (*source, inner), (*target, inner))
            return
        size = len(target)
        self.places = {loc: at for loc, at in self.places.items() if loc[:size] != target}
        self._move_places(source, target)
        into[key] = _relocated(value, target)

    # -- models -------------------------------------------------------------

    def _site(self, settings: Any, raw: dict[str, YamlMap], vars_: dict[str, str]) -> Site:
        fill = FromVars(vars_, self.findings)
        parts = {
            kind: {
                name: model
                for name, item in items.items()
                if (model := self._filled(_ITEM_MODELS[kind], item, (kind, name), fill))
            }
            for kind, items in raw.items()
        }
        whole = None
        if SITE_FILE in self.files:
            whole = self._filled(SiteSettings, settings or YamlMap(), (SITE_FILE,), fill)
        return Site(
            settings=whole or SiteSettings(site="site"),
            vars=vars_,
            inbound=parts["inbound"],  # type: ignore[arg-type]
            outbound=parts["outbound"],  # type: ignore[arg-type]
            routes=parts["routes"],  # type: ignore[arg-type]
            transforms={
                name: model.steps
                for name, model in self._named("transforms", "transforms", TransformFile).items()
            },
            tables=self._tables(),
            profiles=self._named("profiles", "transforms/deid", Profile),
            templates=self._sources("transforms/templates", ".j2", keep_suffix=True),
            python=self._sources("transforms/python", ".py", keep_suffix=False),
            tests=self._tests(fill),
            files=self.files,
        )

    def _filled(self, model: type[_M], value: Any, loc: Loc, fill: FromVars) -> _M | None:
        return self._model(model, replace_scalars(value, loc, fill), loc)

    def _model(self, model: type[_M], value: Any, loc: Loc) -> _M | None:
        try:
            return model.model_validate(value if value is not None else YamlMap())
        except ValidationError as error:
            found = explain_errors(error, prefix=loc, model=model, value=value)
            self.findings.extend(found)
            return None

    def _named(self, kind: str, folder: str, model: type[_M]) -> dict[str, _M]:
        found = {}
        for file in _under(self.files, folder, ".yaml", deep=False):
            name = PurePosixPath(file).stem
            self.declared[kind][name] = (kind, name)
            value = self._read(file, (kind, name))
            if (item := self._model(model, value, (kind, name))) is not None:
                found[name] = item
        return found

    def _tables(self) -> dict[str, LookupTable]:
        tables = {}
        for file in _under(self.files, "transforms/tables", ".csv", deep=False):
            name = PurePosixPath(file).stem
            self.declared["tables"][name] = ("tables", name)
            table, findings = read_table(name, file, self.files[file])
            self.findings.extend(findings)
            if table is not None:
                tables[name] = table
        return tables

    def _sources(self, folder: str, suffix: str, *, keep_suffix: bool) -> dict[str, str]:
        sources = {}
        for file in _under(self.files, folder, suffix):
            name = file[len(folder) + 1 :]
            try:
                text = self.files[file].decode("utf-8-sig")
            except UnicodeDecodeError:
                self._find("CFG-007", "the file is not UTF-8", "save it as UTF-8", file)
                continue
            name = name if keep_suffix else name.removesuffix(suffix)
            self.places[(PurePosixPath(folder).name, name)] = Place(Mark(file))
            sources[name] = text
        return sources

    def _tests(self, fill: FromVars) -> tuple[tuple[str, ChannelTest], ...]:
        tests: list[tuple[str, ChannelTest]] = []
        for file in _under(self.files, "channels", "_test.yaml"):
            value = replace_scalars(self._read(file, ("tests", file)), ("tests", file), fill)
            items = value.get("tests") if isinstance(value, Mapping) else None
            if not isinstance(items, list) or set(value) != {"tests"}:
                self._model(TestFile, value, ("tests", file))
                continue
            for i, item in enumerate(items):
                loc: Loc = ("tests", file, "tests", i)
                if (test := self._model(ChannelTest, item, loc)) is not None:
                    tests.append((file, test))
        return tuple(tests)

    # -- rules and findings -------------------------------------------------

    def _rules(self, site: Site) -> None:
        kinds = {kind: self.declared[kind] for kind in _ITEM_MODELS}
        named = b"".join(raw for name, raw in self.files.items() if name.endswith(".yaml"))
        self.findings.extend(rules.check_files(self.files, named.decode("utf-8", "replace")))
        self.findings.extend(rules.check_names(kinds))
        self.findings.extend(rules.check_exposure(site.inbound, site.outbound, site.http))
        self.findings.extend(rules.check_routes_alone(site.outbound, site.routes))

    def _find(self, code: str, what: str, fix: str, file: str) -> None:
        self.findings.append(Finding(code, what, fix, mark=Mark(file)))

    def _at(self, loc: Loc, code: str, what: str, fix: str = "", *, at_key: bool = False) -> None:
        self.findings.append(Finding(code, what, fix, loc=loc, at_key=at_key))


def _relocated(value: Any, loc: Loc) -> Any:
    """Return *value* with its mappings knowing their place within the whole site."""
    if isinstance(value, list):
        return [_relocated(item, (*loc, i)) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        copy = YamlMap({key: _relocated(item, (*loc, key)) for key, item in value.items()})
        copy.loc = loc
        return copy
    return value


def _under(files: Mapping[str, bytes], folder: str, suffix: str, *, deep: bool = True) -> list[str]:
    """Return the files of a folder, by name."""
    start = folder + "/"
    return sorted(
        name
        for name in files
        if name.startswith(start)
        and name.endswith(suffix)
        and (deep or "/" not in name[len(start) :])
    )


def _text_map(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {key: item for key, item in value.items() if isinstance(item, str)}


def _all_keys() -> frozenset[str]:
    """Return the keys that a block scalar should not be seen to swallow."""
    models: list[type[BaseModel]] = [*_ITEM_MODELS.values(), ChannelFile, SiteSettings]
    keys: set[str] = set()
    for model in models:
        keys |= known_keys(model)
    return frozenset(keys | {"expect", "send", "replies", "where", "set", "lookup", "tests"})


__all__ = ["LoadedSite", "load_site"]
