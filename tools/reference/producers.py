"""docs/producers.md: how to send events from each language, and the last run of the examples."""

from collections.abc import Iterator, Mapping
from typing import Final

from tools.producers import EVENTS, EXAMPLES, RECORDS, ExampleProducer
from tools.records import load
from tools.reference.markdown import document, fenced, section, table

_EVENTS: Final = {
    "Value": "One JSON object in UTF-8, with the fields of [events](events.md). Encode it with a JSON library.",
    "`id`": "Unique for each event, and the same when the event is sent again. An event that arrives twice counts "
    "once, so retries are safe, and so is sending a whole history again.",
    "`at`": "The time of the judgement, not of sending, with an offset such as `Z`. Of two events of one row the later "
    "counts, in any order of arrival.",
}
_HTTP: Final = {
    "Request": "`POST /api/v1/events` with one event, an array, or lines of JSON, of all kinds in any mix. Send many "
    "events in one request.",
    "Answer": "200 when the broker has acknowledged all events. 207 and 422 list the rejected ones, which need a "
    "correction; clients that look at success alone take 207 for a success. Repeat the request after 429, 503 and a "
    "broken connection.",
    "Token": "`Authorization: Bearer TOKEN`, where `ingest` has a token file.",
}
_KAFKA: Final = {
    "Topic": "One for each kind of event: `alignment.annotations.v1`, `alignment.evaluations.v1` and, optionally, "
    "`alignment.queue-items.v1` ([topics](topics.md)).",
    "Key": "The UTF-8 bytes of the event's `item`. A record with another key is rejected as `key_mismatch`.",
    "Partition": "Chosen by the client by **murmur2** of the key. That is the default of the Java client, Kafka "
    "Streams, aiokafka, kafka-python, KafkaJS and franz-go. Clients built on librdkafka (confluent-kafka for Python, "
    "Go and .NET, node-rdkafka, rdkafka-ruby, kcat) need `partitioner=murmur2_random`. An event in another partition "
    "is rejected as `misrouted`.",
    "Acknowledgement": "`acks=all`, and an idempotent producer where the client has one. Most clients send in the "
    "background: wait for the result of every event, and let your program fail by its error. Records of aborted "
    "transactions are not read.",
    "Embedded broker": "The broker that `eval-alignment up` starts without `--broker` lacks parts of Kafka's protocol. "
    "There the program for aiokafka needs `enable_idempotence=False`, and the one for franz-go "
    "`kgo.MaxVersions(kversion.V2_8_0())`; the others run unchanged.",
}
_LANGUAGES: Final = {".py": "python", ".java": "java", ".ts": "ts", ".go": "go", ".sh": "bash"}
"""The language of a block of code, by the suffix of the file."""


def page() -> str:
    """The page."""
    return document(
        "Producers",
        "A producer sends events to `eval-alignment ingest` over HTTP, or to Kafka. Each program on this page is one "
        "file to copy: it sends an annotation and an evaluation of 50 items.",
        table(
            ("variable", "default", "meaning"),
            (
                ("`URL`", "`http://127.0.0.1:8389`", "Address of `ingest`"),
                ("`TOKEN`", "none", "Token of `ingest`, where it needs one"),
                (
                    "`BROKER`",
                    "`127.0.0.1:9092`",
                    "Address of Kafka. `eval-alignment up` without `--broker` starts a broker at `127.0.0.1:9392`",
                ),
            ),
        ),
        section(
            "Rules",
            _rules(_EVENTS),
            section("Over HTTP", _rules(_HTTP), level=3),
            section("To Kafka", _rules(_KAFKA), level=3),
        ),
        section(
            "Tested versions",
            "`make examples` runs each program with an Apache Kafka (8 partitions), `ingest`, a worker and a view. "
            "The view must count every event, and no event may become a dead letter. Then the broker refuses all "
            "records, and each program must exit with an error.",
            table(("program", "library", "language", "broker", "events counted", "day of the run"), _runs()),
        ),
        *map(_example, EXAMPLES),
        section(
            "Files",
            "`eval-alignment load FILE` sends the events of a file, and chooses topic, key and partition: "
            "[events](events.md#files).",
        ),
        see_also=("[Events](events.md)", "[Topics](topics.md)", "[Reject reasons](reasons.md)"),
    )


def _rules(rules: Mapping[str, str]) -> str:
    return "\n".join(f"- **{title}.** {text}" for title, text in rules.items())


def _runs() -> Iterator[tuple[str, ...]]:
    """The rows of the table. A program that was never run has none: a test fails then."""
    records = load(RECORDS)
    for example in EXAMPLES:
        if record := records.get(example.name):
            cells = (str(record.results[name]) for name in ("library", "language", "broker", "events"))
            yield example.title, *cells, record.day


def _example(example: ExampleProducer) -> str:
    names = [f"[{name.rpartition('/')[2]}](../{name})" for name in example.files]
    return section(
        example.title,
        f"{', '.join(names)}. {example.note}",
        fenced("console", f"$ {example.command}\n{EVENTS} events acknowledged"),
        fenced(_LANGUAGES[example.program.suffix], example.program.read_text(encoding="utf-8")),
    )
