"""The answers of one judge version equal those of a store that has the current verdicts of this version alone."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.days import Window
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules, QueueState
from aggregator.snapshot.schema import SnapshotDocument
from sinks.documents import Documents
from sinks.queries import deep_dive
from sinks.queries.alternative import alternative_annotator
from sinks.queries.calibration import score_calibration
from sinks.queries.judge_counts import judge_state
from sinks.queries.queues import find_queue, read_state
from sinks.queries.scope import Scope
from sinks.queries.segments import segments
from sinks.queries.thresholds import what_if
from sinks.store.store import Store
from tests.support.sample_view import FACTS, NOW_MS, fill
from tests.unit.sinks.queries.test_deep_dive import (
    TODAY,
    Plain,
    checked,
    criteria,
    histories,
    metrics,
    policies,
    scopes,
    stored,
)

judges = st.sampled_from(("v1", "v2", "v3"))
OF_METRIC = (
    "comparisons", "misaligned", "tp", "fn", "tn", "fp", "alignment", "alignment_low", "alignment_high", "baseline",
    "kappa", "ac1", "mcc", "alpha", "bias", "tpr", "tnr", "ppv", "npv", "f1", "balanced_accuracy", "items_compared",
    "off_topic", "ratings",
)  # fmt: skip
"""Fields of a metric that its current comparisons decide."""


def rows_of(recount: Recount, scope: Scope, judge: str) -> list[Fact]:
    """The rows, of evaluations only those of the version that are the current verdict on an annotated item."""
    plain = Plain(recount, replace(scope, window=Window.ALL))
    kept = {
        (annotation.item, metric)
        for annotation, verdicts in plain.compared
        for metric, of_metric in verdicts.items()
        if any(verdict.current and verdict.judge == judge for verdict in of_metric)
    }
    return [
        row
        for row in recount.rows.values()
        if not isinstance(row, Evaluation) or (row.judge == judge and not row.failed and (row.item, row.metric) in kept)
    ]


def document(store: Store, scope: Scope) -> SnapshotDocument | None:
    """The document of a queue, of the scope's judge version if it has one."""
    documents = Documents(store, scope.rules, lambda: scope.today)
    with store.read() as connection:
        entry, state = find_queue(connection, scope.queue), read_state(connection)
        if entry is None:
            return None
        if scope.judge is None:
            return documents.build(connection, entry, state, scope.window)
        return documents.build_of_judge(connection, entry, state, scope)


@given(histories, policies, scopes, judges)
@checked
def test_the_document_is_a_recount_of_the_rows_of_the_version(
    history: list[Fact], policy: Policy, scope: Scope, judge: str
) -> None:
    recount = Recount(history, policy)
    expected = Recount(rows_of(recount, scope, judge), policy).document(
        scope.queue, window=scope.window, today=scope.today, rules=scope.rules
    )
    with stored(history, policy) as store:
        answer, whole = document(store, replace(scope, judge=judge)), document(store, scope)
    if answer is None or whole is None:
        assert not expected["criteria"]
        return
    assert answer["judge"] == judge
    funnel = {"items_queued", "items_waiting_evaluation", "items_errored", "items_waiting_annotation", "undefined"}
    assert {name: value for name, value in answer["cards"].items() if name not in funnel} == {
        name: value for name, value in expected["cards"].items() if name not in funnel
    }
    assert {answer["cards"]["undefined"][name] for name in funnel - {"undefined"}} == {"one_judge"}

    def plain(found: SnapshotDocument) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in part.items() if name != "metrics"}
            | {"metrics": [{name: m[name] for name in OF_METRIC} for m in part["metrics"] if m["comparisons"]]}  # type: ignore[literal-required]
            for part in found["criteria"]
        ]

    assert plain(answer) == plain(expected)
    of_whole = {(p["criterion"], m["metric"]): m for p in whole["criteria"] for m in p["metrics"]}
    for part in answer["criteria"]:
        for metric in part["metrics"]:
            own = of_whole[part["criterion"], metric["metric"]]["judges"].get(judge)
            assert metric["judges"] == ({} if own is None else {judge: own})
            newest = metric["newest_judge"]
            if own is not None:
                assert newest is not None
                assert [newest[name] for name in ("judge", "tp", "fn", "tn", "fp")] == [
                    judge, own["tp"], own["fn"], own["tn"], own["fp"],
                ]  # fmt: skip


