"""Deep-dive results equal plain loops over the rows, and agree with the document."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import combinations, pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from aggregator.days import Window, day_of, window_start
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.policy import Policy
from aggregator.ratings import LEVELS
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import MetricDocument
from aggregator.statistics.confusion import wilson
from aggregator.statistics.versions import mcnemar
from sinks.queries import deep_dive
from sinks.queries.results import Agreed
from sinks.queries.scope import Scope
from sinks.queries.thresholds import what_if
from sinks.store.store import Store
from tests.support import facts as strategies
from tests.support.logs import Logs, steps_of
from tests.support.stores import new_store

TODAY = date(1970, 1, 8)
"""The strategies' times lie around the midnight of 1970-01-02: this day's 7-day window starts on it."""

pairs = st.none() | st.dictionaries(
    st.sampled_from(strategies.CRITERIA), st.sets(st.sampled_from(strategies.METRICS)), max_size=2
)


@contextlib.contextmanager
def stored(facts: list[Fact], policy: Policy = Policy.EACH) -> Iterator[Store]:
    with new_store() as store:
        logs = Logs(policy=policy)
        logs.write(facts)
        store.apply(steps_of(logs), 1)
        yield store


class Plain:
    """The rows of a scope, by plain loops over a recount's rows."""

    def __init__(self, recount: Recount, scope: Scope) -> None:
        start = window_start(scope.window, scope.today)
        self.scope = scope
        standing = [row for row in recount._standing(scope.queue) if day_of(row[0].at) >= start]
        self.standing = [annotation for annotation, *_ in standing]
        self.compared = [(rated(annotation, rating), verdicts) for annotation, rating, verdicts in standing]
        rows = recount.rows.values()
        self.placed = {r.item for r in rows if isinstance(r, QueueItem) and r.queue == scope.queue and not r.deleted}
        self.verdicts = [r for r in rows if isinstance(r, Evaluation) and not r.failed and not r.deleted]
        self.start = start

    def human(self, annotation: Annotation) -> bool:
        return annotation.thumbs == "up" or (annotation.stars or 0) >= self.scope.rules.pass_limit(annotation.criterion)

    def current(self, item: str, metric: str) -> Evaluation:
        rows = [row for row in self.verdicts if (row.item, row.metric) == (item, metric)]
        judge = next(
            verdict.judge
            for annotation, verdicts in self.compared
            if annotation.item == item and metric in verdicts
            for verdict in verdicts[metric]
            if verdict.current
        )
        return next(row for row in rows if row.judge == judge)

    def first_at(self, metric: str, judge: str) -> int:
        return min(row.at for row in self.verdicts if (row.metric, row.judge) == (metric, judge))


def rated(annotation: Annotation, rating: int) -> Annotation:
    """The annotation with this rating, an index in `LEVELS`."""
    level = LEVELS[rating]
    thumbs, stars = (level, None) if level in ("up", "down") else (None, int(level))
    return msgspec.structs.replace(annotation, thumbs=thumbs, stars=stars)


def crowded(fact: Fact) -> Fact:
    """The same in one queue, mostly of one criterion and metric, so that annotators and judges share few items."""
    if isinstance(fact, Annotation):
        criterion = "overall" if fact.annotator else fact.criterion
        return msgspec.structs.replace(fact, queue="support", criterion=criterion)
    if isinstance(fact, Evaluation):
        return msgspec.structs.replace(fact, metric="relevance" if fact.judge else fact.metric)
    return msgspec.structs.replace(fact, queue="support")


histories = st.lists(strategies.facts.map(crowded), min_size=12, max_size=45)
scopes = st.builds(
    lambda queue, window, pass_stars, pairs, own: Scope(
        queue, window, TODAY, CountingRules(pass_stars, pairs or {}, pass_stars_by_criterion=own)
    ),
    st.sampled_from(("support", "support", "support", "nobody")),
    st.sampled_from(Window),
    st.integers(1, 5),
    pairs,
    st.just({}) | st.fixed_dictionaries({"tone": st.integers(1, 5)}),
)
criteria = st.sampled_from(("overall", "overall", "tone"))
metrics = st.sampled_from(("relevance", "relevance", "toxicity"))
policies = st.sampled_from(Policy)
checked = settings(max_examples=50)


