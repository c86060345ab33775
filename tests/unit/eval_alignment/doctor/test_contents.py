"""Findings about the contents of recent events."""

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from eval_alignment.doctor.contents import judge_names, judge_scales
from eval_alignment.doctor.severity import Severity


def evaluated(metric: str, threshold: float, judge: str = "v1") -> Fact:
    return Evaluation(1, f"{metric}{threshold}", "i", metric, judge=judge, score=0.5, threshold=threshold)


def test_alike_names_of_every_kind_are_named_with_their_invisible_characters() -> None:
    facts: list[Fact] = [
        Annotation(1, "a", "q", "ID", criterion="tone", annotator="Ann", thumbs="up"),
        Annotation(1, "b", "Q", "id", criterion="tone\u200b", annotator="ann", thumbs="up"),
        QueueItem(1, "c", "other", "id"),
    ]
    (finding,) = judge_names(facts)
    assert (finding.severity, finding.observed) == (
        Severity.INFO,
        (
            "The queues 'Q', 'q' look alike and are counted apart. "
            "The criteria 'tone', 'tone\\u200b' look alike and are counted apart. "
            "The annotators 'Ann', 'ann' look alike and are counted apart."
        ),
    )
    judges = [evaluated("m", 0.7, "V1"), evaluated("other", 0.7, "v1"), evaluated("m", 0.7, "v1 ")]
    (finding,) = judge_names(judges)
    assert finding.observed == "The judge versions 'V1', 'v1 ' look alike and are counted apart."


def test_thresholds_are_named_with_their_metric_and_judge_version() -> None:
    (finding,) = judge_scales([evaluated("m", 0.7), evaluated("m", 0.8), evaluated("n", 0.7), evaluated("n", 70, "")])
    assert (finding.severity, finding.observed) == (
        Severity.WARNING,
        (
            "m: Several thresholds in one judge version (0.70, 0.80 in v1). "
            "Use a new judge version for a new threshold. "
            "n: Two scales of scores or thresholds (70.00 in the unnamed version; 0.70 in v1). "
            "Use a metric of its own for each scale."
        ),
    )
