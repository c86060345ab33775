"""The sample events of the demo are valid, their texts fit, and they show what the demo promises."""

from collections.abc import Sequence
from itertools import islice

import orjson
import pytest
from rich.console import Console

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from eval_alignment.commands.demo import _table
from eval_alignment.insights import RecountInsights
from eval_alignment.local.sample import QUEUES, Sample
from eval_alignment.local.sample_texts import CASES
from sinks.page.wording import people_disagree
from streams.events.decoder import Decoder, Rejection

NOW = 1_795_000_000_000


def decoded(events: Sequence[object]) -> list[Fact]:
    facts = []
    for event in events:
        outcome = Decoder().decode_line(orjson.dumps(event))
        assert not isinstance(outcome, Rejection), f"{outcome}: {event}"
        facts.append(outcome[1])
    return facts


@pytest.fixture(scope="module")
def facts() -> list[Fact]:
    return decoded(list(Sample().history(NOW)))


@pytest.fixture(scope="module")
def recount(facts: list[Fact]) -> Recount:
    return Recount(facts)


def test_live_events_are_valid() -> None:
    sample = Sample()
    list(sample.history(NOW))
    assert {type(fact) for fact in decoded(list(islice(sample.live(lambda: NOW), 1_500)))} == {
        Annotation, Evaluation, QueueItem,
    }  # fmt: skip


def test_every_item_has_texts_of_its_queue_an_address_and_tags(facts: list[Fact]) -> None:
    queue_of = {fact.item: fact.queue for fact in facts if isinstance(fact, Annotation)}
    texts = {fact.item: fact for fact in facts if isinstance(fact, QueueItem | Evaluation) and fact.input}
    assert queue_of.keys() <= texts.keys()
    for item, queue in queue_of.items():
        fact = texts[item]
        assert (fact.input, fact.output) in {
            pair for case in CASES[queue] for pair in ((case.input, case.good), (case.input, case.bad))
        }
        assert fact.url is not None
        assert fact.url.endswith(item)
        assert set(fact.tags or {}) == {"language", "channel"}
    complained = {case.complaint: case.bad for cases in CASES.values() for case in cases}
    for each in facts:
        if isinstance(each, Annotation) and each.explanation in complained:
            assert texts[each.item].output == complained[each.explanation]
    assert any(isinstance(fact, Annotation) and fact.expected for fact in facts)


def test_people_disagree_in_one_queue_only(recount: Recount) -> None:
    found = []
    for queue in recount.queues:
        document = recount.document(queue)
        source = RecountInsights(recount, CountingRules())
        found += [queue for each in document["criteria"] if people_disagree(source.insights(document, each).ceiling)]
    assert found == ["Marketing copy"]


def test_the_newest_judge_version_of_one_metric_is_clearly_worse_than_the_one_before(recount: Recount) -> None:
    (criterion,) = recount.document("Code review bot")["criteria"]
    (metric,) = (each for each in criterion["metrics"] if each["metric"] == "correctness_judge")
    newest = metric["newest_judge"]
    assert newest is not None
    assert newest["judge"] == "gpt-4o-mini/p2"
    assert newest["items_compared"] >= 30
    assert newest["alignment"] is not None
    assert metric["alignment"] is not None
    assert newest["alignment"] < metric["alignment"] - 0.1


def test_items_wait_to_be_labelled_and_each_gate_state_is_shown(recount: Recount) -> None:
    cards = recount.document("Support replies")["cards"]
    assert (cards["items_waiting_annotation"] or 0) >= 20
    states = {
        metric["gate_state"]
        for queue in recount.queues
        for criterion in recount.document(queue)["criteria"]
        for metric in criterion["metrics"]
    }
    assert {"trusted", "not_trusted"} <= states


def test_the_table_of_the_terminal_fits_and_explains_its_columns(recount: Recount) -> None:
    console = Console(width=80, height=24, record=True, force_terminal=True)
    with console.capture() as captured:
        console.print(_table([recount.document(queue.name) for queue in QUEUES]))
    lines = captured.get().splitlines()
    assert len(lines) <= 24
    text = "\n".join(lines)
    for metric in (metric.name for queue in QUEUES for metric in queue.metrics):
        assert metric in text
    for column in ("agree, 95 %:", "n:", "strict:", "lenient:", "gate:", "your own events"):
        assert column in text
