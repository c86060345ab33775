"""No client of a view takes all places of its requests.

In the queue of `sinks.request_pool` clients take turns, but its length is one for all: a client with many connections
would fill it again and again, and all others would be refused.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sinks.access import asks_for_health, client_address, problem
from sinks.api.routes import STREAM_PATH
from sinks.connections import ClientAddresses
from sinks.request_pool import CLIENT

SHARE: Final = 32
"""Most requests of one client that are answered together, less than half of what may run and wait; a proxy may have
all.
"""


class RequestShares:
    """ASGI middleware that refuses requests of a client beyond its share.

    A stream counts until it begins; then it has a limit of its own.

    Args:
        app: the application. It gets paths as the client sent them.
        proxies: networks in CIDR notation whose addresses send requests of others.
        refused: called with the address of each request that is refused.
    """

    def __init__(self, app: ASGIApp, proxies: Iterable[str], refused: Callable[[str], object]) -> None:
        self._app = app
        self._addresses = ClientAddresses(proxies)
        self._refused = refused
        self._open: Counter[str] = Counter()
        """Requests that are being answered, by client."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse a request."""
        client, is_proxy = self._addresses.client(client_address(scope))
        CLIENT.set(client)
        if is_proxy or asks_for_health(scope):
            await self._app(scope, receive, send)
            return
        if self._open[client] >= SHARE:
            self._refused(client)
            why = f"too many requests of one address: at most {SHARE} are answered together, retry later"
            await problem(503, why, {"Retry-After": "1"})(scope, receive, send)
            return
        with contextlib.ExitStack() as place:
            self._open[client] += 1
            place.callback(self._leave, client)

            async def begin(message: Message) -> None:
                place.close()
                await send(message)

            await self._app(scope, receive, begin if scope["path"] == STREAM_PATH else send)

    def _leave(self, client: str) -> None:
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]
