"""
Metrics for Prometheus: numbers the engine keeps anyway, read when somebody asks.

Rules of this file: the message path only adds plain numbers; labels are channel names, states and
codes, never ids.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from engine.runtime.engine import Engine

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Histogram:
    """A histogram of seconds: one list, no locks, no labels; cheap enough for every message."""

    __slots__ = ("about", "counts", "name", "total_s")

    def __init__(self, name: str, about: str) -> None:
        self.name, self.about = name, about
        self.counts = [0] * (len(_BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(_BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def family(self) -> HistogramMetricFamily:
        """Return it in Prometheus's words."""
        buckets, seen = [], 0
        for bound, count in zip([*map(str, _BOUNDS_S), "+Inf"], self.counts, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        return HistogramMetricFamily(self.name, self.about, buckets, self.total_s)


class EngineCollector(Collector):
    """Turns the engine's own numbers into metrics."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Return everything, read now; called on the loop."""
        yield from self._inbound()
        yield from self._outbound()
        yield from self._machine()
        yield self._engine.ack_times.family()
        yield self._engine.delivery_times.family()

    def _inbound(self) -> Iterator[Metric]:
        messages = CounterMetricFamily(
            "medbus_messages", "Messages since the start", labels=("inbound", "state")
        )
        received = CounterMetricFamily(
            "medbus_received_bytes", "Bytes of messages since the start", labels=("inbound",)
        )
        connections = GaugeMetricFamily("medbus_connections", "Open", labels=("inbound",))
        discarded = CounterMetricFamily(
            "medbus_discarded_bytes", "Bytes outside of frames", labels=("inbound",)
        )
        refused = CounterMetricFamily(
            "medbus_refused_connections", "Connections not let in", labels=("inbound",)
        )
        dropped = CounterMetricFamily(
            "medbus_dropped_connections", "Closed: idle, slow, no MLLP", labels=("inbound",)
        )
        no_tls = CounterMetricFamily(
            "medbus_tls_failures", "Connections without a TLS handshake", labels=("inbound",)
        )
        unencrypted = 0
        for name, door in self._engine.doors.doors.items():
            counts, listener = door.channel.counts, door.channel.listener
            for state in ("accepted", "rejected", "duplicates", "not_stored"):
                label = state.removesuffix("s")
                messages.add_metric((name, label), getattr(counts, state))
            received.add_metric((name,), counts.received_bytes)
            unencrypted += door.model.mllp.tls is None
            if listener is not None:
                connections.add_metric((name,), listener.connection_count)
                discarded.add_metric((name,), listener.counts.discarded_bytes)
                refused.add_metric((name,), listener.counts.refused_connections)
                dropped.add_metric((name,), listener.counts.dropped_connections)
                no_tls.add_metric((name,), listener.counts.tls_failures)
        yield from (messages, received, connections, discarded, refused, dropped, no_tls)
        site = self._engine.configuration.site
        unencrypted += sum(
            model.mllp is not None and model.mllp.tls is None for model in site.outbound.values()
        )
        yield GaugeMetricFamily(
            "medbus_interfaces_unencrypted", "MLLP channels without TLS", unencrypted
        )

    def _outbound(self) -> Iterator[Metric]:
        now = self._engine.clock.now()
        depth = GaugeMetricFamily(
            "medbus_deliveries", "Deliveries not settled", labels=("outbound", "state")
        )
        oldest = GaugeMetricFamily(
            "medbus_oldest_delivery_seconds", "Age of the oldest one owed", labels=("outbound",)
        )
        for name, counts in self._engine.store.counts().outbounds.items():
            for state in ("pending", "parked", "held"):
                depth.add_metric((name, state), getattr(counts, state))
            oldest.add_metric((name,), max(now - counts.oldest_at, 0.0) if counts.oldest_at else 0)
        yield depth
        yield oldest
        attempts = CounterMetricFamily(
            "medbus_attempts", "Tries to deliver since the start", labels=("outbound", "outcome")
        )
        up = GaugeMetricFamily(
            "medbus_outbound_up", "1 unless it cannot connect", labels=("outbound",)
        )
        for name, outcomes in self._engine.exits.outcomes().items():
            for outcome, count in outcomes.items():
                attempts.add_metric((name, outcome), count)
        for name, since in self._engine.exits.down_since().items():
            up.add_metric((name,), 0 if since else 1)
        yield attempts
        yield up

    def _machine(self) -> Iterator[Metric]:
        engine = self._engine
        alarms = GaugeMetricFamily("medbus_alarms", "Alarms now", labels=("code",))
        for code, count in engine.board.by_code().items():
            alarms.add_metric((code,), count)
        yield alarms
        yield GaugeMetricFamily(
            "medbus_writer_queue_bytes", "Waiting for their commit", engine.writer.queue_bytes
        )
        yield GaugeMetricFamily(
            "medbus_in_flight_bytes", "Frames and outputs in memory", engine.budget.used
        )
        yield GaugeMetricFamily("medbus_writer_depth", "Works in commit", engine.writer.depth)
        yield GaugeMetricFamily(
            "medbus_started_at_seconds", "When the engine started", engine.started_at
        )


def make_registry(engine: Engine) -> CollectorRegistry:
    """Return the registry of one engine."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EngineCollector(engine))
    return registry
