"""Hints at names that look alike: they are counted apart, and a reader cannot tell them apart."""

from collections.abc import Sequence
from typing import Final

from aggregator.names import AlikeNames, alike_in, printable
from aggregator.snapshot.schema import SnapshotDocument
from sinks.page.formats import plural
from sinks.page.wording import alike_names, isolated

_LISTED: Final = 3
"""Most hints about queues on a page."""


def queue_hints(groups: Sequence[Sequence[str]]) -> list[str]:
    """Hints at groups of queues, and how many are left out."""
    hints = [_hint(AlikeNames("queues", list(group))) for group in groups[:_LISTED]]
    left_out = len(groups) - len(hints)
    return [*hints, f"Names also look alike in {plural(left_out, 'more group')} of queues."] if left_out else hints


def document_hints(document: SnapshotDocument) -> list[str]:
    """Hints at the criteria, metrics and judge versions of a document."""
    return [_hint(found) for found in alike_in(document)]


def _hint(found: AlikeNames) -> str:
    return alike_names(found, lambda name: isolated(printable(name)))
