"""docs/reasons.md: why events are rejected, how to fix it, and what a dead letter is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.reasons import Reason
from streams.kafka.codecs import MAX_UNPACKED_BYTES
from streams.kafka.dead_letters import RejectedRecord, compose
from streams.kafka.record_batches import MAX_BATCH_RECORDS
from streams.kafka.record_limits import MAX_CARRIED_BYTES
from streams.kafka.topics import Topics
from tools.reference.markdown import document, section, table


@dataclass
class _ExampleRecord:
    """A record as the worker reads it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


_HEADERS: Final = {
    "alignment-topic": "Topic of the event.",
    "alignment-partition": "Partition of the event.",
    "alignment-offset": "Offset of the event. Topic, partition and offset identify a dead letter.",
    "alignment-timestamp": "The broker's timestamp of the event, in milliseconds since 1970.",
    "alignment-stage": "Step that rejected the event.",
    "alignment-reason": "The reason.",
    "alignment-detail": "What is wrong and where, without the event's values.",
    "alignment-version": "Version of this format.",
}
"""Meaning of every header that the worker adds."""


def page() -> str:
    """The page."""
    rows = [
        (f"`{reason.value}`", text.meaning, text.cause, text.remedy)
        for reason in Reason
        for text in (reason.explanation,)
    ]
    return document(
        "Reject reasons",
        "The worker rejects an event that it cannot accept, and writes it as a dead letter to the topic "
        f"`{Topics().dead_letters}`. A rejected event changes no count. The reason is in the dead letter's headers "
        "and is a label of the metric `eval_alignment_events_rejected_total`.",
        table(("reason", "meaning", "usual cause", "what to do"), rows),
        section(
            "Finding and resending rejected events",
            "- `eval-alignment dlq ls` lists dead letters with reason and detail, and counts them by reason.\n"
            "- `eval-alignment dlq show NAME` prints one of them with its key, headers and value.\n"
            "- `eval-alignment dlq requeue --reason REASON` sends them again, unchanged and to the right partition. "
            "Use it after a setting or a partitioner was corrected. With `--rekey` the key becomes the bytes of "
            "`item`. It does not send an event that would be rejected again, and reports why: an event with an "
            "invalid value must be corrected and sent again by its producer.\n"
            "- `eval-alignment dlq ack` acknowledges all of them: `dlq ls` and `doctor` then report only later ones.\n"
            "- `eval-alignment load` and `eval-alignment recount` report invalid lines of a file with these reasons.",
        ),
        section(
            "Dead letter records",
            "Key, value and headers of a dead letter are those of the event, byte for byte, followed by these headers:",
            table(("header", "example", "meaning"), _headers()),
            "Every rejected event becomes at least one dead letter; after a restart there may be a second one with the "
            f"same topic, partition and offset. Above {MAX_CARRIED_BYTES // 1024} KiB in all, or above what the topic "
            "takes (`max.message.bytes`), the value is null (then the headers, then the key), and the headers "
            "`alignment-value-sha256` and `alignment-value-bytes` have its "
            "hash and size. Headers whose names are not UTF-8 are carried by the headers "
            "`alignment-binary-headers-sha256` and `alignment-binary-headers-bytes`.",
            "Records that cannot be read are one dead letter for each record batch, without key and value: `oversized` "
            f"when the batch would unpack to more than {MAX_UNPACKED_BYTES >> 20} MiB or has more than "
            f"{MAX_BATCH_RECORDS:,} records, `malformed` when its bytes are not what its codec makes. A single "
            "record that cannot be read, or whose offset is outside of its batch or not after the one before it, is a "
            "`malformed` dead letter of its own. "
            "`alignment-offset` is the offset of the first of them, and `alignment-records` their number. They cannot "
            "be requeued. An `oversized` batch does not count towards the circuit breaker.",
            "What `ingest` received for a source and cannot send, a body in another format than the tool's or an event "
            "with an invalid value, becomes a dead letter too. It was never in a source topic, so it cannot be "
            "requeued: instead of topic, partition and offset it has `alignment-source` (the name of the source) and "
            "`alignment-received` (milliseconds since 1970), and its key is the SHA-256 of its value. Headers of the "
            "request are not kept, because they have secrets.",
        ),
        see_also=("[Events](events.md)", "[Operations](operations.md)", "[Metrics](metrics.md)"),
    )


def _headers() -> Iterator[tuple[str, str, str]]:
    """The headers of the dead letter of an event whose key has quotes."""
    value = b'{"id": "a-1", "at": 1795428960000, "queue": "Support replies", "item": "trace-7f3a", "stars": 4}'
    record = _ExampleRecord(17, 1795428960210, b'"trace-7f3a"', value, [])
    rejection = Decoder().decode(Kind.ANNOTATION, record.value, record.key)
    assert isinstance(rejection, Rejection), rejection
    for name, text in compose(RejectedRecord(Topics().annotations, 3, record, rejection)).headers:
        yield f"`{name}`", f"`{(text or b'').decode()}`", _HEADERS[name]
