"""Parts of a cells tally: all judges, each in one part, none too large, and as stable as can be."""

from unittest.mock import patch

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import cells, tallies
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.many_cells import MANY
from aggregator.parts import MOST_BYTES, part_of, split
from aggregator.recount import Recount
from aggregator.shard import Shard

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=128)
judges = st.sets(names, max_size=40)
limits = st.integers(1, 8_000)

VECTORS: tallies.JudgeCells = {"current": [9_999_999_999] * 14, "superseded": [9_999_999_999] * 14}


def record(of_part: list[str]) -> bytes:
    return orjson.dumps({"judges": dict.fromkeys(of_part, VECTORS)})


@given(judges, limits)
def test_every_judge_stands_in_one_part(given_judges: set[str], limit: int) -> None:
    parts = split(given_judges, limit)
    assert sorted(name for of_part in parts.values() for name in of_part) == sorted(given_judges)
    assert all(parts.values()) or parts == {0: []}
    assert {name: part_of(name, parts) for name in given_judges} == {
        name: part for part, of_part in parts.items() for name in of_part
    }


@given(judges, limits)
def test_no_record_is_larger_than_the_limit_unless_one_judge_is(given_judges: set[str], limit: int) -> None:
    for of_part in split(given_judges, limit).values():
        assert len(record(of_part)) <= limit + len(record([])) or len(of_part) <= 1


@given(names)
def test_a_judge_never_needs_more_than_the_most(name: str) -> None:
    assert len(record([name])) - len(record([])) <= MOST_BYTES


@given(st.data(), judges, limits)
def test_parts_do_not_depend_on_the_order_of_the_judges(
    data: st.DataObject, given_judges: set[str], limit: int
) -> None:
    order = data.draw(st.permutations(sorted(given_judges)))
    assert {part: set(of_part) for part, of_part in split(order, limit).items()} == {
        part: set(of_part) for part, of_part in split(sorted(given_judges), limit).items()
    }


@given(judges, names, limits)
def test_one_more_judge_changes_the_part_that_it_enters_and_no_other(
    given_judges: set[str], name: str, limit: int
) -> None:
    before, after = split(given_judges, limit), split(given_judges | {name}, limit)
    entered = part_of(name, before)
    kept = {part: set(of_part) for part, of_part in before.items() if part != entered}
    assert kept.items() <= {part: set(of_part) for part, of_part in after.items()}.items()


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.booleans()), max_size=30),
    st.integers(1, 2_000),
    st.sampled_from([0, 3, MANY]),
)
def test_parts_that_are_published_add_up_to_a_recount_however_they_are_divided_and_joined(
    changes: list[tuple[str, bool, bool]], limit: int, many: int
) -> None:
    with patch.object(cells, "MANY", many):
        _expect_a_recount(changes, limit)


def _expect_a_recount(changes: list[tuple[str, bool, bool]], limit: int) -> None:
    history: list[Fact] = [Annotation(at=1, id="a", queue="q", item="i", thumbs="up")]
    shard, published = Shard(0, record_bytes=limit), dict[bytes, tallies.Payload]()
    shard.apply(history[0])
    for at, (judge, deleted, drained) in enumerate(changes):
        passed = None if deleted else True
        history.append(Evaluation(at=at, id="e", item="i", metric="m", judge=judge, passed=passed, deleted=deleted))
        shard.apply(history[-1])
        if drained:
            published.update(shard.drain().tallies)
    published.update(shard.drain().tallies)
    whole = tallies.join((tallies.parse_key(key), payload) for key, payload in published.items())
    assert {group: payload for group, payload in whole.items() if payload != tallies.empty(group)} == Recount(
        history
    ).tallies()


@pytest.mark.parametrize("count", [3_000])
def test_the_parts_of_many_judges_are_published_when_they_change_and_add_up_to_a_recount(count: int) -> None:
    def evaluation(number: int, at: int) -> Evaluation:
        return Evaluation(at=at, id="e", item="i", metric="m", judge=f"run-{number:032}", passed=number % 2 == 0)

    history: list[Fact] = [
        Annotation(at=1, id="a", queue="q", item="i", thumbs="up"),
        *(evaluation(n, 1) for n in range(count)),
    ]
    shard = Shard(0)
    for fact in history:
        shard.apply(fact)
    published = shard.drain().tallies
    records = [key for key in published if key.startswith(b'["cells"')]
    assert len(records) > 3
    assert max(len(orjson.dumps(published[key])) for key in records) < 300_000

    # Less than the newest before and after: only its own counts change.
    shard.apply(changed := Evaluation(at=0, id="e", item="i", metric="m", judge="another", passed=True))
    history.append(changed)
    delta = shard.drain().tallies
    assert 1 <= len(delta) <= 3
    published.update(delta)
    whole = tallies.join((tallies.parse_key(key), payload) for key, payload in published.items())
    assert {group: payload for group, payload in whole.items() if group[0] == "cells"} == {
        group: payload for group, payload in Recount(history).tallies().items() if group[0] == "cells"
    }

    # All but two are taken back: one record is enough, and the others are published empty.
    for number in range(2, count):
        shard.apply(Evaluation(at=2, id="d", item="i", metric="m", judge=f"run-{number:032}", deleted=True))
    published.update(shard.drain().tallies)
    standing = {key: payload for key, payload in published.items() if payload.get("judges")}
    assert [tallies.parse_key(key).part for key in standing] == [0]
