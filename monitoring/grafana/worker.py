"""A worker: the rows of panels about what it reads, how far behind it is, and what it repeats."""

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
    """What comes in, and what comes of it."""
    return [
        series(
            "Events in",
            "Events that workers processed, rejected ones included. A topic at 0 that should not be: look at its "
            "producer.",
            _EVENTS,
            (rate("eval_alignment_events_total", "topic"), "{{topic}}"),
        ),
        series(
            "Rejected, by reason",
            "Events on their way to the dead letters; docs/reasons.md says what each reason means."
            + alerts("RejectsHigh"),
            _EVENTS,
            (rate("eval_alignment_events_rejected_total", "topic, reason"), "{{topic}}: {{reason}}"),
        ),
        series(
            "Superseded, repeated, misrouted",
            "Superseded and repeated events do no harm: a newer row stands, or the same. Misrouted ones are not "
            "counted: a producer does not hash the item with murmur2." + alerts("Misrouted"),
            _EVENTS,
            (rate("eval_alignment_events_superseded_total", "job"), "superseded"),
            (rate("eval_alignment_events_duplicate_total", "job"), "repeated"),
            (rate("eval_alignment_events_misrouted_total", "job"), "misrouted"),
            colours={"superseded": BLUE, "repeated": GREY, "misrouted": EMBER},
        ),
        series(
            "What comes of them",
            "Rows appended to the ledger, and comparisons that enter and leave the counts. Many that leave: people "
            "change their minds, or a producer sends corrections in a loop.",
            "suffix:a second",
            (rate("eval_alignment_facts_written_total", "job"), "rows"),
            (rate("eval_alignment_comparisons_added_total", "job"), "comparisons added"),
            (rate("eval_alignment_comparisons_retracted_total", "job"), "comparisons retracted"),
            colours={"rows": GREY, "comparisons added": TEAL, "comparisons retracted": AMBER},
        ),
    ]


def behind() -> list[object]:
    """How far behind."""
    return [
        series(
            "Lag",
            "Source events not processed yet, by topic. It should return to 0 after a burst; if it only grows, add a "
            "worker." + alerts("Lag"),
            "short",
            ("sum by (topic) (eval_alignment_lag_events)", "{{topic}}"),
            limit=((None, "transparent"), (1_000, GREY)),
        ),
        series(
            "Processed and not committed",
            "Offsets that wait for a checkpoint and the commit timer. Growing while events flow: checkpoints do not "
            "finish; the worker's log says why." + alerts("CommitsStalled"),
            "short",
            ("sum by (instance) (eval_alignment_uncommitted_events)", "{{instance}}"),
        ),
        series(
            "From event to published count",
            "From the broker's timestamp of a batch's oldest event to its published tallies. Long without lag: slow "
            "acknowledgements of Kafka, see checkpoints.",
            "s",
            *quantiles("eval_alignment_event_to_publish_seconds"),
            colours=SHADES,
        ),
        series(
            "Checkpoints",
            "From taking what changed to released positions: two acknowledged writes to Kafka. Slow ones are slow "
            "brokers or large batches.",
            "s",
            *quantiles("eval_alignment_checkpoint_seconds"),
            colours=SHADES,
        ),
    ]  # fmt: skip


def recovery() -> list[object]:
    """Joining, replaying, auditing."""
    return [
        states(
            "Joining or replaying",
            "When a worker joined its group or replayed the ledger: after a start, and when partitions move. Often: "
            "workers die or their names change." + alerts("NotReady"),
            ("max by (instance) (eval_alignment_recovering)", "{{instance}}"),
            words={"1": ("recovering", AMBER), "0": ("working", TEAL)},
            width=8,
        ),
        series(
            "Ledger rows replayed",
            "Speed of a restore. Divide the rows of a partition by it for the time that a takeover needs.",
            "suffix:rows/s",
            (rate("eval_alignment_recovery_rows_total", "instance"), "{{instance}}"),
            width=8,
        ),
        series(
            "Audits",
            "Partitions folded anew from the ledger and compared with their tallies. None for long: auditing is "
            "switched off, or the ledger is too large for the interval.",
            "suffix:a minute",
            (f"60 * {rate('eval_alignment_audits_total', 'instance')}", "{{instance}}"),
            width=8,
        ),
    ]
