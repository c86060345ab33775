"""The panels about ingest: what senders send, and how fast the broker acknowledges it."""

from monitoring.grafana.panels import AMBER, EMBER, GREY, SHADES, TEAL, alerts, series
from monitoring.grafana.promql import quantiles, rate


def taken() -> list[object]:
    """Events, responses and time of acknowledgement."""
    return [
        series(
            "Accepted events, by sender",
            "Events that the broker has acknowledged, by the name of the sender's token. Without tokens all senders "
            "are one.",
            "suffix:events/s",
            (rate("eval_alignment_ingest_events_accepted_total", "sender"), "{{sender}}"),
            width=8,
        ),
        series(
            "Rejected events, by sender and reason",
            "Events that were refused to their sender. They become no dead letters: the response has the reason and "
            "the place of each. docs/reasons.md explains each reason." + alerts("IngestRejectsHigh"),
            "suffix:events/s",
            (rate("eval_alignment_ingest_events_rejected_total", "sender, reason"), "{{sender}}: {{reason}}"),
            width=8,
        ),
        series(
            "Responses, by status",
            "429: ingest is at its limit; start another one, or raise `ingest_in_flight_bytes`. 503: the broker is "
            "away. Senders that retry lose nothing." + alerts("IngestBusy"),
            "suffix:/s",
            (rate("eval_alignment_ingest_responses_total", "status"), "{{status}}"),
            width=8,
        ),
        series(
            "Time to acknowledge",
            "From sending the events of a request to the broker until it has acknowledged all.",
            "s",
            *quantiles("eval_alignment_ingest_acknowledge_seconds"),
            width=8,
            colours=SHADES,
        ),
        series(
            "Bytes",
            "Bytes of bodies after decompression, and the bytes of requests that are not answered or not acknowledged "
            "yet. The setting `ingest_in_flight_bytes` limits these.",
            "bytes",
            (rate("eval_alignment_ingest_bytes_total", "job"), "taken per second"),
            ("sum(eval_alignment_ingest_in_flight_bytes)", "in flight"),
            width=8,
            colours={"taken per second": GREY, "in flight": AMBER},
        ),
        series(
            "Ready",
            "1 while the broker answers; at 0 every request gets 503. Index: 1 once the owner indexes of the sources "
            "are made; until then the sources answer 503." + alerts("IngestNotReady"),
            "none",
            ("min by (instance) (eval_alignment_ingest_ready)", "{{instance}}"),
            ("min by (instance) (eval_alignment_ingest_index_made)", "{{instance}}: index"),
            limit=((None, EMBER), (1, TEAL)),
            width=8,
        ),
    ]


def sources() -> list[object]:
    """What the records of other tools become."""
    return [
        series(
            "Events, by source",
            "Events of a source that the broker has acknowledged.",
            "suffix:events/s",
            (rate("eval_alignment_ingest_source_events_total", "source"), "{{source}}"),
            width=8,
        ),
        series(
            "Skipped, by source and reason",
            "Parts of records that became no event. docs/sources.md explains each reason; `source names NAME` lists "
            "names without a rule. Pulled records are counted each time they are read.",
            "suffix:/s",
            (rate("eval_alignment_ingest_source_skipped_total", "source, reason"), "{{source}}: {{reason}}"),
            width=8,
        ),
        series(
            "Rejected, by source",
            "Bodies, records and events of a source that became dead letters: `dlq ls` has them."
            + alerts("SourceRejects"),
            "suffix:/s",
            (rate("eval_alignment_ingest_source_rejected_total", "source"), "{{source}}"),
            width=8,
        ),
        series(
            "Time since the last pull",
            "Since a pull of a source last read all its streams to their ends, and the time between two pulls."
            + alerts("SourceStale"),
            "s",
            ("time() - max by (source) (eval_alignment_ingest_source_pulled_timestamp_seconds)", "{{source}}"),
            ("max by (source) (eval_alignment_ingest_source_pull_interval_seconds)", "{{source}}: interval"),
            width=8,
        ),
        series(
            "Pull failed",
            "1 when the last pull of a source failed: `source ls` has the error." + alerts("SourcePullFails"),
            "none",
            ("max by (source) (eval_alignment_ingest_source_pull_failed)", "{{source}}"),
            limit=((None, TEAL), (1, EMBER)),
            width=8,
        ),
        series(
            "Without a rule, by source and name",
            "Judgements whose name has no rule in the settings, or whose value the rule does not read.",
            "suffix:/s",
            (rate("eval_alignment_ingest_source_unruled_total", "source, name"), "{{source}}: {{name}}"),
            width=8,
        ),
    ]
