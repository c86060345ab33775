"""What to label next: which items qualify, in which order, and that random items are equally likely."""

from collections import Counter
from pathlib import Path

import pytest

from aggregator.days import Window
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.snapshot.inputs import CountingRules
from sinks.queries.next_items import NextItems, NextQuery, Strategy, next_items
from sinks.queries.scope import Scope
from sinks.store.store import Store
from tests.support.sample_view import NOW_MS, fill, view_of

QUEUE = "q"


def placed(*items: str) -> list[Fact]:
    return [QueueItem(NOW_MS, f"q-{item}", QUEUE, item) for item in items]


def scored(item: str, metric: str, score: float | None, passed: bool, threshold: float | None = 0.5) -> Evaluation:
    return Evaluation(NOW_MS, f"{item}-{metric}", item, metric, score=score, threshold=threshold, passed=passed)


def ask(store: Store, tmp_path: Path, query: NextQuery, rules: CountingRules | None = None) -> NextItems:
    services = view_of(store, tmp_path, rules)
    with store.read() as connection:
        scope = Scope(QUEUE, Window.ALL, services.today(), services.config.rules)
        return next_items(connection, scope, query, services.config.item_url)


def items(answer: NextItems) -> list[str]:
    return [item["item"] for item in answer["items"]]


def test_only_placed_items_without_a_standing_annotation_of_the_criterion_qualify(store: Store, tmp_path: Path) -> None:
    fill(
        store,
        [
            *placed("a", "b", "c", "d", "e"),
            QueueItem(NOW_MS + 1, "q-e2", QUEUE, "e", deleted=True),
            Annotation(NOW_MS, "1", QUEUE, "a", criterion="tone", thumbs="up"),
            Annotation(NOW_MS, "2", QUEUE, "b", criterion="style", thumbs="up"),
            Annotation(NOW_MS, "3", "other", "c", criterion="tone", thumbs="up"),
            Annotation(NOW_MS, "4", QUEUE, "d", criterion="tone", thumbs="up"),
            Annotation(NOW_MS + 1, "5", QUEUE, "d", criterion="tone", deleted=True),
            Annotation(NOW_MS, "6", QUEUE, "not placed", criterion="style", thumbs="up"),
        ],
    )
    answer = ask(store, tmp_path, NextQuery(criterion="tone"))
    assert sorted(items(answer)) == ["b", "c", "d"]
    assert (answer["unannotated"], answer["candidates"], answer["biased"], answer["sampled_by"]) == (
        3, 3, False, "random",
    )  # fmt: skip
    assert len(items(ask(store, tmp_path, NextQuery(criterion="tone", limit=2)))) == 2


def test_every_item_is_equally_likely_over_seeds(store: Store, tmp_path: Path) -> None:
    names = [f"item-{number}" for number in range(10)]
    fill(store, placed(*names))
    seeds = 400
    first = Counter(
        item
        for seed in range(seeds)
        for item in items(ask(store, tmp_path, NextQuery(criterion="c", seed=seed, limit=3)))
    )
    # 120 of each expected; chi-squared with 9 degrees of freedom exceeds 27.9 in 0.1 % of fair draws.
    expected = 3 * seeds / len(names)
    assert sum((first[name] - expected) ** 2 / expected for name in names) < 27.9


def test_a_seed_keeps_its_order_when_items_come_and_go(store: Store, tmp_path: Path) -> None:
    fill(store, placed(*(f"item-{number}" for number in range(30))))
    before = items(ask(store, tmp_path, NextQuery(criterion="c", limit=30)))
    fill(store, [*placed("new"), Annotation(NOW_MS, "a", QUEUE, before[0], criterion="c", thumbs="up")])
    after = items(ask(store, tmp_path, NextQuery(criterion="c", limit=31)))
    assert [item for item in after if item != "new"] == before[1:]
    assert items(ask(store, tmp_path, NextQuery(criterion="c", seed=1, limit=31))) != after


