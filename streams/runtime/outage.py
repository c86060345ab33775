"""One log line when the brokers have not answered for a while, and one when they answer again."""

import logging
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

OUTAGE_SECONDS: Final = 30.0
"""Time without an answer after which an outage is logged; a restart of a broker is shorter."""


class BrokerOutage:
    """Takes failures and answers of the brokers, and logs each longer outage once.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since: float | None = None
        self._logged = False

    @property
    def ongoing(self) -> bool:
        """Whether no broker has answered since the last failure."""
        return self._since is not None

    def failed(self, error: object) -> None:
        """Note that no broker answered, and why."""
        now = self._now()
        if self._since is None:
            self._since = now
        if not self._logged and now - self._since >= OUTAGE_SECONDS:
            self._logged = True
            _log.warning("broker not reachable for %.0f s, retrying", now - self._since, extra={"error": repr(error)})

    def answered(self) -> None:
        """Note that a broker answered."""
        if self._logged and self._since is not None:
            _log.warning("broker reachable again after %.0f s", self._now() - self._since)
        self._since = None
        self._logged = False
