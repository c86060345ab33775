"""The laws of rows that merge and counts that fold, against a recount that shares no counting with the shard."""

import gc
import weakref
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import tallies
from aggregator.day_tallies import DayTally
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key, parse, version
from aggregator.many_rows import MANY
from aggregator.parts import RECORD_BYTES
from aggregator.policy import Policy
from aggregator.recount import Recount, winners
from aggregator.rows import Merge
from aggregator.shard import Shard
from tests.support.facts import ITEMS, facts, histories

policies = st.sampled_from(Policy)
limits = st.sampled_from((RECORD_BYTES, 1, 2 * len("v1") + 1_000))
"""Most bytes of the judges in one record: all of them, one, or two."""

many = st.sampled_from((0, 1, 2, MANY))
"""Rows from which an item has an index: always, after one or two, or never in these histories."""

Counted = dict[tuple[str, ...], Any]


def folded(history: Iterable[Fact], policy: Policy = Policy.EACH, limit: int = RECORD_BYTES, many: int = MANY) -> Shard:
    shard = Shard(0, policy, limit, many=many)
    for fact in history:
        shard.apply(fact)
    return shard


def counted(shard: Shard) -> Counted:
    return joined(shard.tallies())


def joined(records: Iterable[tuple[bytes, tallies.Payload]]) -> Counted:
    return dict(tallies.join((tallies.parse_key(key), payload) for key, payload in records))


def recounted(history: Iterable[Fact], policy: Policy = Policy.EACH) -> Counted:
    return dict(Recount(history, policy).tallies())


def rows(history: Iterable[Fact]) -> dict[bytes, bytes]:
    return {identity: encode(fact) for identity, fact in winners(history).items()}


@given(histories, policies, limits, many)
def test_tallies_are_the_fold_of_the_rows_at_every_prefix(
    history: list[Fact], policy: Policy, limit: int, many: int
) -> None:
    shard = Shard(0, policy, limit, many=many)
    for end, fact in enumerate(history, start=1):
        shard.apply(fact)
        assert counted(shard) == recounted(history[:end], policy)
        assert shard.dirty == rows(history[:end])


@given(st.data(), histories, policies, many)
def test_order_and_duplicates_do_not_matter(
    data: st.DataObject, history: list[Fact], policy: Policy, many: int
) -> None:
    again = data.draw(st.lists(st.sampled_from(history))) if history else []
    shuffled = data.draw(st.permutations(history + again))
    shard, other = folded(history, policy), folded(shuffled, policy, many=many)
    assert counted(other) == counted(shard)
    assert other.dirty == shard.dirty


@given(histories)
def test_every_fact_is_applied_superseded_or_duplicate(history: list[Fact]) -> None:
    shard = Shard(0)
    seen: dict[bytes, str] = {}
    for fact in history:
        expected = Merge.APPLIED
        if key(fact) in seen:
            newest = seen[key(fact)]
            expected = Merge.DUPLICATE if version(fact) == newest else Merge.SUPERSEDED
            expected = Merge.APPLIED if version(fact) > newest else expected
        assert shard.apply(fact) is expected
        seen[key(fact)] = max(version(fact), seen.get(key(fact), ""))
    assert shard.rows == len(seen)
    assert shard.items == len({fact.item for fact in history})


@given(histories)
def test_facts_with_the_time_and_id_of_their_row_and_other_content_are_conflicts(history: list[Fact]) -> None:
    shard = Shard(0)
    expected = 0
    for end, fact in enumerate(history):
        row = winners(history[:end]).get(key(fact))
        expected += row is not None and (row.at, row.id) == (fact.at, fact.id) and version(row) != version(fact)
        shard.apply(fact)
        assert shard.conflicts == expected


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_conflicting_facts_the_content_decides(order: int) -> None:
    up = Annotation(at=1, id="a", queue="q", item="i", thumbs="up")
    down = Annotation(at=1, id="a", queue="q", item="i", thumbs="down")
    failed = Evaluation(at=1, id="e", item="i", metric="m", status="error")
    passed = Evaluation(at=1, id="e", item="i", metric="m", passed=True)
    for history, conflicts in (([up, down], 1), ([up, up], 0), ([passed, failed], 0)):
        shard = folded(history[::order])
        assert shard.conflicts == conflicts
        assert shard.dirty == rows(history)


@given(histories, policies, many)
def test_no_count_is_ever_negative(history: list[Fact], policy: Policy, many: int) -> None:
    shard = Shard(0, policy, many=many)
    for fact in history:
        shard.apply(fact)
        for payload in shard.drain().tallies.values():
            assert all(count >= 0 for count in _numbers(payload))


def _numbers(payload: Any) -> Iterable[int]:
    if isinstance(payload, int):
        return [payload]
    children = payload.values() if isinstance(payload, dict) else payload
    return [number for child in children for number in _numbers(child)]


