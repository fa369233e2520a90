"""No key of the YAML is accepted and then forgotten."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from engine.config.models.steps import STEP_ARGS
from engine.config.schema import FILE_KINDS

ENGINE = Path(__file__).parents[2] / "engine"
#: one value only: what it says is what happens anyway
ONLY_ONE_VALUE = {("RetryRule", "then")}


def every_model() -> Iterator[type[BaseModel]]:
    """Yield every model that a key of the YAML leads to."""
    waiting: list[object] = [model for model, _ in FILE_KINDS.values()]
    waiting += STEP_ARGS.values()
    seen: set[object] = set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, type) and issubclass(part, BaseModel) and part not in seen:
            seen.add(part)
            yield part
            waiting += [field.annotation for field in part.model_fields.values()]
        waiting += typing.get_args(part)


def test_every_key_is_read_by_the_engine() -> None:
    """Whatever a site may say, some part of the engine looks at it; the rest is refused."""
    source = "\n".join(
        path.read_text("utf-8")
        for path in ENGINE.rglob("*.py")
        if "models" not in path.parts or path.name == "site.py"
    )
    models = list(every_model())
    assert len(models) > 50
    forgotten = [
        (model.__name__, name)
        for model in models
        for name in model.model_fields
        if not re.search(rf"\.{name}\b|[\"']{name}[\"']", source)
    ]
    assert [one for one in forgotten if one not in ONLY_ONE_VALUE] == []
