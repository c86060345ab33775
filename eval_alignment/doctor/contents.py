"""Observes what recent events say: names that look alike, and thresholds or scales that are mixed."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.names import AlikeNames, alike
from aggregator.statistics.scales import ScoredVerdict, check_scales
from eval_alignment.doctor.findings import Finding, ok, problem_found, skipped
from eval_alignment.doctor.problems import Problem
from eval_alignment.terminal_text import printable
from sinks.page.wording import alike_names, scale_warning

_LISTED: Final = 3


def judge_names(facts: Sequence[Fact]) -> list[Finding]:
    """Whether names look alike: queues, criteria, metrics, annotators, and judge versions of one metric. Not ids."""
    if not facts:
        return [skipped("names", "the sources have no valid records")]
    evaluations = [fact for fact in facts if isinstance(fact, Evaluation)]
    annotations = [fact for fact in facts if isinstance(fact, Annotation)]
    judges: dict[str, set[str]] = defaultdict(set)
    for evaluation in evaluations:
        judges[evaluation.metric].add(evaluation.judge)
    named = [
        ("queues", {fact.queue for fact in facts if not isinstance(fact, Evaluation)}),
        ("criteria", {annotation.criterion for annotation in annotations}),
        ("metrics", judges.keys()),
        *(("judge versions", versions) for versions in judges.values()),
        ("annotators", {annotation.annotator for annotation in annotations}),
    ]
    groups = [AlikeNames(kind, group) for kind, names in named for group in alike(names)]
    return _findings("names", Problem.NAMES_ALIKE, [alike_names(group, printable) for group in groups], len(facts))


def judge_scales(facts: Sequence[Fact]) -> list[Finding]:
    """Whether a judge version has several thresholds, and whether a metric has scores on two scales."""
    verdicts: dict[str, list[ScoredVerdict]] = defaultdict(list)
    for fact in facts:
        if isinstance(fact, Evaluation) and fact.score is not None and not (fact.failed or fact.deleted):
            verdicts[fact.metric].append(ScoredVerdict(fact.judge, fact.threshold, fact.score))
    if not verdicts:
        return [skipped("scales", "the last evaluations have no scores")]
    warnings = []
    for metric, of_metric in sorted(verdicts.items()):
        check = check_scales(of_metric)
        warning = scale_warning(check.thresholds, two_scales=check.two_scales, name=printable)
        if warning is not None:
            warnings.append(f"{printable(metric)}: {warning}")
    return _findings("scales", Problem.SCALES_MIXED, warnings, sum(map(len, verdicts.values())))


def _findings(check: str, problem: Problem, texts: Sequence[str], number: int) -> list[Finding]:
    if not texts:
        return [ok(check, f"nothing to report in the last {number} records")]
    more = f" And {len(texts) - _LISTED} more." if len(texts) > _LISTED else ""
    return [problem_found(problem, " ".join(texts[:_LISTED]) + more)]
