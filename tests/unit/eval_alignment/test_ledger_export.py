"""Facts as lines of an export, and what waits."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from eval_alignment import ledger_export
from eval_alignment.ledger_export import line
from streams.events.decoder import Decoder, Kind, MetricDefaults
from streams.events.encoder import encode_event
from streams.kafka.record_batches import ParsedRecord
from streams.kafka.topics import Topics
from tests.support import facts as strategies

AT = 1_795_428_902_412
KINDS = {Annotation: Kind.ANNOTATION, Evaluation: Kind.EVALUATION, QueueItem: Kind.QUEUE_ITEM}


@given(strategies.facts)
def test_an_exported_line_decodes_to_the_same_fact_under_any_settings(fact: Fact) -> None:
    elsewhere = Decoder({metric: MetricDefaults(None, "lower") for metric in strategies.METRICS})
    assert elsewhere.decode_line(line(fact).rstrip(b"\n")) == (KINDS[type(fact)], fact)


async def test_evaluations_that_wait_are_taken_while_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be a hundred times as many as the rows of the ledger: none is kept."""
    taken: list[Evaluation] = []
    after_batch: list[int] = []

    async def scan(_client: Any, topic: str, on_records: Any, *, committed_only: bool) -> None:
        assert (topic, committed_only) == (Topics().evaluations, True)
        for offset, item in enumerate(("new", "known", "new", "other")):
            fact = Evaluation(AT + offset, f"e{offset}", item, "m", passed=True)
            on_records(0, [ParsedRecord(offset, AT + offset, item.encode(), encode_event(fact), [])])
            after_batch.append(len(taken))

    async def counts(_settings: Any) -> dict[str, int]:
        return {Topics().evaluations: 1}

    monkeypatch.setattr(ledger_export, "scan", scan)
    monkeypatch.setattr(ledger_export, "partition_counts", counts)
    client: Any = SimpleNamespace(settings={})
    read: list[int] = []
    waiting = await ledger_export.read_waiting(
        {"known"}, client, Topics(), Decoder(), on_evaluation=taken.append, progress=read.append
    )
    assert (waiting, after_batch, read) == (3, [1, 1, 2, 3], [1, 2, 3, 4])
    assert [fact.id for fact in taken] == ["e0", "e2", "e3"]


def test_every_line_names_its_kind() -> None:
    facts: list[Fact] = [
        Annotation(AT, "1", "support", "i1", thumbs="up"),
        Evaluation(AT, "3", "i1", "relevance", passed=True),
        QueueItem(AT, "7", "support", "i3", deleted=True),
    ]
    assert [json.loads(line(fact))["kind"] for fact in facts] == ["annotation", "evaluation", "queue_item"]
