"""What the engine does with evaluations that wait: live, at checkpoints, after a restart, without a store."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key
from aggregator.rows import Merge
from aggregator.shard import Shard
from streams.events.decoder import Decoder, Kind, MetricDefaults
from streams.kafka.batches import Batch, Record
from streams.kafka.record_batches import ParsedRecord
from streams.runtime.failures import FatalError
from streams.runtime.metrics import WorkerMetrics
from streams.waiting import waiting as module
from streams.waiting.clock import SourceReach
from streams.waiting.coverage import OffsetRanges
from streams.waiting.partition import Continuation
from streams.waiting.store import Settled, StoreAwayError, StoreLostError
from streams.waiting.waiting import WaitingEvaluations
from tests.unit.streams.waiting.dictionary import DictionaryStore

AT = 1_780_000_000_000
TOPIC = "evaluations"
HERE = Continuation("ledger", 10, start=5, end=50, topic_id="topic", old=False, anew=False)
KINDS = {b'"metric"': Kind.EVALUATION, b'"thumbs"': Kind.ANNOTATION}
KEPT = Settled("ledger", "topic", OffsetRanges.of([(0, 5)]), 4)


def record(fact: Fact, offset: int = 0, timestamp: int = AT) -> ParsedRecord:
    return ParsedRecord(offset, timestamp, fact.item.encode(), encode(fact), [])


def row(fact: Fact, offset: int) -> ParsedRecord:
    """A record of the ledger."""
    return ParsedRecord(offset, AT, key(fact), encode(fact), [])


def evaluation(item: str = "i1", metric: str = "m", *, passed: bool = True, at: int = AT) -> Evaluation:
    return Evaluation(at, "e1", item, metric, passed=passed)


def annotation(item: str = "i1") -> Annotation:
    return Annotation(AT, "a1", "q", item, thumbs="up")


@pytest.fixture(autouse=True)
def _opened_again_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)


class Worker:
    """The waiting evaluations of one worker that owns partition 0."""

    def __init__(self, store: DictionaryStore | None = None, place: Continuation | None = HERE, **given: Any) -> None:
        self.store = store or DictionaryStore()
        self.metrics = WorkerMetrics("0", list)
        self.decoder = given.pop("decoder", Decoder())
        self.waiting = WaitingEvaluations(
            self.store, TOPIC, self.decoder, 1000, self.metrics, given.pop("max_dirty_rows", 1000), **given
        )
        self.shard = Shard(0)
        self.part = self.waiting.assigned(0, self.shard)
        if place is not None:
            self.waiting.restored(self.part, place)

    def live(self, *records: Record) -> list[Merge | None]:
        outcomes = []
        for each in records:
            value = each.value or b""
            kind = next((kind for mark, kind in KINDS.items() if mark in value), Kind.QUEUE_ITEM)
            fact = self.decoder.decode(kind, each.value, each.key, each.headers, each.timestamp)
            assert isinstance(fact, Annotation | Evaluation | QueueItem)
            outcomes.append(self.waiting.receive(self.part, fact, each))
        return outcomes

    def batch(self, *records: Record, start: int = 5) -> None:
        """Process evaluations as one batch."""
        mark = self.waiting.mark
        self.live(*records)
        self.waiting.processed(self.part, Batch(TOPIC, 0, start, start + len(records), list(records)), mark)

    def checkpoint(self, ledger_next: int = 20, progress: Sequence[SourceReach] = ()) -> None:
        noted = self.waiting.note(self.part, {str(index): each for index, each in enumerate(progress)})
        self.waiting.settle(self.part, noted, ledger_next)

    @property
    def rows(self) -> set[bytes]:
        return set(self.shard.dirty)

    def counted(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"eval_alignment_waiting_{name}_total") or 0


# ---- the live path


def test_an_evaluation_waits_until_its_item_is_known() -> None:
    worker = Worker()
    assert worker.live(record(evaluation())) == [None]
    assert (worker.rows, list(worker.shard.tallies())) == (set(), [])
    assert worker.live(record(annotation())) == [Merge.APPLIED]
    assert worker.rows == {key(evaluation()), key(annotation())}
    assert worker.live(record(evaluation(metric="n"), 1)) == [Merge.APPLIED]
    assert len(worker.store.rows) == 1, "what was adopted stays in the store, the next one is not put there"
    assert worker.store.evaluations() == 0


def test_a_queue_item_makes_an_item_known_even_when_it_is_deleted() -> None:
    worker = Worker()
    worker.live(record(evaluation()), record(QueueItem(AT, "q1", "q", "i1", deleted=True)))
    assert key(evaluation()) in worker.rows


def test_records_of_other_items_under_the_same_hash_are_not_adopted() -> None:
    worker = Worker()
    worker.live(record(evaluation()), record(evaluation("i2"), 1), record(annotation()))
    assert worker.rows == {key(evaluation()), key(annotation())}


def test_what_the_settings_of_now_do_not_accept_is_counted_and_no_row() -> None:
    worker = Worker(decoder=Decoder({"m": MetricDefaults(0.5)}))
    undecided = ParsedRecord(0, AT, b"i1", b'{"id":"e1","at":%d,"item":"i1","metric":"m","score":0.7}' % AT, [])
    worker.live(undecided)
    worker.waiting.decoder.metrics = {}
    worker.decoder = worker.waiting.decoder
    worker.live(record(annotation()))
    assert worker.rows == {key(annotation())}
    assert worker.counted("undecided") == 1


@pytest.mark.row(53)
def test_what_a_setting_decided_is_decided_once() -> None:
    worker = Worker(decoder=Decoder({"m": MetricDefaults(0.5)}))
    undecided = ParsedRecord(0, AT, b"i1", b'{"id":"e1","at":%d,"item":"i1","metric":"m","score":0.5}' % AT, [])
    worker.live(record(annotation()), undecided)
    for threshold in (0.4, 0.6):
        worker.decoder = Decoder({"m": MetricDefaults(threshold)})
        worker.waiting.decoder = worker.decoder
        assert worker.live(undecided) == [Merge.SUPERSEDED]
    (value,) = [value for name, value in worker.shard.dirty.items() if name == key(evaluation())]
    assert b'"passed":true' in value and b'"threshold":0.5' in value
    # An event with a verdict of its own still wins by its content.
    assert worker.live(record(replace_passed(evaluation()), 1)) in ([Merge.APPLIED], [Merge.SUPERSEDED])


def replace_passed(fact: Evaluation) -> Evaluation:
    fact.passed = True
    return fact


def test_more_records_than_fit_are_merged_in_pieces_and_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADOPT_RECORDS", 2)
    monkeypatch.setattr(module, "WORK_OFF_RECORDS", 2)
    worker = Worker()
    worker.live(*(record(evaluation(metric=f"m{index}"), index) for index in range(5)), record(annotation()))
    assert len(worker.rows) == 3
    assert worker.part.owes
    worker.checkpoint(ledger_next=30)
    assert worker.part.settled.adopted_to == 10, "the offset stays while something is owed"
    assert worker.waiting.work_off(worker.part)
    assert worker.waiting.work_off(worker.part)
    assert not worker.waiting.work_off(worker.part)
    assert len(worker.rows) == 6
    worker.checkpoint(ledger_next=40)
    assert worker.part.settled.adopted_to == 40


def test_slow_records_are_merged_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may move the comparisons of a hundred thousand annotations, and heartbeats wait meanwhile."""
    monkeypatch.setattr(module, "ADOPT_RECORDS", 0)
    monkeypatch.setattr(module, "WORK_OFF_STEP", 2)
    monkeypatch.setattr(module, "CHUNK_SECONDS", 0.0)
    worker = Worker()
    worker.live(*(record(evaluation(metric=f"m{index}"), index) for index in range(5)), record(annotation()))
    rows = [len(worker.rows)]
    while worker.waiting.work_off(worker.part):
        rows.append(len(worker.rows))
    assert rows == [1, 3, 5, 6]


