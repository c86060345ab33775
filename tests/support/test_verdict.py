"""The verdict: it agrees with a correct product, and finds every wrong count."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import orjson
import pytest
from aiokafka.structs import ConsumerRecord

from aggregator.facts import Annotation, Evaluation, Fact, encode
from aggregator.policy import Policy
from tests.integration.streams.rig import history
from tests.support.logs import Logs, Record
from tests.support.verdict import Judge, Topics, judge
from tests.support.wire import Stored

PARTS = 8


def stored(topic: str, rows: Iterable[tuple[bytes | None, bytes | None]]) -> list[Stored]:
    """Records of partition 0."""
    return [
        ConsumerRecord(topic, 0, offset, 0, 0, key, value, None, 0, 0, ())
        for offset, (key, value) in enumerate(rows)
    ]  # fmt: skip


def of_kind(facts: Iterable[Fact], *kinds: type[Fact]) -> list[tuple[bytes, bytes]]:
    return [(fact.item.encode(), encode(fact)) for fact in facts if isinstance(fact, kinds)]


def run(policy: Policy = Policy.EACH, takeover: bool = True) -> tuple[Topics, Logs]:
    """The records of a whole run: several checkpoints, and a second owner."""
    facts = history(seed=4, events=3_000, items=40)
    logs = Logs(policy=policy)
    for part in range(PARTS):
        logs.write(facts[part::PARTS])
        if part == PARTS // 2 and takeover:
            logs = logs.successor()
            logs.write([])
    others = [fact for fact in facts if not isinstance(fact, Annotation | Evaluation)]
    topics = Topics(
        annotations=stored("annotations", of_kind(facts, Annotation)),
        evaluations=stored("evaluations", of_kind(facts, Evaluation)),
        queue_items=stored("queue-items", of_kind(others, *{type(fact) for fact in others})),
        dead_letters=[],
        facts=stored("facts", logs.facts),
        tallies=stored("tallies", logs.tallies),
    )
    return topics, logs


@pytest.mark.parametrize("policy", Policy)
def test_what_the_shard_counts_is_what_the_plain_loops_count(policy: Policy) -> None:
    topics, _ = run(policy)
    verdict = judge(topics, policy=policy.value, sample=PARTS)
    assert verdict.events == 3_300
    assert verdict.states > PARTS
    assert sum(verdict.comparisons.values()) > 500


def halves() -> tuple[Topics, Topics, Logs]:
    """The records of one run at two points without work in progress."""
    facts, logs = history(seed=6, events=3_000, items=40), Logs()
    topics: list[Topics] = []
    done = 0, 0
    for half in (facts[::2], facts[1::2]):
        logs.write(half[: len(half) // 2])
        logs.write(half[len(half) // 2 :])
        others = [fact for fact in half if not isinstance(fact, Annotation | Evaluation)]
        topics.append(
            Topics(
                annotations=stored("annotations", of_kind(half, Annotation)),
                evaluations=stored("evaluations", of_kind(half, Evaluation)),
                queue_items=stored("queue-items", of_kind(others, *{type(fact) for fact in others})),
                dead_letters=[],
                facts=stored("facts", logs.facts)[done[0] :],
                tallies=stored("tallies", logs.tallies)[done[1] :],
            )
        )
        done = len(logs.facts), len(logs.tallies)
    return topics[0], topics[1], logs


def test_a_second_reading_continues_the_first() -> None:
    first, second, _ = halves()
    reading = Judge()
    early, late = reading.read(first), reading.read(second)
    assert early.events == 3_300 // 2
    assert late.events == 3_300
    assert late.states > early.states
    with pytest.raises(AssertionError):
        Judge().read(second)


def test_a_difference_of_the_second_reading_is_found() -> None:
    first, second, logs = halves()
    reading = Judge()
    reading.read(first)
    place = annotations_of(logs.tallies)[-1]
    wrong = stored("tallies", [*logs.tallies[:place], one_more(logs.tallies[place]), *logs.tallies[place + 1 :]])
    with pytest.raises(AssertionError, match=r"closed at|at its end"):
        reading.read(replace(second, tallies=wrong[len(first.tallies) :]))


def test_a_misplaced_checkpoint_marker_closes_nothing() -> None:
    """A reader takes nothing there, so the open tallies may be a partial checkpoint."""
    topics, logs = run(takeover=False)
    tally, closed = logs.tallies[annotations_of(logs.tallies)[-1]], logs.tallies[-1]
    for offset, holds in ((len(logs.tallies), True), (len(logs.tallies) + 1, False)):
        elsewhere = closed[0], orjson.dumps({**orjson.loads(closed[1]), "offset": offset})
        right = closed[0], orjson.dumps({**orjson.loads(closed[1]), "offset": len(logs.tallies) + 3})
        tallies = [*logs.tallies, one_more(tally), elsewhere, tally, right]
        changed = replace(topics, tallies=stored("tallies", tallies))
        if holds:
            judge(changed, sample=1_000)
        else:
            with pytest.raises(AssertionError, match="closed at"):
                judge(changed, sample=1_000)


def one_more(record: Record) -> Record:
    key, value = record
    payload = orjson.loads(value)
    payload["annotations"] += 1
    return key, orjson.dumps(payload)


def annotations_of(tallies: list[Record]) -> list[int]:
    return [index for index, (key, _) in enumerate(tallies) if key.startswith(b'["annotations"')]


def a_wrong_count_at_the_end(topics: Topics, logs: Logs) -> Topics:
    place = annotations_of(logs.tallies)[-1]
    logs.tallies[place] = one_more(logs.tallies[place])
    return replace(topics, tallies=stored("tallies", logs.tallies))


def a_wrong_count_on_the_way(topics: Topics, logs: Logs) -> Topics:
    place = annotations_of(logs.tallies)[0]
    logs.tallies[place] = one_more(logs.tallies[place])
    return replace(topics, tallies=stored("tallies", logs.tallies))


def a_tally_that_was_never_published(topics: Topics, logs: Logs) -> Topics:
    gone = logs.tallies[annotations_of(logs.tallies)[0]][0]
    return replace(topics, tallies=stored("tallies", [row for row in logs.tallies if row[0] != gone]))


def an_event_that_was_lost(topics: Topics, _: Logs) -> Topics:
    newest = Annotation(1_790_000_000_000, "z", "support", "item-0", thumbs="up")
    rows = [(record.key, record.value) for record in topics.annotations]
    return replace(topics, annotations=stored("annotations", [*rows, *of_kind([newest], Annotation)]))


def a_row_that_nobody_sent(topics: Topics, logs: Logs) -> Topics:
    logs.write([Annotation(1_790_000_000_000, "z", "support", "item-0", annotator="nobody", thumbs="up")])
    return replace(topics, facts=stored("facts", logs.facts), tallies=stored("tallies", logs.tallies))


def an_accepted_event_in_the_dead_letters(topics: Topics, logs: Logs) -> Topics:
    times = Counter(record.value for record in topics.annotations)
    standing = {value for value in dict(logs.facts).values() if times[value] == 1}
    offset = next(record.offset for record in topics.annotations if record.value in standing)
    place = {"alignment-topic": b"annotations", "alignment-partition": b"0", "alignment-offset": str(offset).encode()}
    (dead_letter,) = stored("dead-letters", [(b"item", b"{}")])
    return replace(topics, dead_letters=[replace(dead_letter, headers=tuple(place.items()))])


@pytest.mark.parametrize(
    "wrong",
    [
        a_wrong_count_at_the_end,
        a_wrong_count_on_the_way,
        a_tally_that_was_never_published,
        an_event_that_was_lost,
        a_row_that_nobody_sent,
        an_accepted_event_in_the_dead_letters,
    ],
)
def test_the_verdict_finds_a_wrong_log(wrong: Callable[[Topics, Logs], Topics]) -> None:
    topics, logs = run(takeover=False)
    with pytest.raises(AssertionError):
        judge(wrong(topics, logs), sample=PARTS)
