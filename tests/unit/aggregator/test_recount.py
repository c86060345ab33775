"""The recount of small histories whose counts can be checked by eye."""

from datetime import date
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.days import Window
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from tests.support.facts import histories

DAY = 86_400_000
TODAY = 20_000 * DAY
"""2024-10-04."""


def says(item: str, stars: int, *, at: int = TODAY, annotator: str = "", **more: Any) -> Annotation:
    return Annotation(at=at, id=f"a{at}", queue="q", item=item, annotator=annotator, stars=stars, **more)


def judges(item: str, passed: bool | None, *, at: int = TODAY, judge: str = "v1", **more: Any) -> Evaluation:
    return Evaluation(at=at, id=f"e{at}", item=item, metric="m", judge=judge, passed=passed, **more)


def places(item: str, *, at: int = TODAY, deleted: bool = False) -> QueueItem:
    return QueueItem(at=at, id=f"q{at}", queue="q", item=item, deleted=deleted)


def outcomes(*history: Fact, policy: Policy = Policy.EACH) -> list[int]:
    """tp, fn, tn, fp of the whole queue."""
    document = Recount(history, policy).document("q")
    metrics: list[Any] = [metric for criterion in document["criteria"] for metric in criterion["metrics"]]
    return [sum(metric[outcome] for metric in metrics) for outcome in ("tp", "fn", "tn", "fp")]


def cards(*history: Fact, policy: Policy = Policy.EACH, rules: CountingRules | None = None) -> dict[str, Any]:
    return dict(Recount(history, policy).document("q", rules=rules)["cards"])


def metric(*history: Fact, window: Window = Window.ALL) -> dict[str, Any]:
    (criterion,) = Recount(history).document("q", window=window)["criteria"]
    (only,) = criterion["metrics"]
    return dict(only)


def test_annotations_are_the_reference_for_outcomes() -> None:
    assert outcomes(says("i", 3), judges("i", True)) == [1, 0, 0, 0]
    assert outcomes(says("i", 3), judges("i", False)) == [0, 1, 0, 0]
    assert outcomes(says("i", 2), judges("i", False)) == [0, 0, 1, 0]
    assert outcomes(says("i", 2), judges("i", True)) == [0, 0, 0, 1]


def test_the_newest_row_of_an_identity_counts() -> None:
    assert outcomes(says("i", 5, at=2), says("i", 1, at=1), judges("i", False, at=2), judges("i", True, at=1)) == [
        0,
        1,
        0,
        0,
    ]


def test_a_deletion_keeps_an_older_event_out() -> None:
    deletion = Annotation(at=5, id="d", queue="q", item="i", deleted=True)
    counts = cards(deletion, says("i", 5, at=4), says("j", 5), judges("i", True))
    assert (counts["annotations"], counts["items_annotated"], counts["comparisons"]) == (1, 1, 0)
    assert outcomes(deletion, says("i", 5, at=6), judges("i", True)) == [1, 0, 0, 0]
    unjudged = judges("i", None, at=TODAY + 1, deleted=True)
    assert outcomes(says("i", 5), judges("i", True)) == [1, 0, 0, 0]
    assert outcomes(says("i", 5), judges("i", True), unjudged) == [0, 0, 0, 0]


def test_the_policy_selects_the_annotations_that_count() -> None:
    history: list[Fact] = [
        says("i", 5, annotator="ann", at=1),
        says("i", 1, annotator="bob", at=2),
        says("i", 5, annotator="cem", at=3, criterion="tone"),
        judges("i", True),
    ]
    assert outcomes(*history) == [2, 0, 0, 1]
    assert outcomes(*history, policy=Policy.LATEST) == [1, 0, 0, 1]
    # All standing annotations are annotations; under `latest` two of three are compared.
    assert [cards(*history)[name] for name in ("annotations", "annotations_contributing")] == [3, 3]
    assert [cards(*history, policy=Policy.LATEST)[name] for name in ("annotations", "annotations_contributing")] == [
        3,
        2,
    ]
    retraction = Annotation(at=4, id="d", queue="q", item="i", annotator="bob", deleted=True)
    assert outcomes(*history, retraction, policy=Policy.LATEST) == [2, 0, 0, 0]


