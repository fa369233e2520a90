"""The decorator of the records on the hot path: frozen for the type checker, quick to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    # By this name the checker knows what it is, and lets nobody change one.
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, slots: bool) -> Callable[[type[T]], type[T]]:
        """
        Return a dataclass decorator whose classes are compared and hashed as frozen ones.

        A frozen class sets each field through ``object.__setattr__``, which doubles what it costs
        to make one; a message makes half a dozen with eighty fields.
        """
        return dataclass(slots=slots, unsafe_hash=frozen)


__all__ = ["record"]
