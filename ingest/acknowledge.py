"""The answer of a request whose events the broker does not take, or the owner index does not remember."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.exceptions import HTTPException

from ingest.limits import Reservation
from ingest.publish import NotAcknowledgedError, TooLargeForBrokerError
from sources.intake.store import IndexUnusableError

_log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = "5"
"""When a sender tries again while the broker is away."""


@contextmanager
def acknowledged(reservation: Reservation) -> Iterator[None]:
    """Publish in it.

    Raises HTTPException when the broker does not acknowledge: 503, or 413 for what is too large; and 503 when the owner
    index cannot be used, such as on a full disk.
    """
    try:
        yield
    except NotAcknowledgedError as error:
        reservation.keep_until_done(error.pending)
        detail = f"{error}; some of them may have arrived, and sending all again is harmless"
        if isinstance(error, TooLargeForBrokerError):
            raise HTTPException(413, f"{detail}: send fewer events per request, or raise the limit") from error
        raise away(detail) from error
    except IndexUnusableError as error:
        _log.error("request refused: %s", error)
        raise away(f"{error}; sending all again is harmless") from error


def away(reason: str) -> HTTPException:
    """The answer while nothing can be published (503)."""
    return HTTPException(503, reason, {"Retry-After": _RETRY_SECONDS})