def test_the_latest_judge_is_the_headline_and_the_others_are_superseded() -> None:
    history: list[Fact] = [
        says("i", 5),
        judges("i", False, at=1, judge="v1"),
        judges("i", True, at=2, judge="v2"),
    ]
    entry = metric(*history)
    assert [entry[outcome] for outcome in ("tp", "fn", "tn", "fp")] == [1, 0, 0, 0]
    assert entry["judges"] == {
        "v1": {"tp": 0, "fn": 1, "tn": 0, "fp": 0, "superseded": 1, "items_compared": 1},
        "v2": {"tp": 1, "fn": 0, "tn": 0, "fp": 0, "superseded": 0, "items_compared": 1},
    }
    # After the deletion of the latest verdict, the one before is current again.
    back = metric(*history, judges("i", None, at=3, judge="v2", deleted=True))
    assert back["judges"] == {"v1": {"tp": 0, "fn": 1, "tn": 0, "fp": 0, "superseded": 0, "items_compared": 1}}
    assert back["fn"] == 1


def test_an_item_that_returns_to_its_queue_counts_again() -> None:
    history: list[Fact] = [says("i", 5), judges("i", True)]
    assert outcomes(*history) == [1, 0, 0, 0]
    assert cards(*history, places("i", at=1, deleted=True))["annotations"] == 0
    assert outcomes(*history, places("i", at=1, deleted=True), places("i", at=2)) == [1, 0, 0, 0]
    # It does not affect another queue.
    other = QueueItem(at=9, id="o", queue="other", item="i", deleted=True)
    assert outcomes(*history, other) == [1, 0, 0, 0]
    assert Recount([*history, other]).queues == ["other", "q"]


COVERAGE = ("evaluated", "pass_rate", "errored", "skipped", "waiting")


def coverage(*history: Fact, window: Window = Window.ALL) -> list[Any]:
    entry = metric(says("i", 5), *history, window=window)
    return [entry[name] for name in COVERAGE]


def failure(item: str, status: Any = "error", *, at: int = TODAY, judge: str = "v1") -> Evaluation:
    return Evaluation(at=at, id=f"x{at}", item=item, metric="m", judge=judge, status=status)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([judges("i", True)], [None] * 5),
        ([judges("i", True), places("i")], [1, 1.0, 0, 0, 0]),
        ([judges("i", False), places("i"), places("j")], [1, 0.0, 0, 0, 1]),
        ([failure("i"), places("i")], [0, None, 1, 0, 0]),
        ([failure("i", "skipped"), places("i")], [0, None, 0, 1, 0]),
        # The newest of several failures.
        ([failure("i"), failure("i", "skipped", at=TODAY + 1, judge="v2"), places("i")], [0, None, 0, 1, 0]),
        # A failure of any judge never replaces a verdict.
        ([judges("i", True, at=1), failure("i"), failure("i", judge="v2"), places("i")], [1, 1.0, 0, 0, 0]),
        # A deletion hides the older failures of its judge only.
        ([failure("i"), judges("i", None, at=TODAY + 1, deleted=True), places("i")], [0, None, 0, 0, 1]),
        ([failure("i"), judges("i", None, at=TODAY - 1, deleted=True), places("i")], [0, None, 1, 0, 0]),
        (
            [failure("i"), judges("i", None, at=TODAY + 1, judge="v2", deleted=True), places("i")],
            [0, None, 1, 0, 0],
        ),
        # Items that are not in the queue, or no longer, are not covered.
        (
            [*(judges(item, False) for item in "ijk"), places("j"), places("k", deleted=True)],
            [1, 0.0, 0, 0, 0],
        ),
    ],
)
def test_coverage_counts_evaluated_errored_skipped_and_waiting_items(history: list[Fact], expected: list[Any]) -> None:
    # A second item keeps the metric in the document.
    compared: list[Fact] = [says("z", 5), judges("z", True)]
    assert coverage(*history, *compared) == expected


