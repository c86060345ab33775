"""A metric by the judge version that a page advises about."""

from collections.abc import Mapping
from dataclasses import dataclass

from aggregator.snapshot.schema import MetricDocument, NewestJudgeDocument
from aggregator.statistics.error_side import SIGNIFICANCE
from aggregator.statistics.gate import Gate
from sinks.page.figures import Figure
from sinks.page.remedies import QueueChoices
from sinks.page.urls import Value
from sinks.page.wording import Lean, judge_version, lean
from sinks.queries.results import VersionTest


@dataclass(frozen=True, slots=True)
class Judged:
    """A metric by its newest judge version, which is the one that the gate is about; where the reader chose a version,
    by the current verdicts of that one, which its items and all other numbers of the page are of.
    """

    figure: Figure
    judge: NewestJudgeDocument | MetricDocument
    lean: Lean

    @classmethod
    def of(cls, request: QueueChoices, figure: Figure) -> "Judged | None":
        """A metric of a page; None where nothing was judged."""
        judge = figure.document["newest_judge"] if request.judge is None else figure.document
        return None if judge is None else cls(figure, judge, lean(judge))

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.figure.document["metric"]

    @property
    def version(self) -> str:
        """The version in a sentence of its own; empty where the metric has one."""
        words = judge_version(self.figure.document)
        return f" {words}." if words else ""

    @property
    def own_version(self) -> str | None:
        """The name of the version whose items and scores are meant; None for those of the whole page."""
        # Without a version of its own, the one that the reader chose stays.
        newest = self.figure.document["newest_judge"]
        return newest["judge"] or None if self.version and newest else None

    @property
    def below_baseline(self) -> bool:
        """Whether a constant judge would agree with people at least as often; False while the gate is undecided."""
        alignment, baseline = self.judge["alignment"], self.judge["baseline"]
        decided = self.figure.document["gate_state"] is not Gate.UNDECIDED
        return decided and alignment is not None and baseline is not None and alignment <= baseline

    def items(self, request: QueueChoices, outcome: str) -> str:
        """The address of its items with an outcome."""
        return request.items(**self.choice(outcome))

    def choice(self, outcome: str) -> dict[str, Value]:
        """What chooses its items with an outcome."""
        chosen: dict[str, Value] = {"metric": self.metric, "outcome": outcome}
        return {**chosen, "judge": self.own_version} if self.own_version else chosen


def worse_versions(tests: Mapping[str, VersionTest]) -> list[tuple[float, str, VersionTest]]:
    """Of tests of newest versions those that found a worse one: p value, metric and test, the surest first."""
    worse = [
        (test["p_value"], metric, test)
        for metric, test in tests.items()
        if test["p_value"] is not None and test["p_value"] < SIGNIFICANCE and test["second_only"] < test["first_only"]
    ]
    return sorted(worse, key=lambda each: each[:2])
