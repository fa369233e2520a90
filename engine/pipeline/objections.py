"""Objections to one expression, each with its place in the text."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jinja2 import nodes

from engine.hl7.path import Path
from engine.pipeline.failures import LanguageError
from engine.pipeline.filter_specs import Kind
from engine.pipeline.known import Known
from engine.pipeline.paths_in_jinja import PATH_PREFIX, Rewritten


class Objections(ABC):
    """Collects what is wrong; knows where each path and name was written."""

    def __init__(self, known: Known, rewritten: Rewritten, text: str) -> None:
        self._known = known
        self._rewritten = rewritten
        self._text = text
        #: names that for and set introduce
        self.local: dict[str, Kind] = {}
        self.objections: list[LanguageError] = []
        self.tables_used: set[str] = set()

    def path_of(self, node: nodes.Node) -> Path | None:
        """Return the path *node* stands for, None where it is something else."""
        if isinstance(node, nodes.Name) and node.name.startswith(PATH_PREFIX):
            return self._rewritten.paths[int(node.name[len(PATH_PREFIX) :])]
        return None

    def place_of(self, node: nodes.Node) -> int:
        """Return where in the text *node* begins, as near as is known."""
        for inner in [node, *node.find_all(nodes.Name)]:
            if isinstance(inner, nodes.Name):
                if inner.name.startswith(PATH_PREFIX):
                    return self._rewritten.offsets[int(inner.name[len(PATH_PREFIX) :])]
                return self._rewritten.names.get(inner.name, 0)
        return 0

    def name_place(self, name: str) -> int:
        """Return where the name *name* was first written."""
        return self._rewritten.names.get(name, 0)

    def object(self, code: str, what: str, fix: str = "", *, offset: int = 0) -> Kind:
        """Note an objection; the kind is then unknown."""
        self.objections.append(LanguageError(what, fix, code=code, offset=offset))
        return Kind.ANY

    @abstractmethod
    def kind_of(self, node: nodes.Node) -> Kind:
        """Return what kind of value *node* gives."""
        ...

    def refuse_list(self, node: nodes.Node) -> Kind:
        """Object to a list where one value is needed."""
        return self.object(
            "LNG-011", "this is a list, one value is needed",
            "add | join('~'), | first or | last, or leave out [*]",
            offset=self.place_of(node),
        )  # fmt: skip


def described(kind: Kind) -> str:
    """Return the analyst's word for *kind*."""
    return kind.value if kind is not Kind.ANY else "this"
