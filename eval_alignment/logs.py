"""Logging of the long-running processes: one line per record on standard error, as text or JSON, times in UTC.

Level debug is that of the product's own loggers. Libraries never log below info: at debug, aiokafka logs every request,
SASL PLAIN's password included, and httpcore every header, with tokens and API keys.
"""

import logging
import sys
import time
from typing import Any, Final, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

from streams.runtime.repeats import Repeats

LogFormat = Literal["auto", "text", "json"]

REPEAT_SECONDS: Final = 60.0
HTTP_REPEAT_SECONDS: Final = 10.0
_SERVERS: Final = ("asyncio", "uvicorn")
"""They log what strangers send, and that no file can be opened, once per connection, with a traceback."""
_COUNTED: Final = "Invalid HTTP request received."
"""uvicorn's message for what the listener counts and logs itself."""
_PRODUCT: Final = ("aggregator", "eval_alignment", "ingest", "sinks", "sources", "streams")
"""The product's packages, whose modules name their loggers."""
_SECRETIVE: Final = ("httpcore", "httpx")
"""They log addresses with their query and user information at level info."""
_LIBRARIES: Final = ("aiokafka", "faust", "mode", "uvicorn")
"""They log requests, heartbeats, starts and stops at level info."""
_NOT_FIELDS: Final = frozenset({*RESERVED_ATTRS, "color_message", "message", "taskName"})
"""Attributes of a record that did not come from `extra`, and uvicorn's coloured copy of the message."""
_EXPECTED: Final = (
    # While a broker creates its internal topics, or loads a group.
    "GroupCoordinatorNotAvailableError",
    "GroupLoadInProgressError",
    # While no broker answers: worker and view log a longer outage themselves, once.
    "Connect call failed",
    "KafkaConnectionError",
    "NodeNotReadyError",
    "Unable to update metadata",
)
"""Texts of errors that aiokafka logs before it tries again."""


class NoiseFilter(logging.Filter):
    """Drops what libraries log again and again.

    aiokafka logs every attempt that it repeats, several times a second: what is expected while a broker starts or is
    away is dropped, and each place in aiokafka's code logs once a minute. uvicorn and asyncio log what strangers send:
    each kind is logged once per 10 s. What is logged again has in `count` how often it happened since. Faust's
    services log every start and stop of their parts below warning. At level debug nothing from level info on is
    dropped.
    """

    def __init__(self) -> None:
        super().__init__()
        self._client = Repeats(REPEAT_SECONDS)
        self._servers = Repeats(HTTP_REPEAT_SECONDS)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record."""
        if record.levelno < logging.WARNING and str(record.msg).startswith("[^"):
            return False
        place, message = (record.pathname, record.lineno), record.getMessage()
        if record.name.startswith("aiokafka"):
            if any(text in message for text in _EXPECTED):
                return False
            count = self._client.due(place, record.created)
        elif record.name.startswith(_SERVERS):
            if message == _COUNTED:
                return False
            count = self._servers.due((*place, message.partition("\n")[0], _failure(record)), record.created)
        else:
            return True
        if count is None:
            return False
        if count > 1:
            record.count = count
        return True


def _failure(record: logging.LogRecord) -> tuple[str, int] | None:
    """The exception of a record and the line that raised it; None without one."""
    if not record.exc_info or (error := record.exc_info[1]) is None:
        return None
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return type(error).__qualname__, 0 if trace is None else trace.tb_lineno


def configure(level: str, log_format: LogFormat = "auto") -> None:
    """Log to standard error at `level` and above; `auto` is text on a terminal, else JSON."""
    if log_format == "auto":
        log_format = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    debug = level == "debug"
    logging.basicConfig(level=logging.INFO if debug else level.upper(), handlers=[handler], force=True)
    for name in _PRODUCT:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.NOTSET)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.NOTSET if debug else logging.WARNING)
    for name in _SECRETIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    if not debug:
        handler.addFilter(NoiseFilter())


def _time(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


class _TextFormatter(logging.Formatter):
    """`TIME LEVEL LOGGER: MESSAGE KEY=VALUE ...`, then the traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 -- logging's
        """The time in UTC with milliseconds."""
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        """The line, with the fields at its end."""
        fields = [f"{name}={value}" for name, value in vars(record).items() if name not in _NOT_FIELDS]
        return " ".join([super().formatMessage(record), *fields])


class _JsonFormatter(OrjsonFormatter):
    """An object with `time`, `level`, `logger`, `message`, the fields, and `exception` where there is a traceback."""

    def __init__(self) -> None:
        super().__init__(
            "%(name)s %(message)s",
            rename_fields={"name": "logger", "exc_info": "exception"},
            reserved_attrs=sorted(_NOT_FIELDS),
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Fill `log_data` from the record, time and level first."""
        log_data |= {"time": _time(record), "level": record.levelname.lower()}
        super().add_fields(log_data, record, message_dict)
