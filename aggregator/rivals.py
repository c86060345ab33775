"""The rows of one item that change with one of them, of which the newest or each counts: its rivals.

Of few rows they are found by a search, of many (`many_rows`) by an index. So the cost of an event does not grow with
the rows of its item, and items of few rows need no memory for it.
"""

from collections.abc import Iterable, Mapping, Sequence

from aggregator.many_rows import ManyAnnotations, ManyEvaluations
from aggregator.policy import Policy
from aggregator.ratings import LEVELS
from aggregator.rows import LAST_VERDICT, AnnotationRow, AnnotatorKey, EvaluationRow, ItemRow, Judge, version
from aggregator.sides import CriterionCounts
from aggregator.verdicts import Verdict

Shown = tuple[int, int] | None
"""Number of the day and index in `tallies.COVERAGE` of what a metric shows for an item; None when it shows nothing."""


def index_annotation(item: ItemRow, annotator: AnnotatorKey, former: int | None, policy: Policy) -> None:
    """Keep the index of many annotations: one of them is new, or has changed and had the rating `former`."""
    if isinstance(item.compared, ManyAnnotations):
        item.compared.update(annotator, former)
    else:
        item.compared = ManyAnnotations(item, policy)


def index_evaluation(item: ItemRow, judge: Judge) -> None:
    """Keep the index of many evaluations: one of them is new or has changed."""
    if isinstance(item.verdicts, ManyEvaluations):
        item.verdicts.update(judge)
    else:
        item.verdicts = ManyEvaluations(item)


def resolve_verdicts(
    item: ItemRow, judges: Mapping[str, Judge], changed: Judge
) -> Iterable[tuple[EvaluationRow, Verdict | None]]:
    """Evaluations of one item and metric with their verdicts: the newest that stands is the current one.

    At least those whose verdict changes with that of `changed`; `judges` are those with verdicts of the metric.
    """
    if isinstance(item.verdicts, ManyEvaluations):
        return item.verdicts.resolve(changed)
    rows = item.evaluations_by(judges)
    newest: EvaluationRow | None = None
    for row in rows.values():
        if row.coverage <= LAST_VERDICT and (newest is None or newest.version < row.version):
            newest = row
    return [(row, judge.verdict(row.coverage, current=row is newest)) for judge, row in rows.items()]


def shown_evaluation(
    item: ItemRow, metric: str, judges: Mapping[str, Judge], failing: Mapping[str, Judge]
) -> EvaluationRow | None:
    """The row whose coverage a metric shows for an item.

    It is the current verdict, or else the newest failure that its judge has not deleted since.

    Args:
        item: the item.
        metric: the metric.
        judges: those with verdicts of the metric, by name.
        failing: those with failures of the metric, by name.
    """
    if isinstance(item.verdicts, ManyEvaluations):
        return item.verdicts.shown(metric, judges)
    verdicts = item.evaluations_by(judges)
    for row in verdicts.values():
        if row.verdict is not None and row.verdict.current:
            return row
    if not failing:
        return None
    deletions = {judge.name: row.version for judge, row in verdicts.items()}
    failures = item.evaluations_by(failing)
    shown = [row for judge, row in failures.items() if row.version >= deletions.get(judge.name, row.version)]
    return max(shown, key=version, default=None)


def metrics_of(item: ItemRow) -> Iterable[str]:
    """The metrics with an evaluation of the item."""
    if isinstance(item.verdicts, ManyEvaluations):
        return item.verdicts.metrics
    return {judge.metric for judge in item.evaluations}


def criteria_of(item: ItemRow, queue: str) -> Iterable[CriterionCounts]:
    """The criteria of a queue with an annotation of the item."""
    if isinstance(item.compared, ManyAnnotations):
        return item.compared.criteria(queue)
    return {annotator.criterion for annotator in item.annotations if annotator.criterion.queue == queue}


def rivals_of(item: ItemRow, criterion: CriterionCounts, changed: AnnotatorKey | None) -> list[AnnotationRow]:
    """Annotations of one item and criterion, with the newest standing one if not each of them is compared.

    At least those whose comparisons change with the annotation of `changed`; all of them without one.
    """
    if isinstance(item.compared, ManyAnnotations):
        return item.compared.rivals(criterion, changed)
    return [row for annotator, row in item.annotations.items() if annotator.criterion is criterion]


def ratings_of(item: ItemRow, criterion: CriterionCounts, standing: Iterable[AnnotationRow]) -> Sequence[int]:
    """Numbers of all standing annotations of one item and criterion by rating, in the order of `ratings.LEVELS`.

    `standing` are those of `rivals_of`.
    """
    if isinstance(item.compared, ManyAnnotations):
        return item.compared.ratings(criterion)
    numbers = [0] * len(LEVELS)
    for row in standing:
        numbers[row.rating] += 1
    return numbers
