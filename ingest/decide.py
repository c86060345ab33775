"""Decides the events of a request as the workers will, and words the answer."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NotRequired, TypedDict

import msgspec
from starlette.exceptions import HTTPException

from aggregator.facts import MAX_ID, Fact, key, rest
from ingest.framing import FramedBody, Piece
from ingest.limits import TURN, TURN_BYTES
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.example import RejectedExample, example
from streams.events.reasons import Reason
from streams.events.unknown_fields import nearest_field, unknown_fields
from streams.kafka.producer import Outgoing

_MAX_WARNINGS: Final = 20
"""Most different unknown fields in one answer."""


class AnsweredRejection(TypedDict):
    """An event that was not sent."""

    index: int
    """Position among the events of the request, from 0. Blank lines are not counted."""
    line: NotRequired[int]
    """Of NDJSON: number of the line, from 1, as an editor shows it. Blank lines are counted."""
    id: str | None
    """The event's `id`, if it could be read."""
    reason: str
    """The reject reason."""
    detail: str
    """What is wrong, what is expected, and where. It has no value of the event."""


class AnsweredWarning(TypedDict):
    """Something about an accepted event that is probably a mistake."""

    index: int
    """As of a rejected event."""
    line: NotRequired[int]
    """As of a rejected event."""
    id: str | None
    """The event's `id`."""
    message: str
    """What is probably wrong, and what follows from it."""


class IngestAnswer(TypedDict):
    """What became of the events of a request."""

    accepted: int
    """Number of events that the broker has acknowledged."""
    rejected: list[AnsweredRejection]
    """The events that were not sent. Sent unchanged, they would be rejected again."""
    warnings: list[AnsweredWarning]
    """Unknown fields, and events with the `at` and `id` of another event of their row; at most 20 of each."""


_ABSENT: Final = msgspec.Raw(b"null")


class _Identified(msgspec.Struct):
    # Values of any size that are not decoded: as objects they would need many times the memory.
    id: msgspec.Raw = _ABSENT
    data: msgspec.Raw = _ABSENT


_IDENTIFIED: Final = msgspec.json.Decoder(_Identified)
_STRING: Final = msgspec.json.Decoder(str | None)


@dataclass(slots=True)
class Decision:
    """The records to send, and the answer once they are acknowledged."""

    records: list[Outgoing] = field(default_factory=list)
    rejected: list[AnsweredRejection] = field(default_factory=list)
    warnings: list[AnsweredWarning] = field(default_factory=list)
    examples: dict[str, RejectedExample] = field(default_factory=dict)
    """The first rejected event of each reason, for the log."""

    def answer(self) -> IngestAnswer:
        """The answer after the acknowledgement."""
        return IngestAnswer(accepted=len(self.records), rejected=self.rejected, warnings=self.warnings)

    def status(self) -> int:
        """The status after the acknowledgement: 200 if all events are accepted, 207 if some are, 422 if none is."""
        if not self.rejected:
            return 200
        return 207 if self.records else 422


async def decide(events: FramedBody, decoder: Decoder, topics: Mapping[Kind, str], clock: int | None) -> Decision:
    """Decide every event.

    Args:
        events: the events.
        decoder: decides as the workers do.
        topics: the source topic of each kind.
        clock: the broker's time, in milliseconds. None accepts every time.

    Raises HTTPException (400) for a body that is one document and is not JSON.
    """
    decision, warnings = Decision(), _Warnings()
    unknown: list[bytes] = []
    decoder = replace(decoder, on_unknown_fields=lambda _, event: unknown.append(event))
    events_left, bytes_left = TURN, TURN_BYTES
    for index, piece in enumerate(events.pieces):
        events_left, bytes_left = events_left - 1, bytes_left - len(piece.value)
        if events_left <= 0 or bytes_left <= 0:
            await asyncio.sleep(0)
            events_left, bytes_left = TURN, TURN_BYTES
        outcome = decoder.decode_line(piece.value, piece.headers, clock)
        if isinstance(outcome, Rejection):
            if outcome.reason is Reason.MALFORMED and not events.by_line:
                raise _not_json(index, len(events.pieces), piece, outcome)
            place = _place(index, piece, _id_of(piece))
            if outcome.reason not in decision.examples:
                decision.examples[outcome.reason] = example(f"event {index}", outcome, piece.value)
            decision.rejected.append(AnsweredRejection(**place, reason=outcome.reason.value, detail=outcome.detail))
            continue
        kind, fact = outcome
        decision.records.append(Outgoing(topics[kind], piece.value, fact.item.encode(), piece.headers))
        place = _place(index, piece, fact.id)
        while unknown:
            warnings.add_unknown(kind, unknown.pop(), place)
        if len(events.pieces) > 1:
            warnings.add_version(fact, place)
    decision.warnings = list(warnings.words())
    return decision


