"""The application of a view: the HTTP API and the page, with the access rules around both."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from sinks.access import AccessMiddleware, AccessToken, on_http_error, on_unexpected_error
from sinks.api.openapi import OPENAPI_PATH
from sinks.api.routes import api_routes
from sinks.api.services import Services
from sinks.page.badge import is_badge
from sinks.page.routes import Pages
from sinks.request_shares import RequestShares
from streams.runtime.refusals import RefusalReason


def create_app(services: Services, tokens: Sequence[AccessToken] = ()) -> ASGIApp:
    """Create the ASGI application of a view.

    Args:
        services: what the handlers read from.
        tokens: clients must send one of them, as for `AccessMiddleware`; empty admits every client.
    """
    pages = Pages(services)

    async def unknown_path(request: Request) -> Response:
        path = request.scope["path"]
        detail = f"path {path!r} not found"
        if path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
            raise HTTPException(404, f"{detail}: {OPENAPI_PATH} lists the paths of the HTTP API")
        return await pages.error(HTTPException(404, detail))

    app = Starlette(
        routes=[*api_routes(services), *pages.routes()],
        exception_handlers={HTTPException: on_http_error, Exception: on_unexpected_error},
    )
    app.router.redirect_slashes = False
    app.router.default = request_response(unknown_path)
    config, refusals = services.config, services.metrics.refusals
    shared = RequestShares(app, config.proxy_addresses, lambda client: refusals.note(RefusalReason.BUSY, client))
    return AccessMiddleware(
        RawPathMiddleware(shared),
        refusals=refusals,
        tokens=tokens,
        allowed_hosts=(config.host, *config.allowed_hosts),
        is_public=lambda scope: config.public_badges and is_badge(scope),
    )


class RawPathMiddleware:
    """Routes on the path as the client sent it, before percent-decoding: a queue's name may contain `/`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request with its undecoded path; handlers decode the names in it."""
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].split(b"?")[0].decode("latin-1")}
        await self._app(scope, receive, send)
