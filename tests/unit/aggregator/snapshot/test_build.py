"""The snapshot document: its exact form, its numbers, and a reason for every null."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.days import Window, timestamp
from aggregator.policy import Policy
from aggregator.ratings import COUNTS
from aggregator.snapshot.build import document
from aggregator.snapshot.inputs import (
    CountingRules,
    CriterionState,
    DocumentStamp,
    Funnel,
    JudgeVectors,
    MetricCoverage,
    PairCounts,
    QueueState,
    Vector,
)
from aggregator.snapshot.schema import SnapshotDocument, json_schema
from aggregator.statistics.confusion import wilson
from aggregator.statistics.gate import GateLimits
from aggregator.statistics.judge_in_use import JudgePeriod

# The order of a cell vector as the wire contract lists it, repeated here on purpose.
WIRE = [
    "down_fail", "down_pass", "up_fail", "up_pass", "1_fail", "1_pass", "2_fail", "2_pass",
    "3_fail", "3_pass", "4_fail", "4_pass", "5_fail", "5_pass",
]  # fmt: skip
STAMP = DocumentStamp(
    "2026-11-23T10:15:02.412Z", revision=88, ledger="5f0c", positions={10: 8450, 2: 9001}, policy=Policy.EACH
)
READING = CountingRules()


def vector(**counts: int) -> Vector:
    """A cell vector from counts by name, such as up_pass=3 and s4_fail=1 (s for stars)."""
    named = {name.removeprefix("s") if name[1].isdigit() else name: count for name, count in counts.items()}
    assert named.keys() <= set(WIRE)
    return [named.get(name, 0) for name in WIRE]


NONE = vector()
NEW = JudgeVectors(
    vector(up_pass=60, up_fail=4, down_pass=5, down_fail=30, s1_fail=12, s3_pass=60, s5_fail=4), NONE, 175
)
OLD = JudgeVectors(vector(s2_pass=6, s2_fail=25), vector(up_pass=1, up_fail=2, s2_pass=3, s2_fail=5), 42)
JUDGES = {
    **dict.fromkeys(("politeness", "relevance", "pii_leakage"), JudgePeriod("", 1_763_900_000_000, 1_763_900_000_000)),
    "answer_relevancy": JudgePeriod("gpt-4o/p4", 1_763_800_000_000, 1_763_900_000_000),
}
RELEVANCY = PairCounts(items=180, judges={"gpt-4o/p4": NEW, "gpt-4o/p3": OLD})


def queue(*, criteria: dict[str, CriterionState] | None = None, funnel: Funnel | None = None) -> QueueState:
    if criteria is None:
        criteria = {"helpfulness": CriterionState(270, 206, 180, {"answer_relevancy": RELEVANCY})}
    compared = max((criterion.items_compared for criterion in criteria.values()), default=0)
    return QueueState("support", compared, 200, criteria, funnel, JUDGES)


def simple(tp: int = 0, fn: int = 0, tn: int = 0, fp: int = 0) -> PairCounts:
    cell = JudgeVectors(vector(up_pass=tp, up_fail=fn, down_fail=tn, down_pass=fp), NONE, tp + fn + tn + fp)
    return PairCounts(cell.items, {"": cell})


def test_the_document_has_the_form_of_the_contract() -> None:
    built = document(queue(), Window.ALL, STAMP, READING)
    assert list(built) == [
        "schema", "queue", "as_of", "revision", "ledger", "positions", "policy", "pass_stars", "window",
        "cards",
        "criteria",
    ]  # fmt: skip
    assert orjson.dumps({name: part for name, part in built.items() if name not in ("cards", "criteria")}) == (
        b'{"schema":"alignment.snapshot.v2","queue":"support","as_of":"2026-11-23T10:15:02.412Z","revision":88,'
        b'"ledger":"5f0c","positions":{"2":9001,"10":8450},"policy":"each","pass_stars":3,"window":"all"}'
    )
    assert list(built["cards"])[:11] == [
        "items_compared", "items_annotated", "annotations", "annotations_contributing", "comparisons",
        "misaligned", "alignment", "alignment_low", "alignment_high", "criteria", "metrics",
    ]  # fmt: skip
    (criterion,) = built["criteria"]
    assert list(criterion) == [
        "criterion", "annotations", "annotations_contributing", "items_compared", "comparisons",
        "misaligned", "alignment", "human", "metric", "undefined", "metrics", "metrics_left_out",
    ]  # fmt: skip
    (metric,) = criterion["metrics"]
    assert list(metric)[:12] == [
        "metric", "comparisons", "misaligned", "tp", "fn", "tn", "fp", "alignment", "alignment_low",
        "alignment_high", "baseline", "kappa",
    ]  # fmt: skip
    assert list(metric)[-3:] == ["undefined", "ratings", "judges"]
    assert list(metric["ratings"]) == ["up", "down", "1", "2", "3", "4", "5"]


def test_a_metrics_numbers_follow_from_its_counts() -> None:
    built = document(queue(), Window.ALL, STAMP, READING)
    (criterion,) = built["criteria"]
    (metric,) = criterion["metrics"]
    # Annotators passed 60 + 4 + 60 + 4 (up, and 3 to 5 stars). The metric passed 60 + 60 of them, and 5 + 6 others.
    assert {name: metric[name] for name in ("comparisons", "misaligned", "tp", "fn", "tn", "fp")} == {
        "comparisons": 206, "misaligned": 19, "tp": 120, "fn": 8, "tn": 67, "fp": 11,
    }  # fmt: skip
    assert round(metric["alignment"] or 0, 4) == 0.9078
    assert round(metric["baseline"] or 0, 4) == 0.6214
    assert metric["ratings"] == {
        "up": {"pass": 60, "fail": 4}, "down": {"pass": 5, "fail": 30}, "1": {"pass": 0, "fail": 12},
        "2": {"pass": 6, "fail": 25}, "3": {"pass": 60, "fail": 0}, "4": {"pass": 0, "fail": 0},
        "5": {"pass": 0, "fail": 4},
    }  # fmt: skip
    # A judge's own counts are its current and its superseded ones.
    assert metric["judges"] == {
        "gpt-4o/p3": {"tp": 1, "fn": 2, "tn": 30, "fp": 9, "superseded": 11, "items_compared": 42},
        "gpt-4o/p4": {"tp": 120, "fn": 8, "tn": 42, "fp": 5, "superseded": 0, "items_compared": 175},
    }
    assert list(metric["judges"]) == ["gpt-4o/p3", "gpt-4o/p4"]
    assert criterion["human"] == {"pass": 128, "fail": 78}
    assert criterion["metric"] == {"pass": 131, "fail": 75}
    assert (criterion["alignment"], criterion["comparisons"]) == (metric["alignment"], 206)
    assert (built["cards"]["comparisons"], built["cards"]["misaligned"]) == (206, 19)


def test_intervals_use_distinct_items() -> None:
    many, few = (
        queue(),
        queue(criteria={"helpfulness": CriterionState(270, 206, 20, {"m": replace(RELEVANCY, items=20)})}),
    )
    narrow, wide = (document(state, Window.ALL, STAMP, READING) for state in (many, few))
    assert narrow["criteria"][0]["metrics"][0]["items_compared"] == 180
    for tight, loose in (
        (narrow["cards"], wide["cards"]),
        (narrow["criteria"][0]["metrics"][0], wide["criteria"][0]["metrics"][0]),
    ):
        assert tight["alignment"] == loose["alignment"]
        assert _width(loose) > 2.5 * _width(tight)


def _width(part: Any) -> float:
    return float(part["alignment_high"] - part["alignment_low"])


def test_metrics_are_sorted_by_alignment_then_comparisons_then_name() -> None:
    metrics = {
        "none": simple(),
        "b": simple(tp=9, fn=1),
        "a": simple(tp=9, fn=1),
        "more": simple(tp=18, fn=2),
        "best": simple(tn=2),
        "worst": simple(fp=1),
    }
    built = document(
        queue(criteria={"z": CriterionState(1, 0, 0, {}), "c": CriterionState(40, 40, 20, metrics)}),
        Window.ALL,
        STAMP,
        READING,
    )
    assert [criterion["criterion"] for criterion in built["criteria"]] == ["c", "z"]
    order = [metric["metric"] for metric in built["criteria"][0]["metrics"]]
    assert order == ["best", "more", "a", "b", "worst", "none"]
    # "none" was never compared.
    assert built["cards"]["metrics"] == 5
    assert built["cards"]["criteria"] == 2


def test_off_topic_pairs_are_marked_and_stay_out_of_cards() -> None:
    criteria = {
        "tone": CriterionState(12, 10, 10, {"politeness": simple(tp=8, fp=2), "relevance": simple(fn=10)}),
        "helpfulness": CriterionState(6, 5, 5, {"relevance": simple(tp=4, fn=1)}),
    }
    built = document(
        queue(criteria=criteria), Window.ALL, STAMP, CountingRules(criterion_metrics={"tone": ["politeness"]})
    )
    cards = built["cards"]
    assert (cards["comparisons"], cards["misaligned"], cards["metrics"]) == (15, 3, 2)
    assert (cards["annotations"], cards["annotations_contributing"]) == (18, 15)
    # Ten distinct items in the queue; its criteria add up to more.
    assert (cards["alignment"], cards["alignment_low"], cards["alignment_high"]) == (0.8, *wilson(0.8, 10))
    helpfulness, tone = built["criteria"]
    assert (helpfulness["comparisons"], tone["comparisons"], tone["misaligned"]) == (5, 10, 2)
    assert (tone["human"], tone["metric"]) == ({"pass": 8, "fail": 2}, {"pass": 10, "fail": 0})
    politeness, relevance = tone["metrics"]
    assert [politeness["off_topic"], relevance["off_topic"], helpfulness["metrics"][0]["off_topic"]] == [
        False,
        True,
        False,
    ]
    # Its numbers are shown, and decide nothing.
    assert (relevance["fn"], relevance["alignment"]) == (10, 0)
    assert (relevance["gate_state"], relevance["gate_reasons"], relevance["labels_needed"]) == (None, [], None)
    assert relevance["undefined"]["gate_state"] == relevance["undefined"]["labels_needed"] == "off_topic"
    assert politeness["gate_state"] == "undecided"


def test_gate_and_labels_follow_the_limits() -> None:
    (criterion,) = document(queue(), Window.ALL, STAMP, READING)["criteria"]
    assert (criterion["metrics"][0]["gate_state"], criterion["metrics"][0]["gate_reasons"]) == ("trusted", [])
    (criterion,) = document(queue(), Window.ALL, STAMP, CountingRules(limits=GateLimits(items=176)))["criteria"]
    assert criterion["metrics"][0]["gate_state"] == "undecided"
    assert criterion["metrics"][0]["gate_reasons"] == ["few_items"]
    assert criterion["metrics"][0]["labels_needed"] == 1


def test_the_gate_decides_on_the_newest_judge_version_alone() -> None:
    # The version before agrees always, the newest one never.
    before = JudgeVectors(vector(up_pass=300, down_fail=300), NONE, 600)
    newest = JudgeVectors(vector(up_fail=20, down_pass=20), NONE, 40)
    pair = PairCounts(640, {"v1": before, "v2": newest})
    state = queue(criteria={"c": CriterionState(640, 640, 640, {"m": pair})})
    period = JudgePeriod("v2", 1_763_800_000_000, 1_763_900_000_000)
    (criterion,) = document(replace(state, judges={"m": period}), Window.ALL, STAMP, READING)["criteria"]
    (metric,) = criterion["metrics"]
    assert (metric["alignment"], metric["judge_versions"]) == (600 / 640, 2)
    own = metric["newest_judge"]
    assert own is not None
    assert (own["judge"], own["since"], own["items_compared"], own["alignment"]) == (
        "v2",
        timestamp(1_763_800_000_000),
        40,
        0,
    )
    assert metric["gate_state"] == "not_trusted"
    # A version whose items nobody annotated yet is undecided, however good the one before was.
    (criterion,) = document(replace(state, judges={"m": period._replace(judge="v3")}), Window.ALL, STAMP, READING)[
        "criteria"
    ]
    (metric,) = criterion["metrics"]
    assert metric["newest_judge"] is not None
    assert (metric["gate_state"], metric["newest_judge"]["comparisons"]) == ("undecided", 0)
    assert (metric["labels_needed"], metric["labels_needed_for"]) == (30, "gate")


def test_without_queue_items_the_funnel_is_null() -> None:
    built = document(queue(), Window.ALL, STAMP, READING)
    funnel = ("items_queued", "items_waiting_evaluation", "items_errored", "items_waiting_annotation")
    coverage = ("evaluated", "pass_rate", "errored", "skipped", "waiting")
    assert built["cards"]["undefined"] == dict.fromkeys(funnel, "no_queue_items")
    assert built["criteria"][0]["metrics"][0]["undefined"] == dict.fromkeys(coverage, "no_queue_items")


def test_with_queue_items_the_funnel_is_known() -> None:
    metrics = {
        "answer_relevancy": MetricCoverage(30, 10, 3, 2, waiting=55),
        "pii_leakage": MetricCoverage(0, 0, 7, 0, waiting=93),
    }
    funnel = Funnel(items=100, waiting_evaluation=50, errored=4, waiting_annotation=20, metrics=metrics)
    state = queue(funnel=funnel)
    state = replace(state, criteria={"tone": CriterionState(1, 0, 0, {"new": PairCounts(0, {})}), **state.criteria})
    built = document(state, Window.ALL, STAMP, CountingRules(criterion_metrics={"tone": ["new", "pii_leakage"]}))
    cards = built["cards"]
    assert [cards["items_queued"], cards["items_waiting_evaluation"], cards["items_errored"]] == [100, 50, 4]
    assert cards["items_waiting_annotation"] == 20
    assert cards["undefined"] == {}
    helpfulness, tone = ({m["metric"]: m for m in criterion["metrics"]} for criterion in built["criteria"])
    coverage = ("evaluated", "pass_rate", "errored", "skipped", "waiting")
    assert [helpfulness["answer_relevancy"].get(name) for name in coverage] == [40, 0.75, 3, 2, 55]
    # A metric without comparison is listed, with a dash; where it is off topic it is not.
    assert [helpfulness["pii_leakage"].get(name) for name in coverage] == [0, None, 7, 0, 93]
    assert helpfulness["pii_leakage"]["undefined"]["pass_rate"] == "no_verdicts"
    assert helpfulness["pii_leakage"]["undefined"]["alignment"] == "no_comparisons"
    assert tone.keys() == {"new", "pii_leakage"}
    # A metric without verdicts on the queue's items waits for all of them.
    assert [tone["new"].get(name) for name in coverage] == [0, None, 0, 0, 100]


def test_an_empty_queue_is_a_document_too() -> None:
    built = document(QueueState("support", 0, 0, {}), Window.DAYS_7, STAMP, READING)
    assert built["window"] == "7d"
    assert built["criteria"] == []
    assert built["cards"]["comparisons"] == 0
    assert [built["cards"]["undefined"].get(f"alignment{end}") for end in ("", "_low", "_high")] == [
        "no_comparisons"
    ] * 3


def test_items_that_do_not_fit_the_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="207 distinct items are impossible for 206 comparisons"):
        document(
            queue(criteria={"c": CriterionState(270, 206, 206, {"m": replace(RELEVANCY, items=207)})}),
            Window.ALL,
            STAMP,
            READING,
        )


vectors = st.lists(st.integers(0, 2) | st.just(0), min_size=COUNTS, max_size=COUNTS)


@st.composite
def cells(draw: st.DrawFn) -> JudgeVectors:
    current, superseded = draw(vectors), draw(vectors)
    n = sum(current) + sum(superseded)
    return JudgeVectors(current, superseded, draw(st.integers(min(n, 1), n)))


@st.composite
def states(draw: st.DrawFn) -> QueueState:
    criteria = {}
    for criterion in draw(st.sets(st.sampled_from("ab"))):
        metrics = {}
        for metric in draw(st.sets(st.sampled_from("xyz"))):
            judges = {judge: draw(cells()) for judge in draw(st.sets(st.sampled_from(["", "j"])))}
            n = sum(sum(cell.current) for cell in judges.values())
            metrics[metric] = PairCounts(draw(st.integers(min(n, 1), n)), judges)
        compared = max((pair.items for pair in metrics.values()), default=0)
        criteria[criterion] = CriterionState(30, 20, compared, metrics)
    compared = max((criterion.items_compared for criterion in criteria.values()), default=0)
    evaluated = st.builds(MetricCoverage, *[st.integers(0, 1)] * 5)
    funnel = st.builds(
        Funnel,
        st.integers(1, 9),
        *[st.integers(0, 9)] * 3,
        metrics=st.dictionaries(st.sampled_from("xw"), evaluated),
    )
    periods = st.builds(JudgePeriod, st.sampled_from(["", "j", "unlabelled"]), st.just(1), st.just(2))
    in_use = draw(st.dictionaries(st.sampled_from("xyzw"), periods))
    return QueueState("q", compared, 30, criteria, draw(st.none() | funnel), in_use)


def parts(snapshot: SnapshotDocument) -> Iterator[Any]:
    yield snapshot["cards"]
    for criterion in snapshot["criteria"]:
        yield criterion
        yield from criterion["metrics"]


@given(states())
def test_every_null_has_its_reason_and_only_nulls_have_one(state: QueueState) -> None:
    for part in parts(document(state, Window.ALL, STAMP, READING)):
        assert part["undefined"].keys() == {name for name, number in part.items() if number is None}


@given(states())
def test_the_document_is_what_its_schema_says(state: QueueState) -> None:
    snapshot = document(state, Window.ALL, STAMP, READING)
    decoded = orjson.loads(orjson.dumps(snapshot))
    assert msgspec.convert(decoded, SnapshotDocument) == snapshot
    schema, named = json_schema("#/components/schemas/{name}")
    assert schema == {"$ref": "#/components/schemas/SnapshotDocument"}
    assert named["SnapshotDocument"]["required"] == sorted(decoded)
    for criterion in decoded["criteria"]:
        for metric in criterion["metrics"]:
            assert named["MetricDocument"]["properties"].keys() == metric.keys()


def _sum(parts: Any, name: str) -> int:
    return sum(part[name] for part in parts)


@given(states())
def test_criteria_add_up_to_the_cards_and_metrics_to_their_criterion(state: QueueState) -> None:
    snapshot = document(state, Window.ALL, STAMP, READING)
    for name in ("comparisons", "misaligned"):
        for criterion in snapshot["criteria"]:
            assert _sum(criterion["metrics"], name) == criterion.get(name)
        assert _sum(snapshot["criteria"], name) == snapshot["cards"].get(name)
    for criterion in snapshot["criteria"]:
        for verdicts in (criterion["human"], criterion["metric"]):
            assert verdicts["pass"] + verdicts["fail"] == criterion["comparisons"]


def test_the_schema_describes_every_part() -> None:
    _, named = json_schema()
    assert named["MetricDocument"]["description"].startswith("One criterion compared with one metric.")
    assert not any("\n " in part.get("description", "") for part in named.values())
