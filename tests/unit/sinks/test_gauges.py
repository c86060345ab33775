"""The view's gauges: names, values, absent series, the cap, and hostile names."""

import asyncio
import subprocess
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.ratings import Thumbs
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import wilson
from aggregator.tallies import WaitingState
from sinks.api.services import Services
from sinks.app import create_app
from sinks.documents import Documents
from sinks.gauges import FAMILIES, HUMAN_AGREEMENT_SECONDS, SERIES_PER_PAIR, GaugeCollector, Gauges
from sinks.segment_gauges import SEGMENT_FAMILIES
from sinks.series_cap import LOG_SECONDS
from sinks.store.store import Store
from streams.runtime.metric_specs import PREFIX
from tests.support.sample_view import HOSTILE, NOW, NOW_MS, fill
from tests.support.stores import open_store

TODAY = datetime.fromtimestamp(NOW, UTC).date()
OF_CRITERION = 2
"""Series of a criterion without a metric."""
OF_METRIC = 2
"""Series of a metric over all queues."""
BY_JUDGE = f"{PREFIX}judge_comparisons"
HUMAN_AGREEMENT = f"{PREFIX}human_agreement_ratio"
BY_SETTING = {BY_JUDGE, *(spec.name for spec in SEGMENT_FAMILIES)}
"""Families that only a setting adds."""
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def collect(store: Store, limit: int = 10_000, rules: CountingRules | None = None) -> Gauges:
    return GaugeCollector(store, Documents(store, rules or CountingRules(), lambda: TODAY), limit).collect(TODAY)


def samples(gauges: Gauges) -> list[Sample]:
    return [sample for family in parse_text(gauges.text.decode()) for sample in family.samples]


def value(gauges: Gauges, name: str, **labels: str) -> float | None:
    values = [s.value for s in samples(gauges) if s.name == PREFIX + name and s.labels == labels]
    assert len(values) <= 1
    return values[0] if values else None


def comparisons(queue: str, outcomes: str, metric: str = "m", criterion: str = "c") -> list[Fact]:
    """Facts whose comparisons have these outcomes, two letters each: p or f of people, then of the metric."""
    facts: list[Fact] = []
    for number, outcome in enumerate(outcomes.split(":")):
        human, verdict = outcome[0], outcome[1]
        item = f"{queue} {metric} {number}"
        facts += [
            Annotation(at=NOW_MS, id="a", queue=queue, item=item, criterion=criterion, stars=5 if human == "p" else 1),
            Evaluation(at=NOW_MS, id="e", item=item, metric=metric, passed=verdict == "p"),
        ]
    return facts


def test_gauges_have_the_numbers_of_the_document(store: Store) -> None:
    fill(store, comparisons("q", "pp:pp:pf:ff:fp"))
    gauges = collect(store)
    pair = {"queue": "q", "criterion": "c", "metric": "m"}
    assert {outcome: value(gauges, "comparisons", **pair, outcome=outcome) for outcome in ("tp", "fn", "tn", "fp")} == {
        "tp": 2, "fn": 1, "tn": 1, "fp": 1
    }  # fmt: skip
    for name, expected in (
        ("agreement_ratio", 3 / 5),
        ("baseline_ratio", 3 / 5),
        ("true_positive_ratio", 2 / 3),
        ("true_negative_ratio", 1 / 2),
    ):
        assert value(gauges, name, **pair, window="all") == pytest.approx(expected)
    assert value(gauges, "kappa", **pair) == pytest.approx(1 / 6)
    assert value(gauges, "agreement_ratio", **pair, window="7d") == pytest.approx(3 / 5)
    assert value(gauges, "agreement_ratio", **pair, window="30d") == pytest.approx(3 / 5)
    assert value(gauges, "gate", **pair, state="undecided") == 1
    assert value(gauges, "annotations", queue="q", criterion="c", state="contributing") == 5
    assert value(gauges, "annotations", queue="q", criterion="c", state="not_contributing") == 0
    assert value(gauges, "newest_judge_window_items", **pair, window="30d") == 5
    assert value(gauges, "newest_judge_window_comparisons", **pair, window="30d", outcome="tp") == 2
    assert gauges.series == len(samples(gauges)) == SERIES_PER_PAIR + OF_CRITERION + OF_METRIC
    assert {sample.name for sample in samples(gauges)} == {spec.name for spec in FAMILIES} - {
        *BY_SETTING,
        HUMAN_AGREEMENT,
    }


def test_an_undefined_number_has_no_series(store: Store) -> None:
    fill(store, comparisons("q", "pp:pf"))
    gauges = collect(store)
    pair = {"queue": "q", "criterion": "c", "metric": "m"}
    assert value(gauges, "true_positive_ratio", **pair, window="all") == 0.5
    assert value(gauges, "true_negative_ratio", **pair, window="all") is None
    assert value(gauges, "mcc", **pair) is None


