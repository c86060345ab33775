"""The panels about workers: input, lag, recovery."""

from typing import Final

from monitoring.grafana.panels import (
    AMBER,
    BLUE,
    EMBER,
    GREY,
    SHADES,
    TEAL,
    alerts,
    series,
    states,
)
from monitoring.grafana.promql import quantiles, rate

_EVENTS: Final = "suffix:events/s"


def incoming() -> list[object]:
    """Events that arrive, and their results."""
    return [
        series(
            "Events processed",
            "Events that workers processed, including rejected ones. If a topic is unexpectedly at 0, check its "
            "producer.",
            _EVENTS,
            (rate("eval_alignment_events_total", "topic"), "{{topic}}"),
        ),
        series(
            "Rejected events, by reason",
            "Events that go to the dead-letter topic. docs/reasons.md explains each reason." + alerts("RejectsHigh"),
            _EVENTS,
            (rate("eval_alignment_events_rejected_total", "topic, reason"), "{{topic}}: {{reason}}"),
        ),
        series(
            "Superseded, duplicate and misrouted events",
            "Superseded and duplicate events do no harm: the ledger has a newer row, or the same. Misrouted events are "
            "rejected: a producer does not hash the item with murmur2." + alerts("Misrouted"),
            _EVENTS,
            (rate("eval_alignment_events_superseded_total", "job"), "superseded"),
            (rate("eval_alignment_events_duplicate_total", "job"), "duplicate"),
            (rate("eval_alignment_events_misrouted_total", "job"), "misrouted"),
            colours={"superseded": BLUE, "duplicate": GREY, "misrouted": EMBER},
        ),
        series(
            "Events to correct",
            "Events with unknown fields, which are ignored: probably a misspelt field; the worker's log names it. "
            "Conflicting events have the time and id of another version of their row, and the content decides which "
            "one counts: give a correction a later time.",
            _EVENTS,
            (rate("eval_alignment_events_unknown_fields_total", "topic"), "{{topic}}: unknown fields"),
            (rate("eval_alignment_events_conflicting_total", "topic"), "{{topic}}: conflicting"),
        ),
        series(
            "Rows and comparisons",
            "Rows appended to the ledger, and comparisons added to and removed from the counts. Many removals: people "
            "change their ratings, or a producer sends corrections in a loop.",
            "suffix:/s",
            (rate("eval_alignment_facts_written_total", "job"), "rows"),
            (rate("eval_alignment_comparisons_added_total", "job"), "comparisons added"),
            (rate("eval_alignment_comparisons_retracted_total", "job"), "comparisons retracted"),
            colours={"rows": GREY, "comparisons added": TEAL, "comparisons retracted": AMBER},
        ),
    ]


def lag() -> list[object]:
    """Lag, commits and latency."""
    return [
        series(
            "Lag",
            "Source events that are not processed yet, by topic. Lag should return to 0 after a burst. If it only "
            "grows, add a worker." + alerts("Lag"),
            "short",
            ("sum by (topic) (eval_alignment_lag_events)", "{{topic}}"),
            limit=((None, "transparent"), (1_000, GREY)),
        ),
        series(
            "Uncommitted events",
            "Processed events that wait for a checkpoint and the commit timer. Growth while events flow: checkpoints "
            "do not finish; see the worker's log." + alerts("CommitsStalled"),
            "short",
            ("sum by (instance) (eval_alignment_uncommitted_events)", "{{instance}}"),
        ),
        series(
            "Time from event to published count",
            "From the broker's timestamp of a batch's oldest event until its tallies are published. High without lag: "
            "Kafka acknowledges slowly; see checkpoints.",
            "s",
            *quantiles("eval_alignment_event_to_publish_seconds"),
            colours=SHADES,
        ),
        series(
            "Checkpoint duration",
            "From collecting the changes until the offsets may be committed: two acknowledged writes to Kafka. Slow "
            "checkpoints: slow brokers, or large batches.",
            "s",
            *quantiles("eval_alignment_checkpoint_seconds"),
            colours=SHADES,
        ),
        series(
            "Bytes of tallies",
            "Bytes of counts that checkpoints write, after compression. Many with few events: an item has thousands "
            "of judge versions, or stands in thousands of queues. Then checkpoints are delayed; the log of the worker "
            "names queue and metric.",
            "Bps",
            (rate("eval_alignment_tallies_written_bytes_total", "instance"), "{{instance}}"),
        ),
        series(
            "Delayed checkpoints",
            "Partitions whose next checkpoint waits, because their tallies need more bytes than a partition may write. "
            "Their counts are published later, and stay exact.",
            "short",
            ("sum by (instance) (eval_alignment_delayed_partitions)", "{{instance}}"),
        ),
    ]  # fmt: skip