@given(histories, policies, scopes, judges, st.tuples(criteria, metrics))
@checked
def test_answers_are_those_of_the_rows_of_the_version(
    history: list[Fact], policy: Policy, scope: Scope, judge: str, pair: tuple[str, str]
) -> None:
    criterion, metric = pair
    rows = rows_of(Recount(history, policy), scope, judge)

    def answers(store: Store, scope: Scope) -> list[object]:
        with store.read() as connection:
            return [
                deep_dive.trend(connection, scope)["days"],
                deep_dive.trend(connection, scope, criterion, metric)["days"],
                what_if(connection, scope, criterion, metric),
                score_calibration(connection, scope, criterion, metric),
                segments(connection, scope, criterion, metric, "level"),
                alternative_annotator(connection, scope, criterion, 0.2),
                deep_dive.ceiling(connection, scope, criterion),
            ]

    with stored(history, policy) as store, stored(rows, policy) as alone:
        assert answers(store, replace(scope, judge=judge)) == answers(alone, scope)


@given(histories, policies, scopes)
@checked
def test_the_cells_of_all_versions_add_up(history: list[Fact], policy: Policy, scope: Scope) -> None:
    with stored(history, policy) as store:
        whole = document(store, scope)
        if whole is None:
            return
        named = {judge for part in whole["criteria"] for m in part["metrics"] for judge in m["judges"]}
        of_judges = [document(store, replace(scope, judge=judge)) for judge in named]
    assert sum(each["cards"]["comparisons"] for each in of_judges if each) == whole["cards"]["comparisons"]


def test_a_failure_is_of_its_version() -> None:
    failed = Evaluation(at=NOW_MS, id="f", item="i1", metric="toxicity", judge="v1", status="skipped")
    scope = Scope("support", Window.ALL, TODAY, CountingRules())
    with stored([*FACTS, failed]) as store:
        found = {judge: document(store, replace(scope, judge=judge)) for judge in ("v1", "v2")}
    numbers = {
        judge: [
            (m["metric"], m["annotated_errored"], m["annotated_skipped"])
            for part in (answer["criteria"] if answer else ())
            for m in part["metrics"]
            if part["criterion"] == "overall" and m["metric"] == "toxicity"
        ]
        for judge, answer in found.items()
    }
    assert numbers == {"v1": [("toxicity", 0, 1)], "v2": []}


def test_documents_have_no_trend_of_a_version() -> None:
    with stored(list(FACTS)) as store, store.read() as connection, pytest.raises(ValueError, match="judge version"):
        deep_dive.published(connection, Scope("support", Window.ALL, TODAY, CountingRules(), "v1"))


def test_a_document_of_a_version_is_built_once_for_each_state(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str | None] = []

    def counting(connection: Any, counts: QueueState, scope: Scope) -> QueueState:
        built.append(scope.judge)
        return judge_state(connection, counts, scope)

    monkeypatch.setattr("sinks.documents.judge_state", counting)
    documents = Documents(store, CountingRules(), lambda: TODAY)

    def answer(judge: str) -> SnapshotDocument:
        with store.read() as connection:
            entry, state = find_queue(connection, "support"), read_state(connection)
            assert entry is not None
            scope = Scope(entry.queue, Window.ALL, TODAY, documents.rules, judge)
            found = documents.build_of_judge(connection, entry, state, scope)
        assert found is not None
        return found

    fill(store, FACTS)
    assert answer("v1") == answer("v1") != answer("v2")
    assert built == ["v1", "v2"]
    fill(store, [*FACTS, Annotation(at=NOW_MS, id="later", queue="support", item="i2", stars=1)], at=NOW_MS + 1)
    assert answer("v2")["revision"] == answer("v2")["revision"] > 1
    assert built == ["v1", "v2", "v2"]
