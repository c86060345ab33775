"""Items with far more rows than are searched, against a recount."""

import random
from collections.abc import Iterator

import pytest

from aggregator import tallies
from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.many_rows import MANY, NewestRow
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.rows import EvaluationRow, Judge
from aggregator.shard import Shard

_EVENTS = 8 * MANY
_NAMES = 2 * MANY
_COARSE_MS = _EVENTS // 8


def crowded(seed: int, *, ties: bool) -> Iterator[Fact]:
    """Events of one item by many judges and annotators: verdicts, failures, corrections, deletions, queue items.

    With `ties`, there are few times and one id, as of an import whose ids are those of the item.
    """
    rng = random.Random(seed)
    for event in range(_EVENTS):
        number = 0 if ties else event
        at, name = DAY_MS + rng.randrange(-_EVENTS, _EVENTS), f"n{rng.randrange(_NAMES)}"
        if ties:
            at -= at % _COARSE_MS
        match rng.randrange(12):
            case 0:
                yield QueueItem(at, str(number), "q", "i", deleted=rng.random() < 0.3)
            case 1:
                yield Evaluation(at + _EVENTS, str(number), "i", "m", judge=name, deleted=True)
            case 2 | 3:
                yield Evaluation(at, str(number), "i", "m", judge=name, status="error")
            case 4 | 5 | 6:
                metric = rng.choice(("m", "m", "rare"))
                yield Evaluation(at, str(number), "i", metric, judge=name, passed=rng.random() < 0.5)
            case 7:
                yield Annotation(at + _EVENTS, str(number), "q", "i", annotator=name, deleted=True)
            case _:
                yield Annotation(at, str(number), "q", "i", annotator=name, stars=rng.randint(1, 5))


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True], ids=["versions differ", "versions are equal"])
def test_the_tallies_of_an_item_with_many_rows_are_those_of_a_recount(seed: int, policy: Policy, *, ties: bool) -> None:
    history = list(crowded(seed, ties=ties))
    # The newest verdicts, failures and annotations go first, so that others take their place again and again.
    rows = sorted(Recount(history).rows.values(), key=lambda row: row.at, reverse=True)
    for row in rows:
        if isinstance(row, Evaluation):
            history.append(Evaluation(3 * DAY_MS, "z", "i", row.metric, judge=row.judge, deleted=True))
        elif isinstance(row, Annotation):
            history.append(Annotation(3 * DAY_MS, "z", "q", "i", annotator=row.annotator, deleted=True))
    shard = Shard(0, policy)
    for end, fact in enumerate(history, start=1):
        shard.apply(fact)
        if end % 40 == 0 or end == len(history):
            counted = tallies.join((tallies.parse_key(key), payload) for key, payload in shard.tallies())
            assert dict(counted) == Recount(history[:end], policy).tallies()


def test_the_newest_of_rows_that_change_all_the_time_needs_memory_for_the_rows_only() -> None:
    rows = {Judge.of("m", str(number)): EvaluationRow(number, "e", "", 0) for number in range(MANY)}
    newest: NewestRow[Judge] = NewestRow(rows)
    for at in range(MANY, 100 * MANY):
        judge = list(rows)[at % MANY]
        rows[judge].at = at
        newest.add(judge)
        assert newest.find() is judge
    assert len(newest) <= 4 * MANY
