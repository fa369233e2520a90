"""The HTTP endpoint inside the engine's loop."""

from __future__ import annotations

import asyncio
import socket
import urllib.error
import urllib.request
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from engine.model.errors import MedbusError
from engine.web.app import make_app
from engine.web.server import HttpServer


def fetch(health: dict[str, Any], *paths: str) -> list[tuple[int, str]]:
    """Serve for a moment; return status and text of each path."""
    registry = CollectorRegistry()
    Gauge("medbus_alarms", "Alarms now", registry=registry).set(3)

    def get(url: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    async def run() -> list[tuple[int, str]]:
        server = HttpServer(make_app(registry, lambda: health), "127.0.0.1", 0)
        await server.start()
        base = f"http://127.0.0.1:{server.port}"
        told = [await asyncio.to_thread(get, base + path) for path in paths]
        await server.stop()
        return told

    return asyncio.run(run())


def test_metrics_are_in_the_format_prometheus_reads() -> None:
    """If this failed, no monitoring could scrape the engine."""
    [(status, text)] = fetch({"state": "running"}, "/metrics")
    assert status == 200
    assert "medbus_alarms 3.0" in text


@pytest.mark.parametrize(("state", "status"), [("running", 200), ("stopping", 503)])
def test_health_tells_a_load_balancer_when_to_look_elsewhere(state: str, status: int) -> None:
    """If this failed, traffic would go to an engine that is stopping."""
    assert fetch({"state": state}, "/health")[0][0] == status


def test_there_is_nothing_else_to_ask_for() -> None:
    """If this failed, the endpoint would serve more than counts without a login."""
    paths = ("/", "/messages", "/docs", "/openapi.json")
    assert {status for status, _ in fetch({"state": "running"}, *paths)} == {404}


def test_a_taken_port_is_told_plainly() -> None:
    """If this failed, a second engine on the port would end in a traceback."""

    async def run(port: int) -> None:
        server = HttpServer(
            make_app(CollectorRegistry(), lambda: {"state": "running"}), "127.0.0.1", port
        )
        await server.start()

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(MedbusError) as refused:
        asyncio.run(run(taken.getsockname()[1]))
    assert refused.value.code == "RUN-032"
