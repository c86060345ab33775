"""A fact as a line of an export."""

import json

from hypothesis import given

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from eval_alignment.ledger_export import line
from streams.events.decoder import Decoder, Kind, MetricDefaults
from tests.support import facts as strategies

AT = 1_795_428_902_412
KINDS = {Annotation: Kind.ANNOTATION, Evaluation: Kind.EVALUATION, QueueItem: Kind.QUEUE_ITEM}


@given(strategies.facts)
def test_an_exported_line_decodes_to_the_same_fact_under_any_settings(fact: Fact) -> None:
    elsewhere = Decoder({metric: MetricDefaults(None, "lower") for metric in strategies.METRICS})
    assert elsewhere.decode_line(line(fact).rstrip(b"\n")) == (KINDS[type(fact)], fact)


def test_every_line_names_its_kind() -> None:
    facts: list[Fact] = [
        Annotation(AT, "1", "support", "i1", thumbs="up"),
        Evaluation(AT, "3", "i1", "relevance", passed=True),
        QueueItem(AT, "7", "support", "i3", deleted=True),
    ]
    assert [json.loads(line(fact))["kind"] for fact in facts] == ["annotation", "evaluation", "queue_item"]
