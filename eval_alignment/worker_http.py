"""The HTTP server of a worker: metrics and health. It runs in a thread, so it answers while the worker is busy."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sinks.access import AccessMiddleware, guard_bind, on_http_error, on_unexpected_error
from sinks.connections import LOOPBACK_NETWORKS
from sinks.exposition import expose
from sinks.listener import HttpServer, ServerLimits, listen
from streams.runtime.health import Health
from streams.runtime.refusals import Refusals

_CONNECTIONS: Final = 100
_GRACE_SECONDS: Final = 1


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
        refusals: Refusals,
        *,
        token_file: Path | None = None,
        allow_open_bind: bool = False,
        allowed_hosts: Sequence[str] = (),
        keep_alive_s: int = 75,
        connections_per_address: int = 100,
        proxy_addresses: Sequence[str] = LOOPBACK_NETWORKS,
    ) -> None:
        tokens = guard_bind(host, token_file, allow_open=allow_open_bind)
        self._socket = listen(host, port)
        self._health = health
        self._registry = registry
        routes = [
            Route("/metrics", self._metrics),
            Route("/healthz", self._live),
            Route("/readyz", self._ready),
        ]
        app = AccessMiddleware(
            Starlette(routes=routes, exception_handlers={HTTPException: on_http_error, Exception: on_unexpected_error}),
            refusals=refusals,
            tokens=tokens,
            allowed_hosts=allowed_hosts,
        )
        self._server = HttpServer(
            app,
            limits=ServerLimits(connections=_CONNECTIONS, per_address=connections_per_address, proxies=proxy_addresses),
            refusals=refusals,
            keep_alive_s=keep_alive_s,
            grace_s=_GRACE_SECONDS,
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="probes", daemon=True
        )

    def start(self) -> None:
        """Start serving; ends with the process."""
        self._thread.start()

    def stop(self) -> None:
        """Finish running requests and close idle connections."""
        self._server.should_exit = True
        self._thread.join(2 * _GRACE_SECONDS)

    def _metrics(self, request: Request) -> Response:
        scraped = expose(self._registry, request.headers.get("accept", ""))
        return Response(scraped.body, headers={"content-type": scraped.content_type})

    def _live(self, _: Request) -> Response:
        live = self._health.live
        return JSONResponse({"live": live, "reasons": [] if live else self._health.reasons}, 200 if live else 503)

    def _ready(self, _: Request) -> Response:
        reasons = self._health.reasons
        quarantined = {str(partition): reason for partition, reason in self._health.quarantined.items()}
        behind = {str(partition): reason for partition, reason in self._health.behind.items()}
        body: dict[str, object] = {
            "ready": not reasons,
            "reasons": reasons,
            "behind": behind,
            "quarantined": quarantined,
            "rebuilding": {str(number): left for number, left in self._health.rebuilding().items() if left},
        }
        if (waiting := self._health.waiting()) is not None:
            body["waiting"] = waiting
        return JSONResponse(body, 503 if reasons else 200)
