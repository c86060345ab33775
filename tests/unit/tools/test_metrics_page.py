"""docs/metrics.md against what a view serves, and its queries evaluated by promtool."""

import re
from pathlib import Path

import httpx
import pytest

from eval_alignment.settings import Settings
from sinks.api.services import Services
from sinks.app import create_app
from sinks.gauges import SERIES_PER_PAIR, GaugeCollector
from sinks.segment_gauges import SEGMENT_FAMILIES
from sinks.store.store import Store
from streams.runtime.metric_specs import PREFIX
from tests.support.exposition import families, series
from tests.support.pages import blocks, documented_metrics, page, section
from tests.support.rules import evaluate
from tests.support.sample_view import fill, view_of
from tools.reference.examples import HISTORY, facts
from tools.reference.metrics import QUERIES

AGREEMENT = documented_metrics("Agreement, from the view")
VIEW = documented_metrics("The view itself")
BY_JUDGE = f"{PREFIX}judge_comparisons"
SEGMENTS = {spec.name for spec in SEGMENT_FAMILIES}
NEWEST = {f"{PREFIX}newest_judge_first_timestamp_seconds", f"{PREFIX}newest_judge_comparisons"}


@pytest.fixture
def view(store: Store, tmp_path: Path) -> Services:
    """A view whose every gauge is defined, with a pass of a sink done."""
    fill(store, facts(HISTORY))
    view = view_of(store, tmp_path)
    view.metrics.succeeded("store", 1.0)
    return view


async def scrape(view: Services, *, expose_judge_version: bool) -> str:
    """The text of `/metrics`."""
    collector = GaugeCollector(
        view.store, view.documents, view.config.series_limit, expose_judge_version=expose_judge_version
    )
    view.gauges = collector.collect(view.today())
    transport = httpx.ASGITransport(create_app(view))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return (await client.get("/metrics")).text


async def test_a_view_serves_the_documented_families_with_their_labels(view: Services) -> None:
    served = families(await scrape(view, expose_judge_version=False))
    assert served == {name: family for name, family in (AGREEMENT | VIEW).items() if name not in {BY_JUDGE, *SEGMENTS}}


async def test_exposed_judge_versions_add_the_documented_labels(view: Services) -> None:
    served = families(await scrape(view, expose_judge_version=True))
    expected = {name: family for name, family in (AGREEMENT | VIEW).items() if name not in SEGMENTS}
    expected.update({name: (expected[name][0], ("judge", "metric")) for name in NEWEST})
    assert served == expected


async def test_label_values_are_those_of_the_page(view: Services) -> None:
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", section(page("metrics.md"), "Labels"), re.MULTILINE)
    documented: dict[str, set[str]] = {}
    for names, _, values in rows:
        for name in re.findall(r"`(\w+)`", names):
            documented.setdefault(name, set()).update(re.findall(r"`([\w.]+)`", values))
    for _, labels in series(await scrape(view, expose_judge_version=True)):
        for name, value in labels:
            if name in {"window", "outcome", "state", "component", "sink"}:
                assert value in documented[name], f"{name}={value}"


def test_queries_of_the_page_return_the_expected_values(promtool: str, tmp_path: Path) -> None:
    pair = 'criterion="c",metric="m"'
    given = {
        f'eval_alignment_agreement_ci_low{{queue="q",{pair},window="all"}}': "0.6",
        'eval_alignment_agreement_ci_low{queue="q",criterion="c",metric="n",window="all"}': "0.9",
        f'eval_alignment_agreement_ci_low{{queue="q",{pair},window="7d"}}': "0.1",
        f'eval_alignment_agreement_ci_high{{queue="q",{pair},window="30d"}}': "0.65",
        f'eval_alignment_agreement_ci_high{{queue="r",{pair},window="30d"}}': "0.75",
        **{
            f'eval_alignment_comparisons{{queue="{queue}",{pair},outcome="{outcome}"}}': count
            for queue, counts in (("q", "3210"), ("r", "1012"))
            for outcome, count in zip(("tp", "fn", "tn", "fp"), counts, strict=True)
        },
        'eval_alignment_events_total{topic="bad"}': "0+10x60",
        'eval_alignment_events_total{topic="good"}': "0+10x60",
        'eval_alignment_events_rejected_total{topic="bad",reason="misrouted"}': "0+2x60",
        'eval_alignment_events_rejected_total{topic="good",reason="misrouted"}': "0x60",
        'eval_alignment_lag_events{topic="bad",partition="0"}': "4x60",
        'eval_alignment_lag_events{topic="bad",partition="1"}': "5x60",
        "eval_alignment_as_of_timestamp_seconds": "3000x60",
        'eval_alignment_event_to_publish_seconds_bucket{le="0.1"}': "0+99x60",
        'eval_alignment_event_to_publish_seconds_bucket{le="0.5"}': "0+100x60",
        'eval_alignment_event_to_publish_seconds_bucket{le="+Inf"}': "0+100x60",
    }
    expected = (
        [('{queue="q"}', 0.6)],
        [(f'eval_alignment_agreement_ci_high{{queue="q",{pair},window="30d"}}', 0.65)],
        [('{metric="m"}', 0.6)],
        [('{topic="bad"}', 0.2), ('{topic="good"}', 0)],
        [('{topic="bad"}', 9)],
        [("{}", 600)],
        [("{}", 0.1)],
    )
    queries = blocks(section(page("metrics.md"), "Queries"), "promql")
    assert len(queries) == len(QUERIES)
    samples = [[{"labels": labels, "value": value} for labels, value in of_query] for of_query in expected]
    at = [
        ("0m" if number < 3 else "60m", query.strip(), of)
        for number, (query, of) in enumerate(zip(queries, samples, strict=True))
    ]
    evaluate(promtool, tmp_path, given, at)


def test_the_scaling_page_names_the_series_of_a_pair_and_the_pairs_below_the_cap() -> None:
    scaling = " ".join(page("scaling.md").split())
    cap: int = Settings.model_fields["series_limit"].default
    pairs = cap // SERIES_PER_PAIR
    assert f"up to {SERIES_PER_PAIR} series, so the default cap of {cap:,} is about {pairs} pairs" in scaling