def test_a_metric_that_is_off_topic_or_outside_the_window_has_no_series(store: Store) -> None:
    old = comparisons("q", "pp", "old")
    for fact in old:
        fact.at -= 20 * 86_400_000
    fill(store, comparisons("q", "pp") + old)
    gauges = collect(store, rules=CountingRules(criterion_metrics={"c": ["old"]}))
    assert {sample.labels["metric"] for sample in samples(gauges) if "metric" in sample.labels} == {"old"}
    pair = {"queue": "q", "criterion": "c", "metric": "old"}
    assert value(gauges, "agreement_ratio", **pair, window="30d") == 1
    assert value(gauges, "agreement_ratio", **pair, window="7d") is None


def test_the_recent_days_are_five_and_today_is_one_of_them(store: Store) -> None:
    facts: list[Fact] = []
    for days in range(8):
        of_day = comparisons(f"q{days}", "pp")
        for fact in of_day:
            fact.at -= days * 86_400_000
        facts += of_day
    fill(store, facts)
    gauges = collect(store)
    shown = {
        window: {s.labels["queue"] for s in samples(gauges) if s.labels.get("window") == window}
        for window in ("5d", "7d")
    }
    assert shown == {"5d": {f"q{days}" for days in range(5)}, "7d": {f"q{days}" for days in range(7)}}
    pair = {"queue": "q0", "criterion": "c", "metric": "m", "window": "5d"}
    names = ("newest_judge_agreement_ci_low", "newest_judge_agreement_ratio", "newest_judge_agreement_ci_high", "kappa")
    assert [value(gauges, name, **pair) for name in names] == [pytest.approx(wilson(1, 1)[0]), 1, 1, None]


def judged(item: str, judge: str, at: int, *, passed: bool = True) -> Evaluation:
    return Evaluation(at=at, id=f"{judge} {item}", item=item, metric="m", judge=judge, passed=passed)


def test_a_judge_whose_verdicts_all_wait_is_the_newest(store: Store) -> None:
    fill(store, comparisons("q", "pp:fp"))
    later = NOW_MS + DAY_MS
    waiting = WaitingState(
        rebuilding=0, missing=0, evaluations=1, since=0, sample=["i"], judges=[("m", "v9", later, later, 1)]
    )
    fill(store, [], waiting=waiting)
    gauges = collect(store)
    assert value(gauges, "newest_judge_first_timestamp_seconds", metric="m") == later / 1000
    assert value(gauges, "newest_judge_comparisons", metric="m") == 0
    document = Documents(store, CountingRules(), lambda: TODAY).get("q")
    assert document is not None
    newest = document["criteria"][0]["metrics"][0]["newest_judge"]
    assert newest is not None
    assert (newest["judge"], newest["comparisons"]) == ("v9", 0)


def test_the_newest_judge_is_seen_before_anybody_labels_its_items(store: Store) -> None:
    documents = Documents(store, CountingRules(), lambda: TODAY)
    collector = GaugeCollector(store, documents, 10_000)

    def newest() -> tuple[float | None, float | None]:
        gauges = collector.collect(TODAY)
        first = value(gauges, "newest_judge_first_timestamp_seconds", metric="m")
        return first, value(gauges, "newest_judge_comparisons", metric="m")

    facts: list[Fact] = [
        *(Annotation(at=NOW_MS, id="a", queue="q", item=f"i{number}", criterion="c", stars=5) for number in range(2)),
        *(judged(f"i{number}", "v1", NOW_MS - 5_000) for number in range(2)),
    ]
    fill(store, facts)
    assert newest() == ((NOW_MS - 5_000) / 1000, 2)
    facts += [judged("nobody rated it", "v2", NOW_MS), judged("nor this", "v2", NOW_MS - 2_000)]
    fill(store, facts)
    assert newest() == ((NOW_MS - 2_000) / 1000, 0)
    # A failure and a deleted verdict are no verdicts; an old version that arrives late is not the newest.
    facts += [
        Evaluation(at=NOW_MS, id="e", item="i0", metric="m", judge="v3", status="error"),
        Evaluation(at=NOW_MS, id="d", item="i0", metric="m", judge="v4", deleted=True),
        judged("i1", "v0", NOW_MS - 9_000),
        judged("i1", "v2", NOW_MS),
    ]
    fill(store, facts)
    assert newest() == ((NOW_MS - 2_000) / 1000, 1)
    # After a rollback v1 continues, and v2 has had no verdict for more than a day.
    fill(store, [*facts, judged("later", "v1", NOW_MS + 2 * DAY_MS)])
    assert newest() == ((NOW_MS - 5_000) / 1000, 1)


