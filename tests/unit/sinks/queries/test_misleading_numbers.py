"""Numbers that would mislead are not shown: a ceiling of coin tosses, a cut that always passes, a gain of chance."""

from itertools import product

from aggregator.days import Window
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.snapshot.inputs import CountingRules
from sinks.queries import deep_dive
from sinks.queries.results import WhatIf
from sinks.queries.scope import Scope
from sinks.queries.thresholds import what_if
from tests.unit.sinks.queries.test_deep_dive import TODAY, stored

SCOPE = Scope("q", Window.ALL, TODAY, CountingRules())


def rated(first: list[bool], second: list[bool]) -> list[Fact]:
    """Two people rate the same items, and a metric passes all of them."""
    facts: list[Fact] = []
    for number, verdicts in enumerate(zip(first, second, strict=True)):
        facts.append(Evaluation(at=1, id=f"e{number}", item=f"i{number}", metric="m", passed=True))
        for person, passes in enumerate(verdicts):
            facts.append(
                Annotation(
                    at=1,
                    id=f"a{number}",
                    queue="q",
                    item=f"i{number}",
                    annotator=str(person),
                    thumbs="up" if passes else "down",
                )
            )
    return facts


def headroom(facts: list[Fact]) -> tuple[float | None, str | None]:
    with stored(facts) as store, store.read() as connection:
        (metric,) = deep_dive.ceiling(connection, SCOPE, "overall")["metrics"]
    return metric["headroom"], metric["undefined"].get("headroom")


def test_people_who_toss_coins_are_no_ceiling() -> None:
    # Every combination equally often: people agree on half of the items, kappa 0.
    first, second = map(list, zip(*product([True, False], repeat=2), strict=True))
    assert headroom(rated(first * 25, second * 25)) == (None, "humans_disagree")


def test_people_who_agree_on_few_items_are_no_ceiling_yet() -> None:
    assert headroom(rated([True, False] * 10, [True, False] * 10)) == (None, "few_pairs")


def test_people_who_agree_are_a_ceiling() -> None:
    found, reason = headroom(rated([True, False] * 20, [True, False] * 20))
    assert (found, reason) == (0.5, None)


def scored(*scores: tuple[float, bool]) -> WhatIf:
    facts: list[Fact] = []
    for number, (score, passes) in enumerate(scores):
        item = f"i{number}"
        facts.append(Annotation(at=1, id="a", queue="q", item=item, thumbs="up" if passes else "down"))
        facts.append(Evaluation(at=1, id="e", item=item, metric="m", score=score, threshold=0.5, passed=score >= 0.5))
    with stored(facts) as store, store.read() as connection:
        return what_if(connection, SCOPE, "overall", "m")


def test_a_cut_that_always_passes_is_not_recommended() -> None:
    # People pass 60 % at every score: the best cut passes everything.
    answer = scored(*((score / 10, number < 6) for score in range(10) for number in range(10)))
    assert answer["best_alignment"] is not None
    assert (answer["best_alignment"]["alignment"], answer["best_alignment"]["fn"]) == (0.6, 0)
    assert (answer["recommended"], answer["undefined"]["recommended"]) == (None, "no_better_cut")
    assert answer["auc"] == 0.5
    assert answer["auc_low"] is not None
    assert answer["auc_high"] is not None
    assert answer["auc_low"] < 0.5 < answer["auc_high"]


def test_the_current_threshold_is_not_recommended_again() -> None:
    answer = scored(*((0.1, False),) * 40, *((0.9, True),) * 40)
    assert answer["now"] is not None
    assert answer["now"]["alignment"] == 1
    assert answer["undefined"]["recommended"] == "no_better_cut"


def test_a_cut_that_is_better_is_recommended() -> None:
    answer = scored(*((0.6, False),) * 40, *((0.9, True),) * 40)
    assert answer["recommended"] is not None
    assert (answer["recommended"]["cut"], answer["recommended"]["alignment"]) == (0.9, 1)
