"""Retries with exponential backoff and jitter: one policy for everything that waits for a broker or a disk."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

_log = logging.getLogger(__name__)

FIRST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 5.0
_JITTER_SECONDS: Final = 0.1
FIRST_REQUEST_SECONDS: Final = 1.0
LONGEST_REQUEST_SECONDS: Final = 30.0


def retry_forever(*errors: type[Exception]) -> AsyncIterator[stamina.Attempt]:
    """Repeat a block until it raises none of these errors. Logs the first failure as a warning, later ones at debug.

    async for attempt in retry_forever(OSError):
        with attempt:
            return await connect()
    """
    context = stamina.retry_context(
        on=errors,
        attempts=None,
        timeout=None,
        wait_initial=FIRST_SECONDS,
        wait_max=LONGEST_SECONDS,
        wait_jitter=_JITTER_SECONDS,
    )
    return aiter(context)


def retry_requests(backoff: Callable[[Exception], bool | float], attempts: int) -> AsyncIterator[stamina.Attempt]:
    """Repeat a block that asks another program, as `retry_forever` does, for a number of attempts.

    Args:
        backoff: for an error, whether to repeat the block, or the seconds to wait before.
        attempts: the last one raises its error.
    """
    context = stamina.retry_context(
        on=backoff,
        attempts=attempts,
        timeout=None,
        wait_initial=FIRST_REQUEST_SECONDS,
        wait_max=LONGEST_REQUEST_SECONDS,
    )
    return aiter(context)


def _log_retry(details: RetryDetails) -> None:
    name, text = type(details.caused_by).__name__, str(details.caused_by)
    # The text of aiokafka's errors begins with their name.
    cause = text if text.startswith(name) else f"{name}: {text}"
    level = logging.WARNING if details.retry_num == 1 else logging.DEBUG
    _log.log(level, "%s, retrying in %.1f s", cause, details.wait_for)


set_on_retry_hooks([_log_retry])
