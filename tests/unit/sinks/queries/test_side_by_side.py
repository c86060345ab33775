"""Two judges side by side equal plain loops over the rows."""

from collections import Counter, defaultdict
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from aggregator.days import Window
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import Confusion, Estimate
from sinks.queries.scope import Scope
from sinks.queries.side_by_side import JudgedBy, JudgeSide, side_by_side
from tests.unit.sinks.queries.test_deep_dive import Plain, criteria, histories, metrics, policies, scopes, stored

judges = st.builds(JudgedBy, metrics, st.sampled_from((None, "", "v1", "v2")))
CELLS = {(True, True): "tp", (True, False): "fn", (False, False): "tn", (False, True): "fp"}


def verdict(plain: Plain, item: str, judge: JudgedBy) -> bool | None:
    """The verdict of a judge on a compared item; None without one."""
    rows = [row for row in plain.verdicts if (row.item, row.metric) == (item, judge.metric)]
    if judge.judge is not None:
        rows = [row for row in rows if row.judge == judge.judge]
    elif rows:
        rows = [plain.current(item, judge.metric)]
    return bool(rows[0].passed) if rows else None


@given(histories, policies, scopes, criteria, st.tuples(judges, judges))
@settings(max_examples=60)
def test_both_sides_are_loops_over_the_items_that_both_judged(
    history: list[Fact], policy: Policy, scope: Scope, criterion: str, pair: tuple[JudgedBy, JudgedBy]
) -> None:
    first, second = pair
    plain = Plain(Recount(history, policy), scope)
    people: dict[str, list[bool]] = defaultdict(list)
    for annotation, verdicts_by_metric in plain.compared:
        # Without verdicts the policy leaves it out, or nothing judged the item.
        if annotation.criterion == criterion and verdicts_by_metric:
            people[annotation.item].append(plain.human(annotation))
    cells: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    right: Counter[tuple[bool, bool] | None] = Counter()
    for item, ratings in people.items():
        verdicts = [result for judge in pair if (result := verdict(plain, item, judge)) is not None]
        if len(verdicts) < len(pair):
            continue
        for of_side, passed in zip(cells, verdicts, strict=True):
            of_side.update(CELLS[human, passed] for human in ratings)
        passes, fails = ratings.count(True), ratings.count(False)
        majority = passes > fails
        right[None if passes == fails else (verdicts[0] == majority, verdicts[1] == majority)] += 1
    with stored(history, policy) as store, store.read() as connection:
        answer = side_by_side(connection, scope, criterion, first, second)
    assert answer["items"] == right.total()
    assert (answer["both"], answer["first_only"]) == (right[True, True], right[True, False])
    assert (answer["second_only"], answer["neither"]) == (right[False, True], right[False, False])
    assert answer["tied"] == right[None]
    differing = answer["first_only"] + answer["second_only"]
    if not answer["items"]:
        assert (answer["p_value"], answer["undefined"]) == (None, {"p_value": "no_shared_items"})
    elif differing:
        assert answer["p_value"] == pytest.approx(binomtest(answer["first_only"], differing).pvalue)
    else:
        assert answer["p_value"] == 1
    for judge, side, own in zip((first, second), (answer["first"], answer["second"]), cells, strict=True):
        equal(side, judge, own, answer["items"])


def equal(side: JudgeSide, judge: JudgedBy, own: Counter[str], items: int) -> None:
    """Fail unless a side has these cells and their rates."""
    counts = Confusion(own["tp"], own["fn"], own["tn"], own["fp"], items)
    assert (side["metric"], side["judge"], side["comparisons"]) == (*judge, counts.n)
    assert (side["tp"], side["fn"], side["tn"], side["fp"]) == (counts.tp, counts.fn, counts.tn, counts.fp)
    shown = side["alignment"], side["alignment_low"], side["alignment_high"]
    assert shown == (counts.alignment if isinstance(counts.alignment, Estimate) else (None, None, None))
    for value, rate in ((side["tpr"], counts.tpr), (side["tnr"], counts.tnr)):
        assert value == (rate.value if isinstance(rate, Estimate) else None)


def test_a_judge_that_is_right_more_often_is_told_from_one_that_is_not() -> None:
    facts: list[Fact] = []
    for number in range(12):
        item = f"i{number}"
        facts += [
            Annotation(at=1, id="a", queue="support", item=item, thumbs="up"),
            Evaluation(at=1, id="e", item=item, metric="m", judge="old", passed=number == 0),
            Evaluation(at=2, id="f", item=item, metric="m", judge="new", passed=number < 11),
        ]
    scope = Scope("support", Window.ALL, date(1970, 1, 8), CountingRules())
    with stored(facts, Policy.EACH) as store, store.read() as connection:
        answer = side_by_side(connection, scope, "overall", JudgedBy("m", "new"), JudgedBy("m", "old"))
    assert (answer["items"], answer["both"], answer["first_only"], answer["second_only"], answer["neither"]) == (
        12, 1, 10, 0, 1,
    )  # fmt: skip
    assert answer["p_value"] == pytest.approx(2 / 1024)