def test_an_item_with_more_than_fits_into_memory_is_looked_up_part_by_part() -> None:
    worker = Worker()
    worker.store.part = 2
    worker.live(*(record(evaluation(metric=f"m{index}"), index) for index in range(5)), record(annotation()))
    sizes = [len(worker.rows)]
    while worker.part.owes:
        assert len(worker.part.found) <= 2
        worker.checkpoint(ledger_next=30)
        assert worker.part.settled.adopted_to == 10, "the offset stays while something is owed"
        assert worker.waiting.work_off(worker.part)
        sizes.append(len(worker.rows))
    assert (sizes[0], sizes[-1]) == (3, 6)
    assert worker.counted("adopted") == 5


def test_a_second_item_waits_while_records_of_another_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADOPT_RECORDS", 1)
    worker = Worker()
    for item in ("i1", "i2"):
        worker.live(*(record(evaluation(item, f"m{index}"), index) for index in range(3)))
    worker.live(record(annotation("i1")), record(annotation("i2")))
    assert (len(worker.part.found), list(worker.part.owed)) == (2, ["i2"])
    while worker.part.owes:
        assert worker.waiting.work_off(worker.part)
    assert len(worker.rows) == 8


def test_what_is_found_waits_while_too_many_rows_are_dirty() -> None:
    worker = Worker(max_dirty_rows=1)
    worker.live(record(annotation("i2")), record(evaluation()), record(annotation()))
    assert key(evaluation()) not in worker.rows
    assert not worker.waiting.work_off(worker.part)
    worker.shard.drain()
    assert worker.waiting.work_off(worker.part)
    assert worker.rows == {key(evaluation())}


