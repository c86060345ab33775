"""The verdict on waiting evaluations finds each way in which a promise can be broken."""

import pytest

from aggregator.facts import Annotation, Evaluation, Fact, encode, key
from tests.simulation.inputs import Delivery, Event
from tests.simulation.process import TOPICS
from tests.simulation.promise import verify_rows
from tests.simulation.viewer import Wrong
from tests.simulation.waiting_world import WAIT_SECONDS

KNOWN_AT = 100_000
IN_TIME = KNOWN_AT - int(WAIT_SECONDS * 1000)
PERSON = Annotation(1, "a1", "q", "i", thumbs="up")


def delivered(fact: Fact, timestamp: int, *, undecided: bool = False) -> Delivery:
    topic = TOPICS.annotations if type(fact) is Annotation else TOPICS.evaluations
    return Delivery(Event(topic, fact.item.encode(), encode(fact), 0, fact, undecided), 0, timestamp)


def evaluation(id: str, *, at: int = 1, item: str = "i") -> Evaluation:
    return Evaluation(at, id, item, "m", passed=True)


def rows(*facts: Fact) -> dict[bytes, Fact]:
    return {key(fact): fact for fact in facts}


KNOWN = delivered(PERSON, KNOWN_AT)


def test_rows_between_must_and_may_are_right() -> None:
    early, newer = delivered(evaluation("e1"), IN_TIME - 1), delivered(evaluation("e2"), IN_TIME)
    verify_rows(rows(PERSON), [early, KNOWN], "here")
    verify_rows(rows(PERSON, evaluation("e1")), [early, KNOWN], "here")
    verify_rows(rows(PERSON, evaluation("e2")), [early, newer, KNOWN], "here")


@pytest.mark.parametrize(
    ("facts", "deliveries", "found"),
    [
        ([], [KNOWN], "annotations or queue items are not the winners"),
        ([PERSON], [delivered(evaluation("e1"), IN_TIME), KNOWN], "missing"),
        (
            [PERSON, evaluation("e1")],
            [delivered(evaluation("e1"), IN_TIME), KNOWN, delivered(evaluation("e2"), KNOWN_AT + 1)],
            "older than must be",
        ),
        ([PERSON, evaluation("e1")], [KNOWN], "nobody sent, or that was aborted"),
        (
            [PERSON, evaluation("e1", item="other")],
            [delivered(evaluation("e1", item="other"), IN_TIME), KNOWN],
            "an item that nobody knows",
        ),
        (
            [PERSON, Evaluation(1, "s1", "i", "m", score=1.0, threshold=2.0, passed=True)],
            [delivered(Evaluation(1, "s1", "i", "m", score=1.0), IN_TIME, undecided=True), KNOWN],
            "a verdict that no setting has",
        ),
    ],
)
def test_a_broken_promise_is_found(facts: list[Fact], deliveries: list[Delivery], found: str) -> None:
    with pytest.raises(Wrong, match=found):
        verify_rows(rows(*facts), deliveries, "here")
