"""
The HTTP endpoint: /metrics for Prometheus and /health for load balancers and supervisors.

Rules of this file: counts and states only; there is nothing to log in to and nothing to change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def make_app(registry: CollectorRegistry, health: Callable[[], dict[str, Any]]) -> Starlette:
    """
    Return the application.

    Args:
        health: the answer of /health; its ``state`` decides between 200 and 503.
    """

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def healthy(_: Request) -> Response:
        told = health()
        return JSONResponse(told, status_code=200 if told["state"] == "running" else 503)

    return Starlette(
        routes=[Route("/metrics", metrics), Route("/health", healthy)],
    )
