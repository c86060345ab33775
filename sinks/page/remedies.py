"""What a reader can do about a finding: another threshold, more labels, an export for tuning the judge."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from aggregator.snapshot.schema import Cards
from sinks.page.deep_dive import CachedQueries
from sinks.page.urls import Value, address, queue_path
from sinks.page.wording import people_disagree
from sinks.queries.results import Ceiling

TRY_THRESHOLD: Final = "Try another threshold"


class QueueChoices(Protocol):
    """The reader's choices on the page of a queue."""

    @property
    def queue(self) -> str:
        """Name of the queue."""

    @property
    def criterion(self) -> str | None:
        """Name of the criterion."""

    @property
    def judge(self) -> str | None:
        """The judge version that the reader chose."""

    def href(self, **changes: Value) -> str:
        """The address of the page with changes."""

    def items(self, rest: str = ..., /, **parameters: Value) -> str:
        """The address of items of the queue, or of their export."""


@dataclass(frozen=True, slots=True)
class Remedies:
    """The remedies of a criterion's metrics."""

    request: QueueChoices
    scored: Collection[str] | None
    """Metrics with scores for which another threshold may help; None while they are not known."""
    has_open_items: bool
    """Whether the queue has items without an annotation."""

    def of(self, metric: str, choice: Mapping[str, Value]) -> list[tuple[str, str]]:
        """Words and address of each remedy for a metric; `choice` are the parameters of its disagreements."""
        remedies = []
        if self.scored is None or metric in self.scored:
            more = {"more": "1"} if self.scored is None else {}
            remedies.append((TRY_THRESHOLD, f"{self.request.href(depth=metric, **more)}#whatif"))
        return [*remedies, *self.labels(), ("Export disagreements", self.request.items("/items.jsonl", **choice))]

    def of_version(self, metric: str, choice: Mapping[str, Value]) -> list[tuple[str, str]]:
        """The remedies for a judge version that is worse; `choice` are the parameters of its disagreements."""
        return [
            ("See it over time", f"{self.request.href(trend=metric)}#trend"),
            ("Read its disagreements", self.request.items(**choice)),
            ("Export disagreements", self.request.items("/items.jsonl", **choice)),
        ]

    def labels(self) -> list[tuple[str, str]]:
        """The remedy for too few labels."""
        if not self.has_open_items:
            return []
        return [("Label these 20 next", self._to_label(None))]

    def to_label(self, metric: str) -> str | None:
        """The address of the items to label for a metric; None without such items."""
        return self._to_label(metric) if self.has_open_items else None

    def _to_label(self, metric: str | None) -> str:
        path = queue_path(self.request.queue, "/next")
        return address(path, {"criterion": self.request.criterion, "metric": metric})


def remedies_of(
    request: QueueChoices, cards: Cards, ceiling: Ceiling | None, queries: CachedQueries | None
) -> Remedies:
    """The remedies of a page. Without `queries` nobody knows which metrics have scores.

    Where people disagree, no threshold can be right, so none is suggested.
    """
    scored = None if queries is None else frozenset(queries.scales())
    if ceiling is not None and people_disagree(ceiling):
        scored = frozenset()
    return Remedies(request, scored, has_open_items=bool(cards["items_waiting_annotation"]))