def test_annotated_items_on_which_a_judge_failed_are_counted_without_queue_items() -> None:
    history: list[Fact] = [
        *(says(item, 5) for item in "abcd"),
        says("a", 5, annotator="bob"),
        says("old", 5, at=TODAY - 20 * DAY),
        judges("c", True),
        *(failure(item, at=TODAY - 1) for item in ("a", "c", "old", "elsewhere")),
        failure("b", "skipped"),
    ]
    numbers = ("comparisons", "annotated_errored", "annotated_skipped", "errored")
    assert [metric(*history)[name] for name in numbers] == [1, 2, 1, None]
    assert [metric(*history, window=Window.DAYS_7)[name] for name in numbers] == [1, 1, 1, None]


def test_a_metric_with_failures_only_is_listed_and_is_no_comparison() -> None:
    entry = metric(says("a", 5), failure("a"))
    assert (entry["metric"], entry["comparisons"], entry["annotated_errored"]) == ("m", 0, 1)
    assert cards(says("a", 5), failure("a"))["metrics"] == 0


def test_the_funnel_counts_waiting_and_errored_items() -> None:
    items = [places(item) for item in "abcdef"]
    history: list[Fact] = [
        *items,
        says("a", 5),
        judges("a", True),
        judges("b", True),
        failure("c"),
        failure("d", "skipped"),
        says("e", 1),
        says("loose", 1),
        judges("loose", True),
    ]
    counts = cards(*history)
    assert counts["items_queued"] == 6
    assert counts["items_waiting_evaluation"] == 2
    assert counts["items_errored"] == 2
    assert counts["items_waiting_annotation"] == 4
    assert (counts["items_compared"], counts["items_annotated"]) == (2, 3)


def test_windows_look_at_the_day_of_the_annotation() -> None:
    history: list[Fact] = [
        says("old", 5, at=TODAY - 7 * DAY),
        says("edge", 5, at=TODAY - 6 * DAY),
        says("new", 1, at=TODAY + DAY - 1),
        *(judges(item, True, at=TODAY - 50 * DAY) for item in ("old", "edge", "new")),
    ]
    recount = Recount(history)
    for window, today, compared in (
        ("7d", None, 2),
        ("30d", None, 3),
        ("all", None, 3),
        ("7d", date(2024, 10, 3), 3),
        # Windows have no upper bound, and may be empty.
        ("7d", date(2024, 10, 11), 0),
    ):
        document = recount.document("q", window=Window(window), today=today)
        assert (document["window"], document["cards"]["items_compared"]) == (window, compared)
        assert document["as_of"] == "2024-10-04T23:59:59.999Z"


def test_coverage_looks_at_the_day_of_the_evaluation() -> None:
    history: list[Fact] = [places("i"), places("j"), judges("i", True, at=TODAY - 8 * DAY)]
    assert coverage(*history) == [1, 1.0, 0, 0, 1]
    # Waiting refers to the present: an item that was evaluated before the window does not wait.
    assert coverage(*history, window=Window.DAYS_7) == [0, None, 0, 0, 1]


def test_distinct_items_do_not_add_up() -> None:
    history: list[Fact] = [
        says("i", 5, annotator="ann"),
        says("i", 1, annotator="bob"),
        says("i", 1, criterion="tone"),
        says("j", 1),
        judges("i", True),
        Evaluation(at=1, id="n", item="i", metric="n", passed=True),
    ]
    document = Recount(history).document("q")
    assert (document["cards"]["items_compared"], document["cards"]["items_annotated"]) == (1, 2)
    assert (document["cards"]["comparisons"], document["cards"]["annotations_contributing"]) == (6, 3)
    overall, tone = document["criteria"]
    assert [m["items_compared"] for m in overall["metrics"]] == [1, 1]
    assert (overall["items_compared"], overall["comparisons"], tone["comparisons"]) == (1, 4, 2)