def test_boundary_starts_with_the_score_nearest_to_its_threshold(store: Store, tmp_path: Path) -> None:
    fill(
        store,
        [
            *placed("far", "near", "nearer", "unscored"),
            scored("far", "m", 0.99, True),
            scored("near", "m", 0.40, False),
            scored("nearer", "m", 0.55, True),
            scored("unscored", "m", None, True, None),
            Evaluation(NOW_MS, "failed", "unscored", "n", status="error"),
        ],
    )
    answer = ask(store, tmp_path, NextQuery(criterion="c", strategy=Strategy.BOUNDARY))
    assert items(answer) == ["nearer", "near", "far"]
    assert (answer["unannotated"], answer["candidates"], answer["biased"], answer["sampled_by"]) == (
        4, 3, True, "boundary",
    )  # fmt: skip


def test_boundary_compares_scales_by_rank(store: Store, tmp_path: Path) -> None:
    # A distance of 2 is the largest of one metric and the smallest of the other.
    fill(
        store,
        [
            *placed("a", "b", "c", "d"),
            scored("a", "small", 2.5, True),
            scored("b", "small", 0.6, True),
            scored("c", "large", 72, True, 70),
            scored("d", "large", 10, False, 70),
        ],
    )
    answer = ask(store, tmp_path, NextQuery(criterion="c", strategy=Strategy.BOUNDARY))
    assert (set(items(answer)[:2]), set(items(answer)[2:])) == ({"b", "c"}, {"a", "d"})
    only = ask(store, tmp_path, NextQuery(criterion="c", strategy=Strategy.BOUNDARY, metric="large"))
    assert items(only) == ["c", "d"]


def test_disagreement_starts_with_the_most_evenly_divided_metrics(store: Store, tmp_path: Path) -> None:
    verdicts = {"even": "ppff", "third": "ppf", "one": "pppf", "all": "pp", "single": "f"}
    fill(
        store,
        [
            *placed(*verdicts),
            *(
                scored(item, f"m{number}", None, verdict == "p", None)
                for item, passes in verdicts.items()
                for number, verdict in enumerate(passes)
            ),
        ],
    )
    answer = ask(store, tmp_path, NextQuery(criterion="c", strategy=Strategy.DISAGREEMENT))
    assert (items(answer), answer["biased"]) == (["even", "third", "one"], True)
    topic = CountingRules(criterion_metrics={"c": frozenset({"m0", "m2"})})
    assert set(items(ask(store, tmp_path, NextQuery(criterion="c", strategy=Strategy.DISAGREEMENT), topic))) == {
        "even", "third",
    }  # fmt: skip


def test_texts_and_addresses_come_from_the_queue_item_then_from_an_evaluation(store: Store, tmp_path: Path) -> None:
    fill(
        store,
        [
            QueueItem(NOW_MS, "1", QUEUE, "a", input="asked", url="https://x.test/a"),
            Evaluation(NOW_MS, "2", "a", "m", passed=True, input="other", output="answered", url="https://y.test/a"),
            QueueItem(NOW_MS, "3", QUEUE, "b/c"),
        ],
    )
    found = {item["item"]: item for item in ask(store, tmp_path, NextQuery(criterion="c"))["items"]}
    assert found["a"] == {
        "item": "a", "level": "trace", "url": "https://x.test/a", "input": "asked", "output": "answered",
    }  # fmt: skip
    assert found["b/c"]["url"] == "https://t.test/trace/b%2Fc"


@pytest.mark.parametrize("strategy", Strategy)
def test_a_queue_without_queue_items_has_nothing_to_label(store: Store, tmp_path: Path, strategy: Strategy) -> None:
    fill(store, [Annotation(NOW_MS, "1", QUEUE, "a", thumbs="up"), scored("a", "m", 0.5, True)])
    answer = ask(store, tmp_path, NextQuery(criterion="tone", strategy=strategy))
    assert (items(answer), answer["unannotated"], answer["candidates"]) == ([], 0, 0)
