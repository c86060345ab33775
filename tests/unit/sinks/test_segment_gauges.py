"""The view's gauges of segments: values, how rarely they are read, and the cap."""

from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import wilson
from sinks.documents import Documents
from sinks.gauges import SERIES_PER_PAIR, GaugeCollector
from sinks.queries.segments import DividedComparisons, divide
from sinks.segment_gauges import SEGMENTS_SECONDS
from sinks.store.store import Store
from tests.support.sample_view import NOW_MS, fill
from tests.unit.sinks.test_gauges import TODAY, collect, comparisons, samples, value


def tagged(lang: str, items: int, passed: int) -> list[Fact]:
    """Items of a language that people pass, `passed` of which the metric passes too."""
    facts: list[Fact] = []
    tags = {"lang": lang} if lang else None
    for number in range(items):
        item = f"{lang} {number}"
        facts.append(Evaluation(at=NOW_MS, id="e", item=item, metric="m", passed=number < passed))
        facts.append(
            Annotation(
                at=NOW_MS,
                id="a",
                queue="q",
                item=item,
                criterion="c",
                thumbs="up",
                tags=tags,
            )
        )
    return facts


def test_segments_have_gauges_for_the_tags_of_the_setting(store: Store) -> None:
    facts = [*tagged("de", 20, 5), *tagged('"\n\\', 30, 28), *tagged("", 10, 10)]
    fill(store, facts)
    documents = Documents(store, CountingRules(), lambda: TODAY)
    now = [0.0]
    collector = GaugeCollector(store, documents, 10_000, segment_tags=["lang", "unknown"], clock=lambda: now[0])
    gauges = collector.collect(TODAY)
    of_pair = {"queue": "q", "criterion": "c", "metric": "m", "tag": "lang"}
    for name, expected in (
        ("segment_agreement_ratio", 5 / 20),
        ("segment_agreement_ci_low", wilson(5 / 20, 20)[0]),
        ("segment_agreement_ci_high", wilson(5 / 20, 20)[1]),
        ("segment_items", 20),
        ("segment_worse", 1),
    ):
        assert value(gauges, name, **of_pair, value="de") == pytest.approx(expected)
    assert value(gauges, "segment_worse", **of_pair, value='"\n\\') == 0
    assert len([s for s in samples(gauges) if "segment" in s.name]) == 2 * 5
    assert not any("segment" in s.name for s in samples(collect(store)))

    # Rows are read again when the queue has changed, at most once in a while.
    fill(store, [*facts, *tagged("fr", 5, 5)])
    assert value(collector.collect(TODAY), "segment_items", **of_pair, value="fr") is None
    now[0] += SEGMENTS_SECONDS
    assert value(collector.collect(TODAY), "segment_items", **of_pair, value="fr") == 5


def test_segments_that_take_long_to_read_are_read_rarely(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now, read = [0.0], list[str]()

    def slowly(*args: Any) -> DividedComparisons:
        now[0] += 10
        read.append(args[-1])
        return divide(*args)

    monkeypatch.setattr("sinks.segment_gauges.divide", slowly)
    documents = Documents(store, CountingRules(), lambda: TODAY)
    collector = GaugeCollector(store, documents, 10_000, segment_tags=["lang"], clock=lambda: now[0])
    fill(store, tagged("de", 20, 5))
    collector.collect(TODAY)
    for number in range(21, 30):
        fill(store, tagged("de", number, 5))
        now[0] += SEGMENTS_SECONDS
        collector.collect(TODAY)
    assert len(read) == 1
    now[0] += 200
    collector.collect(TODAY)
    assert len(read) == 2


def test_segments_are_within_the_cap(store: Store) -> None:
    fill(store, [*tagged("de", 20, 5), *tagged("en", 20, 20), *comparisons("other", "pp:ff")])
    documents = Documents(store, CountingRules(), lambda: TODAY)
    gauges = GaugeCollector(store, documents, SERIES_PER_PAIR + 5, segment_tags=["lang"]).collect(TODAY)
    assert gauges.series <= SERIES_PER_PAIR + 5
    assert not any("segment" in s.name for s in samples(gauges))
