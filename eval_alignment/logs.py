"""Logging of the long-running processes: one line per record on standard error, times in UTC."""

import logging
import time
from typing import Final

REPEAT_SECONDS: Final = 10.0


class Repeats(logging.Filter):
    """Lets each place in aiokafka's code say something once in 10 seconds.

    While a broker is away, every client tries again ten times a second, and logs each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if not record.name.startswith("aiokafka"):
            return True
        place = record.pathname, record.lineno
        if record.created < self._said.get(place, float("-inf")) + REPEAT_SECONDS:
            return False
        self._said[place] = record.created
        return True


def configure(level: str) -> None:
    """Log at `level` and above. Libraries that log each request or heartbeat stay at warnings."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level != "debug":
        handler.addFilter(Repeats())
        for chatty in ("aiokafka", "faust", "mode", "uvicorn.access"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
