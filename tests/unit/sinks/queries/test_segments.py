"""Segments equal plain loops over the rows."""

from collections import Counter, defaultdict
from datetime import date
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from aggregator.days import Window
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import Confusion, Estimate
from aggregator.statistics.error_side import ErrorSide, error_side
from sinks import budgets
from sinks.queries import segments as queries
from sinks.queries.scope import Scope
from sinks.queries.segments import ATTRIBUTES, SegmentAlignment, segments
from tests.unit.sinks.queries.test_deep_dive import Plain, criteria, histories, metrics, policies, scopes, stored

HOUR_MS = 3_600_000
SCOPE = Scope("support", Window.ALL, date(1970, 1, 8), CountingRules())
divisions = st.sampled_from((*ATTRIBUTES, "tag:plan", "tag:lang", 'tag:"$'))


def value_of(by: str, annotation: Annotation, evaluation: Evaluation, placed: QueueItem | None) -> str | None:
    """The value by which a comparison is divided."""
    if by.startswith("tag:"):
        sources = (annotation, placed, evaluation)
        found = (source.tags.get(by[4:]) for source in sources if source is not None and source.tags)
        return next((value for value in found if value is not None), None)
    return getattr(evaluation if by == "judge" else annotation, by) or None


def majority(results: list[bool]) -> int:
    """1 where most comparisons of an item are aligned, -1 where most are not, 0 for a tie."""
    return (2 * sum(results) > len(results)) - (2 * sum(results) < len(results))


def elsewhere(found: dict[str | None, dict[str, list[bool]]], value: str | None) -> dict[str, list[bool]]:
    """What the items have in other segments."""
    others: dict[str, list[bool]] = defaultdict(list)
    for name, items in found.items():
        for item, of_item in items.items() if name != value else ():
            others[item] += of_item
    return others


def errs(people: dict[str, list[bool]], passes: dict[str, bool]) -> ErrorSide:
    """The side on which a metric errs that passes these items."""
    votes = {item: majority(of_item) for item, of_item in people.items()}
    wrong = Counter(vote for item, vote in votes.items() if vote != (1 if passes[item] else -1))
    return error_side(wrong[1], wrong[-1])