def test_judges_are_labels_only_where_a_setting_says_so(store: Store) -> None:
    annotation = Annotation(at=NOW_MS, id="a", queue="q", item="i", criterion="c", stars=5)
    fill(store, [annotation, judged("i", "v1", NOW_MS - 1), judged("i", "v2", NOW_MS, passed=False)])
    assert not [sample for sample in samples(collect(store)) if "judge" in sample.labels]
    documents = Documents(store, CountingRules(), lambda: TODAY)
    gauges = GaugeCollector(store, documents, 10_000, expose_judge_version=True).collect(TODAY)
    pair = {"queue": "q", "criterion": "c", "metric": "m"}
    assert value(gauges, "judge_comparisons", **pair, judge="v1", outcome="tp") == 1
    assert value(gauges, "judge_comparisons", **pair, judge="v2", outcome="fn") == 1
    assert value(gauges, "newest_judge_comparisons", metric="m", judge="v2") == 1
    assert sum(s.value for s in samples(gauges) if s.name == PREFIX + "comparisons") == 1


def test_a_queue_that_vanished_has_no_series(store: Store) -> None:
    facts = comparisons("q", "pp") + comparisons("other", "pp")
    documents = Documents(store, CountingRules(), lambda: TODAY)
    collector = GaugeCollector(store, documents, 10_000)
    fill(store, facts)
    before = collector.collect(TODAY)
    assert value(before, "agreement_ratio", queue="q", criterion="c", metric="m", window="all") == 1
    fill(store, [*facts, Annotation(at=NOW_MS + 1, id="d", queue="q", item="q m 0", criterion="c", deleted=True)])
    after = collector.collect(TODAY)
    assert {sample.labels["queue"] for sample in samples(after) if "queue" in sample.labels} == {"other"}


def test_the_cap_keeps_whole_pairs_and_counts_the_rest(store: Store) -> None:
    sizes = [SERIES_PER_PAIR + OF_CRITERION] * 3
    queues = ["small", "large", "a small one"]
    outcomes = "pp:pf:ff:fp"
    fill(store, [fact for queue in queues for fact in comparisons(queue, outcomes * (1 + (queue == "large")))])
    whole = collect(store)
    assert (whole.series, whole.suppressed) == (sum(sizes) + OF_METRIC, 0)
    # A part of the second pair would fit. Sums over all queues are not exposed, because they need all queues.
    capped = collect(store, limit=2 * sizes[0] - 1)
    assert (capped.series, capped.suppressed) == (sizes[0], 2 * SERIES_PER_PAIR)
    assert {s.labels["queue"] for s in samples(capped)} == {"large"}
    alone = [line for line in whole.text.decode().splitlines() if 'queue="large"' in line]
    assert [line for line in capped.text.decode().splitlines() if 'queue="large"' in line] == alone


def test_a_large_queue_has_gauges_next_to_many_small_ones_and_the_log_names_the_rest(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    facts = [fact for number in range(60) for fact in comparisons(f"small {number:02d}", "pp:pp:pp")]
    facts += comparisons("newest and worst", "fp:fp:fp:fp:fp")
    documents = Documents(store, CountingRules(), lambda: TODAY)
    now = [0.0]
    collector = GaugeCollector(store, documents, 500, clock=lambda: now[0])
    fill(store, facts)
    gauges = collector.collect(TODAY)
    assert value(gauges, "agreement_ratio", queue="newest and worst", criterion="c", metric="m", window="all") == 0
    queues = {sample.labels["queue"] for sample in samples(gauges)}
    assert len(queues) > 10
    left_out = 61 - len(queues)
    assert (gauges.series <= 500, gauges.suppressed) == (True, left_out * SERIES_PER_PAIR)
    first = f"small {len(queues) - 1:02d}"
    (line,) = caplog.messages
    assert f"series_limit=500, queues={left_out}, pairs={left_out}," in line
    assert f"('{first}', 'c', 'm')" in line
    # The same again is no news, and what is new waits for its line.
    collector.collect(TODAY)
    fill(store, [*facts, *comparisons("one more", "pp")])
    collector.collect(TODAY)
    assert len(caplog.messages) == 1
    now[0] += LOG_SECONDS
    collector.collect(TODAY)
    assert f"queues={left_out + 1}, pairs={left_out + 1}," in caplog.messages[1]


def test_while_the_view_catches_up_the_counts_decide(store: Store) -> None:
    collector = GaugeCollector(store, Documents(store, CountingRules(), lambda: TODAY), 40)

    def shown(*, caught_up: bool) -> set[str]:
        return {
            s.labels["queue"] for s in samples(collector.collect(TODAY, caught_up=caught_up)) if "queue" in s.labels
        }

    first, more = comparisons("first", "pp:pp"), comparisons("second", "pp:pp:pp")
    fill(store, first + comparisons("second", "pp"))
    assert shown(caught_up=False) == {"first"}
    fill(store, first + more)
    assert shown(caught_up=False) == shown(caught_up=True) == {"second"}
    fill(store, [*comparisons("first", "pp:pp:pp:pp:pp"), *more])
    assert shown(caught_up=True) == {"second"}


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20) | st.sampled_from(
    [HOSTILE, '"', "\\", "\\n", '\\"', "{}", 'x"} 1\n', "# HELP a b", "\u202e\u2066", "\u2028", "e\u0301", "é"]
)


