"""Logging of the long-running processes: one line per record on standard error, times in UTC."""

import logging
import time


def configure(level: str) -> None:
    """Log at `level` and above. Libraries that log each request or heartbeat stay at warnings."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level != "debug":
        for chatty in ("aiokafka", "faust", "mode", "uvicorn.access"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
