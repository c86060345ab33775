"""Decode events of the wire into facts in normal form, or into rejections with a reason.

`Decoder` is pure: its decision depends on the record (value, key, headers and the broker's timestamp) and on settings,
never on a clock, so a replay decides the same.

Most events are in normal form already and are decoded in one step (`streams.events.fast_path`). The decoder checks
every other event rule by rule. Only these checks reject an event, and for an event in normal form they yield the same
fact as the fast path.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, final

import msgspec

from aggregator.facts import (
    DEFAULT_CRITERION,
    MAX_NAME,
    Annotation,
    Direction,
    Evaluation,
    Fact,
    Level,
    QueueItem,
    Status,
)
from streams.events import messages, values
from streams.events.cloudevents import NO_ENVELOPE, Envelope, Headers, unwrap
from streams.events.fast_path import GIVEN_NAMES, normal_annotation, normal_evaluation
from streams.events.parsing import parse, parse_event
from streams.events.pseudonyms import Pseudonyms
from streams.events.reasons import Reason
from streams.events.values import EARLIEST_INTEGER_AT, InvalidValueError
from streams.events.wire import AnnotationEvent, EvaluationEvent, FileEventKind, QueueItemEvent, WireEvent

MAX_VALUE_BYTES: Final = 256 * 1024
"""Largest value of a record."""


class Kind(StrEnum):
    """The three kinds of events. Each has a topic; the value is the one of `kind` in a line of a file."""

    ANNOTATION = "annotation"
    EVALUATION = "evaluation"
    QUEUE_ITEM = "queue_item"


KIND_OF: Final[Mapping[type[Fact], Kind]] = {
    Annotation: Kind.ANNOTATION,
    Evaluation: Kind.EVALUATION,
    QueueItem: Kind.QUEUE_ITEM,
}
"""Kind of event by type of fact."""


@final
@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an event is rejected. `detail` has the JSON path, and never a value of the event."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class MetricDefaults:
    """Threshold and direction of a metric, for evaluations without them. The decoder writes them into the fact."""

    threshold: float | None = None
    direction: Direction = "higher"


_MARK: Final = "\x85"
"""Stands for what is not text, to find where it is: a control character that JSON allows in strings."""
_REPLACEMENT: Final = "\ufffd"
_LINE: Final = msgspec.json.Decoder(FileEventKind)

# Looking up a member of an enumeration is too slow for every event.
_ANNOTATIONS: Final = Kind.ANNOTATION
_EVALUATIONS: Final = Kind.EVALUATION


class _Decoded(NamedTuple):
    """An accepted event."""

    kind: Kind
    fact: Fact
    unknown: bytes | None = None
    """The event, if it has unknown fields."""


def _ignore(_kind: Kind, _event: bytes) -> None:
    """Ignore unknown fields."""


@dataclass(slots=True)
class Decoder:
    """Decodes each event into a fact in normal form, or into a rejection.

    Args:
        metrics: threshold and direction by metric name, for evaluations without them.
        future_ms: how far `at` may be ahead of the record's broker timestamp, in milliseconds.
        on_unknown_fields: called with each accepted event that has unknown fields.
        pseudonyms: replaces the names of annotators; None keeps them. Only the decoder of workers has it.
    """

    metrics: Mapping[str, MetricDefaults] = field(default_factory=dict)
    future_ms: int = 300_000
    on_unknown_fields: Callable[[Kind, bytes], object] = _ignore
    pseudonyms: Pseudonyms | None = None
    _names: dict[str, str] = field(default_factory=lambda: dict(GIVEN_NAMES), repr=False)

    def decode(
        self,
        kind: Kind,
        value: bytes | None,
        key: bytes | None,
        headers: Headers = (),
        timestamp: int | None = None,
    ) -> Fact | Rejection:
        """Decode one record. `timestamp` is the broker's, in milliseconds. No content makes it raise."""
        if value is not None and not headers and timestamp is not None:
            fact: Fact | None
            if kind is _EVALUATIONS and len(value) <= MAX_VALUE_BYTES:
                # Nearly all events are evaluations, and a call more would cost as much as a check.
                fact = normal_evaluation(value, self._names, self.metrics)
            else:
                fact = self._normal(kind, value)
            if (
                fact is not None
                and EARLIEST_INTEGER_AT <= fact.at <= timestamp + self.future_ms
                and key == fact.item.encode()
            ):
                return fact
        return self._decide(kind, value, key, headers, timestamp)

    def _normal(self, kind: Kind, value: bytes) -> Fact | None:
        """Decode an event that is in normal form already; None for any other. Its time is not checked."""
        if len(value) > MAX_VALUE_BYTES:
            return None
        if kind is _ANNOTATIONS:
            fact = normal_annotation(value, self._names)
            if self.pseudonyms is not None and fact is not None:
                fact.annotator = self.pseudonyms.of(fact.annotator)
            return fact
        return normal_evaluation(value, self._names, self.metrics) if kind is _EVALUATIONS else None

    # A method of its own: its closure would slow the fast path down.
    def _decide(
        self, kind: Kind, value: bytes | None, key: bytes | None, headers: Headers, timestamp: int | None
    ) -> Fact | Rejection:
        outcome = self._settle(value, lambda value: self._check(kind, value, key, headers, timestamp))
        return outcome if isinstance(outcome, Rejection) else outcome.fact

    def decides_on(self, value: bytes | None, headers: Headers = ()) -> bool:
        """Whether the defaults of its metric decide on an accepted evaluation: the event lacks what a verdict needs."""
        try:
            event, _ = parse_event(EvaluationEvent, unwrap(value or b"", headers)[1] if headers else value or b"")
        except InvalidValueError:
            # Accepted without the bytes that are not text.
            return True
        verdict_of_its_own = event.passed is not None or bool(event.deleted) or (event.status or "ok") != "ok"
        incomplete = event.threshold is None or event.direction is None
        return not verdict_of_its_own and incomplete

    def decode_value(self, kind: Kind, value: bytes | None, headers: Headers = ()) -> Fact | Rejection:
        """Decode the value of a record, without the checks of its key and its time."""
        outcome = self._settle(value, lambda value: self._decode(kind, value, headers))
        return outcome if isinstance(outcome, Rejection) else outcome.fact

    def decode_line(
        self, line: bytes, headers: Headers = (), timestamp: int | None = None
    ) -> tuple[Kind, Fact] | Rejection:
        """Decode one event without a topic: a line of a file, or an event of a request.

        Its kind is in `kind`, or follows from its fields. A worker decodes it alike from a record with these headers
        and the item as its key.

        Args:
            line: the event.
            headers: those that make it a CloudEvent.
            timestamp: the broker's clock, in milliseconds; None accepts every time.
        """
        outcome = self._settle(line, lambda line: self._check_line(line, headers, timestamp))
        return outcome if isinstance(outcome, Rejection) else (outcome.kind, outcome.fact)

    def _check_line(self, line: bytes, headers: Headers, timestamp: int | None) -> _Decoded:
        kind = _kind_of(unwrap(line, headers)[1] if headers else line)
        if timestamp is not None and not headers:
            normal = self._normal(kind, line)
            if normal is not None and EARLIEST_INTEGER_AT <= normal.at <= timestamp + self.future_ms:
                return _Decoded(kind, normal)
        decoded = self._decode(kind, line, headers)
        self._check_time(decoded.fact, timestamp)
        return decoded

    def future_rejection(self, at: int, clock: int) -> Rejection | None:
        """The rejection of an event whose time is too far ahead of a clock; None for any other.

        The worker applies the same rule with the broker's timestamp as the clock.

        Args:
            at: time of the event, in milliseconds since epoch.
            clock: the current time, in the same unit.

        >>> Decoder().future_rejection(600_000, clock=0).detail
        'at is 10 minutes ahead of the clock, 5 minutes are allowed (setting `future_limit_ms`) - at `$.at`'
        """
        if at <= clock + self.future_ms:
            return None
        return Rejection(
            Reason.FUTURE_TIMESTAMP,
            f"at is {messages.duration(at - clock)} ahead of the clock, {messages.duration(self.future_ms)} are "
            "allowed (setting `future_limit_ms`) - at `$.at`",
        )

    def _settle(self, value: bytes | None, decode: Callable[[bytes], _Decoded]) -> _Decoded | Rejection:
        """Decode a value, without what is not text where that is free text or an ignored field."""
        if value is None:
            detail = 'the record has no value; to delete a row, send an event of it with `"deleted": true`'
            return Rejection(Reason.NULL_VALUE, detail)
        if len(value) > MAX_VALUE_BYTES:
            detail = f"the value has {len(value):,} bytes, at most {MAX_VALUE_BYTES:,} are allowed"
            return Rejection(Reason.OVERSIZED, detail)
        try:
            decoded = decode(value)
        except InvalidValueError as invalid:
            marked = values.replace_non_text(value, _MARK) if invalid.reason is Reason.MALFORMED else value
            if marked == value:
                return Rejection(invalid.reason, invalid.detail)
            try:
                # Names, ids and addresses with a control character are rejected.
                decode(marked)
                decoded = decode(values.replace_non_text(value, _REPLACEMENT))
            except InvalidValueError as second:
                decisive = invalid if second.reason is Reason.MALFORMED else second
                return Rejection(decisive.reason, decisive.detail)
        if decoded.unknown is not None:
            self.on_unknown_fields(decoded.kind, decoded.unknown)
        return decoded

    def _check(self, kind: Kind, value: bytes, key: bytes | None, headers: Headers, timestamp: int | None) -> _Decoded:
        """Decode a record by checking one rule after the other."""
        decoded = self._decode(kind, value, headers)
        fact = decoded.fact
        if key != fact.item.encode():
            raise InvalidValueError(Reason.KEY_MISMATCH, messages.key_mismatch(key, fact.item))
        self._check_time(fact, timestamp)
        return decoded

    def _check_time(self, fact: Fact, timestamp: int | None) -> None:
        if timestamp is not None and timestamp >= 0 and fact.at > timestamp + self.future_ms:
            raise InvalidValueError(
                Reason.FUTURE_TIMESTAMP,
                f"at is {messages.duration(fact.at - timestamp)} ahead of the record's timestamp, "
                f"{messages.duration(self.future_ms)} are allowed (setting `future_limit_ms`) - at `$.at`",
            )

    def _decode(self, kind: Kind, value: bytes, headers: Headers) -> _Decoded:
        envelope = NO_ENVELOPE
        if headers:
            envelope, value = unwrap(value, headers)
        try:
            fact, unknown = self._fact(kind, value, envelope)
        except InvalidValueError as invalid:
            if invalid.reason is Reason.MISSING_FIELD and b'"specversion"' in value:
                raise InvalidValueError(invalid.reason, messages.no_content_type(invalid.detail)) from None
            raise
        return _Decoded(kind, fact, value if unknown else None)

    def _fact(self, kind: Kind, value: bytes, envelope: Envelope) -> tuple[Fact, bool]:
        """Return the fact, and whether its event has unknown fields."""
        if kind is Kind.ANNOTATION:
            annotation, unknown = parse_event(AnnotationEvent, value)
            return self._annotation(annotation, envelope, value), unknown
        if kind is Kind.EVALUATION:
            evaluation, unknown = parse_event(EvaluationEvent, value)
            return self._evaluation(evaluation, envelope), unknown
        queue_item, unknown = parse_event(QueueItemEvent, value)
        return self._queue_item(queue_item, envelope), unknown

    def _annotation(self, event: AnnotationEvent, envelope: Envelope, value: bytes) -> Annotation:
        at, id, item = _identified(event, envelope)
        queue = self._name("queue", values.required("queue", event.queue))
        criterion = DEFAULT_CRITERION if event.criterion is None else self._name("criterion", event.criterion)
        annotator = "" if not event.annotator else values.checked_id("annotator", event.annotator)
        if self.pseudonyms is not None:
            annotator = self.pseudonyms.of(annotator)
        level: Level = event.level or "trace"
        stars = values.stars(event.stars)
        if event.deleted:
            return Annotation(at, id, queue, item, level, criterion, annotator, deleted=True)
        if event.thumbs is not None and stars is not None:
            raise InvalidValueError(
                Reason.INVALID_FIELD,
                "both ratings are given, exactly one is allowed - at `$.thumbs`, `$.stars`",
            )
        if event.thumbs is None and stars is None:
            raise InvalidValueError(Reason.MISSING_FIELD, messages.no_rating(value))
        return Annotation(
            at,
            id,
            queue,
            item,
            level,
            criterion,
            annotator,
            event.thumbs,
            stars,
            values.text(event.explanation),
            values.text(event.expected),
            values.url(event.url),
            values.text(event.input),
            values.text(event.output),
            values.tags(event.tags),
        )

    def _evaluation(self, event: EvaluationEvent, envelope: Envelope) -> Evaluation:
        at, id, item = _identified(event, envelope)
        metric = self._name("metric", values.required("metric", event.metric))
        judge = "" if not event.judge else self._name("judge", event.judge)
        level: Level = event.level or "trace"
        if event.deleted:
            return Evaluation(at, id, item, metric, level, judge, deleted=True)
        status: Status = event.status or "ok"
        passed, direction = event.passed, event.direction
        score, threshold = values.number(event.score), values.number(event.threshold)
        if status != "ok":
            passed = None
        elif passed is None:
            # Only without a verdict: a fact in normal form has one, so loading an exported fact does not change it.
            defaults = self.metrics.get(metric)
            if defaults is not None:
                threshold = defaults.threshold if threshold is None else threshold
                direction = direction or defaults.direction
            if score is None or threshold is None:
                raise InvalidValueError(
                    Reason.NO_VERDICT, messages.no_verdict("score" if score is None else "threshold")
                )
            passed = score <= threshold if direction == "lower" else score >= threshold
        return Evaluation(
            at,
            id,
            item,
            metric,
            level,
            judge,
            score,
            threshold,
            direction or "higher",
            passed,
            status,
            values.text(event.reason),
            values.url(event.url),
            values.text(event.input),
            values.text(event.output),
            values.tags(event.tags),
        )

    def _queue_item(self, event: QueueItemEvent, envelope: Envelope) -> QueueItem:
        at, id, item = _identified(event, envelope)
        queue = self._name("queue", values.required("queue", event.queue))
        level: Level = event.level or "trace"
        if event.deleted:
            return QueueItem(at, id, queue, item, level, deleted=True)
        return QueueItem(
            at,
            id,
            queue,
            item,
            level,
            values.url(event.url),
            values.text(event.input),
            values.text(event.output),
            values.tags(event.tags),
        )

    def _name(self, name: str, value: str) -> str:
        """Return a checked name in NFC. Equal names are one object, which makes look-ups by them fast."""
        known = self._names.get(value)
        if known is None:
            known = values.normal(name, value, MAX_NAME)
            if len(self._names) >= 100_000:
                self._names.clear()
                self._names.update(GIVEN_NAMES)
            known = self._names.setdefault(known, known)
            self._names[value] = known
        return known


def _identified(event: WireEvent, envelope: Envelope) -> tuple[int, str, str]:
    id = envelope.id if event.id is None else event.id
    at = envelope.time if event.at is None else event.at
    if at is None:
        raise InvalidValueError(Reason.MISSING_FIELD, messages.absent("at"))
    return (
        values.milliseconds(at),
        values.checked_id("id", values.required("id", id)),
        values.checked_id("item", values.required("item", event.item)),
    )


def _kind_of(line: bytes) -> Kind:
    fields = parse(_LINE, line)
    if fields.kind is not None:
        try:
            return Kind(fields.kind)
        except ValueError:
            detail = f"kind is an unknown value, expected {messages.KINDS} - at `$.kind`"
            raise InvalidValueError(Reason.INVALID_FIELD, detail) from None
    if fields.metric is not None:
        return Kind.EVALUATION
    if any(part is not None for part in (fields.thumbs, fields.stars, fields.criterion, fields.annotator)):
        return Kind.ANNOTATION
    detail = messages.no_kind(line)
    looks_structured = b'"specversion"' in line
    raise InvalidValueError(Reason.MISSING_FIELD, messages.no_content_type(detail) if looks_structured else detail)
