"""What the page shows of a criterion beyond its document: the human ceiling, and the what-if of each metric."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Protocol

from aggregator.days import date_of
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import CriterionDocument, MetricDocument, SnapshotDocument
from sinks.queries.ceiling_answer import ceiling_of
from sinks.queries.results import Insights
from sinks.queries.scope import Scope
from sinks.queries.what_if_answer import what_if_of

if TYPE_CHECKING:
    # Loads an HTTP client.
    from eval_alignment.view_client import View


class InsightSource(Protocol):
    """A source of insights into a document that it returned."""

    def insights(self, document: SnapshotDocument, criterion: CriterionDocument) -> Insights:
        """The insights into a criterion."""


@dataclass(frozen=True, slots=True)
class RecountInsights:
    """Insights from the rows of a recount. `today`: UTC day on which windows end; None for the newest row's."""

    counted: Recount
    rules: CountingRules
    today: date | None = None

    def insights(self, document: SnapshotDocument, criterion: CriterionDocument) -> Insights:
        """The insights into a criterion."""
        queue, name, counted = document["queue"], criterion["criterion"], self.counted
        scope = Scope(queue, document["window"], self.today or date_of(counted.newest), self.rules)
        panels, annotators = counted.panels(queue, name, scope.first_day)
        people = counted.people(queue, name, scope.first_day, self.rules.pass_limit(name))
        alignments = {
            metric["metric"]: metric["alignment"] for metric in _compared(criterion) if metric["alignment"] is not None
        }
        return Insights(
            ceiling_of(panels, annotators, alignments, scope, name),
            {metric: what_if_of(counted.scored(people, metric), scope, name, metric) for metric in alignments},
        )


@dataclass(frozen=True, slots=True)
class ViewInsights:
    """Insights of a view. Its methods raise UnreachableError."""

    view: "View"

    def insights(self, document: SnapshotDocument, criterion: CriterionDocument) -> Insights:
        """The insights into a criterion."""
        of = document["queue"], document["window"], criterion["criterion"]
        return Insights(
            self.view.ceiling(*of),
            {metric["metric"]: self.view.what_if(*of, metric["metric"]) for metric in _compared(criterion)},
        )


def _compared(criterion: CriterionDocument) -> list[MetricDocument]:
    return [metric for metric in criterion["metrics"] if metric["comparisons"] and not metric["off_topic"]]