def share(k: int, n: int, items: int) -> Agreed:
    low, high = wilson(k / n, items)
    return Agreed(k=k, n=n, items=items, alignment=k / n, low=low, high=high)


def by_item(part: Agreed) -> list[int]:
    aligned = round(part["alignment"] * part["items"])
    return [aligned, part["items"] - aligned]


def in_document(recount: Recount, scope: Scope, criterion: str, metric: str) -> MetricDocument | None:
    document = recount.document(scope.queue, window=scope.window, today=scope.today, rules=scope.rules)
    return next(
        (
            entry
            for part in document["criteria"]
            if part["criterion"] == criterion
            for entry in part["metrics"]
            if entry["metric"] == metric and entry["comparisons"]
        ),
        None,
    )


@given(histories, policies, scopes, st.none() | criteria, st.none() | metrics)
@checked
def test_trend_is_the_comparisons_of_each_day(
    history: list[Fact], policy: Policy, scope: Scope, criterion: str | None, metric: str | None
) -> None:
    plain = Plain(Recount(history, policy), scope)
    days: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for annotation, verdicts in plain.compared:
        if criterion not in {None, annotation.criterion}:
            continue
        for name, of_metric in verdicts.items():
            if name == metric or (metric is None and scope.rules.on_topic(annotation.criterion, name)):
                passed = next(verdict.passed for verdict in of_metric if verdict.current)
                days[day_of(annotation.at)].append((annotation.item, passed is plain.human(annotation)))

    def agreed(pairs: list[tuple[str, bool]]) -> Agreed:
        return share(sum(ok for _, ok in pairs), len(pairs), len({item for item, _ in pairs}))

    def week(last: str) -> list[tuple[str, bool]]:
        span = {(date.fromisoformat(last) - timedelta(days=back)).isoformat() for back in range(7)}
        return [one for day, of_day in days.items() if day in span for one in of_day]

    expected = [{"day": day, "week": agreed(week(day)), **agreed(of_day)} for day, of_day in sorted(days.items())]
    with stored(history, policy) as store, store.read() as connection:
        answer = deep_dive.trend(connection, scope, criterion, metric)
    assert answer["days"] == expected
    if criterion is None:
        assert answer["epochs"] == []


@given(histories, policies, scopes, criteria, metrics)
@checked
def test_the_days_of_a_trend_add_up_to_the_document(
    history: list[Fact], policy: Policy, scope: Scope, criterion: str, metric: str
) -> None:
    document = in_document(Recount(history, policy), scope, criterion, metric)
    with stored(history, policy) as store, store.read() as connection:
        days = deep_dive.trend(connection, scope, criterion, metric)["days"]
    compared, misaligned = sum(day["n"] for day in days), sum(day["n"] - day["k"] for day in days)
    assert (compared, misaligned) == ((document["comparisons"], document["misaligned"]) if document else (0, 0))


@given(histories, policies, scopes, st.tuples(criteria, metrics), st.floats(0.1, 10))
@checked
def test_what_if_applies_each_cut_to_the_rows(
    history: list[Fact], policy: Policy, scope: Scope, pair: tuple[str, str], cost: float
) -> None:
    criterion, metric = pair
    plain = Plain(Recount(history, policy), scope)
    compared = [
        (plain.human(annotation), plain.current(annotation.item, metric))
        for annotation, verdicts in plain.compared
        if annotation.criterion == criterion and metric in verdicts
    ]
    scored = [(human, row, row.score) for human, row in compared if row.score is not None]
    with stored(history, policy) as store, store.read() as connection:
        answer = what_if(connection, scope, criterion, metric, cost=cost)
    assert (answer["comparisons"], answer["scored"]) == (len(compared), len(scored))
    assert answer["items"] == len({row.item for _, row, _ in scored})
    if not scored:
        assert set(answer["undefined"].values()) == {"no_scores" if compared else "no_comparisons"}
        assert (answer["now"], answer["sweep"], answer["histogram"]) == (None, [], [])
        return

    def counts(passes: list[bool]) -> tuple[int, int, int, int]:
        both = [(human, passed) for (human, _, _), passed in zip(scored, passes, strict=True)]
        return (
            both.count((True, True)),
            both.count((True, False)),
            both.count((False, False)),
            both.count((False, True)),
        )

    for cut in [*answer["sweep"], *answer["grid"]]:
        passes = [cut["cut"] is not None and score >= cut["cut"] for _, _, score in scored]
        assert (cut["tp"], cut["fn"], cut["tn"], cut["fp"]) == counts(passes)
        assert cut["alignment"] == (cut["tp"] + cut["tn"]) / len(scored)
    now = answer["now"]
    assert now is not None
    assert (now["tp"], now["fn"], now["tn"], now["fp"]) == counts([bool(row.passed) for _, row, _ in scored])
    assert answer["cuts"] == len(answer["sweep"]) == len({score for _, _, score in scored}) + 1
    best, cheapest = answer["best_alignment"], answer["best_cost"]
    assert best is not None
    assert cheapest is not None
    assert best["alignment"] == max(cut["alignment"] for cut in answer["sweep"])
    constant = max(best["tp"] + best["fn"], best["tn"] + best["fp"]) / len(scored)
    if best["alignment"] > now["alignment"] and best["low"] > constant:
        assert answer["recommended"] == best
    else:
        assert (answer["recommended"], answer["undefined"]["recommended"]) == (None, "no_better_cut")
    worth = [cost * cut["fp"] + cut["fn"] for cut in answer["sweep"]]
    assert cost * cheapest["fp"] + cheapest["fn"] == pytest.approx(min(worth))
    assert sum(bar["pass"] + bar["fail"] for bar in answer["histogram"]) == len(scored)