@given(histories, policies, scopes, st.tuples(criteria, metrics), divisions)
@settings(max_examples=60)
def test_segments_are_the_comparisons_by_value(
    history: list[Fact], policy: Policy, scope: Scope, pair: tuple[str, str], by: str
) -> None:
    criterion, metric = pair
    recount = Recount(history, policy)
    plain = Plain(recount, scope)
    placed = {row.item: row for row in recount.rows.values() if isinstance(row, QueueItem) and row.queue == scope.queue}
    cells: dict[str | None, Counter[str]] = defaultdict(Counter)
    results: dict[str | None, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    people: dict[str | None, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    passes: dict[str, bool] = {}
    names: Counter[str] = Counter()
    for annotation, verdicts in plain.compared:
        if annotation.criterion == criterion and metric in verdicts:
            verdict = plain.current(annotation.item, metric)
            value = value_of(by, annotation, verdict, placed.get(annotation.item))
            if (policy, by) == (Policy.MAJORITY, "annotator"):
                value = None
            human, passed = plain.human(annotation), bool(verdict.passed)
            cells[value]["tp" if human and passed else "fn" if human else "fp" if passed else "tn"] += 1
            results[value][annotation.item].append(human is passed)
            people[value][annotation.item].append(human)
            passes[annotation.item] = passed
            sources = (annotation, verdict, placed.get(annotation.item))
            names.update({name for source in sources if source is not None for name in source.tags or {}})
    # The histories have three items.
    with (
        patch("aggregator.statistics.segments.LEAST_ITEMS", 1),
        stored(history, policy) as store,
        store.read() as connection,
    ):
        answer = segments(connection, scope, criterion, metric, by)
    assert answer["tags"] == sorted(names, key=lambda name: (-names[name], name))
    assert answer["segments_total"] == len(answer["segments"]) == len(cells)
    for segment in answer["segments"]:
        own = cells.pop(segment["value"])
        counts = Confusion(own["tp"], own["fn"], own["tn"], own["fp"], len(results[segment["value"]]))
        assert isinstance(counts.alignment, Estimate)
        assert {name: segment[name] for name in ("tp", "fn", "tn", "fp")} == {
            name: own[name] for name in ("tp", "fn", "tn", "fp")
        }
        assert (segment["items"], segment["comparisons"]) == (counts.items, counts.n)
        assert (segment["alignment"], segment["alignment_low"], segment["alignment_high"]) == counts.alignment
        for name, rate in (("tpr", counts.tpr), ("tnr", counts.tnr)):
            shown = segment[name], segment[f"{name}_low"], segment[f"{name}_high"]  # type: ignore[literal-required]
            assert shown == (rate if isinstance(rate, Estimate) else (None, None, None))
        others = elsewhere(results, segment["value"])
        rest = [result for of_item in others.values() for result in of_item]
        assert segment["rest_alignment"] == (sum(rest) / len(rest) if rest else None)
        sides = [[majority(each) for each in items.values()] for items in (results[segment["value"]], others)]
        table = [[side.count(1), side.count(-1)] for side in sides]
        expected = fisher_exact(table).pvalue if all(map(sum, table)) else None
        assert segment["p_value"] == (None if expected is None else pytest.approx(expected))
        by_people = people[segment["value"]], elsewhere(people, segment["value"])
        assert [segment["error_side"], segment["rest_error_side"]] == [errs(items, passes) for items in by_people]
    assert not cells


def rated(item: str, plan: str | None, *ratings: bool, passed: bool = True) -> list[Fact]:
    """An item of a plan with a rating by each of several people, and a verdict."""
    tags = None if plan is None else {"plan": plan}
    return [
        Evaluation(at=HOUR_MS, id="e", item=item, metric="m", passed=passed, tags={"plan": "hidden"} if plan else None),
        *(
            Annotation(
                at=HOUR_MS, id="a", queue="support", item=item, annotator=f"p{place}", tags=tags,
                thumbs="up" if rating else "down",
            )
            for place, rating in enumerate(ratings)
        ),
    ]  # fmt: skip


def by_value(facts: list[Fact], by: str = "tag:plan") -> dict[str | None, SegmentAlignment]:
    with stored(facts) as store, store.read() as connection:
        answer = segments(connection, SCOPE, "overall", "m", by)
    assert [segment["value"] for segment in answer["segments"]][:1] == ["free"] or by != "tag:plan"
    return {segment["value"]: segment for segment in answer["segments"]}


def test_the_worst_segment_that_differs_comes_first() -> None:
    facts = [fact for number in range(40) for fact in rated(f"paid{number}", "paid", True, True, number % 10 > 0)]
    facts += [fact for number in range(12) for fact in rated(f"free{number}", "free", number % 3 == 0)]
    facts += [fact for number in range(5) for fact in rated(f"none{number}", None, False)]
    found = by_value(facts)
    free, paid, untagged = found["free"], found["paid"], found[None]
    # Each of the 40 items of `paid` is one observation, aligned by two of its three ratings.
    expected = fisher_exact([[4, 8], [40, 5]]).pvalue
    assert free["p_value"] == pytest.approx(expected)
    assert paid["p_adjusted"] == pytest.approx(2 * fisher_exact([[40, 0], [4, 13]]).pvalue)
    assert free["p_adjusted"] == free["p_value"]
    assert (free["differs"], paid["differs"], untagged["differs"]) == (True, True, False)
    assert untagged["undefined"] == {
        "tpr": "no_human_pass", "tpr_low": "no_human_pass", "tpr_high": "no_human_pass", "p_value": "few_items",
        "p_adjusted": "few_items", "passes_p_adjusted": "few_items", "fails_p_adjusted": "few_items",
        "lean": "few_items",
    }  # fmt: skip
    assert free["rest_alignment"] == (116 + 0) / 125


def test_an_item_counts_once_on_each_side() -> None:
    # Ann rates all items, two others only some; on 12 of them both contradict her.
    facts = [fact for number in range(12) for fact in rated(f"i{number}", None, False, True, True)]
    facts += [fact for number in range(18) for fact in rated(f"j{number}", None, True)]
    found = by_value(facts, "annotator")
    assert found["p0"]["p_value"] == pytest.approx(fisher_exact([[18, 12], [12, 0]]).pvalue)
    # Of the items of p1 the others are split, which is a tie; the rest are those that only p0 rated.
    assert found["p1"]["p_value"] == pytest.approx(fisher_exact([[12, 0], [18, 0]]).pvalue)


def test_of_very_many_values_only_those_with_most_items_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = [fact for number in range(12) for fact in rated(f"free{number}", "free", number % 3 == 0)]
    facts += [fact for number in range(1_100) for fact in rated(f"i{number}", f"plan {number:04}", number % 10 > 0)]
    made: list[str | None] = []
    real = queries._segment

    def counted(segment: Any, *others: Any) -> SegmentAlignment:
        made.append(segment.value)
        return real(segment, *others)

    monkeypatch.setattr(queries, "_segment", counted)
    with stored(facts) as store, store.read() as connection:
        answer = segments(connection, SCOPE, "overall", "m", "tag:plan")
    assert len(made) == budgets.SEGMENTS_READ
    assert (answer["segments_total"], len(answer["segments"]), answer["tested"]) == (1_101, budgets.SEGMENTS, 1)
    free = answer["segments"][0]
    assert (free["value"], free["comparisons"]) == ("free", 12)
    # The rest has all values, those that are not read included.
    assert free["rest_alignment"] == 990 / 1_100
    assert free["p_value"] == pytest.approx(fisher_exact([[4, 8], [990, 110]]).pvalue)


def test_other_divisions_are_refused() -> None:
    with stored([]) as store, store.read() as connection:
        with pytest.raises(ValueError, match="'colour' is not one of annotator, level, judge"):
            segments(connection, SCOPE, "overall", "m", "colour")
        assert segments(connection, SCOPE, "overall", "m", "level")["segments"] == []
