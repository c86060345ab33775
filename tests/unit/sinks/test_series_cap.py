"""Laws of the cap on series: it is never exceeded, shares are equal, order does not matter, and nothing flaps."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sinks.series_cap import DAY_SECONDS, Pair, Shares, fair_shares

CAP = 10_000
SIZE = 36

names = st.sampled_from("abc")
pairs = st.builds(Pair, names, names, st.none() | names)
counted = st.dictionaries(pairs, st.integers(0, 5), max_size=20)
limits = st.integers(0, 60)


@dataclass(frozen=True)
class Sizes:
    """Sizes of pairs from 1 to 9 that differ from pair to pair, and with the seed."""

    seed: int

    def __call__(self, pair: Pair) -> int:
        return 1 + sum(map(ord, "".join(filter(None, pair)))) * self.seed % 9


sizes = st.builds(Sizes, st.integers(0, 8))


def total(of: Iterable[Pair], size: Callable[[Pair], int]) -> int:
    """Series of pairs and of their criteria."""
    return sum(map(size, {each for pair in of for each in (pair, Pair(pair.queue, pair.criterion, None))}))


@given(counts=counted, limit=limits, size=sizes)
def test_every_queue_gets_an_equal_share(counts: dict[Pair, int], limit: int, size: Sizes) -> None:
    shares = fair_shares(counts, limit, size, None, 0.0)
    assert {*shares.kept, *shares.dropped} == counts.keys()
    assert len(shares.kept) + len(shares.dropped) == len(counts)
    if total(counts, size) <= limit:
        assert not shares.dropped
    kept, has = Counter(pair.queue for pair in shares.kept), Counter(pair.queue for pair in counts)
    comparisons: Counter[str] = Counter()
    for pair, number in counts.items():
        comparisons[pair.queue] += number
    for queue in has:
        for other in has:
            # A queue that has more pairs than those kept gets as much as the others, but for the last round.
            if kept[queue] < has[queue]:
                assert kept[other] <= kept[queue] + (comparisons[other] >= comparisons[queue])
        of_queue = [counts[pair] for pair in shares.kept if pair.queue == queue]
        rest = [counts[pair] for pair in shares.dropped if pair.queue == queue]
        assert min(of_queue, default=9) >= max(rest, default=0)


@given(counts=counted, limit=limits, size=sizes, data=st.data())
def test_order_does_not_matter(counts: dict[Pair, int], limit: int, size: Sizes, data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(counts.items()))))
    assert fair_shares(shuffled, limit, size, None, 0.0) == fair_shares(counts, limit, size, None, 0.0)


steps = st.lists(
    st.tuples(
        st.one_of(st.just({}), counted), sizes, st.sampled_from([60.0, DAY_SECONDS / 3, DAY_SECONDS / 2, DAY_SECONDS])
    ),
    min_size=2,
    max_size=10,
)


@given(start=counted, steps=steps, limit=limits)
def test_a_pair_changes_sides_after_a_day_unless_the_cap_forces_it_out(
    start: dict[Pair, int], steps: list[tuple[dict[Pair, int], Sizes, float]], limit: int
) -> None:
    counts, now, before = start, 0.0, fair_shares(start, limit, Sizes(1), None, 0.0)
    wanted_at: list[tuple[float, set[Pair]]] = [(now, set(before.kept))]
    left_at: dict[Pair, float] = {}
    for changes, size, passed in steps:
        # Pairs keep existing, so that each has a history; those of the changes are new or have other counts.
        counts, now = {**counts, **changes}, now + passed
        wanted = set(fair_shares(counts, limit, size, None, now).kept)
        shares = fair_shares(counts, limit, size, before, now)
        assert total(shares.kept, size) <= limit
        wanted_at.append((now, wanted))
        known = {*before.kept, *before.dropped}
        entered = set(shares.kept) - set(before.kept)
        left = set(before.kept) - set(shares.kept)
        for pair in entered:
            assert pair in wanted
            assert pair not in known or for_a_day(wanted_at, now, lambda of, pair=pair: pair in of)  # type: ignore[misc]
            assert now - left_at.get(pair, -DAY_SECONDS) >= DAY_SECONDS
        assert not left & wanted
        early = {pair for pair in left if not for_a_day(wanted_at, now, lambda of, pair=pair: pair not in of)}  # type: ignore[misc]
        assert not early or total({*shares.kept, *early}, size) > limit
        left_at.update(dict.fromkeys(left, now))
        assert wanted - known <= entered
        before = shares


def for_a_day(wanted_at: list[tuple[float, set[Pair]]], now: float, holds: Callable[[set[Pair]], bool]) -> bool:
    """Whether the counts were for something at every decision since one that is a day old or older."""
    for at, wanted in reversed(wanted_at):
        if not holds(wanted):
            return False
        if now - at >= DAY_SECONDS:
            return True
    return False


def of_size(pair: Pair) -> int:
    return SIZE if pair.metric else 2


def test_one_big_queue_has_gauges_next_to_a_thousand_undecided_ones() -> None:
    small = {Pair(f"undecided {number:04d}", "c", "m"): 3 for number in range(1_000)}
    big = {Pair("big and bad", "c", f"m{number}"): 80 for number in range(30)}
    shares = fair_shares({**small, **big}, CAP, of_size, None, 0.0)
    assert shares.kept[0] == Pair("big and bad", "c", "m0")
    assert len(shares.kept) == CAP // (SIZE + 2)
    # With few small ones it gets what they leave.
    few = dict(list(small.items())[:10])
    shares = fair_shares({**few, **big}, CAP, of_size, None, 0.0)
    assert not shares.dropped


def test_two_queues_that_change_places_every_hour_do_not_change_sides() -> None:
    def at(hour: int, before: Shares | None) -> Shares:
        counts = {Pair("a", "c", "m"): 10 + hour % 2, Pair("b", "c", "m"): 11 - hour % 2}
        return fair_shares(counts, SIZE + 2, of_size, before, hour * 3600.0)

    shares = at(0, None)
    assert [pair.queue for pair in shares.kept] == ["b"]
    for hour in range(1, 100):
        shares = at(hour, shares)
        assert [pair.queue for pair in shares.kept] == ["b"]
    # At hour 99 the counts are for the other one. A day later they still are.
    for hour in range(101, 123, 2):
        shares = at(hour, shares)
        assert [pair.queue for pair in shares.kept] == ["b"]
    assert [pair.queue for pair in at(123, shares).kept] == ["a"]