@given(histories, policies, scopes, criteria)
@checked
def test_ceiling_is_over_all_pairs_of_people(history: list[Fact], policy: Policy, scope: Scope, criterion: str) -> None:
    recount = Recount(history, policy)
    plain = Plain(recount, scope)
    people: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in plain.standing:
        if annotation.criterion == criterion:
            people[annotation.item].append(annotation)
    both = [pair for rated in people.values() for pair in combinations(rated, 2)]
    with stored(history, policy) as store, store.read() as connection:
        answer = deep_dive.ceiling(connection, scope, criterion)
    shared = [rated for rated in people.values() if len(rated) > 1]
    assert (answer["pairs"], answer["items"]) == (len(both), len(shared))
    assert answer["annotators"] == len({annotation.annotator for rated in shared for annotation in rated})
    agreed = [plain.human(one) is plain.human(other) for one, other in both]
    if both:
        assert answer["agreement"] == sum(agreed) / len(both)
        assert (answer["agreement_low"], answer["agreement_high"]) == wilson(sum(agreed) / len(both), len(shared))
    else:
        assert (answer["agreement"], answer["undefined"]["agreement"]) == (None, "no_pairs")
    for headroom in answer["metrics"]:
        metric = in_document(recount, scope, criterion, headroom["metric"])
        assert metric is not None
        assert (headroom["alignment"], metric["off_topic"]) == (metric["alignment"], False)
        if answer["agreement"] is None:
            assert (headroom["headroom"], headroom["undefined"]) == (None, {"headroom": "no_pairs"})
        elif len(shared) < scope.rules.limits.items:
            assert (headroom["headroom"], headroom["undefined"]) == (None, {"headroom": "few_pairs"})
        elif answer["kappa_low"] is not None and answer["kappa_low"] <= 0:
            assert (headroom["headroom"], headroom["undefined"]) == (None, {"headroom": "humans_disagree"})
        else:
            assert headroom["headroom"] == answer["agreement"] - (metric["alignment"] or 0)
    named = {m for m in strategies.METRICS if in_document(recount, scope, criterion, m)}
    assert [h["metric"] for h in answer["metrics"]] == sorted(m for m in named if scope.rules.on_topic(criterion, m))