class _Place(TypedDict):
    index: int
    line: NotRequired[int]
    id: str | None


def _place(index: int, piece: Piece, id: str | None) -> _Place:
    return _Place(index=index, id=id) if piece.line is None else _Place(index=index, line=piece.line, id=id)


def _id_of(piece: Piece) -> str | None:
    """The id of a rejected event, for its sender to find it."""
    try:
        event = _IDENTIFIED.decode(piece.value)
        inner = _IDENTIFIED.decode(event.data).id if bytes(memoryview(event.data)[:1]) == b"{" else _ABSENT
        # The first that is not null counts, and must be a string.
        id = next((id for raw in (inner, event.id) if (id := _STRING.decode(raw)) is not None), None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if id is None and (sent := dict(piece.headers).get("ce_id")):
        id = sent.decode(errors="replace")
    return None if id is None else id[:MAX_ID]


def _not_json(index: int, count: int, piece: Piece, rejection: Rejection) -> HTTPException:
    place = "" if count == 1 else f" at event {index} (from 0)"
    hint = ""
    if count == 1 and b"}{" in piece.value:
        hint = "; several objects need line breaks between them, which `curl -d` removes: use `curl --data-binary`"
    return HTTPException(400, f"the body is not JSON{place}: {rejection.detail}{hint}")


@dataclass(slots=True)
class _UnknownField:
    first: _Place
    events: int = 0


@dataclass(slots=True)
class _Warnings:
    """Collects what is probably a mistake in accepted events, so that the answer stays small."""

    _unknown: dict[tuple[Kind, str], _UnknownField] = field(default_factory=dict)
    _versions: dict[tuple[bytes, int, str], tuple[int, str]] = field(default_factory=dict)
    """Index and content of the first event, by identity, time and id."""
    _conflicts: list[AnsweredWarning] = field(default_factory=list)

    def add_unknown(self, kind: Kind, event: bytes, place: _Place) -> None:
        """Take an event with unknown fields."""
        for name in unknown_fields(kind, event):
            if (kind, name) in self._unknown or len(self._unknown) < _MAX_WARNINGS:
                self._unknown.setdefault((kind, name), _UnknownField(place)).events += 1

    def add_version(self, fact: Fact, place: _Place) -> None:
        """Compare an accepted event with the earlier ones."""
        content = rest(fact)
        first, other = self._versions.setdefault((key(fact), fact.at, fact.id), (place["index"], content))
        if other != content and len(self._conflicts) < _MAX_WARNINGS:
            message = (
                f"the event has the `at` and `id` of event {first} of this request, of the same row, and other "
                "content; the content decides which one counts, not the order: send a correction with a later `at`"
            )
            self._conflicts.append(AnsweredWarning(**place, message=message))

    def words(self) -> Iterator[AnsweredWarning]:
        """One warning per unknown field, at its first event; and one per event of a version that is in use."""
        for (kind, name), found in self._unknown.items():
            nearest = nearest_field(kind, name)
            hint = f": did you mean `{nearest}`?" if nearest else ""
            kinds = f"{found.events} {kind.value.replace('_', ' ')}{'' if found.events == 1 else 's'}"
            yield AnsweredWarning(**found.first, message=f"unknown field `{name}` is ignored in {kinds}{hint}")
        yield from self._conflicts