@given(histories, policies)
def test_counts_of_partitions_add_up_to_those_of_one_shard(history: list[Fact], policy: Policy) -> None:
    parts = [folded((fact for fact in history if fact.item == item), policy) for item in ITEMS]
    total: Counted = defaultdict(lambda: None)
    for part in parts:
        for group, payload in counted(part).items():
            total[group] = _add(total[group], payload)
    assert dict(total) == counted(folded(history, policy))


def _add(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return right if left is None else left
    if isinstance(left, dict):
        return {name: _add(left.get(name), right.get(name)) for name in left | right}
    if isinstance(left, list):
        return [_add(one, other) for one, other in zip(left, right, strict=True)]
    return left + right


@given(st.data(), histories, policies, limits)
def test_published_tallies_are_complete(data: st.DataObject, history: list[Fact], policy: Policy, limit: int) -> None:
    """At any checkpoints, the last record of each key without empty ones equals a recount."""
    shard = Shard(0, policy, limit)
    published: dict[bytes, Any] = {}
    ledger: dict[bytes, bytes] = {}
    for fact in history:
        shard.apply(fact)
        if data.draw(st.booleans()):
            taken = shard.drain()
            published.update(taken.tallies)
            ledger.update(taken.rows)
            assert (shard.dirty, shard.settle().touched_tallies) == ({}, 0)
    taken = shard.drain()
    published.update(taken.tallies)
    ledger.update(taken.rows)
    standing = {key: payload for key, payload in published.items() if any(_numbers(payload))}
    assert standing == dict(shard.tallies())
    assert joined(standing.items()) == recounted(history, policy)
    assert all(
        payload == tallies.empty(tallies.parse_key(key).group)
        for key, payload in published.items()
        if not any(_numbers(payload))
    )
    assert ledger == rows(history)


@given(histories, policies)
def test_a_drained_tally_is_a_copy(history: list[Fact], policy: Policy) -> None:
    shard = folded(history[: len(history) // 2], policy)
    taken = shard.drain()
    before = orjson.dumps({key.decode(): payload for key, payload in taken.tallies.items()})
    for fact in history[len(history) // 2 :]:
        shard.apply(fact)
    assert orjson.dumps({key.decode(): payload for key, payload in taken.tallies.items()}) == before


@given(st.data(), histories, policies, many)
def test_a_replay_restores_the_shard_and_finds_rows_that_compaction_would_lose(
    data: st.DataObject, history: list[Fact], policy: Policy, many: int
) -> None:
    """A log in any order, as zombies leave it: same rows and tallies, and superseded last records are repaired."""
    log = [(key(fact), encode(fact)) for fact in data.draw(st.permutations(history))]
    shard = Shard(0, policy, many=many)
    for identity, value in log:
        shard.replay(identity, value)
    assert counted(shard) == recounted(history, policy)
    assert shard.dirty == {}
    last = dict(log)
    winners = rows(history)
    assert shard.needs_rewrite == {identity for identity in last if last[identity] != winners[identity]}
    for identity, value in log:
        shard.repair(identity, value)
    assert shard.needs_rewrite == set()
    assert last | shard.dirty == winners


@given(facts)
def test_fields_that_a_newer_release_added_are_ignored(fact: Fact) -> None:
    value = orjson.dumps({"mood": {"deep": [1]}, **orjson.loads(encode(fact)), "tone": 1})
    assert parse(key(fact), value) == fact


@given(histories)
def test_a_ledger_value_is_the_fact(history: list[Fact]) -> None:
    for fact in history:
        assert parse(key(fact), encode(fact)) == fact


@given(facts, facts)
def test_versions_are_a_total_order_on_content(one: Fact, other: Fact) -> None:
    if key(one) == key(other):
        assert (version(one) == version(other)) == (one == other)


@pytest.mark.parametrize("field", ["input", "output", "tags"])
def test_input_output_and_tags_decide_between_equal_times_and_ids(field: str) -> None:
    values = ({"plan": "free"}, {"plan": "paid"}, {"plan": "free", "z": "y" * 100}) if field == "tags" else "xyz"
    for least in (
        Annotation(1, "a", "q", "i", thumbs="up"),
        Evaluation(1, "a", "i", "m", passed=True),
        Evaluation(1, "a", "i", "m", status="error"),
        QueueItem(1, "a", "q", "i"),
    ):
        changed = [msgspec.structs.replace(least, **{field: value}) for value in values]
        assert len({version(fact) for fact in (least, *changed)}) == 4


def test_the_version_does_not_depend_on_the_order_of_tags() -> None:
    one, other = ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})
    assert version(QueueItem(1, "a", "q", "i", tags=one)) == version(QueueItem(1, "a", "q", "i", tags=other))


def test_time_comes_before_id_and_id_before_content() -> None:
    def version_of(at: int, id: str, stars: int) -> str:
        return version(Annotation(at, id, "q", "i", stars=stars))

    assert version_of(9, "b", 5) < version_of(10, "a", 1)
    assert version_of(10, "a", 5) < version_of(10, "ab", 1)
    assert version_of(10, "a", 1) < version_of(10, "a", 5)


@given(st.data(), histories, limits)
def test_touch_publishes_a_tally_or_its_absence(data: st.DataObject, history: list[Fact], limit: int) -> None:
    shard = folded(history, limit=limit)
    shard.drain()
    known = dict(shard.tallies())
    gone = [
        tallies.group_key(tallies.cells_group("gone", "tone", "relevance", "1970-01-01")),
        tallies.group_key(tallies.annotations_group("gone", "tone", "1970-01-01")),
        tallies.group_key(tallies.evaluations_group("gone", "relevance", "1970-01-01")),
        tallies.group_key(tallies.cells_group("support", "tone", "relevance", "1970-01-01"), 1 << 40),
    ]
    chosen = data.draw(st.sets(st.sampled_from([*known, *gone])))
    for tally in chosen:
        shard.touch(tally)
    assert shard.drain().tallies == {
        tally: known.get(tally, tallies.empty(tallies.parse_key(tally).group)) for tally in chosen
    }
    assert shard.drain().tallies == {}


@pytest.mark.parametrize(
    "tally",
    [
        b'["closed"]',
        b'["cells","q"]',
        b'["cells","q","c","m","d",0]',
        b'["annotations","q","c","d",1]',
        b"[]",
        b'"cells"',
        b"{}",
        b"cells",
    ],
)
def test_touch_refuses_an_invalid_tally_key(tally: bytes) -> None:
    with pytest.raises(ValueError, match=r"invalid key|expected|malformed"):
        Shard(0).touch(tally)


@pytest.mark.parametrize("row", [(b'["claim"]', b"{}"), (b'["a"]', b"{"), (b"", b"")])
def test_replay_refuses_an_invalid_row(row: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match=r"invalid key|truncated"):
        Shard(0).replay(*row)


def test_an_item_comes_back_to_its_queue_after_its_day_was_forgotten() -> None:
    """Rows of an item that left its queue have no tally: another annotation may have created its day again."""
    day = 1_000_000_000
    shard = folded([Annotation(day, "1", "q", "i", stars=1), QueueItem(1, "1", "q", "i", deleted=True)])
    shard.drain()
    shard.apply(Annotation(day, "1", "q", "other", stars=2))
    shard.apply(QueueItem(2, "2", "q", "i"))
    assert [payload for key, payload in shard.tallies()] == [{"annotations": 2, "contributing": 0}]


def test_a_failure_shows_until_a_newer_deletion_of_its_judge() -> None:
    placed = QueueItem(1, "1", "q", "i")
    failure = Evaluation(5, "1", "i", "m", judge="v1", status="error")
    deletion = Evaluation(6, "1", "i", "m", judge="v1", deleted=True)
    group = tallies.evaluations_group("q", "m", "1970-01-01")
    assert counted(folded([placed, failure])) == {group: {"pass": 0, "fail": 0, "error": 1, "skipped": 0}}
    assert counted(folded([placed, failure, deletion])) == {}
    deletion.at, deletion.judge = 6, "v2"
    assert group in counted(folded([placed, failure, deletion]))
    deletion.at, deletion.judge = 4, "v1"
    assert group in counted(folded([placed, failure, deletion]))


def test_comparisons_added_and_retracted_are_counted() -> None:
    shard = Shard(0)
    shard.apply(Annotation(1, "1", "q", "i", stars=1))
    shard.apply(Evaluation(1, "1", "i", "m", passed=True))
    assert (shard.added, shard.retracted) == (1, 0)
    shard.apply(Annotation(2, "2", "q", "i", deleted=True))
    assert (shard.added, shard.retracted) == (1, 1)
    assert shard.has_item("i")
    assert not shard.has_item("other")


def test_an_unreferenced_shard_is_freed() -> None:
    """Its rows are frozen, so the garbage collector would never find a cycle."""
    shard = folded(
        [
            Annotation(1, "1", "only here", "i", stars=1),
            Evaluation(1, "1", "i", "m", passed=True),
            QueueItem(1, "1", "only here", "i"),
        ]
    )
    gone = weakref.ref(shard)
    gc.disable()
    try:
        del shard
        assert gone() is None
        # `isinstance` would ask objects that other tests have left, and a proxy whose object is gone raises.
        assert not [each for each in gc.get_objects() if type(each) is DayTally and each.queue == "only here"]
    finally:
        gc.enable()
