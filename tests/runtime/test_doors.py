"""Tests of the inbound channels of a running engine while its configuration changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed

from engine.intake.budget import Budget
from engine.intake.policy import AckWhen, DeliveredBy
from engine.model.records import Settlement
from engine.model.states import DeliveryState
from engine.runtime.doors import Door, Doors
from tests.support.intake import IntakeBench

ADT = b"MSH|^~\\&|HIS|H|LIS|L|20261121||ADT^A01|X1|P|2.5\rPID|1||4711^^^H^MR\r"


def test_a_channel_that_is_taken_away_hears_what_its_senders_wait_for() -> None:
    """A sender that waits for its delivery while a reload takes the channel away gets its AA."""
    bench = IntakeBench(ack=AckWhen.DELIVERED_BY, delivered_by=DeliveredBy("lis"))
    all_gone: Deferred[None] = Deferred()
    listener: Any = SimpleNamespace(
        counts=SimpleNamespace(discarded_bytes=0, oversize_frames=0),
        stop_listening=lambda: succeed(None),
        close_connections=lambda: all_gone,
    )
    bench.channel.listener = listener
    model: Any = None
    doors = Doors(bench.seams, site_folder=Path(), budget=Budget(), respond=lambda *asked: None)
    doors.doors["his"] = Door("his", model, bench.channel)
    no_channels: Any = SimpleNamespace(site=SimpleNamespace(inbound={}))
    reply = bench.send(ADT)

    async def reload() -> None:
        applying = asyncio.ensure_future(doors.apply(no_channels, frozenset))
        await asyncio.sleep(0)
        (due,) = bench.offered
        doors.settled(due, Settlement(due.delivery_id, 1, DeliveryState.DELIVERED))
        all_gone.callback(None)
        await applying

    assert reply.ack is None
    asyncio.run(reload())
    assert reply.field("MSA", 1) == "AA"
    assert doors.doors == {}
