"""What a listener refuses or cuts off: counted by a metric, and logged once per some seconds."""

import logging
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry

from streams.runtime.metric_specs import REFUSED
from streams.runtime.repeats import Repeats

LOG_SECONDS: Final = 10.0
"""Least time between two log lines with one reason."""

_log = logging.getLogger(__name__)


class RefusalReason(StrEnum):
    """Why something was refused."""

    TOKEN = "token"
    """The token is missing or wrong."""
    WEBHOOK = "webhook"
    """The signature or the secret of a webhook is missing or wrong."""
    WEB_PAGE = "web_page"
    """A web page sent events."""
    HOST = "host"
    """The name in the Host header is not allowed."""
    BODY = "body"
    """A request that has no body came with one, or its length is ambiguous."""
    MALFORMED = "malformed"
    """What the client sent is not HTTP."""
    HEAD = "head"
    """The head of the request did not arrive in time."""
    PLACES = "places"
    """All places for connections, or those of one address, are taken."""
    BUSY = "busy"
    """Too many requests wait for their turn."""
    READER = "reader"
    """The client did not read its response."""


_WORDS: Final = {
    RefusalReason.TOKEN: "token missing or wrong: request refused",
    RefusalReason.WEBHOOK: "webhook refused",
    RefusalReason.WEB_PAGE: "events of a web page refused",
    RefusalReason.HOST: "host name not allowed: request refused",
    RefusalReason.BODY: "body not allowed: request refused",
    RefusalReason.MALFORMED: "not HTTP: connection closed",
    RefusalReason.PLACES: "no place left for connections: connection closed or refused",
    RefusalReason.BUSY: "too many requests wait: request refused",
    RefusalReason.READER: "response not read: connection closed",
}
"""The log line of each; HEAD has none, since browsers open connections that they never use."""


class Refusals:
    """Counts and logs what one process refuses.

    Args:
        registry: gets the metric.
        now: returns monotonic seconds.
    """

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time.monotonic) -> None:
        self._counter = REFUSED.counter(registry)
        self._now = now
        self._repeats = Repeats(LOG_SECONDS)
        for reason in RefusalReason:
            self._counter.labels(reason)

    def note(self, kind: RefusalReason, address: str | None, **fields: str) -> None:
        """Count one; the log names the `address` of the client, and `fields`, of which there must be few values."""
        self._counter.labels(kind).inc()
        if kind not in _WORDS:
            return
        count = self._repeats.due((kind, *fields.values()), self._now())
        if count is not None:
            _log.warning(_WORDS[kind], extra={"count": count, "address": address or "unknown", **fields})
