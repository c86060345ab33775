"""docs/events.md: its examples are events that the decoder accepts, and have the effect that the page describes."""

import json
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, Fact, key
from aggregator.recount import Recount
from streams.events.decoder import Decoder, Kind, Rejection
from streams.events.wire import AnnotationEvent, EvaluationEvent, QueueItemEvent
from tests.support.pages import blocks, page, section
from tools.reference.events import IDENTITIES
from tools.reference.examples import EXAMPLES, Example

PAGE = page("events.md")
WIRE = {Kind.ANNOTATION: AnnotationEvent, Kind.EVALUATION: EvaluationEvent, Kind.QUEUE_ITEM: QueueItemEvent}
TITLES = {Kind.ANNOTATION: "Annotation", Kind.EVALUATION: "Evaluation", Kind.QUEUE_ITEM: "Queue item"}


def decoded(example: Example) -> Fact:
    """The fact of an example, from the JSON on the page."""
    (value,) = blocks(section(PAGE, example.title), "json")
    event: dict[str, Any] = json.loads(value)
    item = event.get("data", event)["item"]
    headers = [(name, text.encode()) for name, text in example.headers.items()]
    fact = Decoder().decode(example.kind, value.encode(), item.encode(), headers)
    assert not isinstance(fact, Rejection), fact
    return fact


FACTS = {example.title: decoded(example) for example in EXAMPLES}


def annotation(title: str) -> Annotation:
    fact = FACTS[title]
    assert isinstance(fact, Annotation)
    return fact


def evaluation(title: str) -> Evaluation:
    fact = FACTS[title]
    assert isinstance(fact, Evaluation)
    return fact


@pytest.mark.parametrize("kind", Kind)
def test_every_field_of_an_event_is_in_its_table(kind: Kind) -> None:
    rows = [line.split(" | ")[0] for line in section(PAGE, TITLES[kind]).splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(f"| `{name}`" for name in WIRE[kind].__struct_fields__)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_the_identity_of_an_example_is_that_of_the_ledger(example: Example) -> None:
    fact = FACTS[example.title]
    _, *identity = json.loads(key(fact))
    assert identity == [getattr(fact, name) for name in IDENTITIES[example.kind]]


def test_examples_have_the_verdicts_that_the_page_describes() -> None:
    assert [fact.passed for fact in FACTS.values() if isinstance(fact, Evaluation)] == [True, False, True, None, False]
    assert evaluation("Evaluation that failed").failed
    assert evaluation("Lower is better").direction == "lower"


def test_a_correction_replaces_and_a_deletion_deletes_the_first_annotation() -> None:
    first, correction, deletion = (annotation(t) for t in ("First annotation", "Correction", "Deletion"))
    assert key(first) == key(correction) == key(deletion)
    judged = evaluation("Evaluation with score and threshold")

    def ratings(*facts: Fact) -> list[tuple[str, str]]:
        return [
            (rating, verdict)
            for criterion in Recount(facts).document("Support replies")["criteria"]
            for metric in criterion["metrics"]
            for rating, verdicts in metric["ratings"].items()
            for verdict, count in verdicts.items()  # type: ignore[attr-defined]
            if count
        ]

    assert ratings(first, judged) == [("down", "pass")]
    assert ratings(correction, first, judged) == [("up", "pass")]
    assert ratings(correction, deletion, first, judged) == []


def test_a_new_judge_version_is_compared_and_the_old_one_keeps_its_counts() -> None:
    old, new = evaluation("Evaluation with score and threshold"), evaluation("New version of the judge")
    (criterion,) = Recount([annotation("Rating in stars"), old, new]).document("Support replies")["criteria"]
    (metric,) = criterion["metrics"]
    assert (metric["comparisons"], metric["fn"]) == (1, 1)
    assert {judge: counts["superseded"] for judge, counts in metric["judges"].items()} == {old.judge: 1, new.judge: 0}


def test_a_cloud_event_takes_id_and_time_of_its_envelope() -> None:
    fact = annotation("CloudEvents, structured mode")
    assert (fact.id, fact.at, fact.annotator) == ("a-105", 1795512600000, "chloe")


def test_examples_without_an_envelope_are_lines_of_a_file() -> None:
    for example in EXAMPLES:
        if not example.headers:
            outcome = Decoder().decode_line(json.dumps(example.event).encode())
            assert outcome == (example.kind, FACTS[example.title])
