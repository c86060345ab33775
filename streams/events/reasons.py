"""Why an event is rejected: one enum for the dead-letter header, the metric label, the log and the docs."""

from enum import StrEnum


class Reason(StrEnum):
    """Reject reasons. The value is what stands on the wire."""

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

    @property
    def meaning(self) -> str:
        """What is wrong with the event, and what its producer should change."""
        return _MEANINGS[self]


_MEANINGS = {
    Reason.MALFORMED: "The value is not UTF-8 JSON, or it is nested too deep.",
    Reason.INVALID_FIELD: "A field has a wrong type or an unknown or impossible value; the detail has the JSON path.",
    Reason.MISSING_FIELD: "A required field, or the rating, is missing.",
    Reason.INVALID_NAME: "A name or id is empty, too long, or has control characters or surrogates.",
    Reason.OVERSIZED: "The value is larger than 256 KiB.",
    Reason.FUTURE_TIMESTAMP: "`at` is more than 5 minutes (a setting) after the broker's timestamp of the record: it "
    "would pin the row. Check the producer's clock.",
    Reason.NO_VERDICT: "An `ok` evaluation has no `passed`, and no score with a threshold.",
    Reason.UNSUPPORTED_VERSION: "The CloudEvents `specversion` is not 1.0.",
    Reason.NULL_VALUE: "The record has no value. To retract a row, send it with `deleted: true`.",
    Reason.KEY_MISMATCH: "The record's key is not the item's bytes.",
    Reason.MISROUTED: "The record is not in the partition that murmur2 gives for its key. Set the producer's "
    "partitioner (librdkafka: `partitioner=murmur2_random`).",
}
