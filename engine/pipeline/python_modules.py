"""
The modules and tables of a site inside a Python worker: made once per configuration.

Rules of this file: sources come as text from the configuration that is run, never from a folder, so
that a trace runs exactly what ran then; modules of transforms/python may import each other.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import sys
import types
from collections.abc import Mapping
from typing import Any

from engine.pipeline.tables import Table


class SiteModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The modules of one configuration; also the finder that imports between them go through."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = sources
        self._modules: dict[str, types.ModuleType] = {}
        self._tables: dict[str, Table] = {}

    def get_module(self, name: str) -> types.ModuleType:
        """Return the module *name*, run once."""
        module = self._modules.get(name)
        if module is None:
            module = self._modules[name] = types.ModuleType(name)
            try:
                self._run(module)
            except BaseException:
                del self._modules[name]
                raise
        return module

    def get_table(self, name: str) -> Table:
        """Return the lookup table *name*; KeyError where there is none."""
        if name not in self._tables:
            source = self.sources.get(f"tables/{name}.json")
            if source is None:
                raise KeyError(f"there is no table {name}")
            read = json.loads(source)
            self._tables[name] = Table(name, read["columns"], [tuple(row) for row in read["rows"]])
        return self._tables[name]

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module of the site for an import in another one."""
        if fullname not in self.sources:
            return None
        origin = f"transforms/python/{fullname}.py"
        return importlib.machinery.ModuleSpec(fullname, self, origin=origin)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return the one module of that name, already run."""
        return self.get_module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: create_module has run it."""

    def _run(self, module: types.ModuleType) -> None:
        module.__file__ = f"transforms/python/{module.__name__}.py"
        code = compile(self.sources[module.__name__], module.__file__, "exec")
        exec(code, module.__dict__)  # noqa: S102 - trusted code of the site's own folder

    def forget(self) -> None:
        """Take the modules out of Python's import machinery."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
        for name, module in self._modules.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


_current: SiteModules | None = None


def modules_of(sources: Mapping[str, str]) -> SiteModules:
    """Return the modules of *sources*; another object of sources is another configuration."""
    global _current
    if _current is None or _current.sources is not sources:
        if _current is not None:
            _current.forget()
        _current = SiteModules(sources)
        sys.meta_path.append(_current)
    return _current