def test_criterion_metrics_decide_which_annotations_contribute() -> None:
    history: list[Fact] = [
        says("i", 5),
        says("j", 5, criterion="tone"),
        judges("i", True),
        judges("j", True),
    ]
    counts = cards(*history, rules=CountingRules(criterion_metrics={"tone": ["politeness"]}))
    assert (counts["annotations"], counts["annotations_contributing"], counts["items_compared"]) == (2, 1, 1)


def test_tallies_have_the_shape_of_the_wire() -> None:
    history: list[Fact] = [
        says("i", 4, at=DAY - 1),
        judges("i", True, at=DAY, judge="v2"),
        judges("i", False, at=DAY - 1, judge="v1"),
        places("i"),
    ]
    zeros = [0] * 14
    assert Recount(history).tallies() == {
        ("cells", "q", "overall", "m", "1970-01-01"): {
            "judges": {
                "v1": {"current": zeros, "superseded": [0] * 10 + [1, 0, 0, 0]},
                "v2": {"current": [0] * 11 + [1, 0, 0], "superseded": zeros},
            }
        },
        ("annotations", "q", "overall", "1970-01-01"): {"annotations": 1, "contributing": 1},
        ("evaluations", "q", "m", "1970-01-02"): {"pass": 1, "fail": 0, "error": 0, "skipped": 0},
    }


def test_a_queue_whose_rows_are_all_gone_is_still_a_queue() -> None:
    deletion = Annotation(at=5, id="d", queue="q", item="i", deleted=True)
    recount = Recount([deletion])
    assert recount.queues == ["q"]
    assert recount.tallies() == {}
    assert recount.document("q")["cards"]["annotations"] == 0


@given(st.data(), histories, st.sampled_from(["each", "latest"]))
def test_order_and_duplicates_do_not_matter(data: st.DataObject, history: list[Fact], policy: Policy) -> None:
    again = data.draw(st.lists(st.sampled_from(history))) if history else []
    shuffled = data.draw(st.permutations(history + again))
    one, other = Recount(history, policy), Recount(shuffled, policy)
    assert one.tallies() == other.tallies()
    for queue in one.queues:
        for window in Window:
            assert orjson.dumps(one.document(queue, window=window)) == orjson.dumps(
                other.document(queue, window=window)
            )


@given(histories, st.sampled_from(["each", "latest"]))
def test_documents_and_tallies_agree(history: list[Fact], policy: Policy) -> None:
    recount = Recount(history, policy)
    tallies: dict[tuple[str, ...], Any] = recount.tallies()
    for queue in recount.queues:
        document = recount.document(queue)
        vectors = [
            vector["current"]
            for group, payload in tallies.items()
            if group[:2] == ("cells", queue)
            for vector in payload["judges"].values()
        ]
        annotations = [payload for group, payload in tallies.items() if group[:2] == ("annotations", queue)]
        shown = document["cards"]
        assert shown["comparisons"] == sum(map(sum, vectors))
        assert shown["annotations"] == sum(payload["annotations"] for payload in annotations)
        assert shown["annotations_contributing"] == sum(payload["contributing"] for payload in annotations)
        coverage = [(group[2], payload) for group, payload in tallies.items() if group[:2] == ("evaluations", queue)]
        for criterion in document["criteria"]:
            for part in criterion["metrics"]:
                of_metric = [payload for name, payload in coverage if name == part["metric"]]
                assert (part["errored"] or 0) == sum(payload["error"] for payload in of_metric)
                assert (part["skipped"] or 0) == sum(payload["skipped"] for payload in of_metric)
                verdicts = sum(payload["pass"] + payload["fail"] for payload in of_metric)
                assert (part["evaluated"] or 0) == verdicts
