"""A shard with too many tallies: it reports them before they need memory, in every order of its events."""

import random
from typing import Any

import pytest

from aggregator import cells
from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key
from aggregator.many_cells import MANY
from aggregator.recount import Recount
from aggregator.shard import Shard
from aggregator.tallies import join, parse_key

AT = 1_780_000_000_000


def annotations(number: int) -> list[Fact]:
    return [Annotation(AT, f"a{n}", "q", "i", criterion=f"c{n}", thumbs="up") for n in range(number)]


def placed(number: int) -> list[Fact]:
    return [QueueItem(AT, f"q{n}", f"q{n}", "i") for n in range(number)]


def evaluations(number: int) -> list[Fact]:
    return [Evaluation(AT, f"e{n}", "i", f"m{n}", passed=True) for n in range(number)]


def judges(number: int) -> list[Fact]:
    return [Evaluation(AT + n, f"j{n}", "i", "m", judge=f"j{n}", passed=True) for n in range(number)]


def tallies(shard: Shard) -> int:
    return sum(1 for _ in shard.tallies())


@pytest.mark.parametrize(
    ("facts", "number"),
    [
        pytest.param([*annotations(20), *evaluations(30)], 620, id="criteria x metrics"),
        pytest.param([*placed(20), *evaluations(30)], 600, id="queues x metrics"),
        pytest.param([*placed(10), *annotations(20), *evaluations(30)], 920, id="both"),
        pytest.param([*annotations(20), *judges(30)], 150, id="criteria x judges, which are verdicts of few tallies"),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_it_is_full_with_more_tallies_and_not_with_as_many_in_any_order(
    facts: list[Fact], number: int, seed: int
) -> None:
    random.Random(seed).shuffle(facts)
    full, fits = Shard(0, max_tallies=number - 1), Shard(0, max_tallies=number)
    for fact in facts:
        full.apply(fact)
        fits.apply(fact)
        assert not fits.full()
    assert full.full()
    assert join((parse_key(each), payload) for each, payload in fits.tallies()) == Recount(facts).tallies()


@pytest.mark.parametrize("first", [annotations(300), placed(300)])
def test_the_product_is_not_made(monkeypatch: pytest.MonkeyPatch, first: list[Fact]) -> None:
    monkeypatch.setattr(cells, "MAX_NOTED", 2_000)
    shard = Shard(0, max_tallies=1_000)
    for fact in (*first, *evaluations(300)):
        shard.apply(fact)
    # What was noted when the limit was passed, and what one more event adds.
    assert tallies(shard) <= 1_000 + 2_000 + 300
    assert len(shard.drain().tallies) <= 1_000 + 2_000 + 300
    assert shard.full()
    assert shard.rows == 600, "the rows are all there"


def test_whether_it_is_full_is_known_without_a_look_at_all_that_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    length = cells._length

    def look(by: Any) -> int:
        nonlocal looked_at
        looked_at += len(by)
        return length(by)

    monkeypatch.setattr(cells, "_length", look)
    shard = Shard(0, max_tallies=10_000)
    for fact in (*annotations(1), *evaluations(1_000)):
        shard.apply(fact)
        assert not shard.full()
    assert looked_at < 2_000


def test_what_counts_no_more_does_not_make_it_full_before_it_is_published() -> None:
    shard = Shard(0, max_tallies=12)
    moving = [Annotation(AT + n * DAY_MS, f"a{n}", "q", "i", thumbs="up") for n in range(100)]
    facts: list[Fact] = [*evaluations(3), *moving]
    for fact in facts:
        shard.replay(key(fact), encode(fact))
        assert not shard.full()
    assert join((parse_key(each), payload) for each, payload in shard.tallies()) == Recount(facts).tallies()


def test_cells_that_come_back_before_they_are_published_are_published_as_they_are() -> None:
    many = MANY + 10
    first = [*annotations(1), *judges(many)]
    # One tally, and a quarter of the verdicts: the limit is that of the judges.
    shard = Shard(0, max_tallies=many / 4)
    for fact in first:
        shard.apply(fact)
    published = dict(shard.drain().tallies)
    moved: list[Fact] = [
        Annotation(AT + 1, "b", "q", "i", criterion="c0", deleted=True),
        *(Evaluation(AT + 1, f"x{n}", "other", "m", judge=f"x{n}", passed=True) for n in range(5)),
        Annotation(AT + 1, "o", "q", "other", criterion="c0", thumbs="up"),
    ]
    for fact in moved:
        shard.apply(fact)
        assert not shard.full()
    back = Annotation(AT + 2, "c", "q", "i", criterion="c0", thumbs="down")
    shard.apply(back)
    recount = Recount([*first, *moved, back]).tallies()
    published |= shard.drain().tallies
    assert join((parse_key(each), payload) for each, payload in published.items()) == recount


def test_it_names_the_item_and_the_queue_with_most() -> None:
    shard = Shard(0)
    for fact in (*annotations(3), *placed(2), *evaluations(7)):
        shard.apply(fact)
    for number in range(4):
        shard.apply(Annotation(AT, f"b{number}", "q", "other", criterion=f"c{number}", thumbs="up"))
    assert shard.largest() == ("i", "q", 35, 5, 7)