@given(triples=st.lists(st.tuples(names, names, names), min_size=1, max_size=4, unique=True))
@settings(max_examples=40)
def test_both_parsers_return_any_name(
    triples: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = open_store(tmp_path_factory.mktemp("store") / "s")
    facts: list[Fact] = []
    for queue, criterion, metric in triples:
        facts += comparisons(queue, "pp", metric, criterion)
    fill(store, facts)
    text = collect(store).text.decode()
    store.close()
    expected = set(triples)
    openmetrics = parse_openmetrics(text + "# EOF\n")  # type: ignore[no-untyped-call]
    for families in (parse_text(text), openmetrics):
        got = {
            (s.labels["queue"], s.labels["criterion"], s.labels["metric"])
            for family in families
            for s in family.samples
            if s.name == PREFIX + "agreement_ratio"
        }
        assert got == expected


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain; version=1.0.0", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"),
    ],
)
async def test_a_scrape_is_in_the_format_that_was_asked_for(services: Services, accept: str, content_type: str) -> None:
    services.gauges = collect(services.store)
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"] == content_type
    parse = parse_openmetrics if accept == OPENMETRICS else parse_text
    names = {family.name for family in parse(answer.text)}
    undefined = {f"{PREFIX}{name}" for name in ("mcc", "true_negative_ratio")}
    assert {spec.name for spec in FAMILIES} <= names | undefined | {*BY_SETTING, HUMAN_AGREEMENT}
    assert "eval_alignment_series_suppressed" in {name.removesuffix("_total") for name in names}
    assert HOSTILE in {sample.labels.get("queue") for family in parse(answer.text) for sample in family.samples}


async def test_promtool_accepts_a_scrape(services: Services, promtool: str) -> None:
    services.gauges = collect(services.store)
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        text = (await client.get("/metrics")).content
    checked = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_a_collection_reads_one_state(store: Store) -> None:
    """Facts that arrive while documents are built do not appear in some of them only."""
    facts = comparisons("one", "pp") + comparisons("two", "pp")
    fill(store, facts)
    documents = Documents(store, CountingRules(), lambda: TODAY)
    build = documents.build
    calls: list[object] = []

    def interrupted(*arguments: object) -> object:
        if not calls:
            fill(store, comparisons("one", "pp:pp") + comparisons("two", "pp:pp"))
        calls.append(arguments)
        return build(*arguments)  # type: ignore[arg-type]

    documents.build = interrupted  # type: ignore[method-assign, assignment]
    gauges = GaugeCollector(store, documents, 10_000).collect(TODAY)
    for queue in ("one", "two"):
        assert value(gauges, "comparisons", queue=queue, criterion="c", metric="m", outcome="tp") == 1


def test_human_agreement_is_of_all_pairs_of_people_and_paced(store: Store) -> None:
    now = [0.0]
    documents = Documents(store, CountingRules(), lambda: TODAY)
    collector = GaugeCollector(store, documents, 10_000, clock=lambda: now[0])

    def rated(item: str, *thumbs: Thumbs, at: int = NOW_MS) -> list[Fact]:
        return [
            Annotation(at=at, id="a", queue="q", item=item, criterion="c", annotator=str(number), thumbs=thumb)
            for number, thumb in enumerate(thumbs)
        ]

    def agreement() -> float | None:
        return value(collector.collect(TODAY), "human_agreement_ratio", queue="q", criterion="c")

    fill(store, rated("alone", "up"))
    assert agreement() is None
    # Three people on one item are three pairs, of which one agrees.
    three = rated("three", "up", "up", "down")
    fill(store, rated("alone", "up") + three)
    assert agreement() is None, "read again too early"
    now[0] += HUMAN_AGREEMENT_SECONDS
    assert agreement() == pytest.approx(1 / 3)
    fill(store, [*rated("alone", "up"), *three, *rated("same", "down", "down")])
    now[0] += HUMAN_AGREEMENT_SECONDS
    assert agreement() == pytest.approx(2 / 4)