# ---- coverage and checkpoints


def test_a_batch_is_covered_and_settled_with_the_acknowledged_checkpoint_that_follows_it() -> None:
    worker = Worker(place=HERE)
    worker.batch(record(evaluation(), 5), record(evaluation("i2"), 6))
    assert worker.part.covered == OffsetRanges.of([(5, 7)])
    assert worker.part.gaps(7) == OffsetRanges.of([(0, 5)])
    noted = worker.waiting.note(worker.part, {})
    worker.batch(record(evaluation("i3"), 7), start=7)
    assert not worker.part.settled.covered
    worker.waiting.settle(worker.part, noted, 20)
    assert worker.part.settled == Settled("ledger", "topic", OffsetRanges.of([(5, 7)]), 20)


def test_a_batch_during_which_the_store_was_lost_is_not_covered() -> None:
    worker = Worker()
    mark = worker.waiting.mark
    worker.live(record(evaluation(), 5))
    worker.store.lose()
    worker.waiting.processed(worker.part, Batch(TOPIC, 0, 5, 6, []), mark)
    assert not worker.part.covered
    assert worker.part.gaps(6) == OffsetRanges.of([(0, 6)])


def test_what_a_checkpoint_noted_of_a_store_does_not_count_for_the_next_one() -> None:
    worker = Worker()
    worker.batch(record(evaluation(), 5))
    noted = worker.waiting.note(worker.part, {})
    worker.store.lose()
    worker.waiting.settle(worker.part, noted, 20)
    assert not worker.part.settled.covered


async def test_a_flush_keeps_what_was_settled_when_it_began() -> None:
    worker = Worker()
    worker.batch(record(evaluation(), 5))
    worker.checkpoint()
    worker.batch(record(evaluation("i2"), 6), start=6)
    await worker.waiting.flush()
    assert worker.store.kept[0].covered == OffsetRanges.of([(5, 6)])


# ---- restore


def test_a_ledger_without_waiting_evaluations_covers_what_was_processed() -> None:
    worker = Worker(place=replace(HERE, old=True))
    assert not worker.part.gaps(5)
    worker.store.lose()
    assert worker.waiting.mark
    assert not worker.part.gaps(5), "the ledger still has it"


def test_items_that_became_known_elsewhere_are_swept() -> None:
    store = DictionaryStore()
    store.kept[0] = KEPT
    store.put(0, record(evaluation(), 3))
    worker = Worker(store, place=None)
    rows = [row(annotation("i0"), 3), row(annotation(), 4), row(evaluation("i9"), 5)]
    for each in rows:
        worker.shard.replay(each.key, each.value)  # type: ignore[arg-type]
    worker.part.replayed(rows)
    assert list(worker.part.owed) == ["i1"], "below 4, the items were adopted from this store"
    worker.waiting.restored(worker.part, HERE)
    worker.checkpoint()
    assert worker.part.settled.adopted_to == 4
    assert worker.waiting.work_off(worker.part)
    assert worker.rows == {key(evaluation())}
    worker.checkpoint()
    assert worker.part.settled.adopted_to == 20


def test_evaluation_rows_of_unknown_items_do_not_make_them_known() -> None:
    worker = Worker()
    worker.shard.replay(key(evaluation()), encode(evaluation()))
    assert worker.live(record(evaluation(metric="n"), 7)) == [None]
    worker.live(record(annotation()))
    (tally,) = [payload for name, payload in worker.shard.tallies() if b"annotations" in name]
    assert tally == {"annotations": 1, "contributing": 1}
    assert key(evaluation(metric="n")) in worker.rows


others = pytest.mark.parametrize(
    "place",
    [
        pytest.param(replace(HERE, topic_id="another"), id="another topic"),
        pytest.param(replace(HERE, ledger="another"), id="another ledger"),
        pytest.param(replace(HERE, end=4), id="covered beyond the end"),
        pytest.param(replace(HERE, anew=True), id="no position"),
        pytest.param(replace(HERE, shortened=True), id="a shortened ledger"),
    ],
)


@pytest.mark.row(52)
@others
def test_coverage_of_another_topic_or_ledger_is_forgotten(place: Continuation) -> None:
    store = DictionaryStore()
    store.kept[0] = KEPT
    worker = Worker(store, place)
    assert store.forgotten == [0]
    assert worker.part.settled == Settled(place.ledger, place.topic_id, OffsetRanges(), 10)
    assert not worker.part.owes