@given(histories, policies, scopes, criteria, metrics)
@checked
def test_versions_are_the_documents_and_are_tested_item_by_item(
    history: list[Fact], policy: Policy, scope: Scope, criterion: str, metric: str
) -> None:
    recount = Recount(history, policy)
    plain = Plain(recount, scope)
    judges: dict[str, dict[str, bool]] = defaultdict(dict)
    votes: dict[str, int] = defaultdict(int)
    first_days: dict[str, str] = {}
    for annotation, verdicts in plain.compared:
        if annotation.criterion == criterion and metric in verdicts:
            day = day_of(annotation.at)
            votes[annotation.item] += 1 if plain.human(annotation) else -1
            for verdict in verdicts[metric]:
                judges[verdict.judge][annotation.item] = verdict.passed
                first_days[verdict.judge] = min(day, first_days.get(verdict.judge, day))
    with stored(history, policy) as store, store.read() as connection:
        answer = deep_dive.versions(connection, scope, criterion, metric)
    document = in_document(recount, scope, criterion, metric)
    counts_by_judge = {
        version["judge"]: {name: version[name] for name in ("tp", "fn", "tn", "fp", "superseded")}
        | {"items_compared": version["items"]}
        for version in answer["versions"]
    }
    assert counts_by_judge == (document["judges"] if document else {})
    first_at = {judge: plain.first_at(metric, judge) for judge in judges}
    ordered = sorted(judges, key=lambda judge: (first_at[judge], judge))
    assert [(version["judge"], version["first_day"], version["items"]) for version in answer["versions"]] == [
        (judge, day_of(first_at[judge]), len(judges[judge])) for judge in ordered
    ]
    assert [(test["first"], test["second"]) for test in answer["tests"]] == list(combinations(ordered, 2))
    for test in answer["tests"]:
        first, second = judges[test["first"]], judges[test["second"]]
        shared = first.keys() & second.keys()
        differ = [(first[item], votes[item]) for item in shared if first[item] is not second[item] and votes[item]]
        right = sum(passed is (vote > 0) for passed, vote in differ)
        assert (test["items"], test["first_only"], test["second_only"]) == (len(shared), right, len(differ) - right)
        if shared:
            assert test["p_value"] == mcnemar(right, len(differ) - right)
        else:
            assert (test["p_value"], test["undefined"]) == (None, {"p_value": "no_shared_items"})
    agreed = {v["judge"]: share(v["tp"] + v["tn"], v["comparisons"], v["items"]) for v in answer["versions"]}
    p_values = {(test["first"], test["second"]): test["p_value"] for test in answer["tests"]}
    shared_items = {(test["first"], test["second"]): test["items"] for test in answer["tests"]}
    assert answer["epochs"] == [
        {
            "day": max(first_days[after], day_of(first_at[after])),
            "metric": metric,
            "judge": after,
            "previous": before,
            "before": agreed[before],
            "after": agreed[after],
            "p_value": p_values[before, after]
            if shared_items[before, after] >= scope.rules.limits.items
            else pytest.approx(fisher_exact([by_item(agreed[before]), by_item(agreed[after])]).pvalue),
            "change": "unclear",
        }
        for before, after in pairwise(ordered)
    ]


@given(histories, policies, scopes, criteria, metrics)
@checked
def test_corrected_reads_all_items_of_the_queue(
    history: list[Fact], policy: Policy, scope: Scope, criterion: str, metric: str
) -> None:
    plain = Plain(Recount(history, policy), scope)
    with stored(history, policy) as store, store.read() as connection:
        answer = deep_dive.corrected(connection, scope, criterion, metric)
        compared = {v["judge"]: v for v in deep_dive.versions(connection, scope, criterion, metric)["versions"]}
    assert answer["items"] == len(plain.placed)
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for row in plain.verdicts:
        if row.metric == metric and row.item in plain.placed and day_of(row.at) >= plain.start:
            verdicts[row.judge].append(bool(row.passed))
    assert {judge["judge"] for judge in answer["judges"]} == verdicts.keys() | compared.keys()
    for judge in answer["judges"]:
        passes, version = verdicts[judge["judge"]], compared.get(judge["judge"])
        assert (judge["evaluated"], judge["passed"]) == (len(passes), sum(passes))
        assert judge["comparisons"] == (version["comparisons"] if version else 0)
        if version is not None:
            assert (judge["tpr"], judge["tnr"]) == (version["tpr"], version["tnr"])
        if not passes:
            reason = "no_verdicts" if plain.placed else "no_queue_items"
            assert judge["undefined"]["corrected"] == judge["undefined"]["pass_rate"] == reason
        elif judge["tpr"] is None or judge["tnr"] is None or judge["tpr"] + judge["tnr"] <= 1:
            assert (judge["corrected"], "corrected" in judge["undefined"]) == (None, True)
        else:
            raw = (sum(passes) / len(passes) + judge["tnr"] - 1) / (judge["tpr"] + judge["tnr"] - 1)
            assert judge["corrected"] == pytest.approx(min(1, max(0, raw)), abs=1e-12)
