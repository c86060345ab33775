"""The HTTP server of a worker: metrics and health. It runs in a thread, so it answers while the worker is busy."""

import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sinks.access import AccessMiddleware, guard_bind, listen, on_http_error
from streams.runtime.health import Health


class Probes:
    """Serves `/metrics`, `/healthz` (503: the worker needs a restart) and `/readyz` (503: it processes no events).

    Raises BindError when the address cannot be bound, or not without a token, and AddressInUseError when another
    program listens on it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        health: Health,
        registry: CollectorRegistry,
        *,
        token_file: Path | None = None,
        allow_open_bind: bool = False,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        token = guard_bind(host, token_file, allow_open=allow_open_bind)
        self._socket = listen(host, port)
        self._health = health
        self._registry = registry
        routes = [
            Route("/metrics", self._metrics),
            Route("/healthz", self._live),
            Route("/readyz", self._ready),
        ]
        app = AccessMiddleware(
            Starlette(routes=routes, exception_handlers={HTTPException: on_http_error}),
            token=token,
            allowed_hosts=allowed_hosts,
        )
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", limit_concurrency=100)
        self._server = uvicorn.Server(config)

    def start(self) -> None:
        """Start serving; ends with the process."""
        threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="probes", daemon=True
        ).start()

    def _metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"content-type": content_type})

    def _live(self, _: Request) -> Response:
        live = self._health.live
        return JSONResponse({"live": live, "reasons": [] if live else self._health.reasons}, 200 if live else 503)

    def _ready(self, _: Request) -> Response:
        reasons = self._health.reasons
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)
