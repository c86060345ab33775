"""Snapshot documents as CSV, with the numbers unrounded and undefined ones empty."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from aggregator.snapshot.schema import MetricDocument, SnapshotDocument
from sinks.page.csv_cells import guarded

if TYPE_CHECKING:
    # Loads an HTTP framework.
    from sinks.api.responses import QueueListing

METRIC_FIELDS: Final = (
    "metric", "off_topic", "alignment", "alignment_low", "alignment_high", "baseline", "comparisons", "misaligned",
    "items_compared", "tp", "fn", "fp", "tn", "kappa", "tpr", "tnr", "bias", "gate_state", "labels_needed",
    "labels_needed_for", "judge_versions",
)  # fmt: skip
"""Fields of a metric's object in the document that are columns."""
_CARD_FIELDS: Final = (
    "alignment", "alignment_low", "alignment_high", "comparisons", "misaligned", "items_compared", "annotations",
)  # fmt: skip


def metrics_csv(documents: Iterable[SnapshotDocument]) -> str:
    """A row for each queue, criterion and metric; all fields of the document have its names."""
    columns = ("queue", "window", "as_of", "criterion", *METRIC_FIELDS, "newest_judge")
    return _text(
        columns,
        (
            (document["queue"], document["window"], document["as_of"], criterion["criterion"], *_numbers(metric))
            for document in documents
            for criterion in document["criteria"]
            for metric in criterion["metrics"]
        ),
    )


def queues_csv(listing: Iterable["QueueListing"]) -> str:
    """A row for each queue, with its cards for window `all`."""
    rows = ((entry["queue"], *_fields(entry["cards"], _CARD_FIELDS)) for entry in listing)
    return _text(("queue", *_CARD_FIELDS), rows)


def _numbers(metric: MetricDocument) -> tuple[Any, ...]:
    judge = metric["newest_judge"]
    return (*_fields(metric, METRIC_FIELDS), None if judge is None else judge["judge"])


def _fields(part: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(part[name] for name in names)


def _text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    return out.getvalue()
