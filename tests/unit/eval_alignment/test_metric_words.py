"""A metric in words: direction, judge version and labels needed."""

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import MetricDocument
from eval_alignment.metric_words import sentences
from sinks.page.wording import lean

AT = 1_767_225_600_000


def metric(facts: list[Fact], **pairs: list[str]) -> MetricDocument:
    document = Recount(facts).document("q", rules=CountingRules(criterion_metrics=pairs))
    return document["criteria"][0]["metrics"][0]


def compared(tp: int = 0, fn: int = 0, fp: int = 0, tn: int = 0, judge: str = "") -> list[Fact]:
    outcomes = [("up", True)] * tp + [("up", False)] * fn + [("down", True)] * fp + [("down", False)] * tn
    facts: list[Fact] = []
    for number, (thumbs, passed) in enumerate(outcomes):
        facts.append(Annotation(AT, f"a{number}", "q", f"i{number}", thumbs="up" if thumbs == "up" else "down"))
        facts.append(Evaluation(AT, f"e{number}", f"i{number}", "m", judge=judge, passed=passed))
    return facts


def test_the_direction_is_the_one_of_the_page() -> None:
    strict = metric(compared(tp=10, fn=12))
    first, *_ = sentences(strict)
    assert first == f"{lean(strict).head} {lean(strict).rest}"
    assert first.startswith("Too strict by 54.5 points")
    assert next(sentences(metric(compared(tp=10, fn=2, fp=1)))).startswith("No clear direction.")
    assert next(sentences(metric(compared(tp=3)))) == "No disagreement."


def test_a_single_judge_version_is_not_named() -> None:
    assert not [sentence for sentence in sentences(metric(compared(tp=3, judge="v1"))) if "v1" in sentence]


def test_the_newest_of_several_judge_versions_is_named_with_its_own_numbers() -> None:
    later: list[Fact] = [
        Evaluation(AT + 2 * DAY_MS, f"f{number}", f"i{number}", "m", judge="v2\x1b", passed=number == 0)
        for number in range(2)
    ]
    stated = list(sentences(metric(compared(tp=5, judge="v1") + later)))
    assert "Newest of 2 judge versions: v2\\x1b, since 2026-01-03, 2 comparisons, alignment 50.0 %." in stated


def test_a_newest_judge_version_without_comparisons_is_named() -> None:
    later: list[Fact] = [Evaluation(AT + 2 * DAY_MS, "f", "elsewhere", "m", judge="v2", passed=True)]
    stated = list(sentences(metric(compared(tp=5, judge="v1") + later)))
    assert stated[1] == "Newest judge version: v2, since 2026-01-03, no comparisons yet."


def test_labels_needed_come_with_what_they_are_for() -> None:
    assert list(sentences(metric(compared(tp=20, tn=9))))[-1] == "Needs 1 more label to decide the gate."
    probation = metric(compared(tp=30, fp=4, tn=20))
    assert list(sentences(probation))[-1] == "Needs 18 more labels to change the state of the gate."
    trusted = metric(compared(tp=40, fn=2, fp=2, tn=20))
    assert list(sentences(trusted))[-1] == "Needs 34 more labels to narrow the interval."
    stays = metric(compared(tp=150, fp=35, tn=35))
    assert list(sentences(stays))[-1] == "At the rates seen, no number of labels changes the state of the gate."


def test_a_metric_that_needs_no_labels_or_is_off_topic_names_none() -> None:
    trusted = metric(compared(tp=60, fp=4, tn=20))
    assert list(sentences(trusted)) == ["No clear direction. 0 too strict, 4 too lenient."]
    assert list(sentences(metric(compared(tp=5), overall=["another"]))) == ["No disagreement."]


def test_items_on_which_the_judge_failed_are_stated() -> None:
    failed: list[Fact] = [
        Annotation(AT, "x", "q", "failed", thumbs="up"),
        Evaluation(AT, "y", "failed", "m", status="error"),
    ]
    assert list(sentences(metric(compared(tp=3) + failed)))[1] == "No verdict on 1 annotated item: 1 error."
