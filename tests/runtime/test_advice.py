"""What a person is told to do about a parked delivery."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.records import StoredDelivery
from engine.model.states import DeliveryState, ParkCode
from engine.runtime.advice import advise_parked

PARKED = StoredDelivery(
    "20261121-1.2", "20261121-1", 7, "his", "all", "lis", DeliveryState.PARKED, 0.0, 1, False,
    park_code="nack",
)  # fmt: skip


@pytest.mark.parametrize("code", [code.value for code in ParkCode])
def test_every_code_has_a_next_step_that_can_be_typed(code: str) -> None:
    """If this failed, somebody at night would know what is wrong and not what to do."""
    told = advise_parked(replace(PARKED, park_code=code), holds_others=False)
    assert "`medbus requeue 20261121-1.2`" in told
    assert "{" not in told


def test_a_release_is_offered_where_others_wait_behind() -> None:
    """If this failed, an operator would not learn that the followers need not wait."""
    assert "medbus release" not in advise_parked(PARKED, holds_others=False)
    assert "`medbus release 20261121-1.2`" in advise_parked(PARKED, holds_others=True)
