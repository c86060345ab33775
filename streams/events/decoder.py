"""Decode events of the wire into facts in normal form, or into rejections with a reason.

`Decoder` is pure: its decision depends on the record (value, key, headers and the broker's timestamp) and on settings,
never on a clock, so a replay decides the same.

Most events are in normal form already and are decoded in one step (`streams.events.fast_path`). The decoder checks
every other event rule by rule. Only these checks reject an event, and for an event in normal form they yield the same
fact as the fast path.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar, final

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
from streams.events.fast_path import GIVEN_NAMES, normal_annotation, normal_evaluation
from streams.events.reasons import Reason
from streams.events.values import EARLIEST_INTEGER_AT, InvalidValueError
from streams.events.wire import AnnotationEvent, CloudEvent, EvaluationEvent, FileEventKind, QueueItemEvent, WireEvent

MAX_VALUE_BYTES: Final = 256 * 1024
"""Largest value of a record."""

Parsed = TypeVar("Parsed")
Decoded = TypeVar("Decoded")
Headers = Sequence[tuple[str, bytes | None]]


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


_ANNOTATION: Final = msgspec.json.Decoder(AnnotationEvent)
_EVALUATION: Final = msgspec.json.Decoder(EvaluationEvent)
_QUEUE_ITEM: Final = msgspec.json.Decoder(QueueItemEvent)
_CLOUD_EVENT: Final = msgspec.json.Decoder(CloudEvent)
_LINE: Final = msgspec.json.Decoder(FileEventKind)

# Looking up a member of an enumeration is too slow for every event.
_ANNOTATIONS: Final = Kind.ANNOTATION
_EVALUATIONS: Final = Kind.EVALUATION


@dataclass(frozen=True, slots=True)
class _Envelope:
    """Attributes of the CloudEvent, for an event without id or time."""

    id: str | None = None
    time: datetime | None = None


_PLAIN: Final = _Envelope()


@dataclass(slots=True)
class Decoder:
    """Decodes each event into a fact in normal form, or into a rejection.

    Args:
        metrics: threshold and direction by metric name, for evaluations without them.
        future_ms: how far `at` may be ahead of the record's broker timestamp, in milliseconds.
    """

    metrics: Mapping[str, MetricDefaults] = field(default_factory=dict)
    future_ms: int = 300_000
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
        if value is not None and not headers and len(value) <= MAX_VALUE_BYTES:
            fact: Fact | None
            if kind is _ANNOTATIONS:
                fact = normal_annotation(value, self._names)
            elif kind is _EVALUATIONS:
                fact = normal_evaluation(value, self._names, self.metrics)
            else:
                fact = None
            if (
                fact is not None
                and timestamp is not None
                and EARLIEST_INTEGER_AT <= fact.at <= timestamp + self.future_ms
                and key == fact.item.encode()
            ):
                return fact
        return self._decide(kind, value, key, headers, timestamp)

    def _decide(
        self, kind: Kind, value: bytes | None, key: bytes | None, headers: Headers, timestamp: int | None
    ) -> Fact | Rejection:
        """Decode a record by checking one rule after the other."""
        try:
            fact = self._decode(kind, value, headers)
            if key != fact.item.encode():
                raise InvalidValueError(Reason.KEY_MISMATCH, messages.key_mismatch(key, fact.item))
            if timestamp is not None and timestamp >= 0 and fact.at > timestamp + self.future_ms:
                raise InvalidValueError(
                    Reason.FUTURE_TIMESTAMP,
                    f"at is {messages.duration(fact.at - timestamp)} ahead of the record's timestamp, "
                    f"{messages.duration(self.future_ms)} are allowed (setting `future_limit_ms`) - at `$.at`",
                )
        except InvalidValueError as invalid:
            return _rejected(invalid, value, lambda value: self._decide(kind, value, key, headers, timestamp))
        return fact

    def decode_value(self, kind: Kind, value: bytes | None, headers: Headers = ()) -> Fact | Rejection:
        """Decode the value of a record, without the checks of its key and its time."""
        try:
            return self._decode(kind, value, headers)
        except InvalidValueError as invalid:
            return _rejected(invalid, value, lambda value: self.decode_value(kind, value, headers))

    def decode_line(self, line: bytes) -> tuple[Kind, Fact] | Rejection:
        """Decode one line of a file. Its kind is in `kind`, or follows from its fields."""
        try:
            kind = _kind_of(line)
            return kind, self._decode(kind, line, ())
        except InvalidValueError as invalid:
            return _rejected(invalid, line, self.decode_line)

    def _decode(self, kind: Kind, value: bytes | None, headers: Headers) -> Fact:
        if value is None:
            detail = 'the record has no value; to delete a row, send an event of it with `"deleted": true`'
            raise InvalidValueError(Reason.NULL_VALUE, detail)
        if len(value) > MAX_VALUE_BYTES:
            raise InvalidValueError(
                Reason.OVERSIZED, f"the value has {len(value):,} bytes, at most {MAX_VALUE_BYTES:,} are allowed"
            )
        envelope = _PLAIN
        if headers:
            envelope, structured = _envelope(headers)
            if structured:
                envelope, value = _unwrap(value)
        try:
            return self._fact(kind, value, envelope)
        except InvalidValueError:
            # Structured mode without its content-type header: the fields are inside `data`.
            if b'"specversion"' not in value or envelope is not _PLAIN:
                raise
        envelope, value = _unwrap(value)
        return self._fact(kind, value, envelope)

    def _fact(self, kind: Kind, value: bytes, envelope: _Envelope) -> Fact:
        if kind is Kind.ANNOTATION:
            return self._annotation(_parse(_ANNOTATION, value), envelope, value)
        if kind is Kind.EVALUATION:
            return self._evaluation(_parse(_EVALUATION, value), envelope)
        return self._queue_item(_parse(_QUEUE_ITEM, value), envelope)

    def _annotation(self, event: AnnotationEvent, envelope: _Envelope, value: bytes) -> Annotation:
        at, id, item = _identified(event, envelope)
        queue = self._name("queue", values.required("queue", event.queue))
        criterion = DEFAULT_CRITERION if event.criterion is None else self._name("criterion", event.criterion)
        annotator = "" if not event.annotator else values.checked_id("annotator", event.annotator)
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
        )

    def _evaluation(self, event: EvaluationEvent, envelope: _Envelope) -> Evaluation:
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
        )

    def _queue_item(self, event: QueueItemEvent, envelope: _Envelope) -> QueueItem:
        at, id, item = _identified(event, envelope)
        queue = self._name("queue", values.required("queue", event.queue))
        deleted = bool(event.deleted)
        return QueueItem(
            at, id, queue, item, event.level or "trace", None if deleted else values.url(event.url), deleted
        )

    def _name(self, name: str, value: str) -> str:
        """Return a checked name in NFC. Equal names are one object, which makes look-ups by them fast."""
        known = self._names.get(value)
        if known is None:
            known = unicodedata.normalize("NFC", value)
            values.check(name, known, MAX_NAME)
            if len(self._names) >= 100_000:
                self._names.clear()
                self._names.update(GIVEN_NAMES)
            known = self._names.setdefault(known, known)
            self._names[value] = known
        return known


def _rejected(
    invalid: InvalidValueError, value: bytes | None, decode: Callable[[bytes], Decoded | Rejection]
) -> Decoded | Rejection:
    """Reject an event, or decode it again without half of a surrogate pair, which msgspec does not read.

    It becomes U+FFFD in free text and in ignored fields. Elsewhere the event is rejected.
    """
    if invalid.reason is Reason.MALFORMED and value is not None:
        marked = values.replace_half_pairs(value, rb"\u0001")
        if marked != value:
            # Names, ids and addresses with a control character are rejected.
            outcome = decode(marked)
            if isinstance(outcome, Rejection):
                return outcome
            return decode(values.replace_half_pairs(value, rb"\ufffd"))
    return Rejection(invalid.reason, invalid.detail)


def _parse(decoder: "msgspec.json.Decoder[Parsed]", value: bytes) -> Parsed:
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise InvalidValueError(Reason.INVALID_FIELD, messages.invalid(error)) from None
    except msgspec.DecodeError as error:
        if detail := messages.not_a_number(value):
            raise InvalidValueError(Reason.INVALID_FIELD, detail) from None
        raise InvalidValueError(Reason.MALFORMED, messages.malformed(value, error)) from None
    except UnicodeDecodeError:
        raise InvalidValueError(Reason.MALFORMED, "not UTF-8") from None
    except RecursionError:
        raise InvalidValueError(Reason.MALFORMED, "nested too deep") from None


def _identified(event: WireEvent, envelope: _Envelope) -> tuple[int, str, str]:
    id = envelope.id if event.id is None else event.id
    at = envelope.time if event.at is None else event.at
    if at is None:
        raise InvalidValueError(Reason.MISSING_FIELD, messages.absent("at"))
    return (
        values.milliseconds(at),
        values.checked_id("id", values.required("id", id)),
        values.checked_id("item", values.required("item", event.item)),
    )


def _envelope(headers: Headers) -> tuple[_Envelope, bool]:
    """Return the CloudEvents attributes in the headers (binary mode), and whether the value is in structured mode."""
    named = {name.lower(): value for name, value in headers}
    if (named.get("content-type") or b"").lower().startswith(b"application/cloudevents+json"):
        return _PLAIN, True
    version = named.get("ce_specversion")
    if version is None:
        return _PLAIN, False
    _supported(version.decode(errors="replace"))
    id, time = named.get("ce_id"), named.get("ce_time")
    try:
        return (
            _Envelope(
                None if id is None else id.decode(),
                None if time is None else msgspec.convert(time.decode(), datetime),
            ),
            False,
        )
    except UnicodeDecodeError:
        raise InvalidValueError(Reason.INVALID_FIELD, "not UTF-8 - at header `ce_id` or `ce_time`") from None
    except msgspec.ValidationError:
        raise InvalidValueError(Reason.INVALID_FIELD, "not an RFC 3339 time - at header `ce_time`") from None


def _unwrap(value: bytes) -> tuple[_Envelope, bytes]:
    """Return the attributes and the data of a CloudEvent in structured mode."""
    event = _parse(_CLOUD_EVENT, value)
    _supported(event.specversion)
    data = bytes(event.data)
    if not data:
        raise InvalidValueError(Reason.MISSING_FIELD, messages.absent("data"))
    return _Envelope(event.id, event.time), data


def _supported(version: str) -> None:
    if version != "1.0":
        raise InvalidValueError(Reason.UNSUPPORTED_VERSION, "CloudEvents specversion is not 1.0")


def _kind_of(line: bytes) -> Kind:
    fields = _parse(_LINE, line)
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
    raise InvalidValueError(Reason.MISSING_FIELD, messages.no_kind(line))
