"""docs/reasons.md: why events are rejected, and how to fix it."""

from streams.events.reasons import Reason
from tools.reference.markdown import document, section, table


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
        "`alignment.dead-letters.v1`: key, value and headers byte for byte, with the reason in the header "
        "`alignment-reason` and the JSON path in `alignment-detail`. The reason is also a label of the metric "
        "`eval_alignment_events_rejected_total`. A rejected event changes no count.",
        table(("reason", "meaning", "usual cause", "what to do"), rows),
        section(
            "Finding and resending rejected events",
            "- `eval-alignment dlq ls` lists dead letters with reason and detail, and counts them by reason.\n"
            "- `eval-alignment dlq show TOPIC PARTITION OFFSET` prints one of them with its key, headers and value.\n"
            "- `eval-alignment dlq requeue --reason REASON` sends them again, unchanged and to the right partition. "
            "Use it when the fix is on this side (a setting, a partitioner). An event with a wrong value must be sent "
            "by its producer, corrected.\n"
            "- `eval-alignment load` and `eval-alignment recount` report invalid lines of a file with these reasons.",
        ),
        see_also=("[Events](events.md)", "[Operations](operations.md)", "[Metrics](metrics.md)"),
    )
