"""What de-identification refuses."""

from __future__ import annotations

from engine.model.errors import MedbusError


class DeidError(MedbusError):
    """The message holds a segment the profile does not know and must not pass."""

    code = "DEID-001"