def waiting() -> list[object]:
    """Evaluations that wait for an annotation of their item."""
    return [
        series(
            "Evaluations that wait",
            "Evaluations of items that no annotation and no queue item names, on the disks of the workers. They cost "
            "no memory, and are dropped after the wait. A sudden fall: a store was lost, or dropped its oldest "
            "evaluations because the disk is nearly full.",
            "short",
            ("sum by (instance) (eval_alignment_waiting_evaluations)", "{{instance}}"),
            width=8,
        ),
        series(
            "Disk of waiting evaluations",
            "Size of each store, and what is free on its disk. With less than 1 GiB free, a worker drops the oldest "
            "evaluations." + alerts("WaitingDisk"),
            "bytes",
            ("sum by (instance) (eval_alignment_waiting_bytes)", "{{instance}}"),
            ("min by (instance) (eval_alignment_waiting_free_bytes)", "free, {{instance}}"),
            width=8,
        ),
        series(
            "How far back the stores reach",
            "An annotation finds the evaluations of this time. It grows to the setting `wait_days` and 7 to 12 days "
            "more. A fall below `wait_days`: evaluations were dropped early." + alerts("WaitingHorizonShort"),
            "s",
            ("min by (instance) (eval_alignment_waiting_oldest_seconds)", "{{instance}}"),
            ("max (eval_alignment_waiting_wait_seconds)", "wait_days"),
            width=8,
        ),
        series(
            "Evaluations read again",
            "Offsets of the evaluations topic that a store lacks, and that its worker reads again in the background: "
            "seconds after a restart, minutes to hours after a lost store. Until 0, comparisons of items that were "
            "annotated meanwhile may be missing." + alerts("RebuildLong"),
            "short",
            ("sum by (instance) (eval_alignment_waiting_rebuild_events)", "{{instance}}"),
            width=8,
        ),
        series(
            "Owed items",
            "Annotated or queued items whose waiting evaluations are not merged yet. Above 0 for long: the store "
            "cannot be used; the log of the worker has the reason.",
            "short",
            ("sum by (instance) (eval_alignment_waiting_owed_items)", "{{instance}}"),
            width=8,
        ),
        series(
            "Stored, adopted and undecided evaluations",
            "Evaluations that began to wait, those that were merged because their item was annotated or queued, and "
            "those that the settings of now no longer accept.",
            "suffix:/s",
            (rate("eval_alignment_waiting_stored_total", "job"), "stored"),
            (rate("eval_alignment_waiting_adopted_total", "job"), "adopted"),
            (rate("eval_alignment_waiting_undecided_total", "job"), "undecided"),
            width=8,
            colours={"stored": GREY, "adopted": TEAL, "undecided": AMBER},
        ),
        series(
            "Missing evaluations and failures of the store",
            "Missing: offsets that a store lacked and that the topic no longer had, and evaluations that were dropped "
            "because a disk was nearly full. Raise the retention of the topic, or enlarge the disk. "
            "Failures: the disk is full, damaged or away, or another process of the same name uses the store."
            + alerts("WaitingMissing", "WaitingStoreFails"),
            "short",
            (rate("eval_alignment_waiting_missing_total", "instance"), "missing per second, {{instance}}"),
            (rate("eval_alignment_waiting_store_failures_total", "instance"), "failures per second, {{instance}}"),
        ),
        series(
            "Time to adopt",
            "Time to look up and merge what waits for an item that becomes known. It is part of the latency of its "
            "annotation.",
            "s",
            *quantiles("eval_alignment_adopt_seconds"),
            colours=SHADES,
        ),
    ]


def recovery() -> list[object]:
    """Joining, replaying, auditing."""
    return [
        states(
            "Recovery",
            "When a worker joined its group or replayed the ledger: after a start, and when partitions move. If often: "
            "workers crash, or their names change." + alerts("NotReady"),
            ("max by (instance) (eval_alignment_recovering)", "{{instance}}"),
            words={"1": ("recovering", AMBER), "0": ("working", TEAL)},
            width=8,
        ),
        series(
            "Ledger rows replayed",
            "Speed of a restore. The rows of a partition divided by this speed are the time of a takeover.",
            "suffix:rows/s",
            (rate("eval_alignment_recovery_rows_total", "instance"), "{{instance}}"),
            width=8,
        ),
        series(
            "Audits",
            "Partitions whose ledger was counted again and compared with their tallies. 0 for long: the audit is "
            "switched off, or the ledger is too large for the interval.",
            "suffix:/min",
            (f"60 * {rate('eval_alignment_audits_total', 'instance')}", "{{instance}}"),
            width=8,
        ),
        series(
            "Foreign rows counted",
            "Ledger rows that another program wrote. They are valid, so they are counted. Above 0: take its right to "
            "write away, and load a backup under a new prefix if the rows are wrong. The worker logs their offsets.",
            "short",
            ("sum by (instance) (eval_alignment_foreign_rows)", "{{instance}}"),
            width=8,
        ),
        series(
            "Tallies of the fullest partition",
            "Share of the setting `max_tallies` that the fullest partition of each worker has. Above 100 %, the "
            "partition is in quarantine. Growing: many criteria, metrics and queues are multiplied, or one item is "
            "sent with thousands of names." + alerts("TalliesNearLimit"),
            "percentunit",
            ("max by (instance) (eval_alignment_tallies_limit_ratio)", "{{instance}}"),
            limit=((None, "transparent"), (0.8, GREY)),
            width=8,
        ),
        series(
            "Tallies",
            "Counts in the memory of each worker, of all its partitions together: 420 bytes each, and 1 KiB for each "
            "that one checkpoint writes.",
            "short",
            ("sum by (instance) (eval_alignment_tallies)", "{{instance}}"),
            width=8,
        ),
    ]