@pytest.mark.row(52)
@others
def test_a_store_that_was_away_at_the_start_and_is_of_another_topic_or_ledger_is_forgotten(place: Continuation) -> None:
    store = DictionaryStore()
    store.kept[0] = KEPT
    store.away = "another process has it"
    worker = Worker(store, place)
    # The next assignment finds the topic longer: its first offsets are those of other events all the same.
    worker.waiting.restored(worker.part, replace(HERE, ledger=place.ledger, topic_id=place.topic_id))
    worker.waiting.reopen()
    assert store.forgotten == [0]
    assert not worker.part.covered


def test_coverage_of_the_same_topic_and_ledger_counts() -> None:
    store = DictionaryStore()
    store.kept[0] = KEPT
    worker = Worker(store, replace(HERE, topic_id=None))
    assert (worker.part.covered, worker.part.settled.adopted_to, store.forgotten) == (KEPT.covered, 4, [])


def test_on_the_embedded_broker_the_rows_of_earlier_topics_are_looked_up() -> None:
    store = DictionaryStore()
    worker = Worker(store, place=None, embedded=True)
    worker.shard.replay(key(annotation()), encode(annotation()))
    worker.waiting.restored(worker.part, HERE)
    assert store.forgotten == [0], "a new epoch, even where nothing is settled yet"
    assert list(worker.part.owed) == ["i1"]


# ---- without the store


@pytest.mark.parametrize("failure", [StoreAwayError, StoreLostError])
def test_a_store_that_fails_covers_nothing_and_is_told(failure: type[Exception]) -> None:
    worker = Worker()
    worker.store.fails = failure
    worker.batch(record(evaluation(), 5))
    assert not worker.part.covered
    assert worker.counted("store_failures") == 1


async def test_items_that_become_known_while_the_store_is_away_are_looked_up_later() -> None:
    worker = Worker()
    worker.batch(record(evaluation(), 5))
    worker.checkpoint(20)
    await worker.waiting.flush()
    worker.store.go_away()
    worker.batch(record(evaluation("i2"), 6), start=6)
    worker.live(record(annotation()))
    assert list(worker.part.owed) == ["i1"]
    assert not worker.waiting.work_off(worker.part)
    worker.checkpoint(30)
    assert worker.part.settled.adopted_to == 20
    worker.waiting.reopen()
    assert worker.part.gaps(7) == OffsetRanges.of([(0, 5), (6, 7)])
    assert worker.waiting.work_off(worker.part)
    assert key(evaluation()) in worker.rows


def test_a_store_that_was_away_at_the_start_is_asked_for_every_known_item() -> None:
    store = DictionaryStore()
    store.kept[0] = KEPT
    store.put(0, record(evaluation(), 3))
    store.away = "another process has it"
    worker = Worker(store, place=None)
    worker.shard.replay(key(annotation()), encode(annotation()))
    worker.waiting.restored(worker.part, HERE)
    worker.checkpoint(15)
    worker.waiting.reopen()
    assert worker.part.covered == KEPT.covered
    assert worker.part.settled.adopted_to == 4
    assert worker.waiting.work_off(worker.part)
    assert key(evaluation()) in worker.rows


async def test_a_store_that_is_closed_has_not_failed() -> None:
    worker = Worker(embedded=True)
    await worker.waiting.close()
    await worker.waiting.flush()
    assert not worker.waiting.away


def test_on_the_embedded_broker_a_store_that_fails_ends_the_worker() -> None:
    worker = Worker(embedded=True)
    worker.store.fails = StoreAwayError
    with pytest.raises(FatalError, match="store of waiting evaluations"):
        worker.live(record(evaluation()))


# ---- the report


def test_what_is_adopted_waits_no_longer_and_what_a_full_disk_costs_is_missing() -> None:
    worker = Worker(place=replace(HERE, old=True))
    worker.live(record(evaluation()), record(evaluation("i2"), 1), record(annotation()))
    assert worker.metrics.registry.get_sample_value("eval_alignment_adopt_seconds_count") == 1
    worker.store.given_up = {0: 3, 1: 4}
    state = worker.waiting.state(worker.part, 5)
    assert state is not None
    assert (state["evaluations"], state["missing"]) == (1, 3)
    assert worker.counted("missing") == 7


def test_markers_report_what_waits_and_never_stop() -> None:
    worker = Worker(place=replace(HERE, old=True))
    assert worker.waiting.state(worker.part, 5) is None
    worker.live(record(evaluation(at=AT - 7)), record(evaluation("i2"), 1))
    state = worker.waiting.state(worker.part, 5)
    assert state is not None
    assert (state["evaluations"], state["sample"], state["judges"]) == (2, ["i2", "i1"], [("m", "", AT - 7, AT, 2)])
    assert worker.waiting.state(worker.part, 9) is state, "renewed every five seconds at most"
