"""What a response of ingest means for the batch that was sent. Pure: no I/O, no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec

from streams.runtime.retry_after import LONGEST_RETRY_AFTER_S, asked_wait

_DECIDED: Final = frozenset({HTTPStatus.OK, HTTPStatus.MULTI_STATUS, HTTPStatus.UNPROCESSABLE_ENTITY})
_TEMPORARY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_DETAIL_CHARACTERS: Final = 500


class RejectedEntry(msgspec.Struct, frozen=True):
    """One rejected event in a response. `index` is its position in the request, from 0."""

    index: int
    reason: str
    detail: str = ""


class WarningEntry(msgspec.Struct, frozen=True):
    """One warning in a response. `index` is the position of the event in the request, from 0."""

    index: int
    message: str


class Decided(msgspec.Struct, frozen=True):
    """Ingest decided every event of the batch."""

    accepted: int
    rejected: Sequence[RejectedEntry] = ()
    warnings: Sequence[WarningEntry] = ()


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The batch is larger than the server, or its broker, takes. A repeat of a part is harmless."""

    cause: str


@dataclass(frozen=True, slots=True)
class Postponed:
    """The batch has to be sent again: nothing is known to be taken, and a repeat is harmless."""

    cause: str
    retry_after_s: float | None = None
    """How long the server asks to wait, at most `LONGEST_RETRY_AFTER_S`; None if it does not ask."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The request fails until somebody changes the configuration of the client or the server."""

    cause: str


DeliveryOutcome: TypeAlias = Decided | TooLarge | Postponed | Refused

_BODY: Final = msgspec.json.Decoder(Decided)


class _RefusalDetails(msgspec.Struct):
    detail: str = ""
    title: str = ""


_PROBLEM: Final = msgspec.json.Decoder(_RefusalDetails)


def read_answer(status: int, headers: Mapping[str, str], body: bytes, *, events: int, now: datetime) -> DeliveryOutcome:
    """Return what a response means for a batch of `events` events.

    Args:
        status: HTTP status code.
        headers: headers of the response; names in lower case.
        body: the body, unpacked.
        events: number of events in the batch.
        now: the current time, for a Retry-After that is a date.
    """
    cause = _cause(status, headers, body)
    if status in _DECIDED:
        return _decided(body, events) or Refused(f"{cause}: the answer is not one of eval-alignment ingest")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(cause)
    if status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait_s = asked_wait(headers, now)
        if wait_s is not None and wait_s > LONGEST_RETRY_AFTER_S:
            cause += f"; it asks to wait {wait_s:,.0f} s, which is cut to {LONGEST_RETRY_AFTER_S:.0f} s"
            wait_s = LONGEST_RETRY_AFTER_S
        return Postponed(cause, wait_s)
    return Refused(cause)


def _decided(body: bytes, events: int) -> Decided | None:
    """Return the decision, if it is one about every event of the batch."""
    try:
        decided = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    rejected = {entry.index for entry in decided.rejected}
    whole = len(rejected) == len(decided.rejected) and decided.accepted + len(rejected) == events
    indexes = rejected | {entry.index for entry in decided.warnings}
    return decided if whole and indexes <= set(range(events)) else None


def _cause(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Status, and the server's explanation."""
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    if 300 <= status < 400:
        return f"{phrase}: redirects are not followed, use the address that answers by itself"
    detail = ""
    if "json" in headers.get("content-type", ""):
        try:
            problem = _PROBLEM.decode(body)
            detail = problem.detail or problem.title
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            detail = ""
    return f"{phrase}: {detail[:_DETAIL_CHARACTERS]}" if detail else phrase
