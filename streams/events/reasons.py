"""Why an event is rejected: one enum for the dead letter's header, the metric's label and the docs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Reject reasons. The value is the one on the wire."""

    MALFORMED = "malformed"
    INVALID_FIELD = "invalid_field"
    MISSING_FIELD = "missing_field"
    INVALID_NAME = "invalid_name"
    OVERSIZED = "oversized"
    FUTURE_TIMESTAMP = "future_timestamp"
    NO_VERDICT = "no_verdict"
    UNSUPPORTED_VERSION = "unsupported_version"
    NULL_VALUE = "null_value"
    KEY_MISMATCH = "key_mismatch"
    MISROUTED = "misrouted"
    UNKNOWN_SHAPE = "unknown_shape"

    @property
    def explanation(self) -> "ReasonExplanation":
        """What the reason means, what usually causes it, and how to fix it."""
        return _EXPLANATIONS[self]


WORKER_REASONS: Final = tuple(reason for reason in Reason if reason is not Reason.UNKNOWN_SHAPE)
"""Those for which a worker rejects."""
SENDER_REASONS: Final = tuple(
    reason for reason in WORKER_REASONS if reason not in {Reason.KEY_MISMATCH, Reason.MISROUTED, Reason.NULL_VALUE}
)
"""Those for which `ingest` refuses an event to its sender: it has no key, no partition, and a value."""


@dataclass(frozen=True, slots=True)
class ReasonExplanation:
    """A reject reason as the docs explain it. Each text is one or more sentences of Markdown."""

    meaning: str
    """What is wrong with the event."""
    cause: str
    """What usually causes it."""
    remedy: str
    """What the owner of the producer does about it."""


_EXPLANATIONS: Final = {
    Reason.MALFORMED: ReasonExplanation(
        "The value is not JSON in UTF-8, or is nested too deep.",
        "Another serialization (Avro, Protobuf, a schema registry's framing), another encoding than UTF-8, or a text "
        "cut in the middle.",
        "Send the event as a JSON object in UTF-8.",
    ),
    Reason.INVALID_FIELD: ReasonExplanation(
        "A field has a wrong type or a value that is not allowed. The detail names the JSON path, the type that was "
        "found, and the allowed values.",
        'A number or a boolean as a string (`"score": "0.8"`), a fraction (`"stars": 4.5`), NaN as '
        "the score of an evaluation that failed, `thumbs` as a number, an id as a number, a time without an offset or "
        "in seconds, both ratings, an unknown `level`, `status` or `direction`, or a `url` that is not http "
        "or https.",
        "Correct the field. `eval-alignment schema annotation` prints the JSON Schema to test a producer against.",
    ),
    Reason.MISSING_FIELD: ReasonExplanation(
        "A required field or the rating is missing. The detail names the JSON path.",
        "A field under another name (`rating` instead of `thumbs` or `stars`), or null in a required field.",
        "Send all required fields, and for an annotation exactly one of `thumbs` and `stars`.",
    ),
    Reason.INVALID_NAME: ReasonExplanation(
        "A name, an id or a tag is empty, too long, or contains control characters, half of a surrogate pair "
        "(`\\ud83d`) or bytes that are not UTF-8.",
        "A whole prompt as a criterion, a line break at the end of a name, or an empty string for a required name.",
        "Send 1 to 128 characters for a name and 1 to 256 for an id. Replace a longer id by its hash. "
        "Names of tags are in lower case, without spaces.",
    ),
    Reason.OVERSIZED: ReasonExplanation(
        "The value is larger than 256 KiB.",
        "A whole conversation in `input`, `explanation` or `reason`, or in a field that is ignored.",
        "Send a summary, and put the address of the full text into `url`.",
    ),
    Reason.FUTURE_TIMESTAMP: ReasonExplanation(
        "`at` is more than 5 minutes (setting `future_limit_ms`) after the broker's timestamp of the record. No "
        "correction could replace such a row before that time.",
        "A wrong clock, or local time that is labelled as UTC.",
        "Correct the producer's clock, and send the event again with the right `at`.",
    ),
    Reason.NO_VERDICT: ReasonExplanation(
        "An evaluation with status `ok` has no verdict: no `passed`, and no `score` with a threshold.",
        "The evaluator sends a score alone.",
        "Send `passed` or `threshold`, or set the metric's threshold in the setting `metrics`. For an evaluation that "
        "failed send `status: error`.",
    ),
    Reason.UNSUPPORTED_VERSION: ReasonExplanation(
        "The CloudEvents `specversion` is not 1.0.",
        "An old CloudEvents library (0.3).",
        "Send `specversion` 1.0, or a plain event without CloudEvents attributes.",
    ),
    Reason.NULL_VALUE: ReasonExplanation(
        "The record has no value.",
        "A Kafka tombstone, sent to delete the row. Source topics are not compacted, so a tombstone names no row.",
        "Send an event with the identity of the row and `deleted: true`.",
    ),
    Reason.KEY_MISMATCH: ReasonExplanation(
        "The key of the record is not the bytes of `item`.",
        "No key, another field as the key, or a serializer that adds quotes or a prefix.",
        "Send the UTF-8 bytes of `item`, and nothing else, as the key. `eval-alignment dlq requeue --reason "
        "key_mismatch --rekey` sends rejected events again with that key.",
    ),
    Reason.MISROUTED: ReasonExplanation(
        "The record is in another partition than murmur2 of its key selects. Events of one item must share one "
        "partition to be compared.",
        "A librdkafka client (confluent-kafka, Go, .NET, Node, Ruby) with its default partitioner, or a producer that "
        "chooses partitions itself.",
        "Set the partitioner (librdkafka: `partitioner=murmur2_random`), then run `eval-alignment dlq requeue --reason "
        "misrouted`, which sends the events to the right partition.",
    ),
    Reason.UNKNOWN_SHAPE: ReasonExplanation(
        "A body or a record that `ingest` received for a source does not have the format of the source's tool. The "
        "detail names the JSON path. Only `ingest` rejects for this reason.",
        "A webhook of another tool, an address with the name of another source, or a release of the tool that changed "
        "its format.",
        "Compare the setting `tool` of the source with what is sent: `eval-alignment source check NAME FILE` reads a "
        "saved body.",
    ),
}
